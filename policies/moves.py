"""Which kubelets move at which hop: those that would fall out of the skew first, workers as often as the plan says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from cluster.findings import Finding, Findings, Severity
from cluster.options import WorkerMoves
from cluster.plan import Hop, PlanNode, PlanPool, Role
from cluster.report import ClusterReport
from cluster.survey import Survey, SurveyedMachine
from cluster.versions import KubeVersion, Minor, ReportedVersion
from policies.drift import settled_version
from policies.hops import hop_to
from policies.skew import lag_at_hop, minors_between

Hops = tuple[Hop, ...]


def put_stragglers_first(hops: Hops, report: ClusterReport, survey: Survey) -> tuple[Hops, tuple[str, ...], Findings]:
    """The hops, with one before them for kubelets that the first would be too far for; whose these are, and why.

    It brings them to what the control plane runs. Whose machine does not offer that stays a blocker of the first hop.
    """
    base = settled_version(report)
    behind = tuple(_stragglers(base, hops[0].target, report, survey)) if base is not None else ()
    if base is None or not behind:
        return hops, (), ()
    machines = tuple(m for m in survey.machines if m.name in behind)
    first, found = hop_to(base, replace(survey, machines=machines))
    told = (_told(name, base, hops[0].target) for name in behind)
    return (replace(first, whole=False), *hops), behind, (*found, *told)


def settle_moves(
    pools: tuple[PlanPool, ...], hops: Hops, stragglers: tuple[str, ...], report: ClusterReport, workers: WorkerMoves
) -> tuple[PlanPool, ...]:
    """The pools, each node with the hops at which its kubelet moves."""
    first = frozenset(stragglers)

    def settled(node: PlanNode) -> PlanNode:
        seen = report.node(node.name)
        kubelet = seen.kubelet.version.minor if seen and isinstance(seen.kubelet, ReportedVersion) else None
        may_stay = workers is WorkerMoves.WITHIN_SKEW and node.role is Role.WORKER
        return replace(node, moves=_moves(hops, kubelet, is_first=node.name in first, may_stay=may_stay))

    return tuple(replace(pool, nodes=tuple(settled(n) for n in pool.nodes)) for pool in pools)


def _stragglers(base: KubeVersion, target: KubeVersion, report: ClusterReport, survey: Survey) -> Iterator[str]:
    """Nodes whose kubelet is in the skew now and would be too old for the hop, and can get the one that runs."""
    for node in report.nodes:
        if not isinstance(node.kubelet, ReportedVersion):
            continue
        kubelet, machine = node.kubelet.version.minor, survey.machine(node.name)
        if (
            minors_between(target.minor, kubelet) > lag_at_hop(target.minor, kubelet)
            and minors_between(base.minor, kubelet) <= lag_at_hop(base.minor, kubelet)
            and machine is not None
            and _offers(machine, base)
        ):
            yield node.name


def _offers(machine: SurveyedMachine, release: KubeVersion) -> bool:
    offer = machine.offer(release.minor)
    return offer is not None and any(v.version == release for v in offer.versions)


def _told(name: str, base: KubeVersion, target: KubeVersion) -> Finding:
    sentence = f"The kubelet of {name} is too old for {target}: the plan brings it to {base} before everything else."
    return Finding("straggler-first", Severity.NOTE, name, sentence, "It is drained once more than the others.")


def _moves(hops: Hops, kubelet: Minor | None, *, is_first: bool, may_stay: bool) -> tuple[int, ...] | None:
    """None is at every whole hop."""
    whole = tuple(index for index, hop in enumerate(hops) if hop.whole)
    kubelet = hops[0].target.minor if is_first else kubelet
    chosen = tuple(_as_late_as_may_be(hops, whole, kubelet)) if may_stay and kubelet is not None else whole
    if is_first:
        return (0, *chosen)
    return None if chosen == whole else chosen


def _as_late_as_may_be(hops: Hops, whole: tuple[int, ...], kubelet: Minor) -> Iterator[int]:
    """Only where it would be too old for the hop that follows; and at the last one."""
    for here, following in pairwise(whole):
        target = hops[following].target.minor
        if minors_between(target, kubelet) > lag_at_hop(target, kubelet):
            kubelet = hops[here].target.minor
            yield here
    yield whole[-1]
