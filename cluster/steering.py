"""What people may ask of an operation, as pure changes of its record; what makes no sense is refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from cluster.errors import Refused, UnknownThing
from cluster.operation import CUT_SHORT, NodeRow, Operation, OperationState, RowState, Spared, Wish
from cluster.plan import PlanNode, Role, UpgradePlan
from cluster.procedure import LATER_HOOKS, Phase, Verb, is_away, is_whole, itinerary

MOST_EXTENSION = 86_400  # seconds that a drain may get beside those of its plan
MOST_SPARED = 86_400  # seconds for which an alert may be passed over
OVER = frozenset({RowState.FINISHED, RowState.SKIPPED})
_AT_REST = frozenset({RowState.WAITING, RowState.BLOCKED})
_S = OperationState


def wished(operation: Operation, wish: Wish, person: str) -> Operation:
    """The operation with a wish to pause or to cancel; its driver fulfils it after the nodes in hand."""
    _check_running(operation)
    if wish is operation.wish is not Wish.NONE:
        raise Refused(f"{operation.wished_by} asked for that already: {operation.id} finishes the nodes in hand first.")
    if operation.wish is Wish.CANCEL:
        raise Refused(f"{operation.id} is being cancelled, as {operation.wished_by} asked: that cannot be undone.")
    if wish is Wish.CANCEL:  # at once, so that a driver is woken even where it stood still
        return replace(operation, state=_S.CANCELLING, wish=wish, wished_by=person, reason="", goes_on_at=None)
    if operation.goes_on_at is not None:  # it would go on by itself
        return replace(operation, goes_on_at=None, wished_by=person, reason=f"paused by {person}")
    if operation.state in {_S.PARKED, _S.BLOCKED}:
        raise Refused(f"{operation.id} stands still already ({operation.reason}): `resume` lets it go on.")
    return replace(operation, wish=wish, wished_by=person)


def resumed(operation: Operation) -> Operation:
    """The operation going on: no pause any more, and a new attempt of every blocked step."""
    _check_running(operation)
    if operation.wish is Wish.CANCEL and operation.state is not _S.BLOCKED:
        raise Refused(f"{operation.id} is being cancelled, as {operation.wished_by} asked: that cannot be undone.")
    if operation.state is _S.PARKED:
        rows = tuple(again(r) if r.state is RowState.BLOCKED else r for r in operation.rows)
        return replace(operation, rows=rows, state=_S.RUNNING, wish=Wish.NONE, wished_by="", reason="", goes_on_at=None)
    if operation.state is _S.BLOCKED or any(r.state is RowState.BLOCKED for r in operation.rows):
        going = retried(operation, None)
        return going if going.wish is not Wish.PAUSE else replace(going, wish=Wish.NONE, wished_by="")
    if operation.wish is Wish.PAUSE:
        return replace(operation, wish=Wish.NONE, wished_by="")
    raise Refused(f"{operation.id} is {operation.state} already: there is nothing to resume.")


def gone_on(operation: Operation, now: datetime) -> Operation:
    """The operation after the moment for which it was parked; what is blocked goes on waiting for a person."""
    if operation.state is not _S.PARKED or operation.goes_on_at is None or operation.goes_on_at > now:
        raise Refused(f"{operation.id} does not go on by itself.")
    return replace(operation, state=_S.RUNNING, reason="", goes_on_at=None)


def retried(operation: Operation, node: str | None) -> Operation:
    """The operation with a new attempt of the blocked step of one node, or of every blocked one."""
    _check_running(operation)
    if node is not None and node not in {r.node for r in operation.rows}:
        raise UnknownThing(f"There is no node `{node[:60]}` in {operation.id}: look with `status`.")
    chosen = {r.node for r in operation.rows if r.state is RowState.BLOCKED and node in {None, r.node}}
    if not chosen and (node is not None or operation.state is not _S.BLOCKED):
        what = f"The step of {node} is not" if node else f"Nothing in {operation.id} is"
        raise Refused(f"{what} blocked: there is nothing to try again.")
    return _going_on(operation, tuple(again(r) if r.node in chosen else r for r in operation.rows))


def skipped(operation: Operation, plan: UpgradePlan, name: str, person: str) -> Operation:
    """The operation without one worker: it is given back what was changed on it, and the others go on."""
    _check_running(operation)
    node, row = plan.node(name), next((r for r in operation.rows if r.node == name), None)
    if node is None or row is None:
        raise UnknownThing(f"There is no node `{name[:60]}` in {operation.id}: look with `status`.")
    if row.state in _AT_REST and itinerary(plan, node)[row.position].verb in LATER_HOOKS:
        without = _without_hooks(plan, node, row)
        return _going_on(operation, tuple(without if r.node == name else r for r in operation.rows))
    if node.role is not Role.WORKER:
        raise Refused(f"{name} is a control plane, and those are upgraded as a whole: `retry` it, or `cancel` the run.")
    if row.state in OVER:
        raise Refused(f"{name} is {row.state} already: there is nothing to skip.")
    aside = _asked_in_drain(row, person) if is_held(row) else _skipped_at_rest(plan, node, row, person)
    return _going_on(operation, tuple(aside if r.node == name else r for r in operation.rows))


def extended(operation: Operation, plan: UpgradePlan, name: str, minutes: int) -> Operation:
    """The operation with more time for the drain of one node, the one in hand or the next one after a block."""
    _check_running(operation)
    node, row = plan.node(name), next((r for r in operation.rows if r.node == name), None)
    if node is None or row is None:
        raise UnknownThing(f"There is no node `{name[:60]}` in {operation.id}: look with `status`.")
    steps = itinerary(plan, node)
    drains = row.position < len(steps) and is_whole(steps, row.position)
    if not drains or row.skipped_by or not (row.state is RowState.BLOCKED or is_in_hand(plan, node, row)):
        raise Refused(f"The drain of {name} is neither in hand nor blocked: there is nothing to extend.")
    if minutes < 1:
        raise Refused("A drain is extended by whole minutes, at least one.")
    if row.extension + minutes * 60 > MOST_EXTENSION:
        had = row.extension // 60
        raise Refused(
            f"A drain may get {MOST_EXTENSION // 3600} hours beside those of its plan, and that of {name} has "
            f"{had} minutes of them: `skip` or `cancel` where that is not enough."
        )
    if row.skip_asked_by:
        raise Refused(f"The drain of {name} is being given up, as {row.skip_asked_by} asked to go on without it.")
    longer = replace(row, extension=row.extension + minutes * 60)
    return replace(operation, rows=tuple(longer if r.node == name else r for r in operation.rows))


def spared(  # noqa: PLR0917 - what was chosen, part by part
    operation: Operation, alerts: tuple[str, ...], person: str, reason: str, minutes: int, now: datetime
) -> Operation:
    """The operation going on in spite of these alerts, which keep it now: for a while, and no others."""
    _check_running(operation)
    halting = operation.halting
    if not alerts or not set(alerts) <= set(halting):
        named = ", ".join(a[:60] for a in alerts if a not in halting) or "none"
        keeping = ", ".join(halting) or "none does"
        raise Refused(f"The alert `{named}` does not keep {operation.id} waiting; those that do: {keeping}.")
    if not reason.strip():
        raise Refused("Say why the run may go on in spite of an alert: it is kept, and the thread says it.")
    if not 1 <= minutes <= MOST_SPARED // 60:
        raise Refused(
            f"A run goes on in spite of an alert for 1 to {MOST_SPARED // 60} minutes; after that it can be asked anew."
        )
    until = now + timedelta(minutes=minutes)
    kept = tuple(s for s in operation.spared if s.alert not in alerts and s.until > now)
    chosen = replace(operation, spared=(*kept, *(Spared(a, person, reason.strip(), until) for a in alerts)))
    if left := tuple(a for a in halting if a not in alerts):
        return replace(chosen, halted_by=left)
    return replace(chosen, halted_by=(), halted_at=None, reason="", quiet_since=None)


def _skipped_at_rest(plan: UpgradePlan, node: PlanNode, row: NodeRow, person: str) -> NodeRow:
    """The row of a worker that nobody is about to change."""
    steps = itinerary(plan, node)
    at_cordon = steps[row.position].verb is Verb.CORDON
    in_hand = row.state is RowState.WAITING and is_away(steps, row.position) and not at_cordon
    if row.state is RowState.STARTED or in_hand:
        raise Refused(
            f"{row.node} is in hand: it is finished first, and can be skipped where it is blocked, waits, or is held "
            "up in its drain."
        )
    return set_aside(plan, row, person)


def _asked_in_drain(row: NodeRow, person: str) -> NodeRow:
    """The row with the wish on it: its drain sees that at its next look, and gives the node back before it is over."""
    if row.skip_asked_by:
        raise Refused(f"{row.skip_asked_by} asked for that already: the drain of {row.node} gives it back first.")
    return replace(row, skip_asked_by=person)


def set_aside(plan: UpgradePlan, row: NodeRow, person: str) -> NodeRow:
    """To what restores it: its cordon where its kubelet is untouched, then its package holds; or to its end at once."""
    node = plan.node(row.node)
    steps = itinerary(plan, node) if node else ()
    step, last = steps[row.position], len(steps) - 1
    row = replace(row, note=f"skipped by {person}", finding=None, started_at=None, skipped_by=person, lost=0)
    row = replace(row, skip_asked_by="")
    untouched = row.position == 0 and row.state is RowState.WAITING and row.attempt == 1
    if untouched or step.phase is Phase.AFTER:
        return replace(row, state=RowState.SKIPPED)
    row = replace(row, state=RowState.WAITING)
    if row.cordoned_by_us and is_whole(steps, row.position):
        uncordon = next(n for n, s in enumerate(steps) if s.verb is Verb.UNCORDON and s.stage == step.stage)
        return replace(row, position=uncordon)
    return replace(row, position=last, attempt=1)


def _without_hooks(plan: UpgradePlan, node: PlanNode, row: NodeRow) -> NodeRow:
    """Past the step of hooks that failed, or were not run yet: what they were to follow is done."""
    passed = replace(row, position=row.position + 1, attempt=1, note="", finding=None, started_at=None, lost=0)
    passed = replace(passed, stopped_at=None)
    is_over = passed.position == len(itinerary(plan, node))
    return (
        replace(row, state=RowState.FINISHED, note="", finding=None)
        if is_over
        else replace(passed, state=RowState.WAITING)
    )


def _going_on(operation: Operation, rows: tuple[NodeRow, ...]) -> Operation:
    """With these rows; one that stood blocked is moved on by a driver."""
    if operation.state is not _S.BLOCKED:
        return replace(operation, rows=rows)
    if operation.wish is Wish.CANCEL:
        return replace(operation, rows=rows, state=_S.CANCELLING, reason="")
    going = replace(operation, rows=rows, state=_S.RUNNING, reason="")
    return going if going.wish is Wish.PAUSE else replace(going, wished_by="")  # a pause that was asked for is kept


def again(row: NodeRow) -> NodeRow:
    """The row before a new attempt of its step."""
    note = row.note if row.note == CUT_SHORT or row.skipped_by else ""
    row = replace(row, attempt=row.attempt + 1, state=RowState.WAITING, note=note, finding=None, lost=0)
    return replace(row, started_at=None, held=(), stopped_at=None, stuck="", silent_since=None)


def is_held(row: NodeRow) -> bool:
    """Whether its drain is in hand, and pods that cannot leave are on record."""
    return row.state is RowState.STARTED and bool(row.held)


def tell_unwanted(operation: Operation, row: NodeRow) -> str:
    """Why a drain that is held up is to be given up before its time, as a clause; "" where it is not."""
    if row.skip_asked_by:
        return f"{row.skip_asked_by} asked to go on without it"
    if operation.state is _S.CANCELLING and is_held(row):
        return f"{operation.wished_by} asked to cancel the run"
    return ""


def is_in_hand(plan: UpgradePlan, node: PlanNode, row: NodeRow) -> bool:
    """Whether a node has begun the stage that it is at; its attempts are counted anew in each."""
    if row.state in OVER:
        return False
    if row.state is RowState.STARTED or row.attempt > 1:
        return True
    steps = itinerary(plan, node)
    return row.position > 0 and steps[row.position - 1].stage == steps[row.position].stage


def needs_driver(operation: Operation) -> bool:
    """Whether a driver could move it on; one that is parked or blocked waits for a person."""
    return operation.state in {_S.SCHEDULED, _S.RUNNING, _S.CANCELLING}


def _check_running(operation: Operation) -> None:
    if operation.ended:
        raise Refused(f"{operation.id} is {operation.state}: there is nothing to steer.")
