"""What the members of an etcd told of themselves and each other, judged alike wherever they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cluster.etcd import ALARM, EtcdFacts, EtcdMember
from cluster.findings import Finding, Severity
from policies.wording import some_of

LARGE = 0.8  # share of the quota; at all of it etcd takes no more writes
LAGGING = 1000  # entries not applied yet; a member that keeps up has a handful
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Told:
    """Of each member what it told, by where it was asked: a node, or an address."""

    by: Mapping[str, EtcdFacts]

    @property
    def members(self) -> tuple[EtcdMember, ...]:
        """Every member has the same list; one without a leader has none."""
        return max((facts.members for facts in self.by.values() if facts.members), key=len, default=())

    def name_of(self, ident: str) -> str:
        at = next((place for place, facts in self.by.items() if facts.ident == ident), "")
        listed = next((m.name for m in self.members if m.ident == ident), "")
        return at or listed or f"number {ident}"


def check_alarms(cluster: str, told: Told) -> Iterator[Finding]:
    raised = {(a.kind, told.name_of(a.member)) for facts in told.by.values() for a in facts.alarms or ()}
    if not raised:  # without etcdctl nobody tells whose it is
        errors = {error for facts in told.by.values() for error in facts.errors if ALARM in error}
        raised = {(error.rpartition(ALARM)[2].strip(), "") for error in errors}
    for kind, member in sorted(raised):
        by = f", raised by its member {member}" if member else ""
        sentence = f"etcd of {cluster} has the alarm {kind}{by}."
        remedy = (
            "It takes no writes until there is room: compact and defragment it, then run: etcdctl alarm disarm"
            if kind == "NOSPACE"
            else "A member's data may be damaged: take that member out, let it join anew with an empty data folder, "
            "then run: etcdctl alarm disarm"
        )
        yield Finding("etcd-alarm", Severity.BLOCKER, cluster, sentence, remedy)


def check_versions(cluster: str, told: Told, remedy: str) -> Iterator[Finding]:
    versions: dict[str, list[str]] = {}
    for place, facts in told.by.items():
        if facts.version:
            versions.setdefault(facts.version, []).append(place)
    if len(versions) > 1:
        shown = "; ".join(f"{version} on {some_of(places)}" for version, places in sorted(versions.items()))
        sentence = f"The members of etcd run different versions: {shown}."
        yield Finding("etcd-versions-differ", Severity.WARNING, cluster, sentence, remedy)


def check_sizes(told: Told) -> Iterator[Finding]:
    for place, facts in told.by.items():
        yield from _size(place, facts)


def _size(place: str, facts: EtcdFacts) -> Iterator[Finding]:
    if facts.quota_share > LARGE:
        sentence = (
            f"The database of etcd on {place} has {facts.size_bytes // _MIB} MiB, {facts.quota_share:.0%} of its "
            f"quota of {facts.quota_bytes // _MIB} MiB; {facts.in_use_bytes // _MIB} MiB of it are in use."
        )
        remedy = (
            "Defragment it, one member after the other, or raise --quota-backend-bytes: at 100 % it takes no writes."
        )
        yield Finding("etcd-database-large", Severity.WARNING, place, sentence, remedy)
    if facts.raft_behind is not None and facts.raft_behind > LAGGING:
        sentence = f"etcd on {place} is {facts.raft_behind} entries behind what its leader decided."
        yield Finding(
            "etcd-lagging", Severity.WARNING, place, sentence, "Look at its disk and network; plan again later."
        )
