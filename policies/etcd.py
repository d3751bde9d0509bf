"""Whether etcd may lose one member after the other for a while, by what each machine that runs one told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.etcd import ALARM, EtcdFacts
from cluster.findings import Finding, Findings, Severity
from cluster.report import ClusterReport, Unread
from cluster.survey import Survey
from policies.etcd_members import Told, check_alarms, check_sizes, check_versions
from policies.outside_etcd import check_outside_etcd
from policies.wording import count_of, some_of

ASKED_OF_ETCD = frozenset({"etcd-status", "etcd", "outside-etcd"})  # unread, these have a finding of their own
_HALF_WAY = "An upgrade that was left half way does that: plan to the version that kubeadm-config declares first."
_KEEPS_QUORUM = 3  # members from which on a sound etcd goes on without one of them


@dataclass(frozen=True, slots=True)
class _Seen:
    """
    etcd as all of its machines told it.

    `silent` has the machines whose member could not be asked, and why; `off` those that could not be asked anything.
    """

    told: Told
    silent: dict[str, Unread]
    off: dict[str, Unread]


def check_etcd(report: ClusterReport, survey: Survey) -> Findings:
    """Findings of kubeadm's own etcd, or of one that runs elsewhere, as the control planes are answered by it."""
    ready = {p.node: p.ready for p in report.static_pods if p.component == "etcd"}
    seen = _look(tuple(ready), survey)
    return (
        *check_alarms(report.cluster, seen.told),
        *_members(report, seen, ready),
        *_silent(seen),
        *check_versions(report.cluster, seen.told, _HALF_WAY),
        *check_sizes(seen.told),
        *check_outside_etcd(report, survey),
    )


def _look(nodes: tuple[str, ...], survey: Survey) -> _Seen:
    told: dict[str, EtcdFacts] = {}
    silent: dict[str, Unread] = {}
    off: dict[str, Unread] = {}
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
    return _Seen(Told(told), silent, off)


def _members(report: ClusterReport, seen: _Seen, ready: dict[str, bool]) -> Iterator[Finding]:
    learners = [m for m in seen.told.members if m.learner]
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
    voters = max(sum(not m.learner for m in seen.told.members), len(ready))
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
    for node, facts in seen.told.by.items():
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
    for member in seen.told.members:
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
