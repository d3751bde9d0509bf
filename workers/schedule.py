"""Which nodes may take a step now, and what keeps the others: pure arithmetic over rows, stages and a live report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cluster.operation import CUT_SHORT, NodeRow, Operation, OperationState, RowState, Wish
from cluster.plan import PlanNode, PlanPool, Role, UpgradePlan
from cluster.procedure import GIVING_BACK, Phase, Step, Verb, itinerary
from cluster.report import ClusterReport
from cluster.steering import OVER, is_in_hand
from policies.pace import Back, Pace, Trail, check_pace, is_paced
from workers.absence import UNREADABLE, Crowd, crowd_of

MAX_PARALLEL = 8  # nodes at once where nobody is disturbed; package mirrors and registries are the limit
MOST_HANDS = 128  # nodes at once in any case: each is a thread with a connection of its own
_MOST_UNPREPARED = 3  # blocked while nobody is disturbed: more of them ail from one thing, and so would the others
_UNDISTURBED = frozenset({Phase.OPENING, Phase.PREPARE}) | GIVING_BACK  # nobody is away there by our doing
_ONE_BY_ONE = frozenset({Phase.CONTROL_PLANE, Phase.CONTROL_PLANE_KUBELETS})


@dataclass(frozen=True, slots=True)
class Turn:
    """Who may go on now; `waits` says in words what keeps the rest where nobody may."""

    nodes: tuple[PlanNode, ...]
    waits: str = ""
    is_crowded: bool = False  # it is for places that nodes take which nothing of ours brings back


@dataclass(frozen=True, slots=True)
class _Place:
    """One unfinished node: its row and the step that it is at."""

    node: PlanNode
    row: NodeRow
    step: Step
    in_hand: bool  # it has begun this stage: it goes on to its end whatever is asked meanwhile

    @property
    def is_blocked(self) -> bool:
        return self.row.state is RowState.BLOCKED

    @property
    def is_before_cordon(self) -> bool:
        return self.step.verb is Verb.CORDON and self.row.state is not RowState.STARTED


def find_runnable(
    plan: UpgradePlan,
    operation: Operation,
    report: ClusterReport | None,
    *,
    now: datetime,
    held: frozenset[str] = frozenset(),
    resting: frozenset[str] = frozenset(),
    max_parallel: int | None = None,
) -> Turn:
    """
    The nodes that may take their next step; those in hand first, then new ones in order.

    Stages are barriers. Whoever is in hand goes on, to its cordon only where its pool still has a place; nobody new
    starts beside a blocked node (some are prepared beside a few, and workers beside as many as their pool's failure
    budget lets), or after somebody asked to pause. A node of the report that is not Ready or is cordoned counts as
    away, whoever is the cause; but not a control plane that is cordoned alone. `held` are nodes that a thread is
    already about to begin, `resting` those who wait before their cordon for something that no row or report shows.
    """
    places = tuple(_places(plan, operation, held))
    if not places:
        return Turn(())
    stage = min(p.step.stage for p in places)
    here = tuple(p for p in places if p.step.stage == stage)
    going = tuple(p for p in here if p.in_hand and not p.is_blocked)
    lacking = _without_place(plan, operation, going, report)
    in_hand = tuple(p for p in going if p.node.name not in lacking and p.node.name not in resting)
    phase = here[0].step.phase
    if _nobody_new(plan, operation, places, phase):
        return Turn(tuple(p.node for p in in_hand))
    limit = 1 if phase in _ONE_BY_ONE else max_parallel or parallel(plan)
    candidates, waits, is_crowded = _Door(plan, operation, here, now, resting).admit(phase, report)
    new = candidates[: max(0, limit - len(going))]
    lacks = (crowd_of(plan, operation, plan.pool_of(n), report).waits() if report else UNREADABLE for n in lacking)
    told = "; ".join(dict.fromkeys(w for w in (*lacks, waits) if w))
    if in_hand or new:
        return Turn((*(p.node for p in in_hand), *(p.node for p in new)))
    return Turn((), told, is_crowded or bool(lacking and not waits))


def find_second_tries(plan: UpgradePlan, operation: Operation) -> tuple[str, ...]:
    """
    Workers that nothing was done on when they were blocked, each once: their drain may succeed by now.

    To be asked when nobody else can go on, before a person is; only of pools with a failure budget.
    """
    if operation.state is not OperationState.RUNNING or operation.wish is not Wish.NONE:
        return ()
    blocked = [p for p in _places(plan, operation, frozenset()) if p.is_blocked and p.is_before_cordon]
    return tuple(p.node.name for p in blocked if plan.pool_of(p.node.name).failure_budget and not p.row.tried_again)


def parallel(plan: UpgradePlan) -> int:
    """Nodes at once: whoever lets a hundred of them be away together can also feed a hundred together."""
    return min(MOST_HANDS, max(MAX_PARALLEL, sum(pool.max_unavailable for pool in plan.pools)))


def _without_place(
    plan: UpgradePlan, operation: Operation, going: tuple[_Place, ...], report: ClusterReport | None
) -> tuple[str, ...]:
    """Who of them stands before its cordon and has no place, with those before it in the same turn counted."""
    lacking: list[str] = []
    crowds: dict[str, Crowd] = {}
    for name in (p.node.name for p in going if p.is_before_cordon):
        if report is None:
            lacking.append(name)
            continue
        pool = plan.pool_of(name)
        crowd = crowds.get(pool.name) or crowd_of(plan, operation, pool, report)
        if name not in crowd.gone and not crowd.has_place(name):
            lacking.append(name)
        else:
            crowd = crowd if name in crowd.gone else crowd.joined_by(name)
        crowds[pool.name] = crowd
    return tuple(lacking)


def _places(plan: UpgradePlan, operation: Operation, held: frozenset[str]) -> list[_Place]:
    found = []
    for row in operation.rows:
        node = plan.node(row.node)
        if node is not None and row.state not in OVER:
            step = itinerary(plan, node)[row.position]
            found.append(_Place(node, row, step, row.node in held or is_in_hand(plan, node, row)))
    return found


def _nobody_new(plan: UpgradePlan, operation: Operation, places: tuple[_Place, ...], phase: Phase) -> bool:
    if operation.state is OperationState.CANCELLING:
        return phase not in GIVING_BACK
    blocked = [p.node.name for p in places if p.is_blocked]
    if operation.wish is not Wish.NONE or phase is not Phase.WORKERS:
        return operation.wish is not Wish.NONE or len(blocked) > (_MOST_UNPREPARED if phase is Phase.PREPARE else 0)
    failed = Counter(plan.pool_of(name).name for name in blocked)
    return any(failed[pool.name] > pool.failure_budget for pool in plan.pools)


@dataclass(frozen=True, slots=True)
class _Door:
    """Where those stand who have not begun a stage; `here` are all who have not ended it."""

    plan: UpgradePlan
    operation: Operation
    here: tuple[_Place, ...]
    now: datetime
    resting: frozenset[str]

    def admit(self, phase: Phase, report: ClusterReport | None) -> tuple[tuple[_Place, ...], str, bool]:
        """Who of them may begin, in order; what keeps the others, where nobody of a pool may; and whether places do."""
        waiting = (p for p in self.here if not p.in_hand and p.row.state is RowState.WAITING)
        fresh = tuple(p for p in waiting if p.node.name not in self.resting)
        if phase in _UNDISTURBED:
            return fresh, "", False
        if phase is Phase.CONTROL_PLANE:
            return tuple(sorted(fresh, key=lambda p: p.node.role is not Role.FIRST_CONTROL_PLANE)), "", False
        if report is None:
            return (), UNREADABLE, False
        if any(p.node.name not in self.plan.last for p in self.here):
            fresh = tuple(p for p in fresh if p.node.name not in self.plan.last)
        new: list[_Place] = []
        waits: list[str] = []
        paced = False
        for pool in self.plan.pools:
            chosen, why, by_pace = self._admit_pool(pool, fresh, report)
            new += chosen
            waits += [why] if why else []
            paced = paced or by_pace
        return tuple(new), "; ".join(waits), bool(waits) and not paced

    def _admit_pool(
        self, pool: PlanPool, fresh: tuple[_Place, ...], report: ClusterReport
    ) -> tuple[list[_Place], str, bool]:
        names = {n.name for n in pool.nodes}
        waiting = [p for p in fresh if p.node.name in names]
        if not waiting:
            return [], "", False
        begun = [p for p in self.here if p.in_hand and p.node.name in names]
        crowd = crowd_of(self.plan, self.operation, pool, report)
        for place in begun:
            crowd = crowd if place.is_blocked else crowd.joined_by(place.node.name)
        pace = self._pace(pool, begun, crowd.gone)
        chosen: list[_Place] = []
        # one that is away already takes no further place, so it goes first
        for place in sorted(waiting, key=lambda p: p.node.name not in crowd.gone):
            has_room = pace.room is None or len(chosen) < pace.room
            if has_room and crowd.has_place(place.node.name):
                crowd = crowd.joined_by(place.node.name)
                chosen.append(place)
        if chosen or pace.room == 0:
            return chosen, pace.waits, bool(pace.waits)
        return [], crowd.waits(), False

    def _pace(self, pool: PlanPool, begun: list[_Place], gone: frozenset[str]) -> Pace:
        if not is_paced(pool):
            return Pace(None)
        in_hand = sum(not p.is_blocked for p in begun)
        failed = sum(p.is_blocked and not p.is_before_cordon for p in begun)
        return check_pace(pool, Trail(tuple(self._back(pool)), in_hand, failed), gone, self.now)

    def _back(self, pool: PlanPool) -> Iterator[Back]:
        """Whoever has this stage behind it as it was planned."""
        rows, stage = {r.node: r for r in self.operation.rows}, self.here[0].step.stage
        for node in pool.nodes:
            row, steps = rows.get(node.name), itinerary(self.plan, node)
            if row is None or row.state is RowState.SKIPPED or row.skipped_by or row.note == CUT_SHORT:
                continue
            is_behind = row.state is RowState.FINISHED or steps[row.position].stage > stage
            if is_behind and any(s.stage == stage for s in steps):
                yield Back(row.node, row.back_at)
