"""How long a plan may take: by what earlier runs of its cluster took, else by documented and measured figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cluster.options import Reboot
from cluster.plan import PlanKind, PlanNode, PlanPool, Role, UpgradePlan
from cluster.procedure import kubelet_moves, reboots
from policies.history import Part, Past, Range
from policies.pace import count_waves, soak_of

PREPARE: Range = (30, 300)  # packages and images; everywhere at once
APPLY: Range = (210, 600)  # with the snapshot; 217 s measured with images at hand; each component may wait 5 minutes
UPGRADE_NODE: Range = (90, 480)  # a further control plane: the same static pods, fewer add-ons
CONTROL_PLANE_KUBELET: Range = (40, 240)
WORKER: Range = (45, 600)  # mostly its drain: the longest is what budgets make of it
REVERT: Range = (60, 300)  # 109 s measured
REBOOT: Range = (60, 900)  # a minute or two in a cloud, a quarter of an hour on bare metal
_DOCUMENTED: Mapping[Part, Range] = {
    Part.PREPARE: PREPARE,
    Part.APPLY: APPLY,
    Part.UPGRADE_NODE: UPGRADE_NODE,
    Part.CONTROL_PLANE_KUBELET: CONTROL_PLANE_KUBELET,
    Part.WORKER: WORKER,
    Part.REVERT: REVERT,
    Part.REBOOT: REBOOT,
}
NO_PAST = Past()


def estimate(plan: UpgradePlan, past: Past = NO_PAST) -> Range:
    """Pools run side by side at best and one after the other at worst."""
    times = {**_DOCUMENTED, **past.times}
    masters = [n for n in plan.nodes if n.role is not Role.WORKER]
    if plan.kind is PlanKind.REVERT:
        return _scaled(times[Part.REVERT], len(masters))
    return _sum(*(_hop(plan, index, masters, times) for index in range(len(plan.hops))))


def tell_grounds(plan: UpgradePlan, past: Past = NO_PAST) -> str:
    """What the estimate rests on: `from 42 earlier workers of this cluster, the rest from documented figures`."""
    needed = tuple(_needed(plan))
    known = [f"{past.counts[part]} earlier {part}" for part in needed if part in past.times]
    if not known:
        return "from documented figures"
    listed = ", ".join(known[:-1]) + (" and " if known[1:] else "") + known[-1]
    rest = "" if len(known) == len(needed) else ", the rest from documented figures"
    return f"from {listed} of this cluster{rest}"


def _needed(plan: UpgradePlan) -> Iterator[Part]:
    """The parts that this plan has, the most frequent first."""
    if plan.kind is PlanKind.REVERT:
        yield Part.REVERT
        return
    hops = range(len(plan.hops))
    masters = [n for n in plan.nodes if n.role is not Role.WORKER]
    if any(_workers(plan, pool, hop) for pool in plan.pools for hop in hops):
        yield Part.WORKER
    if any(kubelet_moves(plan, n, hop) for n in masters for hop in hops):
        yield Part.CONTROL_PLANE_KUBELET
    if plan.options.reboot is not Reboot.NEVER:
        yield Part.REBOOT
    if any(plan.whole_hops) and masters:
        yield from (Part.APPLY, *([Part.UPGRADE_NODE] if masters[1:] else []))
    yield Part.PREPARE


def _hop(plan: UpgradePlan, hop: int, masters: list[PlanNode], times: Mapping[Part, Range]) -> Range:
    upgraded = len(masters) if plan.hops[hop].whole else 0
    pools = [_pool(plan, pool, hop, times) for pool in plan.pools if _workers(plan, pool, hop)]
    kubelets = sum(kubelet_moves(plan, n, hop) for n in masters)
    rebooted = sum(reboots(plan, n, hop) for n in masters)
    return _sum(
        times[Part.PREPARE],
        times[Part.APPLY] if upgraded else (0, 0),
        _scaled(times[Part.UPGRADE_NODE], max(0, upgraded - 1)),
        _scaled(times[Part.CONTROL_PLANE_KUBELET], kubelets),
        _scaled(_reboot(plan, times), rebooted),
        (max((shortest for shortest, _ in pools), default=0), sum(longest for _, longest in pools)),
    )


def _workers(plan: UpgradePlan, pool: PlanPool, hop: int) -> int:
    return sum(n.role is Role.WORKER and kubelet_moves(plan, n, hop) for n in pool.nodes)


def _pool(plan: UpgradePlan, pool: PlanPool, hop: int, times: Mapping[Part, Range]) -> Range:
    """Its workers that move, wave by wave."""
    moving = _workers(plan, pool, hop)
    rebooted = any(n.role is Role.WORKER and reboots(plan, n, hop) for n in pool.nodes)
    visit = _sum(times[Part.WORKER], _reboot(plan, times)) if rebooted else times[Part.WORKER]
    soak = soak_of(pool, moving)
    return _sum(_scaled(visit, count_waves(pool, moving)), (soak, soak))


def _reboot(plan: UpgradePlan, times: Mapping[Part, Range]) -> Range:
    """At best none of the machines asks for it, where only those are rebooted."""
    shortest, longest = times[Part.REBOOT]
    return (shortest if plan.options.reboot is Reboot.ALWAYS else 0), longest


def _scaled(times: Range, count: int) -> Range:
    return times[0] * count, times[1] * count


def _sum(*ranges: Range) -> Range:
    return sum(r[0] for r in ranges), sum(r[1] for r in ranges)
