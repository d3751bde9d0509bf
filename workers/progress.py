"""How an operation's record changes as its steps go: pure moves, each with the events that tell it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from cluster.events import Event, Happened
from cluster.findings import Finding
from cluster.operation import CUT_SHORT, AsFound, Hold, NodeRow, Operation, OperationState, RowState
from cluster.plan import PlanKind, PlanNode, PlanRecord, UpgradePlan
from cluster.procedure import DOING, GIVING_BACK, LATER_HOOKS, Phase, Step, Verb, is_whole, itinerary, way_back
from cluster.steering import OVER, again, is_in_hand, set_aside
from policies.goals import tell_end
from policies.left_out import THERE
from policies.stops import drain_ends_at
from policies.wording import some_of
from workers.site import StepDone

_MOST_REASONS = 5  # a window of a hundred may block as a whole; each row keeps its own finding
_S = OperationState


@dataclass(frozen=True, slots=True)
class Move:
    """What to write: the operation as it shall be, and what happened."""

    after: Operation
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Teller:
    """Makes events of one operation."""

    operation: Operation
    now: datetime

    def event(self, kind: Happened, sentence: str, **facts: str) -> Event:
        o = self.operation
        return Event(kind, self.now, o.cluster, sentence, plan_id=o.plan_id, operation_id=o.id, facts=facts)

    def of_step(self, kind: Happened, sentence: str, row: NodeRow, step: Step) -> Event:
        place = f"{step.hop}/{step.phase}/{step.verb}"
        return replace(self.event(kind, sentence), node=row.node, step=place, attempt=row.attempt)


def with_row(operation: Operation, row: NodeRow) -> Operation:
    return replace(operation, rows=tuple(row if r.node == row.node else r for r in operation.rows))


def begin(operation: Operation, row: NodeRow, step: Step, now: datetime) -> Move:
    """The attempt is written down before anything is done."""
    started = replace(row, state=RowState.STARTED, started_at=now, note=_kept_note(row), held=(), stopped_at=None)
    started = replace(started, stuck="", silent_since=None)
    sentence = f"{row.node}: {DOING[step.verb]}."
    told = Teller(operation, now).of_step(Happened.STEP_STARTED, sentence, row, step)
    going = replace(operation, waits_for="", waits_since=None)
    return Move(with_row(going, started), (told,))


def finish(plan: UpgradePlan, operation: Operation, row: NodeRow, done: StepDone, now: datetime) -> Move:
    """The step's result was observed: on to the next one, or the node's end."""
    steps = itinerary(plan, _node(plan, row))
    step = steps[row.position]
    tell = Teller(operation, now)
    told = replace(tell.of_step(Happened.STEP_FINISHED, done.sentence, row, step), facts=done.facts)
    cordoned = row.cordoned_by_us
    if done.as_found is not None:
        row = replace(row, as_found=done.as_found)
    if step.verb is Verb.CORDON:
        cordoned = done.facts.get("cordoned") == "ours"
    elif step.verb is Verb.UNCORDON:
        cordoned = False
        row = replace(row, as_found=AsFound())  # the next hop looks anew
    elif step.verb is Verb.DRAIN:
        row = replace(row, extension=0)  # given to this one
    back_at = now if step.verb is Verb.UNCORDON and not _kept_note(row) else row.back_at
    row = replace(row, started_at=None, cordoned_by_us=cordoned, back_at=back_at, held=(), stopped_at=None, lost=0)
    row = replace(row, stuck="", silent_since=None)
    if row.position + 1 == len(steps):
        return _end_of_way(operation, row, told, now)
    if row.skip_asked_by:  # its drain came to its end before it saw that
        return Move(with_row(operation, set_aside(plan, row, row.skip_asked_by)), (told,))
    if row.skipped_by:  # given back to its work; what is left are its package holds
        given = replace(row, position=len(steps) - 1, attempt=1, state=RowState.WAITING, finding=None)
        return Move(with_row(operation, given), (told,))
    follower = steps[row.position + 1]
    # attempts are counted on within a stage: a failed drain goes back, and no attempt id may come twice
    if follower.stage != step.stage:
        row = replace(row, attempt=1, tried_again=False)
    moved = replace(row, position=row.position + 1, state=RowState.WAITING, note=_kept_note(row), finding=None)
    return Move(with_row(operation, moved), (told,))


def _end_of_way(operation: Operation, row: NodeRow, told: Event, now: datetime) -> Move:
    tell = Teller(operation, now)
    if row.note == CUT_SHORT or row.skipped_by:
        ended = replace(row, state=RowState.SKIPPED)
        last = replace(tell.event(Happened.NODE_SKIPPED, f"{row.node} was left as it is: {row.note}."), node=row.node)
    else:
        ended = replace(row, state=RowState.FINISHED, note="", finding=None)
        last = replace(tell.event(Happened.NODE_FINISHED, f"{row.node} is done."), node=row.node)
    return Move(with_row(operation, ended), (told, last))


def block(
    plan: UpgradePlan, operation: Operation, row: NodeRow, finding: Finding, now: datetime, *, uncordoned: bool
) -> Move:
    """A person must choose; a node that was given back before its kubelet was touched begins again with its cordon."""
    steps = itinerary(plan, _node(plan, row))
    step = steps[row.position]
    tell = Teller(operation, now)
    told = tell.of_step(Happened.STEP_FAILED, f"{finding.sentence} {finding.remedy}".strip(), row, step)
    told = replace(told, facts={"code": finding.code})
    if row.skipped_by and step.phase is Phase.AFTER:  # nobody waits for a machine that was given up
        ended = skip(operation, row, f"{row.note}, and its package holds could not be restored", now)
        return Move(ended.after, (told, *ended.events))
    said = _kept_note(row) or finding.sentence
    blocked = replace(row, state=RowState.BLOCKED, note=said, finding=finding, held=(), stopped_at=now)
    blocked = replace(blocked, stuck="", silent_since=None)
    if not uncordoned:
        return Move(with_row(operation, _unless_unwanted(plan, operation, blocked)), (told,))
    position = _position_of(steps, step, Verb.CORDON)
    blocked = replace(blocked, position=position, cordoned_by_us=False)
    what = "its drain did not succeed" if step.verb is Verb.DRAIN else "it stopped before its drain"
    what = "its drain was given up" if finding.code == "drain-given-up" else what
    given = f"{row.node} was uncordoned: {what}, and its kubelet was not touched."
    back = tell.of_step(Happened.NODE_UNCORDONED, given, row, step)
    return Move(with_row(operation, _unless_unwanted(plan, operation, blocked)), (told, back))


def _unless_unwanted(plan: UpgradePlan, operation: Operation, blocked: NodeRow) -> NodeRow:
    """Who asked to skip it or to cancel has chosen already: nobody else is to be asked, not even for a moment."""
    if blocked.skip_asked_by:
        return set_aside(plan, blocked, blocked.skip_asked_by)
    return _cut_row(plan, blocked) if operation.state is _S.CANCELLING else blocked


def try_again(operation: Operation, nodes: tuple[str, ...], now: datetime) -> Move:
    """A second attempt for whoever could not be drained: what was in the way may be gone by now."""
    rows = tuple(replace(again(r), tried_again=True) if r.node in nodes else r for r in operation.rows)
    sentence = f"The others are through: {some_of(nodes)} {'is' if len(nodes) == 1 else 'are'} tried once more."
    told = Teller(operation, now).event(Happened.RETRY_ASKED, sentence)
    return Move(replace(operation, rows=rows), (told,))


def lose(operation: Operation, row: NodeRow, step: Step, sentence: str, now: datetime) -> Move:
    """The attempt vanished; the next one has its own id."""
    told = Teller(operation, now).of_step(Happened.STEP_WAITED, f"{sentence} A new attempt starts.", row, step)
    return Move(with_row(operation, replace(again(row), lost=row.lost + 1)), (told,))


def note(operation: Operation, row: NodeRow, step: Step, sentence: str, now: datetime) -> Move:
    """An expected wait or a fact, said once."""
    kept = replace(row, note=_kept_note(row) or sentence)
    told = Teller(operation, now).of_step(Happened.STEP_WAITED, sentence, row, step)
    return Move(with_row(operation, kept), (told,))


def hold(plan: UpgradePlan, operation: Operation, row: NodeRow, holds: tuple[Hold, ...], now: datetime) -> Move:
    """What a drain in hand cannot move by now; nothing, when it goes on."""
    tell, step = Teller(operation, now), itinerary(plan, _node(plan, row))[row.position]
    if not holds:
        told = tell.of_step(Happened.NODE_FREED, f"Nothing holds up the drain of {row.node} any more.", row, step)
        return Move(with_row(operation, replace(row, held=(), stopped_at=None)), (told,))
    since = (row.stopped_at if row.held else None) or min(h.since for h in holds)
    held = replace(row, held=holds, stopped_at=since)
    named = some_of((f"{h.pod} by {h.by} ({h.why})" for h in holds), _MOST_REASONS)
    told = tell.of_step(Happened.NODE_HELD, f"The drain of {row.node} is held up: {named}.", row, step)
    ends = drain_ends_at(plan, held)
    facts = {"pods": ", ".join(h.pod for h in holds), "since": since.isoformat()}
    told = replace(told, facts=facts | ({"deadline": ends.isoformat()} if ends else {}))
    return Move(with_row(operation, held), (told,))


def surge(operation: Operation, row: NodeRow, step: Step, places: tuple[str, ...], now: datetime) -> Move:
    """Which Deployments have a second replica for this drain's sake; written down before they get it."""
    new, old = [p for p in places if p not in row.surged], [p for p in row.surged if p not in places]
    gets = f"{some_of(new)} {'gets' if len(new) == 1 else 'get'} a second replica before the drain of {row.node}"
    sentence = f"{gets}." if new else f"{some_of(old)} {'has' if len(old) == 1 else 'have'} one replica again."
    told = Teller(operation, now).of_step(Happened.STEP_WAITED, sentence, row, step)
    return Move(with_row(operation, replace(row, surged=places)), (told,))


def skip(operation: Operation, row: NodeRow, why: str, now: datetime) -> Move:
    """The node is not touched any more."""
    told = replace(Teller(operation, now).event(Happened.NODE_SKIPPED, f"{row.node} is skipped: {why}."), node=row.node)
    skipped = replace(row, state=RowState.SKIPPED, note=why, started_at=None)
    return Move(with_row(operation, skipped), (told,))


def cut(plan: UpgradePlan, operation: Operation, now: datetime) -> Move | None:
    """What is left of a cancelled operation; who ends by that is told in one event. None where nothing is to be cut."""
    after = cut_short(plan, operation)
    if after == operation:
        return None
    pairs = zip(operation.rows, after.rows, strict=True)
    if not (left := [new.node for old, new in pairs if new.state is RowState.SKIPPED is not old.state]):
        return Move(after, ())
    which = "is left as it is" if len(left) == 1 else "are left as they are"
    sentence = f"{some_of(left)} {which}: cancelled before anything was done."
    told = Teller(operation, now).event(Happened.NODE_SKIPPED, sentence, nodes=", ".join(left))
    return Move(after, (replace(told, node=left[0]) if len(left) == 1 else told,))


def cut_short(plan: UpgradePlan, operation: Operation) -> Operation:
    """A cancelled operation's rows: untouched nodes are skipped, touched ones go on with what restores them."""
    return replace(operation, rows=tuple(_cut_row(plan, row) for row in operation.rows))


def _cut_row(plan: UpgradePlan, row: NodeRow) -> NodeRow:
    node = _node(plan, row)
    steps = itinerary(plan, node)
    step = steps[row.position]
    if row.state in OVER or step.phase in GIVING_BACK or step.verb is Verb.UNCORDON:
        return row
    undisturbed = step.verb is Verb.CORDON and row.state is RowState.WAITING  # it may have to wait for a place
    if row.state is not RowState.BLOCKED and not undisturbed and is_in_hand(plan, node, row):
        return row
    if row.position == 0 and row.state is RowState.WAITING and row.attempt == 1:
        return replace(row, state=RowState.SKIPPED, note=CUT_SHORT)
    if step.verb in LATER_HOOKS and steps[row.position + 1].phase in GIVING_BACK:  # it is upgraded, and at work
        through = replace(row, position=row.position + 1, attempt=1, state=RowState.WAITING, note="")
        return replace(through, finding=None, started_at=None, stopped_at=None, lost=0)
    cut = replace(row, state=RowState.WAITING, note=CUT_SHORT, finding=None, started_at=None, lost=0)
    if row.cordoned_by_us and is_whole(steps, row.position):  # its kubelet is untouched: it can work as before
        return replace(cut, position=_position_of(steps, step, Verb.UNCORDON))
    return replace(cut, position=way_back(steps), attempt=1)


def _kept_note(row: NodeRow) -> str:
    """Notes tell of one step; that a node was cut short or skipped tells how it ends."""
    return row.note if row.note == CUT_SHORT or row.skipped_by else ""


def settle(record: PlanRecord, operation: Operation, now: datetime) -> Move | None:
    """Where an operation goes when no node is in hand: ended, blocked, paused, or on as it is (None)."""
    tell = Teller(operation, now)
    if all(r.state in OVER for r in operation.rows):
        if operation.state is _S.CANCELLING:
            after = replace(operation, state=_S.CANCELLED, ended_at=now, reason=f"cancelled by {operation.wished_by}")
            sentence = f"Cancelled, as {operation.wished_by} asked: nodes in hand were finished, holds are restored."
            sentence += "".join(_left_behind(record, operation))
            return Move(after, (tell.event(Happened.OPERATION_CANCELLED, sentence),))
        after = replace(operation, state=_S.COMPLETED, ended_at=now, reason="")
        sentence = f"{tell_end(record.plan)}." + "".join(_left_behind(record, operation))
        return Move(after, (tell.event(Happened.OPERATION_COMPLETED, sentence),))
    if blocked := [r for r in operation.rows if r.state is RowState.BLOCKED]:
        more = [f"and {len(blocked) - _MOST_REASONS} more nodes"] if len(blocked) > _MOST_REASONS else []
        return stop(operation, _S.BLOCKED, "; ".join([*map(_why, blocked[:_MOST_REASONS]), *more]), now)
    return None


def _left_behind(record: PlanRecord, operation: Operation) -> Iterator[str]:
    """Sentences about the machines that are not where the others are, and about what is left on them."""
    plan, reasons = record.plan, dict(record.left_out_for)
    if skipped := [f"{r.node} ({r.note})" for r in operation.rows if r.skipped_by]:
        done = "rolled back" if plan.kind is PlanKind.ROLLBACK else "upgraded"
        yield f" Not {done}: {some_of(skipped, _MOST_REASONS)}."
    if plan.kind is PlanKind.UPGRADE:
        there = [n.name for n in plan.left_out if reasons.get(n.name) == THERE]
        if others := [n.name for n in plan.left_out if n.name not in set(there)]:
            yield f" Left out of the plan: {some_of(others, _MOST_REASONS)}."
        if there:
            yield f" Left alone, as there already: {some_of(there, _MOST_REASONS)}."
    if kept := [r.node for r in operation.rows if r.cordoned_by_us and (r.note == CUT_SHORT or r.skipped_by)]:
        listed = ", ".join(kept)
        yield f" Still cordoned by us, since it stopped in the middle: {listed}; uncordon it when well."


def stop(
    operation: Operation, state: OperationState, reason: str, now: datetime, *, goes_on_at: datetime | None = None
) -> Move:
    """Parked or blocked: the driver leaves; a person goes on, or the reconciler at a known moment."""
    kind = Happened.OPERATION_PARKED if state is _S.PARKED else Happened.OPERATION_BLOCKED
    after = replace(operation, state=state, reason=reason, goes_on_at=goes_on_at, stopped_at=now)
    after = replace(after, waits_for="", waits_since=None)  # after a person's answer they are counted anew
    word = "Paused" if state is _S.PARKED else "Blocked"
    said = f"{word}{reason[len(word) :]}" if reason.startswith(word.lower()) else f"{word}: {reason}"
    return Move(after, (Teller(operation, now).event(kind, said.rstrip(".") + "."),))


def _why(row: NodeRow) -> str:
    sentence = row.finding.sentence if row.finding else row.note
    return sentence if row.node in sentence else f"{row.node}: {sentence}"


def _node(plan: UpgradePlan, row: NodeRow) -> PlanNode:
    node = plan.node(row.node)
    if node is None:
        raise LookupError(row.node)  # rows are made from the plan's own nodes
    return node


def _position_of(steps: tuple[Step, ...], like: Step, verb: Verb) -> int:
    return next(n for n, s in enumerate(steps) if s.verb is verb and s.stage == like.stage)
