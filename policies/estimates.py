"""How long a plan may take: from what kubeadm documents as its waits, and what was measured on real clusters."""

from __future__ import annotations

from cluster.plan import PlanKind, PlanPool, Role, UpgradePlan

Range = tuple[int, int]  # seconds, shortest and longest

PREPARE: Range = (30, 300)  # packages, images, snapshot; everywhere at once
APPLY: Range = (210, 600)  # 217 s measured with images at hand; each component may wait for five minutes
UPGRADE_NODE: Range = (90, 480)  # a further control plane: the same static pods, fewer add-ons
CONTROL_PLANE_KUBELET: Range = (40, 240)
WORKER: Range = (45, 600)  # mostly its drain: the longest is what budgets make of it
REVERT: Range = (60, 300)  # 109 s measured


def estimate(plan: UpgradePlan) -> Range:
    """Pools run side by side at best and one after the other at worst."""
    masters = [n for n in plan.nodes if n.role is not Role.WORKER]
    if plan.kind is PlanKind.REVERT:
        return _scaled(REVERT, len(masters))
    workers = [p for p in plan.pools if any(n.role is Role.WORKER for n in p.nodes)]
    waves = [_waves(pool) for pool in workers]
    hop = _sum(
        PREPARE,
        APPLY if masters else (0, 0),
        _scaled(UPGRADE_NODE, max(0, len(masters) - 1)),
        _scaled(CONTROL_PLANE_KUBELET, len(masters)),
        (WORKER[0] * max(waves, default=0), WORKER[1] * sum(waves)),
    )
    return _scaled(hop, len(plan.hops))


def _waves(pool: PlanPool) -> int:
    return -(-len(pool.nodes) // pool.max_unavailable)


def _scaled(times: Range, count: int) -> Range:
    return times[0] * count, times[1] * count


def _sum(*ranges: Range) -> Range:
    return sum(r[0] for r in ranges), sum(r[1] for r in ranges)
