"""What a plan does another way than the one before: a few words for a card, every change for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from bot.blocks import Block, bullets, line, monospace_columns, rich_text, text_element
from bot.text import NOTHING, clean, listing
from cluster.difference import Change, Difference, Part
from cluster.plan import PlanRecord

_LABELS = {
    Part.HOPS: "Hops",
    Part.PACKAGES: "Packages",
    Part.MACHINE: "Machines",
    Part.POOL: "Pools",
    Part.VERSION: "Running now",
    Part.OPTION: "Options",
    Part.CONSENT: "Consents",
    Part.FINDING: "Findings",
    Part.ESTIMATE: "Duration",
}
_LONGEST = 300  # characters about one part on a card


def changes_blocks(record: PlanRecord) -> list[Block]:
    """One line for each part that is another way; nothing where no plan went before."""
    difference = record.difference
    if difference is None:
        return []
    head = line(text_element(_title(difference), bold=True))
    parts = [[text_element(f"{label}: {words}")] for label, words in _parts(difference)]
    return [rich_text(head, bullets(parts))] if parts else [rich_text(head)]


def changes_lines(record: PlanRecord) -> list[str]:
    """Every change, whatever their number."""
    difference = record.difference
    if difference is None:
        return []
    if not difference.changes:
        return ["", _title(difference)]
    rows = [
        (f"{c.part} {clean(c.subject)}".rstrip(), clean(c.before) or NOTHING, clean(c.after) or NOTHING)
        for c in difference.changes
    ]
    return ["", f"{_title(difference)}:", monospace_columns([("WHAT", "BEFORE", "NOW"), *rows])]


def _title(difference: Difference) -> str:
    if difference.changes:
        return f"What changed since {difference.plan_id}"
    return f"Nothing changed since {difference.plan_id}"


def _parts(difference: Difference) -> Iterator[tuple[str, str]]:
    for part, changes in groupby(difference.changes, key=lambda c: c.part):
        yield _LABELS[part], clean("; ".join(_words(list(changes))), _LONGEST)


def _words(changes: Sequence[Change]) -> Iterator[str]:
    new = tuple(f"{c.subject} ({c.after})" for c in changes if not c.before)
    gone = tuple(c.subject for c in changes if not c.after)
    other = tuple(f"{c.subject} {c.before} \u2192 {c.after}".strip() for c in changes if c.before and c.after)
    for name, subjects in (("new ", new), ("gone ", gone), ("", other)):
        if subjects:
            yield f"{name}{listing(subjects)}"
