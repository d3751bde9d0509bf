"""Know where your binaries come from: the kind of source, the minor that it brings, how long its key is good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from urllib.parse import urlsplit

from cluster.facts import UPGRADED_PACKAGES, MachineFacts
from cluster.findings import Finding, Severity
from cluster.report import Node
from cluster.survey import Survey
from policies.data_files import DataFile, Row
from policies.wording import some_of

KEY_SOON = timedelta(days=30)


class Kind(StrEnum):
    """What a source is; the value is how it is called."""

    COMMUNITY = "community"
    FROZEN = "frozen"
    MIRROR = "mirror"
    DISTRIBUTION = "distribution"
    OTHER = "other"  # anybody's
    UNKNOWN = "unknown"


class KnownHosts(Row):
    """The hosts of one kind."""

    kind: Kind
    hosts: tuple[str, ...]


class Origins(DataFile):
    """The whole file."""

    origins: tuple[KnownHosts, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the Kubernetes packages of one machine come from; `place` is the address, "" where none is known."""

    kind: Kind
    place: str = ""


@dataclass(frozen=True, slots=True)
class MachineOrigin:
    """The same with the machine's name."""

    machine: str
    kind: Kind
    place: str


@cache
def _kinds() -> dict[str, Kind]:
    return {host: known.kind for known in Origins.read("origins.yaml").origins for host in known.hosts}


def origin_of(facts: MachineFacts) -> Origin:
    """What is installed counts, by who has exactly that version now; else what the machine is set up to take."""
    bases = tuple(dict.fromkeys(source.base for source in facts.sources))
    for url in (url for origin in facts.origins or () for url in origin.urls):
        base = next((base for base in bases if url.startswith(base)), "")
        return Origin(_kind_of(base or url, Kind.MIRROR if base else Kind.OTHER), base or url)
    if bases:
        return Origin(_kind_of(bases[0], Kind.MIRROR), bases[0])
    if facts.old_sources:
        return Origin(Kind.FROZEN, facts.old_sources[0].url)
    return Origin(Kind.UNKNOWN)


def origins_of(survey: Survey) -> tuple[MachineOrigin, ...]:
    """Of every machine that could be read."""
    known = ((m.name, origin_of(m.facts)) for m in survey.machines if isinstance(m.facts, MachineFacts))
    return tuple(MachineOrigin(name, origin.kind, origin.place) for name, origin in known)


def _kind_of(url: str, otherwise: Kind) -> Kind:
    """By its host or a domain that this is in: distributions have a host for each country."""
    parts = (urlsplit(url).hostname or "").split(".")
    domains = (".".join(parts[first:]) for first in range(len(parts)))
    return next((_kinds()[domain] for domain in domains if domain in _kinds()), otherwise)


def check_origins(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    yield from _sources(node, facts)
    yield from _installed(node, facts)
    yield from _keys(node, facts)


def _sources(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    old = some_of(f"{source.url} in {source.file}" for source in facts.old_sources)
    if facts.old_sources and facts.sources:
        sentence = f"{node.name} still has a source of the repositories that were given up in 2023 ({old})."
        yield _warn(
            "source-frozen", node, sentence, "Take it out: lists that cannot be fetched hide other troubles of apt."
        )
    elif facts.old_sources:
        sentence = f"{node.name} has no package source but repositories that were given up in 2023 ({old})."
        remedy = (
            "Change to the community's: "
            "https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/change-package-repository/"
        )
        yield Finding("source-frozen", Severity.BLOCKER, node.name, sentence, remedy)
    elif not facts.sources:
        sentence = f"{node.name} has no enabled package source of Kubernetes."
        yield Finding("source-missing", Severity.BLOCKER, node.name, sentence, "Enable it in /etc/apt/sources.list.d.")
    minors = {source.minor for source in facts.sources}
    if len(minors) > 1:
        files = ", ".join(sorted({s.file for s in facts.sources}))
        sentence = f"{node.name} has package sources of several minors ({files})."
        yield Finding("sources-differ", Severity.BLOCKER, node.name, sentence, "Leave one of them enabled.")
    elif minors and facts.kubelet is not None and facts.kubelet.version.minor not in minors:
        yield _other_minor(node, facts)


def _other_minor(node: Node, facts: MachineFacts) -> Finding:
    offered, free = facts.sources[0], _not_held(facts)
    sentence = f"The package source of {node.name} offers {offered.minor}, and the kubelet there is {facts.kubelet}"
    if not free:
        remedy = "The packages are on hold, so nothing moves by itself; set-source brings the plan's minor."
        return Finding("source-of-another-minor", Severity.NOTE, node.name, f"{sentence}.", remedy)
    remedy = f"Hold them: apt-mark hold {' '.join(free)}"
    verb, what = ("is", "it") if len(free) == 1 else ("are", "them")
    sentence = f"{sentence}; {some_of(free)} {verb} not on hold, so that any apt-get upgrade changes {what}."
    return _warn("source-of-another-minor", node, sentence, remedy)


def _not_held(facts: MachineFacts) -> tuple[str, ...]:
    """Installed packages that a plain upgrade may change; an unread list of holds is no reason to accuse."""
    if facts.held is None:
        return ()
    return tuple(name for name in UPGRADED_PACKAGES if facts.package(name) is not None and name not in facts.held)


def _installed(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    """Only where the source should still have what is installed: one that went on to another minor cannot."""
    minors = {source.minor for source in facts.sources}
    nowhere = [
        origin.package
        for origin in facts.origins or ()
        if not origin.urls and facts.package(origin.package) is not None
    ]
    if nowhere and facts.kubelet is not None and (not minors or facts.kubelet.version.minor in minors):
        sentence = (
            f"No source of {node.name} has the installed {some_of(nowhere)}: it cannot be told where it came from."
        )
        remedy = f"Look there with: apt-cache policy {' '.join(nowhere)}; lists that were never fetched do that too."
        yield Finding("package-origin-unknown", Severity.NOTE, node.name, sentence, remedy)
    origin = origin_of(facts)
    if origin.kind in {Kind.DISTRIBUTION, Kind.OTHER}:
        whose = "of the distribution" if origin.kind is Kind.DISTRIBUTION else "which has not one repository a minor"
        sentence = f"The Kubernetes packages of {node.name} come from {origin.place}, {whose}."
        remedy = (
            "The upgrade takes them from the community's repository, or from the one that the machine's settings name."
        )
        yield _warn("package-origin-other", node, sentence, remedy)


def _keys(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    for file in dict.fromkeys(key.file for key in facts.keys):
        ends = [key.until for key in facts.keys if key.file == file]
        last = max((end for end in ends if end is not None), default=None)
        if None in ends or last is None or last > facts.time + KEY_SOON:
            continue
        remedy = (
            f"Fetch Release.key of the newest minor into {file}, or set KEY_URL in the settings of the node script."
        )
        if last <= facts.time:
            sentence = f"The key in {file} on {node.name} expired on {last.date()}: apt refuses what is signed with it."
            yield _warn("signing-key-expired", node, sentence, remedy)
        else:
            sentence = f"The key in {file} on {node.name} expires on {last.date()}."
            yield _warn("signing-key-expiring", node, sentence, remedy)
    if facts.unchecked_keys:
        why = some_of(facts.unchecked_keys)
        sentence = f"Until when the key of {node.name}'s package source is good was not checked: {why}."
        remedy = "Name the key file in the source (signed-by), and install gnupg there, to have it checked."
        yield Finding("signing-key-unchecked", Severity.NOTE, node.name, sentence, remedy)


def _warn(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, node.name, sentence, remedy)
