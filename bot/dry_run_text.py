"""A dry run in words: grouped by what holds the pods for a thread, node by node for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from bot.blocks import Element, Message, bullets, context, line, monospace_columns, rich_text, spans, text_element
from bot.text import clean, count, escape, listing, moment
from cluster.dry_run import DryRun, Hindrance, Hold
from policies.drained import tell_dry_run

ALONE = (
    "Each pod was tried for itself: where a budget lets one go, the others of it may have to wait their turn at the "
    "drain. Nothing was evicted."
)
_MOST = 12  # hindrances that a thread names
_HELD: dict[Hold, str] = {
    Hold.BUDGET: "the disruption budget {by} lets nobody go now",
    Hold.CONSENT: "a drain would stop for the consent {by}",
    Hold.REFUSED: "the server refuses for good: {by}",
    Hold.UNANSWERED: "not known: {by}",
    Hold.NOT_UNDERSTOOD: "not tried: {by}",
}


def render_dry_run(made: DryRun) -> Message:
    """For the thread of the plan's card."""
    summary = tell_dry_run(made)
    rows = list(_by_hindrance(made))
    shown = [*rows[:_MOST], *([_more(made, len(rows) - _MOST)] if len(rows) > _MOST else [])]
    head = rich_text(line(*spans(summary, 600)), *([bullets(shown)] if shown else []))
    return Message(escape(summary, 600), (head, context(escape(ALONE))))


def _by_hindrance(made: DryRun) -> Iterator[list[Element]]:
    """The worst of them first: what holds most pods."""
    for node in made.nodes:
        if node.not_tried:
            yield [text_element(clean(node.node, 80), code=True), text_element(f": {clean(node.not_tried, 200)}")]
    for unread in made.unread:
        yield [text_element(f"not tried: {clean(unread.what, 120)}. {clean(unread.reason, 200)}")]
    together: dict[tuple[Hold, str], list[tuple[str, Hindrance]]] = {}
    for node in made.nodes:
        for hindrance in node.hindrances:
            together.setdefault((hindrance.hold, hindrance.by), []).append((node.node, hindrance))
    for (hold, by), found in sorted(together.items(), key=lambda item: -sum(h.count for _, h in item[1])):
        pods = tuple(clean(pod, 80) for _, h in found for pod in h.pods)
        held = sum(h.count for _, h in found)
        where = listing(tuple(clean(name, 60) for name, _ in found))
        why = _HELD[hold].format(by=clean(by, 200))
        yield [text_element(count(held, "pod"), bold=True), text_element(f" on {where}: {why} ({_named(pods, held)})")]


def _named(pods: tuple[str, ...], held: int) -> str:
    shown = ", ".join(pods[:3])
    return shown if held <= len(pods[:3]) else f"{shown} and {held - len(pods[:3])} more"


def _more(made: DryRun, number: int) -> list[Element]:
    return [text_element(f"and {number} more: lockkeeper dry-run {made.plan_id} lists them all")]


def dry_run_text(made: DryRun) -> str:
    """Every node with its numbers, then what holds which pods."""
    rows: list[tuple[str, ...]] = [("NODE", "WOULD LEAVE", "HELD", "ENDING", "STAY")]
    rows += [(n.node, *map(str, (n.leaving, n.held, n.ending, n.staying))) for n in made.nodes if not n.not_tried]
    lines = [tell_dry_run(made), f"tried {moment(made.at)}. {ALONE}"]
    if made.in_place:
        lines.append(f"not drained by this plan, or not any more: {count(made.in_place, 'machine')}")
    lines += ["", monospace_columns(rows)]
    lines += [f"not tried: {clean(n.node)}: {clean(n.not_tried, 200)}" for n in made.nodes if n.not_tried]
    lines += [f"not tried: {clean(u.what)}: {clean(u.reason, 200)}" for u in made.unread]
    details = [
        f"{clean(n.node)}: {count(h.count, 'pod')}: {_HELD[h.hold].format(by=clean(h.by, 300))} "
        f"({_named(tuple(clean(p) for p in h.pods), h.count)})"
        for n in made.nodes
        for h in n.hindrances
    ]
    return "\n".join([*lines, "", *details] if details else lines)
