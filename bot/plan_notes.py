"""The release notes that belong to a plan: as links on a card, as lines of text, and as boxes to be ticked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.blocks import Block, Element, bullets, line, mrkdwn, rich_text, text_element
from bot.text import clean
from cluster.plan import PlanRecord
from policies.release_notes import ReleaseNotes, notes_of

NOTES_VIEW = "plan_notes_read"
NOTES_FIELD = "read"
_BLOCK = "notes:"  # what the id of a minor's box begins with


def notes_blocks(record: PlanRecord) -> list[Block]:
    """Nothing for a plan that brings no new release."""
    notes = notes_of(record)
    head = line(text_element("To be read before", bold=True))
    return [rich_text(head, bullets([_links(n) for n in notes]))] if notes else []


def notes_lines(record: PlanRecord) -> list[str]:
    """One line per minor and page."""
    notes = notes_of(record)
    return ["", "To be read before:", *(f"  {line}" for n in notes for line in _pages(n))] if notes else []


def notes_view(record: PlanRecord, token: str) -> Block:
    """Asks whoever approves to confirm each minor's notes; every box must be ticked before it can be sent."""
    boxes: list[Block] = []
    for notes in notes_of(record):
        boxes += [rich_text(line(*_links(notes))), _box(notes)]
    return {
        "type": "modal",
        "callback_id": NOTES_VIEW,
        "private_metadata": token,
        "title": _plain("Approve the plan"),
        "submit": _plain("Approve"),
        "close": _plain("Not now"),
        "blocks": boxes,
    }


def ticked(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The minors whose boxes are ticked, by the fields of a submitted modal."""
    return tuple(
        block.removeprefix(_BLOCK)
        for block, fields in values.items()
        if block.startswith(_BLOCK) and (fields.get(NOTES_FIELD) or {}).get("selected_options")
    )


def _box(notes: ReleaseNotes) -> Block:
    question = f"I have read the release notes of {notes.minor}."
    return {
        "type": "input",
        "block_id": f"{_BLOCK}{notes.minor}",
        "label": _plain(notes.minor),
        "element": {
            "type": "checkboxes",
            "action_id": NOTES_FIELD,
            "options": [{"text": mrkdwn(question), "value": notes.minor}],
        },
    }


def _links(notes: ReleaseNotes) -> list[Element]:
    elements = [text_element(f"{notes.minor}: ")]
    if not notes.changelog:
        return [*elements, text_element("its release notes; where they are is not known here.")]
    elements.append(_link(notes.changelog, "release notes"))
    if notes.urgent:
        elements += [text_element(", above all its "), _link(notes.urgent, "urgent upgrade notes")]
    return elements


def _pages(notes: ReleaseNotes) -> list[str]:
    if not notes.changelog:
        return [f"{notes.minor}: its release notes; where they are is not known here"]
    urgent = [f"{notes.minor}: {clean(notes.urgent, 300)}"] if notes.urgent else []
    return [f"{notes.minor}: {clean(notes.changelog, 300)}", *urgent]


def _link(url: str, text: str) -> Element:
    return {"type": "link", "url": url, "text": text}


def _plain(text: str) -> Element:
    return {"type": "plain_text", "text": text}
