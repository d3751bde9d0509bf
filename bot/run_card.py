"""The run as one message that is edited in place: how far it is, what each machine does, what may be asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby, islice

from bot.blocks import (
    ROOM,
    Block,
    Element,
    Message,
    actions,
    bullets,
    button,
    confirmation,
    context,
    emoji,
    header,
    rich_text,
    section,
    spans,
    stamp,
    text_element,
    text_size,
)
from bot.report_card import findings_within
from bot.text import clean, code, count, duration, escape, listing, local_clock
from cluster.operation import NodeRow, Operation, OperationState, RowState, Wish
from cluster.plan import PlanKind, PlanRecord, Role
from cluster.procedure import DOING, LATER_HOOKS, Step, Verb, itinerary
from cluster.steering import tell_unwanted
from cluster.versions import KubeVersion
from policies.sparing import tell_standing

PAUSE, RESUME, CANCEL, RETRY, SKIP = "run_pause", "run_resume", "run_cancel", "run_retry", "run_skip"
EXTEND, GO_ON = "run_extend", "run_go_on"
CANCEL_MEANS = (
    "The machines in hand are finished first, but for a drain that is held up: its machine is given back. The others "
    "stay at their version. It cannot be resumed."
)
_MOST_LINES = 14  # lines of machines; more of them are folded
_BAR = 20
_MOST_STANDING = 4  # sentences of what it waits for, and in spite of what it goes on
_LAST_OF_A_NODE = {
    PlanKind.UPGRADE: Verb.UNCORDON,
    PlanKind.REVERT: Verb.VERIFY_CONTROL_PLANE,
    PlanKind.ROLLBACK: Verb.UNCORDON,
}
_SIGNS = {
    OperationState.SCHEDULED: ("hourglass_flowing_sand", "Starting"),
    OperationState.RUNNING: ("hourglass_flowing_sand", "Running"),
    OperationState.PARKED: ("double_vertical_bar", "Paused"),
    OperationState.BLOCKED: ("x", "Blocked: a person must choose"),
    OperationState.CANCELLING: ("hourglass_flowing_sand", "Cancelling: the machines in hand are finished first"),
    OperationState.CANCELLED: ("no_entry_sign", "Cancelled"),
    OperationState.COMPLETED: ("white_check_mark", "Completed"),
}


def card_key(operation_id: str) -> str:
    return f"run:{operation_id}"


def render_run(record: PlanRecord, operation: Operation, now: datetime) -> Message:
    """The card of a run in any state."""
    blocks: list[Block] = [
        header(f"{title(record)}: {_machines_done(record, operation)}"),
        section(_state(record, operation, now)),
        rich_text(bullets(list(_machine_lines(record, operation)))),
    ]
    stops = tuple(r.finding for r in operation.rows if r.finding and r.state is RowState.BLOCKED)
    blocks += findings_within(stops, ROOM - text_size(blocks))
    if buttons := list(_buttons(record, operation)):
        blocks.append(actions(*buttons))
    by = f"Approved by {escape(operation.approved_by, 60)}"
    seen = f"ended {local_clock(operation.ended_at)}" if operation.ended_at else f"last update {local_clock(now)}"
    blocks.append(context(f"{by} \u00b7 plan {code(record.id)} \u00b7 run {code(operation.id)} \u00b7 {seen}"))
    return Message(summarise(record, operation), stamp(blocks, card_key(operation.id)))


def title(record: PlanRecord) -> str:
    cluster = clean(record.plan.cluster, 60)
    if record.plan.kind is PlanKind.REVERT:
        return f"Reverting {cluster} to {record.plan.target}"
    if record.plan.kind is PlanKind.ROLLBACK:
        return f"Rolling kubelets of {cluster} back to {record.plan.target}"
    return f"Upgrading {cluster} to {record.plan.target}"


def summarise(record: PlanRecord, operation: Operation) -> str:
    """One escaped sentence, the state first."""
    said = f"{_SIGNS[operation.state][1]}. {title(record)}: {_machines_done(record, operation)}."
    return escape(f"{said} {_capital(operation.reason).rstrip('.')}." if operation.reason else said)


def _capital(reason: str) -> str:
    """A reason follows a sentence, and is one."""
    return reason[:1].upper() + reason[1:]


def machines_done(record: PlanRecord, operation: Operation) -> tuple[str, ...]:
    """The machines that have nothing disturbing before them: what is left is housekeeping."""
    return tuple(r.node for r in operation.rows if _done(record, operation, r))


def steps_of(record: PlanRecord, row: NodeRow) -> tuple[Step, ...]:
    node = record.plan.node(row.node)
    return itinerary(record.plan, node) if node else ()


def _done(record: PlanRecord, operation: Operation, row: NodeRow) -> bool:
    if row.state is RowState.FINISHED:
        return True
    if row.state is RowState.SKIPPED or row.skipped_by or (row.note and operation.wish is Wish.CANCEL):
        return False  # what is left of its way only restores package holds
    steps, last = steps_of(record, row), _LAST_OF_A_NODE[record.plan.kind]
    return row.position > max((n for n, s in enumerate(steps) if s.verb is last), default=len(steps))


def version_reached(record: PlanRecord, row: NodeRow) -> KubeVersion | None:
    """The target of the last hop that this machine has behind it; None while it has none."""
    steps, last = steps_of(record, row), _LAST_OF_A_NODE[record.plan.kind]
    behind = steps if row.state is RowState.FINISHED else steps[: row.position]
    hops = [s.hop for s in behind if s.verb is last]
    skipped = row.state is RowState.SKIPPED or row.skipped_by
    return record.plan.hops[hops[-1]].target if hops and not skipped else None


def _machines_done(record: PlanRecord, operation: Operation) -> str:
    return f"{len(machines_done(record, operation))} of {count(len(operation.rows), 'machine')}"


def _share_done(record: PlanRecord, operation: Operation) -> float:
    """By steps, so that the bar moves while the first machines are in hand; what a cancel cut short is not done."""
    if operation.state is OperationState.CANCELLED:
        return len(machines_done(record, operation)) / (len(operation.rows) or 1)
    total = done = 0
    for row in operation.rows:
        steps = len(steps_of(record, row))
        total += steps
        done += steps if row.state in {RowState.FINISHED, RowState.SKIPPED} else min(row.position, steps)
    return done / total if total else 1.0


def _state(record: PlanRecord, operation: Operation, now: datetime) -> str:
    sign, word = _SIGNS[operation.state]
    share = _share_done(record, operation)
    filled = int(share * _BAR)
    lines = [f":{sign}: *{word}*", f"{'▓' * filled}{'░' * (_BAR - filled)} {int(share * 100)}%"]
    is_paused = operation.wish is Wish.PAUSE and operation.state is OperationState.PARKED  # the reason below says it
    if operation.wish is not Wish.NONE and not operation.ended and not is_paused:
        asked = {Wish.PAUSE: "pause", Wish.CANCEL: "cancel"}[operation.wish]
        lines[0] += f" \u00b7 {escape(operation.wished_by, 60)} asked to {asked}"
    if operation.reason and not any(r.finding and r.finding.sentence in operation.reason for r in operation.rows):
        lines[0] += f"\n{escape(_capital(operation.reason), 500)}"
    lines[0] += "".join(f"\n{escape(sentence, 300)}" for sentence in islice(tell_standing(operation), _MOST_STANDING))
    passed = ((operation.ended_at or now) - operation.created_at).total_seconds()
    lines[1] += f" \u00b7 {duration(passed)} so far" if not operation.ended_at else f" \u00b7 took {duration(passed)}"
    return "\n".join(lines)


def _machine_lines(record: PlanRecord, operation: Operation) -> Iterator[list[Element]]:
    """In the plan's order; machines that say the same are folded into one line."""
    said = [(_say(record, operation, row), row.node) for row in operation.rows]
    folded = [(what, tuple(n for _, n in group)) for what, group in groupby(said, key=lambda pair: pair[0])]
    if len(folded) > _MOST_LINES:
        folded = _by_words(said)
    for (sign, bold, words), names in folded[:_MOST_LINES]:
        name = text_element(listing(tuple(clean(n, 60) for n in names)), bold=bold)
        yield [emoji(sign), text_element(" "), name, text_element(" "), *spans(words, 240)]
    if len(folded) > _MOST_LINES:
        rest = sum(len(names) for _, names in folded[_MOST_LINES:])
        yield [text_element(f"{count(rest, 'more machine')}", italic=True)]


def _by_words(said: list[tuple[tuple[str, bool, str], str]]) -> list[tuple[tuple[str, bool, str], tuple[str, ...]]]:
    """Of many machines also those that are no neighbours, the ones in hand or stopped first."""
    groups: dict[tuple[str, bool, str], list[str]] = {}
    for what, name in said:
        groups.setdefault(what, []).append(name)
    return [(what, tuple(names)) for what, names in sorted(groups.items(), key=lambda pair: not pair[0][1])]


def machine_words(record: PlanRecord, operation: Operation, row: NodeRow) -> str:
    """What this machine does or waits for, in words."""
    return _say(record, operation, row)[2]


def _say(record: PlanRecord, operation: Operation, row: NodeRow) -> tuple[str, bool, str]:
    """An emoji, whether it is in hand, and the words."""
    steps = steps_of(record, row)
    step = steps[row.position] if row.position < len(steps) else None
    again = f", attempt {row.attempt}" if row.attempt > 1 else ""
    if row.state is RowState.SKIPPED or (row.skipped_by and row.state is RowState.WAITING):
        return "heavy_minus_sign", False, _why_skipped(row)
    if row.state is RowState.BLOCKED and step:
        return "x", True, f"stopped at {DOING[step.verb]}{again}"
    if _done(record, operation, row):
        return "white_check_mark", False, str(record.plan.target)
    if row.state is RowState.STARTED and step:
        hop = f" for {record.plan.hops[step.hop].target}" if len(record.plan.hops) > 1 else ""
        note = f": {row.note}" if row.note else ""
        if unwanted := tell_unwanted(operation, row):
            note = f": it is given up, as {unwanted}"
        elif row.stuck:
            note = f": {row.stuck}"
        return "arrow_forward", True, f"{DOING[step.verb]}{hop}{again}{note}"
    if step and row.position > 0:
        return "white_circle", False, f"next: {DOING[step.verb]}"
    return "white_circle", False, "waiting"


def _why_skipped(row: NodeRow) -> str:
    if row.skipped_by:
        return row.note
    return f"skipped: {row.note}" if row.note else "skipped"


def _buttons(record: PlanRecord, operation: Operation) -> Iterator[Element]:
    state, value = operation.state, operation.id
    stopping = operation.wish is not Wish.NONE and not operation.ended
    if state in {OperationState.SCHEDULED, OperationState.RUNNING} and not stopping:
        yield button("Pause", PAUSE, value)
    if state is OperationState.BLOCKED and any(r.state is RowState.BLOCKED for r in operation.rows):
        yield button("Retry", RETRY, value, style="primary")
    elif state in {OperationState.PARKED, OperationState.BLOCKED} or (stopping and operation.wish is Wish.PAUSE):
        yield button("Resume", RESUME, value, style="primary")
    yield from _skip_button(record, operation)
    if not operation.ended and state is not OperationState.CANCELLING and operation.wish is not Wish.CANCEL:
        confirm = confirmation("Cancel this run?", CANCEL_MEANS, "Cancel it", "Let it run")
        yield button("Cancel", CANCEL, value, style="danger", confirm=confirm)


def _skip_button(record: PlanRecord, operation: Operation) -> Iterator[Element]:
    """For one machine alone that stopped; of several each is named, by typing."""
    stopped = [r for r in operation.rows if r.state is RowState.BLOCKED]
    if len(stopped) == 1 and not operation.ended:
        yield from skip_choice(record, operation, stopped[0])


def skip_choice(record: PlanRecord, operation: Operation, row: NodeRow) -> Iterator[Element]:
    """To go on without a worker; or, whatever the machine, without hooks that follow what is done."""
    node, steps = record.plan.node(row.node), steps_of(record, row)
    if node is None or row.position >= len(steps):
        return
    name, value = clean(node.name, 60), f"{operation.id} {node.name}"
    if steps[row.position].verb in LATER_HOOKS:
        question = f"What they were to follow is done, and {name} goes on as if they had run."
        confirm = confirmation("Go on without these hooks?", question, "Go on", "Wait")
        yield button("Go on without", SKIP, value, confirm=confirm)
    elif node.role is Role.WORKER:
        question = f"The others go on, and {name} is given back at the version that it runs. A later plan brings it on."
        confirm = confirmation(f"Go on without {name}?"[:100], question, "Skip it", "Wait")
        yield button("Skip it", SKIP, value, confirm=confirm)
