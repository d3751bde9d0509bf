"""Which of the facts that come with the package want a new look: rows long unverified, releases that went on since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from cluster.findings import Finding, Findings, Severity, worst_first
from policies.add_ons import AddOns
from policies.data_files import FOLDER, DataFile, Row
from policies.databases import Operators
from policies.deprecations import ApiRemovals
from policies.distributions import Distributions
from policies.etcd_jumps import Jumps
from policies.handwork import Handworks
from policies.kubeadm_defaults import KubeadmDefaults
from policies.origins import Origins
from policies.permanence import Permanence
from policies.releases import Release, Releases
from policies.removals import Removals
from policies.restoring import Restoring
from policies.runtimes import Runtimes
from policies.upgraders import Upgraders
from policies.wording import count_of, some_of

STALE_AFTER = timedelta(days=120)  # about the time from one minor to the next
_NEXT_MINOR = timedelta(days=130)  # from one minor to the next, with some days for what slips
FILES: Mapping[str, type[DataFile]] = {
    "add_ons.yaml": AddOns,
    "api_removals.yaml": ApiRemovals,
    "databases.yaml": Operators,
    "distributions.yaml": Distributions,
    "etcd_jumps.yaml": Jumps,
    "handwork.yaml": Handworks,
    "kubeadm_defaults.yaml": KubeadmDefaults,
    "origins.yaml": Origins,
    "permanent.yaml": Permanence,
    "releases.yaml": Releases,
    "restoring.yaml": Restoring,
    "removals.yaml": Removals,
    "runtimes.yaml": Runtimes,
    "upgraders.yaml": Upgraders,
}


@dataclass(frozen=True, slots=True)
class FactFile:
    """One file of facts, and how old they are."""

    name: str  # below policies/data
    rows: int
    stale: int  # rows that were not verified for too long
    oldest: date  # the day of the row that was verified the longest ago
    newest: date


@dataclass(frozen=True, slots=True)
class Freshness:
    """All files at one day."""

    day: date
    stale_after_days: int
    files: tuple[FactFile, ...]
    findings: Findings

    @property
    def is_stale(self) -> bool:
        """Whether anything weighs more than a note: what is open, and known to be, does not."""
        return any(f.severity is not Severity.NOTE for f in self.findings)


def judge_freshness(
    today: date, *, stale_after: timedelta = STALE_AFTER, read: Mapping[str, DataFile] | None = None
) -> Freshness:
    """Of every file; raises InvalidData for one that cannot be read. `read` is what the files say, by name."""
    known = read or {name: shape.read(name) for name, shape in FILES.items()}
    oldest = today - stale_after
    findings = [f for name, file in known.items() for f in _rows(name, tuple(file.rows()), oldest, today)]
    findings += [f for file in known.values() if isinstance(file, Releases) for f in _releases(file.releases, today)]
    findings += _behind(known)
    findings += _open(known)
    files = tuple(_summed(name, tuple(file.rows()), oldest) for name, file in known.items())
    return Freshness(today, stale_after.days, files, worst_first(findings))


def _summed(name: str, rows: tuple[Row, ...], oldest: date) -> FactFile:
    days = [row.verified_on for row in rows]
    return FactFile(name, len(rows), sum(day < oldest for day in days), min(days), max(days))


def _rows(name: str, rows: tuple[Row, ...], oldest: date, today: date) -> Iterator[Finding]:
    stale = [row for row in rows if row.verified_on < oldest]
    if stale:
        first = min(row.verified_on for row in stale)
        sentence = (
            f"Nobody verified {len(stale)} of {count_of(len(rows), 'row')} in {name} since {oldest}, the first of them "
            f"since {first} ({some_of(map(_name, stale))})."
        )
        remedy = f"Hold them against their sources, and write the day into `verified_on` in {FOLDER}/{name}."
        yield Finding("facts-stale", Severity.WARNING, name, sentence, remedy)
    if future := [row for row in rows if row.verified_on > today]:
        sentence = f"{name} says of {some_of(map(_name, future))} that it was verified on a day that is still to come."
        yield _warn("facts-stale", name, sentence, f"Correct `verified_on` in {FOLDER}/{name}, or this host's clock.")


def _name(row: Row) -> str:
    """What comes first in a row is what it goes by."""
    own = next(name for name in type(row).model_fields if name not in Row.model_fields)
    value = getattr(row, own)
    return some_of(value, 1) if isinstance(value, tuple | frozenset) else str(value)


def _releases(releases: tuple[Release, ...], today: date) -> Iterator[Finding]:
    name = "releases.yaml"
    ended = [r for r in releases if r.eol_actual is None and r.eol_planned < today]
    for release in ended:
        sentence = f"{release.minor} was planned to end on {release.eol_planned}; whether it did is not written down."
        yield _warn("facts-outrun", name, sentence, "Look at https://kubernetes.io/releases/ and fill in `eol_actual`.")
    for before, after in pairwise(releases):
        if after.minor != before.minor.after(1):
            sentence = f"Between {before.minor} and {after.minor} there are minors of which nothing is known."
            yield _warn("facts-outrun", name, sentence, f"Add a row for each to {FOLDER}/{name}.")
    newest = max(releases, key=lambda r: r.minor)
    if newest.ga + _NEXT_MINOR < today:
        sentence = f"The newest minor known is {newest.minor} of {newest.ga}: the next one should be out by now."
        remedy = f"Look at https://kubernetes.io/releases/ and add what came since to {FOLDER}/{name}."
        yield _warn("facts-outrun", name, sentence, remedy)


def _behind(known: Mapping[str, DataFile]) -> Iterator[Finding]:
    """Files that say something of each minor, and have nothing to say of the newest ones."""
    minors = {r.minor for file in known.values() if isinstance(file, Releases) for r in file.releases}
    for name, file in known.items():
        match file:
            case KubeadmDefaults():
                lacking = minors - {i.minor for i in file.images}
            case Runtimes():
                lacking = {m for m in minors if m > max(r.since for r in file.containerd.recommended)}
            case _:
                continue
        if lacking:
            sentence = f"{name} says nothing of {some_of(map(str, sorted(lacking)))}, which releases.yaml knows."
            yield _warn("facts-outrun", name, sentence, f"Add what is known of it to {FOLDER}/{name}.")


def _open(known: Mapping[str, DataFile]) -> Iterator[Finding]:
    for name, file in known.items():
        for what in _questions(file):
            sentence = f"{name} leaves open {what}."
            yield Finding("facts-open", Severity.NOTE, name, sentence, "Look it up, and write it down there.")


def _questions(file: DataFile) -> Iterator[str]:
    if isinstance(file, ApiRemovals):
        yield from (
            f"which minor removes {r.group}/{r.version} {r.resources[0]}" for r in file.removals if not r.removed
        )
    rows = file.images if isinstance(file, KubeadmDefaults) else file.releases if isinstance(file, Releases) else ()
    yield from (f"of {row.minor}: {row.note}" for row in rows if row.note)


def _warn(code: str, subject: str, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, subject, sentence, remedy)
