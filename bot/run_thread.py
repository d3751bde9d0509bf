"""What a run says beside its card: one line per meaningful event in the thread, and the result posted anew."""

from __future__ import annotations

from bot.blocks import Block, Element, Message, bullets, context, emoji, header, line, rich_text, spans, stamp, table
from bot.blocks import text_element as words
from bot.report_card import render_findings
from bot.run_card import machines_done, title, version_reached
from bot.text import clean, code, count, duration, escape
from cluster.events import Event, Happened
from cluster.operation import Operation, OperationState, RowState
from cluster.plan import PlanKind, PlanRecord
from cluster.procedure import Verb

SIGNS: dict[Happened, str] = {  # the events that the thread tells; every other one only moves the card
    Happened.OPERATION_STARTED: "arrow_forward",
    Happened.DRIVER_TOOK_OVER: "arrows_counterclockwise",
    Happened.PAUSE_ASKED: "double_vertical_bar",
    Happened.CANCEL_ASKED: "no_entry_sign",
    Happened.RESUME_ASKED: "arrow_forward",
    Happened.RETRY_ASKED: "repeat",
    Happened.OPERATION_PARKED: "double_vertical_bar",
    Happened.OPERATION_RESUMED: "arrow_forward",
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
TOLD_STEPS = frozenset({Verb.SNAPSHOT_ETCD, Verb.VERIFY_CONTROL_PLANE, Verb.UNCORDON, Verb.REVERT})
ANNOUNCED = frozenset(  # edits notify nobody, so these are posted to the channel as well
    {Happened.OPERATION_BLOCKED, Happened.OPERATION_CANCELLED, Happened.OPERATION_COMPLETED}
)


def is_told(event: Event) -> bool:
    """Whether the thread gets a line for it; of the finished steps only those that people wait for."""
    if event.kind is Happened.STEP_FINISHED:
        return verb_of(event) in TOLD_STEPS
    return event.kind in SIGNS


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
    body = line(emoji(SIGNS[event.kind]), words(" "), *node, *spans(sentence, 900))
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
    event: Event, record: PlanRecord, operation: Operation, *, mention: tuple[str, ...] = (), delayed: bool = False
) -> Message:
    """Posted anew to the channel: why it stopped, or the report old against new; `mention` are Slack ids."""
    blocks: list[Block] = [header(_headline(record, operation, event))]
    people: list[Element] = [p for m in mention for p in ({"type": "user", "user_id": m}, words(" "))]
    blocks.append(rich_text(line(*people, *spans(_reason(event, operation), 900))))
    if event.kind is Happened.OPERATION_BLOCKED:
        findings = tuple(r.finding for r in operation.rows if r.finding and r.state is RowState.BLOCKED)
        blocks += render_findings(findings)
    else:
        blocks.append(table(("Machine", "Before", "After"), old_to_new(record, operation)))
        if others := _other_facts(event):
            blocks.append(rich_text(bullets(others)))
    late = " \u00b7 delayed: Slack could not be reached" if delayed else ""
    blocks.append(context(f"Plan {code(record.id)} \u00b7 run {code(operation.id)}{_took(operation)}{late}"))
    text = escape(f"{_headline(record, operation, event)}. {event.sentence}", 900)
    return Message(text, stamp(blocks, f"result:{operation.id}"))


def _headline(record: PlanRecord, operation: Operation, event: Event) -> str:
    done = f"{len(machines_done(record, operation))} of {count(len(operation.rows), 'machine')}"
    if event.kind is Happened.OPERATION_COMPLETED:
        verb = "is back at" if record.plan.kind is PlanKind.REVERT else "runs"
        return f"Completed: {clean(record.plan.cluster, 60)} {verb} {record.plan.target}"
    word = "Cancelled" if event.kind is Happened.OPERATION_CANCELLED else "Blocked"
    return f"{word}: {title(record)}, {done}"


def _reason(event: Event, operation: Operation) -> str:
    if event.kind is not Happened.OPERATION_BLOCKED or operation.state is not OperationState.BLOCKED:
        return event.sentence
    return f"{event.sentence} A person must choose: the buttons are on the card of the run."


def old_to_new(record: PlanRecord, operation: Operation) -> list[tuple[str, str, str]]:
    """One row per machine: where it was at drafting, where the run has brought it."""
    kubelets, servers = dict(record.basis.kubelets), dict(record.basis.api_servers)
    revert = record.plan.kind is PlanKind.REVERT
    rows: list[tuple[str, str, str]] = []
    for row in operation.rows:
        before = (servers if revert else kubelets).get(row.node, "not read")
        reached = str(version_reached(record, row) or before)
        rows.append((row.node, before, "skipped" if row.state is RowState.SKIPPED else reached))
    return rows


def _other_facts(event: Event) -> list[list[Element]]:
    """What the engine recorded beside the versions of machines; at most ten lines."""
    return [[words(f"{clean(k, 80)}: ", bold=True), *spans(v, 300)] for k, v in list(event.facts.items())[:10]]


def _took(operation: Operation) -> str:
    if operation.ended_at is None:
        return ""
    return f" \u00b7 took {duration((operation.ended_at - operation.created_at).total_seconds())}"


def result_key(operation_id: str) -> str:
    return f"result:{operation_id}"
