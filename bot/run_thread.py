"""What a run says beside its card: one line per meaningful event in the thread, and the result posted anew."""

from __future__ import annotations

from bot.blocks import (
    ROOM,
    Block,
    Element,
    Message,
    context,
    emoji,
    header,
    line,
    rich_text,
    spans,
    stamp,
    table,
    text_size,
)
from bot.blocks import text_element as words
from bot.report_card import findings_within
from bot.run_card import machines_done, title, version_reached
from bot.text import clean, code, count, duration, escape, listing, local_clock
from cluster.events import Event, Happened
from cluster.operation import NodeRow, Operation, OperationState, RowState
from cluster.plan import PlanKind, PlanRecord
from cluster.procedure import Verb
from cluster.report import ClusterReport, Unread

SIGNS: dict[Happened, str] = {  # the events that the thread tells; every other one only moves the card
    Happened.OPERATION_STARTED: "arrow_forward",
    Happened.DRIVER_TOOK_OVER: "arrows_counterclockwise",
    Happened.PAUSE_ASKED: "double_vertical_bar",
    Happened.CANCEL_ASKED: "no_entry_sign",
    Happened.RESUME_ASKED: "arrow_forward",
    Happened.RETRY_ASKED: "repeat",
    Happened.SKIP_ASKED: "heavy_minus_sign",
    Happened.EXTEND_ASKED: "hourglass",
    Happened.ALERT_SPARED: "warning",
    Happened.FORCE_APPROVED: "warning",
    Happened.FORCE_ENDED: "warning",
    Happened.OPERATION_PARKED: "double_vertical_bar",
    Happened.OPERATION_BLOCKED: "x",
    Happened.OPERATION_CANCELLING: "no_entry_sign",
    Happened.OPERATION_CANCELLED: "no_entry_sign",
    Happened.OPERATION_COMPLETED: "white_check_mark",
    Happened.STEP_WAITED: "hourglass_flowing_sand",
    Happened.STEP_FAILED: "x",
    Happened.STEP_FINISHED: "white_check_mark",
    Happened.NODE_UNCORDONED: "leftwards_arrow_with_hook",
    Happened.NODE_SKIPPED: "heavy_minus_sign",
    Happened.NODE_JOINED: "heavy_plus_sign",
    Happened.LOCK_RELEASED: "unlock",
    Happened.PLAN_APPROVED: "white_check_mark",
    Happened.PLAN_REJECTED: "no_entry_sign",
    Happened.PLAN_EXPIRED: "hourglass",
    Happened.PLAN_VOIDED: "no_entry_sign",
}
_OTHER_SIGN = "information_source"  # of what another release told
_STOPPED = {
    Happened.OPERATION_PARKED: "Paused",
    Happened.OPERATION_BLOCKED: "Blocked",
    Happened.OPERATION_CANCELLED: "Cancelled",
}
_MOST_ROWS = 40  # machines that the result lists one by one
TOLD_STEPS = frozenset(
    {Verb.SNAPSHOT_ETCD, Verb.VERIFY_CONTROL_PLANE, Verb.UNCORDON, Verb.REVERT, Verb.ROLL_BACK_KUBELET}
)
ENDINGS = frozenset({Happened.OPERATION_CANCELLED, Happened.OPERATION_COMPLETED})
ANNOUNCED = frozenset(  # edits notify nobody, so these are posted to the channel as well
    {Happened.OPERATION_PARKED, Happened.OPERATION_BLOCKED, *ENDINGS}
)


def is_told(event: Event) -> bool:
    """Whether the thread gets a line for it; of the finished steps only those that people wait for."""
    if event.kind is Happened.STEP_FINISHED:
        return verb_of(event) in TOLD_STEPS
    return event.kind in SIGNS or not event.kind.is_known


def verb_of(event: Event) -> Verb | None:
    """The last part of `0/workers/drain`."""
    name = event.step.rpartition("/")[2]
    return Verb(name) if name in tuple(Verb) else None


def hop_of(event: Event) -> int:
    first = event.step.partition("/")[0]
    return int(first) if first.isdecimal() else 0


def render_line(event: Event, record: PlanRecord | None) -> Message:
    """One line of the thread."""
    sentence = _sentence(event, record)
    node = [words(clean(event.node, 80), bold=True), words(" ")] if event.node and event.node not in sentence else []
    body = line(emoji(SIGNS.get(event.kind, _OTHER_SIGN)), words(" "), *node, *spans(sentence, 900))
    return Message(escape(f"{event.node} {sentence}" if node else sentence, 900), (rich_text(body),))


def _sentence(event: Event, record: PlanRecord | None) -> str:
    """Our own words where the event's are those of a single step; they name the version that was reached."""
    verb = verb_of(event)
    if event.kind is not Happened.STEP_FINISHED or record is None or hop_of(event) >= len(record.plan.hops):
        return event.sentence
    version, node = record.plan.hops[hop_of(event)].target, clean(event.node, 80).replace("`", "")
    if verb is Verb.UNCORDON:
        return f"`{node}` runs kubelet {version} and takes pods again."
    if verb is Verb.VERIFY_CONTROL_PLANE:
        return f"The control plane of `{node}` runs {version} and is ready."
    return event.sentence


def render_result(
    event: Event,
    record: PlanRecord,
    operation: Operation,
    *,
    after: ClusterReport | None = None,
    mention: tuple[str, ...] = (),
    delayed: bool = False,
) -> Message:
    """Posted anew to the channel: why it stopped, or the report old against new; `mention` are Slack ids."""
    blocks: list[Block] = [header(_headline(record, operation, event))]
    people: list[Element] = [p for m in mention for p in ({"type": "user", "user_id": m}, words(" "))]
    blocks.append(rich_text(line(*people, *spans(_reason(event, operation), 900))))
    if event.kind in ENDINGS:
        blocks.append(table(("What", "Before", "After"), old_to_new(record, operation, after)))
        read = f"Read from the cluster at {local_clock(after.read_at)}. " if after else "As recorded step by step. "
    else:
        stops = tuple(r.finding for r in operation.rows if r.finding)
        blocks += findings_within(stops, ROOM - text_size(blocks))
        read = ""
    late = " \u00b7 delayed: Slack could not be reached" if delayed else ""
    blocks.append(context(f"{read}Plan {code(record.id)} \u00b7 run {code(operation.id)}{_took(operation)}{late}"))
    text = escape(f"{_headline(record, operation, event)}. {event.sentence}", 900)
    return Message(text, stamp(blocks, f"result:{operation.id}"))


def _headline(record: PlanRecord, operation: Operation, event: Event) -> str:
    done = f"{len(machines_done(record, operation))} of {count(len(operation.rows), 'machine')}"
    if event.kind is Happened.OPERATION_COMPLETED:
        if record.plan.kind is PlanKind.ROLLBACK:
            return f"Completed: {title(record)}, {done}"
        verb = "is back at" if record.plan.kind is PlanKind.REVERT else "runs"
        there = {name for name, version in record.basis.kubelets if version == str(record.plan.target)}
        behind = sum(n.name not in there for n in record.plan.left_out)
        behind += sum(bool(r.skipped_by) for r in operation.rows)
        but = f", but for {count(behind, 'machine')}" if behind else ""
        return f"Completed: {clean(record.plan.cluster, 60)} {verb} {record.plan.target}{but}"
    return f"{_STOPPED[event.kind]}: {title(record)}, {done}"


def _reason(event: Event, operation: Operation) -> str:
    """Where a person must choose, it says where the choice is made; by now it may have been."""
    waits = {Happened.OPERATION_BLOCKED: OperationState.BLOCKED, Happened.OPERATION_PARKED: OperationState.PARKED}
    if waits.get(event.kind) is not operation.state:
        return event.sentence
    return f"{event.sentence} It goes on when somebody says so: the buttons are on the card of the run."


def old_to_new(
    record: PlanRecord, operation: Operation, after: ClusterReport | None = None
) -> list[tuple[str, str, str]]:
    """API servers and kubelets, when the plan was drafted and now; as recorded where the cluster was not read."""
    kubelets = [_kubelet(record, row, after) for row in operation.rows]
    if record.plan.kind is PlanKind.UPGRADE:
        kubelets += [_kubelet(record, NodeRow(n.name, note="left out"), after) for n in record.plan.left_out]
    rows = [(f"kubelet {name}", old, new) for name, old, new in kubelets]
    return [*_servers(record, after), *(rows if len(rows) <= _MOST_ROWS else _together(kubelets))]


def _together(kubelets: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """A large cluster in a few lines: those that went from one version to another, and how many."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, old, new in kubelets:
        groups.setdefault((old, new), []).append(clean(name, 40))
    return [(f"{count(len(names), 'kubelet')}: {listing(tuple(names), 1)}", *way) for way, names in groups.items()]


def _servers(record: PlanRecord, after: ClusterReport | None) -> list[tuple[str, str, str]]:
    now = {a.node: str(a.version) for a in after.api_servers if not isinstance(a.version, Unread)} if after else {}
    return [(f"API server {node}", before, now[node]) for node, before in record.basis.api_servers if node in now]


def _kubelet(record: PlanRecord, row: NodeRow, after: ClusterReport | None) -> tuple[str, str, str]:
    before = record.basis.kubelet_of.get(row.node, "not read")
    seen = after.node(row.node) if after else None
    if seen is not None and not isinstance(seen.kubelet, Unread):
        return row.node, before, str(seen.kubelet)
    if record.plan.kind is PlanKind.REVERT:
        return row.node, before, before
    reached = "skipped" if row.state is RowState.SKIPPED else str(version_reached(record, row) or before)
    return row.node, before, reached


def _took(operation: Operation) -> str:
    if operation.ended_at is None:
        return ""
    return f" \u00b7 took {duration((operation.ended_at - operation.created_at).total_seconds())}"


def result_key(operation_id: str) -> str:
    return f"result:{operation_id}"
