"""Block Kit as plain dictionaries: the few blocks that we use, each cut to the size that Slack takes."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bot.text import NOTHING, clamp, clean

Block = dict[str, Any]
Element = dict[str, Any]

# From Slack's reference; texts are counted after escaping, where & < > have grown.
HEADER, SECTION, FIELD, BUTTON, FIELDS, CONTEXTS = 150, 3000, 2000, 75, 10, 10
PREFORMATTED = SECTION - 10
TABLE_ROWS, TABLE_COLUMNS = 100, 20
MONOSPACE_WIDTH = 62  # wider lines wrap
BUDGET = 9000  # characters in one message; Slack answers msg_blocks_too_long somewhere above 11,000
ROOM = BUDGET - 600  # what a card fills; the rest is kept free, since marks grow when they are escaped


@dataclass(frozen=True, slots=True)
class Message:
    """What one post or edit carries: `text` is what screen readers and notifications say."""

    text: str
    blocks: tuple[Block, ...] = ()

    @property
    def hash(self) -> str:
        """Equal for two messages that look the same; an edit with an equal hash is skipped."""
        return _digest([self.text, self.blocks])


def header(text: str) -> Block:
    return {"type": "header", "text": {"type": "plain_text", "text": clamp(text, HEADER), "emoji": False}}


def mrkdwn(text: str, limit: int = SECTION) -> Element:
    """`text` is escaped already; `verbatim` keeps Slack from making links of names."""
    return {"type": "mrkdwn", "text": clamp(text, limit), "verbatim": True}


def section(text: str) -> Block:
    return {"type": "section", "text": mrkdwn(text)}


def fields(pairs: Sequence[tuple[str, str]]) -> Block:
    """`(label, escaped value)` pairs in two columns."""
    return {"type": "section", "fields": [mrkdwn(f"*{k}*\n{v}", FIELD) for k, v in pairs[:FIELDS]]}


def context(*texts: str) -> Block:
    return {"type": "context", "elements": [mrkdwn(t) for t in texts[:CONTEXTS]]}


def text_element(text: str, **style: bool) -> Element:
    """A literal piece of rich text: Slack reads no markup in it."""
    element: Element = {"type": "text", "text": text or NOTHING}
    return {**element, "style": style} if style else element


def emoji(name: str) -> Element:
    return {"type": "emoji", "name": name}


def spans(sentence: str, limit: int = 700) -> list[Element]:
    """Our own sentences set names in backticks; the names become literal code, whatever they hold."""
    parts = clean(sentence, limit).split("`")
    if len(parts) % 2 == 0:  # an odd backtick came with the data
        return [text_element("`".join(parts))]
    pieces = [text_element(p, code=True) if n % 2 else text_element(p) for n, p in enumerate(parts) if p]
    return pieces or [text_element(NOTHING)]


def line(*elements: Element) -> Block:
    return {"type": "rich_text_section", "elements": list(elements)}


def rich_text(*parts: Block) -> Block:
    return {"type": "rich_text", "elements": list(parts)}


def bullets(items: Iterable[Sequence[Element]], style: Literal["bullet", "ordered"] = "bullet") -> Block:
    return {"type": "rich_text_list", "style": style, "elements": [line(*i) for i in items]}


def preformatted(text: str) -> Block:
    part = {"type": "rich_text_preformatted", "elements": [text_element(clamp(text, PREFORMATTED))]}
    return rich_text(part)


def button(label: str, action: str, value: str, *, style: str = "", confirm: Element | None = None) -> Element:
    element: Element = {
        "type": "button",
        "text": {"type": "plain_text", "text": clamp(label, BUTTON), "emoji": False},
        "action_id": action,
        "value": value,
        "accessibility_label": clamp(label, BUTTON),
    }
    if style:
        element["style"] = style
    if confirm:
        element["confirm"] = confirm
    return element


def confirmation(title: str, text: str, yes: str, no: str = "Not now") -> Element:
    parts = (("title", title, 100), ("text", text, 300), ("confirm", yes, 30), ("deny", no, 30))
    return {key: {"type": "plain_text", "text": clamp(value, limit)} for key, value, limit in parts}


def actions(*elements: Element) -> Block:
    return {"type": "actions", "elements": list(elements)}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Block:
    """One table; Slack takes one a message, no empty cells and no ragged rows."""
    shown = rows if len(rows) < TABLE_ROWS else [*rows[: TABLE_ROWS - 2], _folded(head, rows)]
    cells = [[_cell(c) for c in row] for row in (head, *shown)]
    return {"type": "table", "rows": cells, "column_settings": [{"is_wrapped": True} for _ in head]}


def _cell(text: str) -> Element:
    return {"type": "raw_text", "text": clean(text)}


def _folded(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"+{len(rows) - TABLE_ROWS + 2} more", *("…" for _ in head[1:])]


def monospace(rows: Sequence[Sequence[str]], width: int = MONOSPACE_WIDTH) -> str:
    """The same table as text; the widest column gives way until a line fits."""
    grid, widths = _measured(rows)
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 6:  # noqa: PLR2004 - still legible
        widths[widths.index(max(widths))] -= 1
    return _aligned(grid, widths)


def monospace_columns(rows: Sequence[Sequence[str]]) -> str:
    """For a terminal, which wraps or scrolls on its own: every column as wide as it needs."""
    return _aligned(*_measured(rows, 400))


def _measured(rows: Sequence[Sequence[str]], limit: int = 120) -> tuple[list[list[str]], list[int]]:
    grid = [[clean(c, limit) for c in row] for row in rows]
    return grid, [max(map(_width, column)) for column in zip(*grid, strict=True)]


def _aligned(grid: list[list[str]], widths: list[int]) -> str:
    return "\n".join("  ".join(_pad(c, w) for c, w in zip(row, widths, strict=True)).rstrip() for row in grid)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int) -> str:
    while _width(text) > width:
        text = text[:-2] + "…" if len(text) > 1 else ""
    return text + " " * (width - _width(text))


def stamp(blocks: Iterable[Block], card_key: str) -> tuple[Block, ...]:
    """Give every block an id that changes with its content, as Slack wants it for edited messages."""
    key = clean(card_key, 200)
    return tuple({**b, "block_id": f"{key}:{n}:{_digest(b)[:8]}"} for n, b in enumerate(blocks))


def step_down(message: Message) -> Message | None:
    """The next plainer form of a refused message: table, then monospace, then plain sections, then text alone."""
    kinds = {b["type"] for b in message.blocks}
    if "table" in kinds:
        plainer = (p for b in message.blocks for p in (_table_as_text(b) if b["type"] == "table" else (b,)))
        return Message(message.text, tuple(plainer))
    if kinds - {"section", "actions"}:
        return Message(message.text, (section(message.text), *(b for b in message.blocks if b["type"] == "actions")))
    return Message(message.text) if message.blocks else None


def _table_as_text(block: Block) -> tuple[Block, ...]:
    return in_parts(monospace([[cell["text"] for cell in row] for row in block["rows"]]))


def in_parts(text: str) -> tuple[Block, ...]:
    """Preformatted blocks that break between lines: one of them takes as much as a section."""
    parts = [""]
    for text_line in text.split("\n"):
        if parts[-1] and len(parts[-1]) + len(text_line) + 1 > PREFORMATTED:
            parts.append("")
        parts[-1] += ("\n" if parts[-1] else "") + text_line
    return tuple(preformatted(p) for p in parts)


def text_size(blocks: Iterable[Block]) -> int:
    """Characters that count against BUDGET."""
    return sum(_text_size(b) for b in blocks)


def _text_size(value: Any) -> int:
    if isinstance(value, dict):
        own = len(value["text"]) if isinstance(value.get("text"), str) else 0
        return own + sum(_text_size(v) for v in value.values() if isinstance(v, dict | list | tuple))
    return sum(_text_size(v) for v in value) if isinstance(value, list | tuple) else 0


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]
