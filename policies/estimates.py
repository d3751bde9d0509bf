"""How long a plan may take: from what kubeadm documents as its waits, and what was measured on real clusters."""

from __future__ import annotations

from cluster.plan import PlanKind, PlanNode, PlanPool, Role, UpgradePlan
from cluster.procedure import kubelet_moves
from policies.pace import count_waves, soak_of

Range = tuple[int, int]  # seconds, shortest and longest

PREPARE: Range = (30, 300)  # packages and images; everywhere at once
APPLY: Range = (210, 600)  # with the snapshot; 217 s measured with images at hand; each component may wait 5 minutes
UPGRADE_NODE: Range = (90, 480)  # a further control plane: the same static pods, fewer add-ons
CONTROL_PLANE_KUBELET: Range = (40, 240)
WORKER: Range = (45, 600)  # mostly its drain: the longest is what budgets make of it
REVERT: Range = (60, 300)  # 109 s measured


def estimate(plan: UpgradePlan) -> Range:
    """Pools run side by side at best and one after the other at worst."""
    masters = [n for n in plan.nodes if n.role is not Role.WORKER]
    if plan.kind is PlanKind.REVERT:
        return _scaled(REVERT, len(masters))
    return _sum(*(_hop(plan, index, masters) for index in range(len(plan.hops))))


def _hop(plan: UpgradePlan, hop: int, masters: list[PlanNode]) -> Range:
    upgraded = len(masters) if plan.hops[hop].whole else 0
    times = [_pool(pool, moving) for pool in plan.pools if (moving := _workers(plan, pool, hop))]
    kubelets = sum(kubelet_moves(plan, n, hop) for n in masters)
    return _sum(
        PREPARE,
        APPLY if upgraded else (0, 0),
        _scaled(UPGRADE_NODE, max(0, upgraded - 1)),
        _scaled(CONTROL_PLANE_KUBELET, kubelets),
        (max((shortest for shortest, _ in times), default=0), sum(longest for _, longest in times)),
    )


def _workers(plan: UpgradePlan, pool: PlanPool, hop: int) -> int:
    return sum(n.role is Role.WORKER and kubelet_moves(plan, n, hop) for n in pool.nodes)


def _pool(pool: PlanPool, moving: int) -> Range:
    """So many of its workers, wave by wave."""
    soak = soak_of(pool, moving)
    return _sum(_scaled(WORKER, count_waves(pool, moving)), (soak, soak))


def _scaled(times: Range, count: int) -> Range:
    return times[0] * count, times[1] * count


def _sum(*ranges: Range) -> Range:
    return sum(r[0] for r in ranges), sum(r[1] for r in ranges)
