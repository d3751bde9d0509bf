"""Whether etcd may lose one member after the other for a while, by what each machine that runs one told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.etcd import ALARM, EtcdFacts, EtcdMember
from cluster.findings import Finding, Findings, Severity
from cluster.report import ClusterReport, Unread
from cluster.survey import Survey
from policies.wording import count_of, some_of

LARGE = 0.8  # share of the quota; at all of it etcd takes no more writes
LAGGING = 1000  # entries not applied yet; a member that keeps up has a handful
ASKED_OF_ETCD = frozenset({"etcd-status", "etcd"})  # unread, these have a finding here
_MIB = 1024 * 1024
_KEEPS_QUORUM = 3  # members from which on a sound etcd goes on without one of them


@dataclass(frozen=True, slots=True)
class _Seen:
    """
    etcd as all of its machines told it.

    `silent` has the machines whose member could not be asked, and why; `off` those that could not be asked anything.
    """

    told: dict[str, EtcdFacts]
    silent: dict[str, Unread]
    off: dict[str, Unread]
    members: tuple[EtcdMember, ...]

    def name_of(self, ident: str) -> str:
        on = next((node for node, facts in self.told.items() if facts.ident == ident), "")
        listed = next((m.name for m in self.members if m.ident == ident), "")
        return on or listed or f"number {ident}"


def check_etcd(report: ClusterReport, survey: Survey) -> Findings:
    """Findings of kubeadm's own etcd; one that runs elsewhere has no machine here to ask."""
    ready = {p.node: p.ready for p in report.static_pods if p.component == "etcd"}
    seen = _look(tuple(ready), survey)
    return (
        *_alarms(report, seen),
        *_members(report, seen, ready),
        *_silent(seen),
        *_versions(report, seen),
        *(f for node, facts in seen.told.items() for f in _sizes(node, facts)),
    )


def _look(nodes: tuple[str, ...], survey: Survey) -> _Seen:
    told, silent, off = {}, {}, {}
    for node in nodes:
        facts, machine = survey.facts(node), survey.machine(node)
        if facts is None:  # its machine has a finding of its own
            if machine is not None and isinstance(machine.facts, Unread):
                off[node] = machine.facts
            continue
        why = next((u for u in facts.unread if u.what in ASKED_OF_ETCD), None)
        if facts.etcd is not None:
            told[node] = facts.etcd
        elif why is not None:
            silent[node] = why
    # Every member has the same list; one without a leader has none.
    lists = [facts.members for facts in told.values() if facts.members]
    return _Seen(told, silent, off, max(lists, key=len, default=()))


def _alarms(report: ClusterReport, seen: _Seen) -> Iterator[Finding]:
    raised = {(a.kind, seen.name_of(a.member)) for facts in seen.told.values() for a in facts.alarms or ()}
    if not raised:  # without etcdctl nobody tells whose it is
        errors = {error for facts in seen.told.values() for error in facts.errors if ALARM in error}
        raised = {(error.rpartition(ALARM)[2], "") for error in errors}
    for kind, member in sorted(raised):
        by = f", raised by its member {member}" if member else ""
        sentence = f"etcd of {report.cluster} has the alarm {kind}{by}."
        remedy = (
            "It takes no writes until there is room: compact and defragment it, then run: etcdctl alarm disarm"
            if kind == "NOSPACE"
            else "A member's data may be damaged: take that member out, let it join anew with an empty data folder, "
            "then run: etcdctl alarm disarm"
        )
        yield Finding("etcd-alarm", Severity.BLOCKER, report.cluster, sentence, remedy)


def _members(report: ClusterReport, seen: _Seen, ready: dict[str, bool]) -> Iterator[Finding]:
    learners = [m for m in seen.members if m.learner]
    if learners:
        names = some_of(m.name or "one that never started" for m in learners)
        sentence = (
            f"etcd of {report.cluster} has a learner ({names}), which has no vote and may be refused one for ever."
        )
        remedy = "Promote it with etcdctl member promote, or take it out with etcdctl member remove."
        yield Finding("etcd-learner", Severity.BLOCKER, report.cluster, sentence, remedy)
    ill = dict(_ill(report, seen, ready))
    for name, why in ill.items():
        remedy = f"Look with: kubectl -n kube-system logs etcd-{name}"
        yield Finding(
            "etcd-member-unhealthy", Severity.WARNING, name, f"etcd's member {name} is not well: {why}.", remedy
        )
    voters = max(sum(not m.learner for m in seen.members), len(ready))
    well, quorum = voters - len(ill), voters // 2 + 1
    if ill and voters >= _KEEPS_QUORUM and well - 1 < quorum:
        sentence = (
            f"Of {count_of(voters, 'member')} of etcd {well} are well, {quorum} are needed: it stops when the upgrade "
            f"replaces one more ({some_of(ill)} not well)."
        )
        remedy = "Mend these members, or take those out that are gone for good with etcdctl member remove."
        yield Finding("etcd-quorum-at-risk", Severity.BLOCKER, report.cluster, sentence, remedy)


def _ill(report: ClusterReport, seen: _Seen, ready: dict[str, bool]) -> Iterator[tuple[str, str]]:
    """Voting members that are known not to be well, with the reason; one that merely could not be asked is not."""
    for node, facts in seen.told.items():
        errors = [e for e in facts.errors if ALARM not in e]
        if not facts.healthy:
            yield node, (some_of(errors)[:200] or "it has no leader")
    for node, unread in seen.silent.items():
        if not ready[node]:
            yield node, f"its pod is not ready, and {unread.reason[:200]}"
    for name in seen.off:
        home = report.node(name)
        if home is not None and not home.ready:  # the status of its pod is that of the last time that anybody saw it
            yield name, "its node is not Ready, and its machine does not answer"
    homes = [home for node in report.nodes if node.address for home in (f"//{node.address}:", f"[{node.address}]")]
    for member in seen.members:
        at_home = any(home in url for home in homes for url in member.client_urls)
        if not member.learner and not member.name:
            yield f"number {member.ident}", "it was added and never started"
        elif not member.learner and report.node(member.name) is None and not at_home:
            yield member.name, "no node has that name or address, so that it is probably gone"


def _silent(seen: _Seen) -> Iterator[Finding]:
    for node, unread in seen.silent.items():
        sentence = f"etcd on {node} could not be asked how it is: {unread.reason[:200]}."
        remedy = f"Look there with: crictl ps --name etcd, and kubectl -n kube-system logs etcd-{node}"
        yield Finding("etcd-unread", Severity.WARNING, node, sentence, remedy)


def _versions(report: ClusterReport, seen: _Seen) -> Iterator[Finding]:
    versions: dict[str, list[str]] = {}
    for node, facts in seen.told.items():
        if facts.version:
            versions.setdefault(facts.version, []).append(node)
    if len(versions) > 1:
        shown = "; ".join(f"{version} on {some_of(nodes)}" for version, nodes in sorted(versions.items()))
        sentence = f"The members of etcd run different versions: {shown}."
        remedy = "An upgrade that was left half way does that: plan to the version that kubeadm-config declares first."
        yield Finding("etcd-versions-differ", Severity.WARNING, report.cluster, sentence, remedy)


def _sizes(node: str, facts: EtcdFacts) -> Iterator[Finding]:
    if facts.quota_share > LARGE:
        sentence = (
            f"The database of etcd on {node} has {facts.size_bytes // _MIB} MiB, {facts.quota_share:.0%} of its "
            f"quota of {facts.quota_bytes // _MIB} MiB; {facts.in_use_bytes // _MIB} MiB of it are in use."
        )
        remedy = (
            "Defragment it, one member after the other, or raise --quota-backend-bytes: at 100 % it takes no writes."
        )
        yield Finding("etcd-database-large", Severity.WARNING, node, sentence, remedy)
    if facts.raft_behind is not None and facts.raft_behind > LAGGING:
        sentence = f"etcd on {node} is {facts.raft_behind} entries behind what its leader decided."
        yield Finding(
            "etcd-lagging", Severity.WARNING, node, sentence, "Look at its disk and network; plan again later."
        )
