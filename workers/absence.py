"""Who is away from its work, by our doing or by anybody's, and what place that leaves in a pool."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cluster.operation import NodeRow, Operation, RowState
from cluster.plan import PlanNode, PlanPool, UpgradePlan
from cluster.procedure import Verb, is_away, itinerary
from cluster.report import ClusterReport
from cluster.steering import OVER

UNREADABLE = "the cluster to be readable again"  # what everybody waits for where nobody can be seen


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who of a pool takes a place: `away` from its work, `stuck` until a person chooses; `gone` go first."""

    pool: PlanPool
    gone: frozenset[str]
    away: frozenset[str]
    stuck: frozenset[str]

    def has_place(self, name: str) -> bool:
        return len(self.away | {name}) <= self.pool.max_unavailable

    def joined_by(self, name: str) -> Crowd:
        return replace(self, away=self.away | {name})

    def tell(self) -> str:
        """Whose return would make a place."""
        listed, pool = ", ".join(sorted(self.away)), self.pool
        return (
            f"{listed} of the pool {pool.name} to be Ready and uncordoned again (at most {pool.max_unavailable} away)"
        )

    def waits(self) -> str:
        """The same where it may come by itself; "" where only a person can make room."""
        return self.tell() if len(self.away - self.stuck) >= self.pool.max_unavailable else ""


def lacks_place(plan: UpgradePlan, operation: Operation, node: PlanNode, report: ClusterReport | None) -> str:
    """What a node waits for before its cordon, as others may have gone away after it was let in; "" if nothing."""
    if report is None:
        return UNREADABLE
    crowd = crowd_of(plan, operation, plan.pool_of(node.name), report)
    return "" if node.name in crowd.gone or crowd.has_place(node.name) else crowd.tell()


def crowd_of(plan: UpgradePlan, operation: Operation, pool: PlanPool, report: ClusterReport) -> Crowd:
    """Who of the pool takes a place now."""
    names = pool.members  # made anew at every look
    seen = [n for n in report.nodes if n.name in names]
    gone = frozenset(n.name for n in seen if not n.ready or n.cordoned)
    rows = [row for row in operation.rows if row.node in names]
    # a cordon keeps no static pod from its work: waited for, one that nobody of ours made would hold the only place
    lost = frozenset(n.name for n in seen if not n.ready or (n.cordoned and not n.control_plane))
    away = lost | {row.node for row in rows if _is_away(plan, row)}
    return Crowd(pool, gone, away, frozenset(r.node for r in rows if r.state is RowState.BLOCKED))


def everybody_away(plan: UpgradePlan, operation: Operation, report: ClusterReport) -> frozenset[str]:
    """The nodes of whichever pool that are away from their work, or are about to be by our doing."""
    seen = (n.name for n in report.nodes if not n.ready or n.cordoned)
    return frozenset(seen) | {row.node for row in operation.rows if _is_away(plan, row)}


def _is_away(plan: UpgradePlan, row: NodeRow) -> bool:
    node = plan.node(row.node)
    if node is None or row.state in OVER:
        return False
    steps = itinerary(plan, node)
    begun = steps[row.position].verb is not Verb.CORDON or row.state is RowState.STARTED
    return begun and is_away(steps, row.position)
