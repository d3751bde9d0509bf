"""What waits for a person, as a message in the run's thread: who, what, since when, what then, and the choices."""

from __future__ import annotations

from collections.abc import Iterator

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
    line,
    rich_text,
    spans,
    stamp,
    text_element,
    text_size,
)
from bot.report_card import findings_within
from bot.run_card import (
    CANCEL,
    CANCEL_MEANS,
    EXTEND,
    GO_ON,
    PAUSE,
    RESUME,
    RETRY,
    machine_words,
    skip_choice,
    steps_of,
    title,
)
from bot.text import clean, code, escape, listing, local_clock, moment
from cluster.inventory import OnCall
from cluster.operation import ITS_OWN_END, NodeRow, Operation, OperationState, RowState, Wish
from cluster.plan import PlanKind, PlanRecord, Role
from cluster.procedure import DOING, Verb
from cluster.steering import is_held, tell_unwanted
from policies.stops import Stop, drain_ends_at, is_stuck

MORE = 15  # minutes that the button gives a drain
STOP, REMINDER = "stop", "remind"
STOP_CARDS = frozenset({STOP, REMINDER})
_MOST_LINES = 5


def render_stop(record: PlanRecord, operation: Operation, stop: Stop, on_call: OnCall | None) -> Message:
    """One stop while it lasts."""
    row = operation.row(stop.node) if stop.node else None
    said = _said(record, operation, row)
    called = None if row is None and operation.halting else on_call  # an alert calls by itself; reminders do later
    blocks: list[Block] = [rich_text(line(*_mention(called), emoji("x"), text_element(" "), *spans(said, 900)))]
    if row is not None and is_held(row):
        blocks.append(rich_text(bullets([spans(words, 500) for words in _holders(row)])))
    blocks.append(rich_text(line(*spans(_prospect(record, operation, row), 700))))
    if row is not None and row.finding is not None and row.state is RowState.BLOCKED:
        blocks += findings_within((row.finding,), ROOM - text_size(blocks))
    if buttons := list(_choices(record, operation, row)):
        blocks.append(actions(*buttons))
    blocks.append(context(f"Since {local_clock(stop.since)}{_ends(record, row)} \u00b7 run {code(operation.id)}"))
    return Message(escape(f"{said} {_prospect(record, operation, row)}", 900), stamp(blocks, f"{STOP}:{stop.key}"))


def render_over(record: PlanRecord, operation: Operation, key: str) -> Message:
    """The same message when the stop is over: what became of the node, and no buttons."""
    name = key.split("/")[1]
    row = next((r for r in operation.rows if r.node == name), None)
    now = f"it is now: {machine_words(record, operation, row)}" if row else _now(operation)
    said = f"{_code(name) if row else title(record)} does not wait here any more; {now.rstrip('.')}."
    body = line(emoji("heavy_check_mark"), text_element(" "), *spans(said, 600))
    return Message(escape(said, 600), stamp([rich_text(body)], f"{STOP}:{key}"))


def _now(operation: Operation) -> str:
    return "the run goes on" if operation.state is OperationState.RUNNING else f"the run is {operation.state}"


def render_reminder(
    record: PlanRecord, operation: Operation, stops: tuple[Stop, ...], on_call: OnCall | None
) -> Message:
    """All stops of an operation, once more; the choices are in the messages above it."""
    said = f"{title(record)} still waits for a person."
    lines = [_again(record, operation, s) for s in stops[:_MOST_LINES]]
    if len(stops) > _MOST_LINES:
        lines.append(f"and {len(stops) - _MOST_LINES} more, on the card of the run")
    blocks = [
        rich_text(line(*_mention(on_call), emoji("bell"), text_element(" "), *spans(said, 300))),
        rich_text(bullets([spans(words, 500) for words in lines])),
    ]
    return Message(escape(f"{said} {listing(tuple(lines), 2)}", 900), tuple(blocks))


def _mention(on_call: OnCall | None) -> list[Element]:
    """Nothing but an id of the configuration ever becomes a mention."""
    if on_call is None:
        return []
    group = on_call.mention.startswith("S")
    kind, key = ("usergroup", "usergroup_id") if group else ("user", "user_id")
    return [{"type": kind, key: on_call.mention}, text_element(" ")]


def _said(record: PlanRecord, operation: Operation, row: NodeRow | None) -> str:
    if row is None and operation.halting:
        return f"{title(record)}: no further node is begun. {operation.reason}"
    if row is None:
        return f"{title(record)} waits for a person: {operation.reason or 'it stands still'}."
    doing = _doing(record, row)
    if row.state is RowState.BLOCKED:
        return f"{_code(row.node)} is blocked while {doing}, and waits for a person."
    if is_stuck(row):
        return f"{_code(row.node)} is stuck while {doing}. {clean(row.stuck, 300)}"
    pods = "a pod" if len(row.held) == 1 else f"{len(row.held)} pods"
    return f"{_code(row.node)} is held up while {doing}: {pods} cannot leave it."


def _holders(row: NodeRow) -> Iterator[str]:
    for hold in row.held[:_MOST_LINES]:
        yield f"{_code(hold.pod)}, by {_name(hold.by)}: {_name(hold.why)}"
    if len(row.held) > _MOST_LINES:
        yield f"and {len(row.held) - _MOST_LINES} more"


def _prospect(record: PlanRecord, operation: Operation, row: NodeRow | None) -> str:
    """What will happen if nobody does anything."""
    if row is None and operation.halting:
        return (
            "An approver may let it go on before that, for some time and with a reason; any other alert stops it again."
        )
    if row is not None and is_stuck(row):
        return _what_ends_it(record, row)
    if row is not None and row.state is RowState.STARTED and (ends := drain_ends_at(record.plan, row)):
        back = "uncordoned, as its kubelet is untouched" if row.cordoned_by_us else "left cordoned, as it was found"
        if unwanted := tell_unwanted(operation, row):
            return f"The drain is given up, as {_name(unwanted)}: the node is {back}."
        until = f"If that lasts until {moment(ends)}, the drain is given up"
        return f"{until}: the node is {back}, and a person is asked.{_way_past(record, row)}"
    stays = " The node stays cordoned by us until then." if row is not None and row.cordoned_by_us else ""
    return f"There is no deadline: nothing more happens here until somebody chooses.{stays}{_way_back(record, row)}"


def _what_ends_it(record: PlanRecord, row: NodeRow) -> str:
    """Of a command that may hang: nobody but a person can tell, and nothing is begun beside it."""
    node = record.plan.node(row.node)
    then = "`retry` or `skip`" if node is not None and node.role is Role.WORKER else "`retry`"
    return (
        "There is no deadline: look at the machine. As soon as the command ends there, or somebody ends it, the run "
        f"goes on, tries it anew, or asks: {then}. A pause or a cancel waits for it as well."
    )


def _way_past(record: PlanRecord, row: NodeRow) -> str:
    """What is left to people where a budget does not let a pod go; one that ends already is only waited for."""
    past, node = "", record.plan.node(row.node)
    if pod := next((h.pod for h in row.held if h.by != ITS_OWN_END), ""):
        past = f" Past what holds it a pod goes by `force-delete {_name(pod)}`, which a second person allows."
    if node is None or node.role is not Role.WORKER:
        return past
    return f"{past} `skip {_name(row.node)}` gives the drain up at once, and the others go on without it."


def _way_back(record: PlanRecord, row: NodeRow | None) -> str:
    """Of a worker whose kubelet was upgraded, and does not do."""
    node = record.plan.node(row.node) if row is not None else None
    if row is None or node is None or node.role is not Role.WORKER or record.plan.kind is not PlanKind.UPGRADE:
        return ""
    steps = steps_of(record, row)
    behind = {s.verb for s in steps[: row.position] if s.stage == steps[row.position].stage}
    if Verb.INSTALL_KUBELET not in behind:
        return ""
    return f" To put its kubelet back, skip it, and ask for `rollback {_name(node.name)}` when this run has ended."


def _ends(record: PlanRecord, row: NodeRow | None) -> str:
    ends = drain_ends_at(record.plan, row) if row is not None and is_held(row) else None
    return f" \u00b7 until {local_clock(ends)}" if ends else ""


def _again(record: PlanRecord, operation: Operation, stop: Stop) -> str:
    if not stop.node:
        return f"{operation.reason or 'it stands still'}, since {moment(stop.since)}"
    row = operation.row(stop.node)
    why = ", ".join(h.pod for h in row.held[:_MOST_LINES]) if row.held else row.note
    if is_stuck(row):
        why = "its command has not ended"
    return f"{_code(row.node)}, {_doing(record, row)}, since {moment(stop.since)}: {_name(why)}"


def _doing(record: PlanRecord, row: NodeRow) -> str:
    steps = steps_of(record, row)
    doing = DOING[steps[row.position].verb] if row.position < len(steps) else "ending"
    return f"{doing} (attempt {row.attempt})" if row.attempt > 1 else doing


def _choices(record: PlanRecord, operation: Operation, row: NodeRow | None) -> Iterator[Element]:
    """What applies now; each is judged anew when it is clicked."""
    node = record.plan.node(row.node) if row is not None else None
    if node is not None and row is not None and row.state is RowState.BLOCKED:
        yield button("Retry", RETRY, f"{operation.id} {node.name}", style="primary")
        yield from skip_choice(record, operation, row)
    elif row is not None and is_held(row):
        yield from _choices_of_drain(record, operation, row)
    elif row is None and operation.halting:
        yield button("Go on in spite of it…", GO_ON, operation.id)
    elif row is None:
        yield button("Resume", RESUME, operation.id, style="primary")
    if operation.state in {OperationState.SCHEDULED, OperationState.RUNNING} and operation.wish is Wish.NONE:
        yield button("Pause", PAUSE, operation.id)
    if operation.state is not OperationState.CANCELLING and operation.wish is not Wish.CANCEL:
        confirm = confirmation("Cancel this run?", CANCEL_MEANS, "Cancel it", "Let it run")
        yield button("Cancel", CANCEL, operation.id, style="danger", confirm=confirm)


def _choices_of_drain(record: PlanRecord, operation: Operation, row: NodeRow) -> Iterator[Element]:
    """While one is held up; none once it is to be given up anyway."""
    if not tell_unwanted(operation, row):
        yield button(f"{MORE} more minutes", EXTEND, f"{operation.id} {row.node}")
        yield from skip_choice(record, operation, row)


def _code(name: str) -> str:
    return f"`{_name(name)}`"


def _name(text: str) -> str:
    """Names in backticks become literal code; one more of them would shift all."""
    return clean(text, 300).replace("`", "\u02cb")
