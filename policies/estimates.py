"""How long a plan may take: from what kubeadm documents as its waits, and what was measured on real clusters."""

from __future__ import annotations

from cluster.plan import PlanKind, PlanNode, PlanPool, Role, UpgradePlan
from cluster.procedure import kubelet_moves

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
    waves = [_waves(pool, moving) for pool in plan.pools if (moving := _workers(plan, pool, hop))]
    kubelets = sum(kubelet_moves(plan, n, hop) for n in masters)
    return _sum(
        PREPARE,
        APPLY if upgraded else (0, 0),
        _scaled(UPGRADE_NODE, max(0, upgraded - 1)),
        _scaled(CONTROL_PLANE_KUBELET, kubelets),
        (WORKER[0] * max(waves, default=0), WORKER[1] * sum(waves)),
    )


def _workers(plan: UpgradePlan, pool: PlanPool, hop: int) -> int:
    return sum(n.role is Role.WORKER and kubelet_moves(plan, n, hop) for n in pool.nodes)


def _waves(pool: PlanPool, moving: int) -> int:
    return -(-moving // pool.max_unavailable)


def _scaled(times: Range, count: int) -> Range:
    return times[0] * count, times[1] * count


def _sum(*ranges: Range) -> Range:
    return sum(r[0] for r in ranges), sum(r[1] for r in ranges)
