"""The Block Kit lint knows Slack's limits, each by the place where it is broken."""

from typing import Any

import pytest
import slackblocks
from slackblocks import _limits as published

from lab.slack import limits
from lab.slack.lint import BLOCKS, count_text, lint_blocks, lint_view

Json = dict[str, Any]

# Published by a package that follows Slack's reference: the second opinion on our numbers.
SAME = {
    "TEXT": "TEXT_MAX_LENGTH",
    "ACTION_ID": "ACTION_ID_MAX_LENGTH",
    "BLOCK_ID": "BLOCK_ID_MAX_LENGTH",
    "BUTTON_TEXT": "BUTTON_TEXT_MAX_LENGTH",
    "BUTTON_VALUE": "BUTTON_VALUE_MAX_LENGTH",
    "URL": "BUTTON_URL_MAX_LENGTH",
    "ACCESSIBILITY_LABEL": "BUTTON_ACCESSIBILITY_LABEL_MAX_LENGTH",
    "CONFIRM_TITLE": "CONFIRMATION_TITLE_MAX_LENGTH",
    "CONFIRM_TEXT": "CONFIRMATION_TEXT_MAX_LENGTH",
    "CONFIRM_BUTTON": "CONFIRMATION_CONFIRM_MAX_LENGTH",
    "OPTION_TEXT": "OPTION_TEXT_MAX_LENGTH",
    "OPTION_VALUE": "OPTION_VALUE_MAX_LENGTH",
    "OPTION_DESCRIPTION": "OPTION_DESCRIPTION_MAX_LENGTH",
    "SELECT_OPTIONS": "SELECT_OPTIONS_MAX_ITEMS",
    "OVERFLOW_OPTIONS": "OVERFLOW_OPTIONS_MAX_ITEMS",
    "CHOICE_OPTIONS": "CHECKBOXES_OPTIONS_MAX_ITEMS",
    "PLACEHOLDER": "SELECT_PLACEHOLDER_MAX_LENGTH",
    "INPUT_LENGTH": "PLAIN_TEXT_INPUT_MAX_LENGTH_MAX",
    "ACTIONS_ELEMENTS": "ACTIONS_ELEMENTS_MAX_ITEMS",
    "CONTEXT_ELEMENTS": "CONTEXT_ELEMENTS_MAX_ITEMS",
}


def _plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def _section(text: str = "x") -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _button(**fields: Any) -> Json:
    return {"type": "button", "action_id": "go", "text": _plain("Go"), **fields}


def _actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def _table(*rows: list[str], **fields: Any) -> Json:
    return {"type": "table", "rows": [[{"type": "raw_text", "text": one} for one in row] for row in rows], **fields}


def _rich(*pieces: Json) -> Json:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(pieces)}]}


def _input(**fields: Any) -> Json:
    return {"type": "input", "label": _plain("Why"), "element": {"type": "plain_text_input"}, **fields}


GOOD: list[Json] = [
    _section("x" * 3000),
    {"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2000}] * 10},
    {"type": "header", "text": _plain("x" * 150)},
    {"type": "divider"},
    {"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 10},
    _actions(*(_button(action_id=f"go-{number}", value="x" * 2000) for number in range(25))),
    _table(["a", "b"], ["c", "d"], column_settings=[{"align": "right"}, {}]),
    _rich({"type": "text", "text": "x", "style": {"bold": True}}, {"type": "emoji", "name": "x"}),
    {"type": "plan", "title": "t", "tasks": [{"type": "task_card", "task_id": "1", "title": "t", "status": "pending"}]},
]

BAD: list[tuple[list[Json], str]] = [
    ([_section("x" * 3001)], "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
    ([_section("")], "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
    ([{"type": "section"}], "must provide either `text` or `fields` [json-pointer:/blocks/0]"),
    (
        [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}],
        "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]",
    ),
    (
        [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}],
        "no more than 10 items allowed [json-pointer:/blocks/0/fields]",
    ),
    (
        [{"type": "header", "text": _plain("x" * 151)}],
        "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
    ),
    (
        [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}],
        "unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]",
    ),
    ([_section()] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
    (
        [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}],
        "no more than 10 items allowed [json-pointer:/blocks/0/elements]",
    ),
    (
        [_actions(_button(text=_plain("x" * 76)))],
        "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
    ),
    (
        [_actions(_button(value="x" * 2001))],
        "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]",
    ),
    ([_actions(_button(colour="red"))], "invalid additional property: colour [json-pointer:/blocks/0/elements/0]"),
    (
        [_actions(_button(style="green"))],
        "must be a valid enum value: primary, danger [json-pointer:/blocks/0/elements/0/style]",
    ),
    (
        [_actions(_button(), _button())],
        "`action_id` go already exists for another element [json-pointer:/blocks/0/elements/1/action_id]",
    ),
    (
        [{**_section(), "block_id": "b"}, {**_section(), "block_id": "b"}],
        "`block_id` b already exists for another element [json-pointer:/blocks/1/block_id]",
    ),
    ([_table(["a", "b"], ["c"])], "must have 2 cells like the first row [json-pointer:/blocks/0/rows/1]"),
    ([_table(["a", ""])], "must be more than 0 characters [json-pointer:/blocks/0/rows/0/1/text]"),
    ([_table(*[["a"]] * 101)], "no more than 100 items allowed [json-pointer:/blocks/0/rows]"),
    ([_table(["a"] * 21)], "no more than 20 items allowed [json-pointer:/blocks/0/rows/0]"),
    ([_table(["a"], column_settings=[None])], "must be an object [json-pointer:/blocks/0/column_settings/0]"),
    (
        [_rich({"type": "text", "text": ""})],
        "must be more than 0 characters [json-pointer:/blocks/0/elements/0/elements/0/text]",
    ),
    ([{"type": "alert", "text": _plain("x")}], "unsupported type: alert [json-pointer:/blocks/0/type]"),
    ([{"text": "x"}], "missing required field: type [json-pointer:/blocks/0]"),
    (
        [{"type": "task_card", "task_id": "1", "title": "t", "status": "pending"}],
        "must be a valid enum value: in_progress, complete, error [json-pointer:/blocks/0/status]",
    ),
    (
        [{"type": "markdown", "text": "x" * 6001}] * 2,
        "markdown blocks must be less than 12001 characters together [json-pointer:/blocks]",
    ),
]


@pytest.mark.parametrize("block", GOOD, ids=lambda block: str(block["type"]))
def test_a_block_at_its_limits_passes(block: Json) -> None:
    assert lint_blocks([block], "message") == ()


@pytest.mark.parametrize(("blocks", "problem"), BAD, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_a_block_beyond_a_limit_is_refused_with_its_pointer(blocks: list[Json], problem: str) -> None:
    assert [str(one) for one in lint_blocks(blocks, "message")] == [problem]


def test_one_action_id_may_serve_several_blocks() -> None:
    assert lint_blocks([_actions(_button()), _actions(_button())], "message") == ()


@pytest.mark.parametrize("kind", ["table", "plan", "markdown"])
def test_a_modal_has_fewer_kinds_of_blocks(kind: str) -> None:
    problems = lint_blocks([{"type": kind}], "modal")
    assert str(problems[0]) == f"unsupported type: {kind} [json-pointer:/blocks/0/type]"


def test_a_modal_with_fields_needs_a_submit_button() -> None:
    view = {"type": "modal", "title": _plain("Reject"), "blocks": [_input()]}
    assert [str(one) for one in lint_view(view)] == ["missing required field: submit [json-pointer:/view]"]
    assert lint_view({**view, "submit": _plain("Reject")}) == ()


def test_every_text_counts_towards_the_whole() -> None:
    assert count_text([_section("12345"), _table(["a", "bc"]), _rich({"type": "text", "text": "xyz"})]) == 11


@pytest.mark.parametrize("junk", [None, 1, "x", {}, [None], [[]], [{"type": 3}], [{"type": "table", "rows": 1}]])
def test_junk_is_refused_and_never_raises(junk: Any) -> None:
    assert lint_blocks(junk, "message")


@pytest.mark.parametrize(("ours", "theirs"), SAME.items())
def test_our_numbers_are_the_published_ones(ours: str, theirs: str) -> None:
    assert getattr(limits, ours) == getattr(published, theirs)


@pytest.mark.parametrize("surface", ["message", "modal"])
def test_our_surfaces_allow_nothing_that_the_published_ones_do_not(surface: str) -> None:
    from slackblocks._surfaces import _BLOCK_TYPES_BY_SURFACE  # noqa: PLC0415 - private, and only this test's business

    allowed = dict(_BLOCK_TYPES_BY_SURFACE)[surface]  # type: ignore[index]  # keyed by literals
    assert limits.SURFACES[surface] <= allowed
    assert limits.SURFACES[surface] <= BLOCKS.keys()


def test_blocks_of_another_builder_pass() -> None:
    """What slackblocks builds and checks by itself is good for our lint too."""
    blocks = [
        slackblocks.HeaderBlock("Plan"),
        slackblocks.SectionBlock("text", fields=["a", "b"]),
        slackblocks.DividerBlock(),
        slackblocks.ContextBlock(elements=[slackblocks.Text("small")]),
    ]
    assert lint_blocks([block._resolve() for block in blocks], "message") == ()
