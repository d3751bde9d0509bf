"""Refuse blocks as Slack does: lengths, counts, surfaces, duplicate ids, tables, with JSON pointers."""

import itertools
from collections.abc import Iterator
from typing import Any

from lab.slack import limits
from lab.slack.elements import (
    ACTION_ELEMENTS,
    ELEMENTS,
    IMAGE,
    INPUT_ELEMENTS,
    RICH_TEXT_ELEMENTS,
    SECTION_ELEMENTS,
)
from lab.slack.rules import (
    Field,
    Problem,
    Problems,
    Rule,
    boolean,
    integer,
    items,
    number,
    one_of,
    optional,
    plain,
    required,
    shape,
    string,
    text,
    variant,
)

Json = dict[str, Any]

_TASK_STATES = ("pending", "in_progress", "complete", "error")


def _block(**fields: Field) -> Rule:
    return shape({"block_id": optional(string(limits.BLOCK_ID)), **fields})


_SECTION = _block(
    text=optional(text(limits.TEXT)),
    fields=optional(items(text(limits.SECTION_FIELD), limits.SECTION_FIELDS)),
    accessory=optional(variant(ELEMENTS, SECTION_ELEMENTS)),
    expand=optional(boolean),
)
_CONTEXT_TEXT = text(limits.TEXT)


def _section(value: Any, pointer: str) -> Problems:
    yield from _SECTION(value, pointer)
    if not value.keys() & {"text", "fields"}:
        yield Problem(pointer, "must provide either `text` or `fields`")


def _context_element(value: Any, pointer: str) -> Problems:
    is_image = isinstance(value, dict) and value.get("type") == "image"
    yield from (IMAGE if is_image else _CONTEXT_TEXT)(value, pointer)


_CELL = variant(
    {
        "raw_text": shape({"text": required(string(limits.TEXT))}),
        "raw_number": shape({"value": required(number), "text": optional(string(limits.TEXT))}),
        "rich_text": shape({"elements": required(RICH_TEXT_ELEMENTS)}),
    }
)
_COLUMN = shape({"align": optional(one_of("left", "center", "right")), "is_wrapped": optional(boolean)})
_TABLE = _block(
    rows=required(items(items(_CELL, limits.TABLE_COLUMNS), limits.TABLE_ROWS)),
    column_settings=optional(items(_COLUMN, limits.TABLE_COLUMNS)),
)


def _table(value: Any, pointer: str) -> Problems:
    yield from _TABLE(value, pointer)
    rows = value.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return
    for index, row in enumerate(rows):
        if len(row) != len(rows[0]):
            yield Problem(f"{pointer}/rows/{index}", f"must have {len(rows[0])} cells like the first row")


_TASK = {
    "task_id": required(string(limits.BLOCK_ID)),
    "title": required(string(limits.TEXT)),
    "details": optional(variant({"rich_text": shape({"elements": required(RICH_TEXT_ELEMENTS)})})),
    "output": optional(variant({"rich_text": shape({"elements": required(RICH_TEXT_ELEMENTS)})})),
}
_PLANNED_TASK = shape({**_TASK, "status": required(one_of(*_TASK_STATES))})

BLOCKS: dict[str, Rule] = {
    "section": _section,
    "divider": _block(),
    "header": _block(text=required(plain(limits.HEADER)), level=optional(integer)),
    "context": _block(elements=required(items(_context_element, limits.CONTEXT_ELEMENTS))),
    "actions": _block(
        elements=required(items(variant(ELEMENTS, ACTION_ELEMENTS), limits.ACTIONS_ELEMENTS)),
    ),
    "input": _block(
        label=required(plain(limits.INPUT_LABEL)),
        element=required(variant(ELEMENTS, INPUT_ELEMENTS)),
        hint=optional(plain(limits.INPUT_LABEL)),
        optional=optional(boolean),
        dispatch_action=optional(boolean),
    ),
    "image": _block(
        image_url=required(string(limits.URL)),
        alt_text=required(string(limits.IMAGE_ALT)),
        title=optional(plain(limits.INPUT_LABEL)),
    ),
    "rich_text": _block(elements=required(RICH_TEXT_ELEMENTS)),
    "table": _table,
    "markdown": _block(text=required(string(limits.MARKDOWN))),
    "plan": _block(
        title=required(string(limits.TEXT)),
        tasks=optional(items(variant({"task_card": _PLANNED_TASK}), limits.PLAN_TASKS)),
    ),
    # Alone, outside a plan, a task is never pending.
    "task_card": _block(**_TASK, status=required(one_of(*_TASK_STATES[1:]))),
    "alert": _block(
        text=required(text(200)),
        level=optional(one_of("default", "info", "warning", "error", "success")),
    ),
}


def lint_blocks(blocks: Any, surface: str, pointer: str = "/blocks") -> tuple[Problem, ...]:
    """What Slack would refuse about these blocks on this surface (``message`` or ``modal``); empty is good."""
    most = limits.MESSAGE_BLOCKS if surface == "message" else limits.MODAL_BLOCKS
    every = items(variant(BLOCKS, limits.SURFACES[surface]), most, least=0)
    problems = list(every(blocks, pointer))
    if isinstance(blocks, list):
        problems += _duplicates(blocks, pointer)
        problems += _mixtures(blocks, pointer)
    return tuple(problems)


def lint_view(view: Any) -> tuple[Problem, ...]:
    """What Slack would refuse about this modal."""
    fields = {
        "title": required(plain(limits.VIEW_TITLE)),
        "blocks": required(lambda value, pointer: iter(lint_blocks(value, "modal", pointer))),
        "submit": optional(plain(limits.VIEW_TITLE)),
        "close": optional(plain(limits.VIEW_TITLE)),
        "callback_id": optional(string(limits.CALLBACK_ID, least=0)),
        "private_metadata": optional(string(limits.PRIVATE_METADATA, least=0)),
        "external_id": optional(string(limits.CALLBACK_ID, least=0)),
        "clear_on_close": optional(boolean),
        "notify_on_close": optional(boolean),
        "submit_disabled": optional(boolean),
    }
    problems = list(variant({"modal": shape(fields)})(view, "/view"))
    if not problems and "submit" not in view and any(block["type"] == "input" for block in view["blocks"]):
        problems.append(Problem("/view", "missing required field: submit"))
    return tuple(problems)


def count_text(node: Any) -> int:
    """How many characters of text a reader would see in these blocks, all together."""
    match node:
        case dict():
            own = sum(len(value) for key, value in node.items() if key == "text" and isinstance(value, str))
            return own + sum(count_text(value) for value in node.values())
        case list():
            return sum(count_text(item) for item in node)
        case _:
            return 0


def count_tables(blocks: list[Any]) -> int:
    return sum(isinstance(block, dict) and block.get("type") == "table" for block in blocks)


def _mixtures(blocks: list[Any], pointer: str) -> Problems:
    kinds = {block.get("type") for block in blocks if isinstance(block, dict)}
    if {"plan", "task_card"} <= kinds:
        yield Problem(pointer, "a plan and a task_card cannot be in one message")
    markdown = [block.get("text") for block in blocks if isinstance(block, dict) and block.get("type") == "markdown"]
    if sum(len(written) for written in markdown if isinstance(written, str)) > limits.MARKDOWN:
        yield Problem(pointer, f"markdown blocks must be less than {limits.MARKDOWN + 1} characters together")


def _duplicates(blocks: list[Any], pointer: str) -> Problems:
    known: set[tuple[str, str]] = set()
    for scope, name, where in _names(blocks, pointer):
        if (scope, name) in known:
            kind = where.rpartition("/")[2]
            yield Problem(where, f"`{kind}` {name} already exists for another element")
        known.add((scope, name))


def _names(blocks: list[Any], pointer: str) -> Iterator[tuple[str, str, str]]:
    """A block_id is unique in its message, an action_id in its block only."""
    for index, block in enumerate(blocks):
        if not isinstance(block, dict):
            continue
        here = f"{pointer}/{index}"
        if isinstance(block.get("block_id"), str):
            yield pointer, block["block_id"], f"{here}/block_id"
        for element, where in _elements(block, here):
            if isinstance(element, dict) and isinstance(element.get("action_id"), str):
                yield here, element["action_id"], f"{where}/action_id"


def _elements(block: Json, pointer: str) -> Iterator[tuple[Any, str]]:
    listed = block.get("elements") if block.get("type") == "actions" else None
    many = enumerate(listed) if isinstance(listed, list) else ()
    return itertools.chain(
        ((element, f"{pointer}/elements/{index}") for index, element in many),
        ((block[name], f"{pointer}/{name}") for name in ("accessory", "element") if name in block),
    )
