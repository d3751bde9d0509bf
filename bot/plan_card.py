"""The plan as a message: what would happen, what was found, and the buttons that the record allows."""

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
    fields,
    header,
    line,
    rich_text,
    section,
    spans,
    stamp,
    table,
    text_element,
    text_size,
)
from bot.left_out import left_out_words, words_without
from bot.option_words import option_sentences
from bot.plan_changes import changes_blocks
from bot.plan_notes import notes_blocks
from bot.report_card import IN_THE_PLAN, findings_within
from bot.text import clean, code, count, duration, escape, listing, local_moment
from cluster.findings import blockers
from cluster.hooks import Moment, PlanHook
from cluster.plan import PlanKind, PlanPool, PlanRecord, PlanStatus, Role, UpgradePlan
from cluster.procedure import kubelet_moves
from policies.permanence import find_permanent
from policies.pools import by_name
from policies.windows import GO_ON_BY_THEMSELVES

APPROVE, REJECT, DETAILS = "plan_approve", "plan_reject", "plan_details"
CONTROL_PLANE = "control-plane"
_MOST_LEFT_OUT = 10
_MOST_REASONS = 8  # of the order
_LONGEST_COMMAND = 1800  # characters
_MOST_NODES = 40  # beyond this the table shows pools, and the full plan the nodes
_TABLE_ROOM = 3500  # characters; the names of a table that needs more would push the findings out
_DECIDED = {
    PlanStatus.APPROVED: (":white_check_mark:", "Approved"),
    PlanStatus.REJECTED: (":no_entry_sign:", "Rejected"),
    PlanStatus.EXPIRED: (":hourglass:", "Expired"),
    PlanStatus.VOID: (":no_entry_sign:", "Void"),
}


def card_key(plan_id: str) -> str:
    return f"plan:{plan_id}"


def render_plan(record: PlanRecord) -> Message:
    """The card of a plan in any state; only a proposed one without blockers can be approved."""
    plan = record.plan
    head: list[Block] = [
        header(title(record)),
        fields(
            (
                ("Cluster", code(plan.cluster)),
                ("Asked for by", escape(record.requester, 60)),
                ("Plan and digest", f"{code(record.id)} {code(record.digest[:8])}"),
                ("Expires", local_moment(record.expires_at)),
            )
        ),
        rich_text(line(text_element("What will happen", bold=True)), bullets(list(_what_will_happen(record)))),
        *changes_blocks(record),
        *notes_blocks(record),
        *permanent_blocks(record),
        _machines(record),
    ]
    foot = _foot(record)
    found = findings_within(record.findings, ROOM - text_size([*head, *foot]), rest=IN_THE_PLAN)
    return Message(summarise(record), stamp([*head, *found, *foot], card_key(record.id)))


def title(record: PlanRecord) -> str:
    cluster = clean(record.plan.cluster, 60)
    if record.plan.kind is PlanKind.REVERT:
        return f"Revert plan: {cluster} back to {record.plan.target}"
    if record.plan.kind is PlanKind.ROLLBACK:
        return f"Rollback plan: kubelets of {cluster} back to {record.plan.target}"
    return f"Upgrade plan: {cluster} to {record.plan.target}"


def summarise(record: PlanRecord) -> str:
    """One escaped sentence with the state first."""
    if record.status in _DECIDED:
        said = f"{_DECIDED[record.status][1]}{f' by {record.decided_by}' if record.decided_by else ''}"
    elif stops := blockers(record.findings):
        said = f"Blocked by {count(len(stops), 'finding')}"
    else:
        said = "Waits for approval"
    machines = count(len(record.plan.nodes), "machine")
    return escape(f"{said}. {title(record)}, {machines}, asked for by {record.requester} ({record.id}).")


def _what_will_happen(record: PlanRecord) -> Iterator[list[Element]]:
    plan = record.plan
    first = next((n.name for n in plan.nodes if n.role is Role.FIRST_CONTROL_PLANE), "")
    if plan.kind is PlanKind.REVERT:
        yield spans(
            f"Each hand-edited control plane goes back to its declared version, `{plan.target}`, one at a time."
        )
        yield spans("No kubelet moves and nothing is drained.")
    elif plan.kind is PlanKind.ROLLBACK:
        yield spans(
            f"Each worker below is drained, its kubelet and kubectl go back to `{plan.target}`, and it gets its work "
            "back once it is well and has run a smoke pod. Its kubeadm and package source stay."
        )
        yield from (_pool_line(plan, pool) for pool in plan.pools if pool.nodes)
    else:
        before = ", ".join(sorted({v for _, v in record.basis.kubelets}, key=by_name)) or "what runs now"
        hops = [str(h.target) for h in plan.hops if h.whole]
        path = " \u2192 ".join([clean(before, 80), *hops])
        yield [text_element(path, bold=True), text_element(f": {count(len(hops), 'hop')}, one minor at a time.")]
        snapshot = (
            "take the snapshot of your etcd yourself"
            if "etcd-external" in plan.accepted
            else f"etcd snapshot on `{clean(first)}`"
        )
        first_of_all = "First" if len(hops) == 1 else "At each hop first"
        yield spans(
            f"{first_of_all}: packages held, packages and images fetched everywhere. Right before the control plane "
            f"changes: {snapshot}."
        )
        yield from _straggler_line(plan)
        yield from (_pool_line(plan, pool) for pool in plan.pools if pool.nodes)
    yield from (spans(sentence, 600) for sentence in option_sentences(plan))
    yield from _hook_line(plan)
    yield from (spans(sentence, 400) for sentence in record.order[:_MOST_REASONS])
    if left_out := left_out_words(record, _MOST_LEFT_OUT):
        yield [text_element("Left out, and touched by no step: "), text_element(left_out, code=True)]
    if record.estimate[1]:
        low, high = (duration(seconds) for seconds in record.estimate)
        grounds = f", {record.estimate_grounds}" if record.estimate_grounds else ""
        yield [
            text_element(clean(f"About {low}{grounds}." if low == high else f"Between {low} and {high}{grounds}.", 400))
        ]


def permanent_blocks(record: PlanRecord) -> list[Block]:
    """Said before approval; nothing where the plan does nothing of the kind."""
    lasting = find_permanent(record)
    head = line(text_element("What cannot be undone", bold=True))
    return [rich_text(head, bullets([spans(p.sentence) for p in lasting]))] if lasting else []


def _hook_line(plan: UpgradePlan) -> Iterator[list[Element]]:
    if plan.hooks:
        named = (f"{moment} {listing(tuple(str(h) for h in hooks))}" for moment, hooks in _by_moment(plan).items())
        yield spans(f"Hooks: {'; '.join(named)}.", 400)


def _by_moment(plan: UpgradePlan) -> dict[Moment, list[PlanHook]]:
    return {m: [h for h in plan.hooks if h.moment is m] for m in Moment if any(h.moment is m for h in plan.hooks)}


def _straggler_line(plan: UpgradePlan) -> Iterator[list[Element]]:
    if plan.hops[0].whole:
        return
    names = listing(tuple(clean(n.name) for n in plan.nodes if kubelet_moves(plan, n, 0)))
    yield [
        text_element("Before any hop, to the version that the control plane runs: "),
        text_element(names, code=True),
        text_element(f" ({plan.hops[0].target})"),
    ]


def _pool_line(plan: UpgradePlan, pool: PlanPool) -> list[Element]:
    names = [text_element(listing(tuple(clean(n.name) for n in pool.nodes)), code=True)]
    if pool.name == CONTROL_PLANE:
        return [text_element("Control plane, one at a time, then its kubelets: "), *names]
    limit = f"at most {count(pool.max_unavailable, 'machine')} away at once{_when(plan, pool)}: "
    return [text_element(f"Pool {clean(pool.name, 40)}, {limit}"), *names]


def _when(plan: UpgradePlan, pool: PlanPool) -> str:
    """Said only of pools whose machines do not move at every hop."""
    whole = [index for index, hop in enumerate(plan.hops) if hop.whole]
    moves = {tuple(i for i in whole if n.moves is None or i in n.moves) for n in pool.nodes}
    if moves == {tuple(whole)}:
        return ""
    if len(moves) > 1:
        return ", each at the hops where its kubelet must move"
    return f", only at {' and '.join(str(plan.hops[i].target) for i in moves.pop())}"


def _machines(record: PlanRecord) -> Block:
    """By pool where the names would take the room of everything else."""
    columns = ("Machine", "Role", "Kubelet now", "After")
    each = table(columns, node_rows(record))
    return each if text_size([each]) <= _TABLE_ROOM else table(columns, node_rows(record, most=0))


def node_rows(record: PlanRecord, most: int = _MOST_NODES) -> list[tuple[str, ...]]:
    """One row per machine; a large plan shows one row per pool and version instead."""
    kubelets, plan = dict(record.basis.kubelets), record.plan
    after = "unchanged" if plan.kind is PlanKind.REVERT else str(plan.target)
    rows = [
        (node.name, _role(pool, node.role), kubelets.get(node.name, "not read"), after)
        for pool in plan.pools
        for node in pool.nodes
    ]
    rows += [
        (node.name, _role(pool, node.role), kubelets.get(node.name, "not read"), "left out")
        for pool in plan.pools
        for node in (pool.left_out if plan.kind is PlanKind.UPGRADE else ())
    ]
    if len(rows) <= most:
        return list(rows)
    groups: dict[tuple[str, ...], int] = {}
    for _, *rest in rows:
        groups[tuple(rest)] = groups.get(tuple(rest), 0) + 1
    return [(count(n, "machine"), *rest) for rest, n in groups.items()]


def _role(pool: PlanPool, role: Role) -> str:
    return f"worker, pool {pool.name}" if role is Role.WORKER else "control plane"


def _foot(record: PlanRecord) -> list[Block]:
    if record.status in _DECIDED:
        return [section(_decision(record)), actions(button("Full plan", DETAILS, record.token))]
    stops = blockers(record.findings)
    buttons = [] if stops else [_approve_button(record)]
    buttons += [button("Reject…", REJECT, record.token), button("Full plan", DETAILS, record.token)]
    if stops:
        note = f"This plan cannot be approved: {count(len(stops), 'blocker')} above. Clear the cause and plan again."
        if words := words_without(record):
            note += (
                f" To go on without {count(len(record.blocked_workers), 'worker')}: {code(words, _LONGEST_COMMAND)}."
            )
    else:
        note = f"Needs one approval by somebody other than {escape(record.requester, 60)}."
        note += f" On a terminal: `lockkeeper approve {record.id}`"
    return [actions(*buttons), context(note)]


def _approve_button(record: PlanRecord) -> Element:
    plan = record.plan
    question = (
        f"{title(record)}: {count(len(plan.nodes), 'machine')}, digest {record.digest[:8]}. "
        f"The work starts {_begins(record)}; it can be paused after any machine."
    )
    confirm = confirmation("Approve this plan?", question, "Approve")
    return button("Approve", APPROVE, record.token, style="primary", confirm=confirm)


def _begins(record: PlanRecord) -> str:
    """By what was found when it was made; a window that closed since then only makes it wait."""
    waits = any(f.code in GO_ON_BY_THEMSELVES for f in record.findings)
    return "by itself when the cluster is open for it" if waits else "at once"


def _decision(record: PlanRecord) -> str:
    sign, word = _DECIDED[record.status]
    by = f" by {escape(record.decided_by, 60)}" if record.decided_by else ""
    when = f", {local_moment(record.decided_at)}" if record.decided_at else ""
    reason = f": {escape(record.reason, 500)}" if record.reason else ""
    return f"{sign} *{word}{by}*{when}{reason}"
