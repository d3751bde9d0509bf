"""The shapes of Block Kit's interactive elements and of rich text."""

from typing import Any

from lab.slack import limits
from lab.slack.rules import (
    CONFIRM,
    Problem,
    Problems,
    Rule,
    boolean,
    instance,
    integer,
    items,
    one_of,
    optional,
    plain,
    required,
    shape,
    string,
    text,
    variant,
)

_ACTION = optional(string(limits.ACTION_ID))
_PLACEHOLDER = optional(plain(limits.PLACEHOLDER))
_CONFIRM = optional(CONFIRM)
_FOCUS = optional(boolean)

OPTION = shape(
    {
        "text": required(text(limits.OPTION_TEXT)),
        "value": required(string(limits.OPTION_VALUE)),
        "description": optional(text(limits.OPTION_DESCRIPTION)),
        "url": optional(string(limits.URL)),
    }
)
_GROUP = shape(
    {
        "label": required(plain(limits.OPTION_TEXT)),
        "options": required(items(OPTION, limits.SELECT_OPTIONS)),
    }
)
_BUTTON = shape(
    {
        "text": required(plain(limits.BUTTON_TEXT)),
        "action_id": _ACTION,
        "url": optional(string(limits.URL)),
        "value": optional(string(limits.BUTTON_VALUE)),
        "style": optional(one_of("primary", "danger")),
        "confirm": _CONFIRM,
        "accessibility_label": optional(string(limits.ACCESSIBILITY_LABEL)),
    }
)
_SELECT = {"action_id": _ACTION, "placeholder": _PLACEHOLDER, "confirm": _CONFIRM, "focus_on_load": _FOCUS}


def _static_select(value: Any, pointer: str) -> Problems:
    yield from _STATIC(value, pointer)
    if ("options" in value) == ("option_groups" in value):
        yield Problem(pointer, "must have either `options` or `option_groups`")


_STATIC = shape(
    {
        **_SELECT,
        "options": optional(items(OPTION, limits.SELECT_OPTIONS)),
        "option_groups": optional(items(_GROUP, limits.SELECT_OPTIONS)),
        "initial_option": optional(OPTION),
    }
)
_EXTERNAL = shape(
    {**_SELECT, "initial_option": optional(OPTION), "min_query_length": optional(integer)},
)
_USERS = shape({**_SELECT, "initial_user": optional(string(limits.ACTION_ID))})
_CONVERSATIONS = shape(
    {
        **_SELECT,
        "initial_conversation": optional(string(limits.ACTION_ID)),
        "filter": optional(instance(dict, "object")),
    }
)
_OVERFLOW = shape(
    {
        "action_id": _ACTION,
        "options": required(items(OPTION, limits.OVERFLOW_OPTIONS)),
        "confirm": _CONFIRM,
    }
)
_RADIO = shape(
    {
        "action_id": _ACTION,
        "options": required(items(OPTION, limits.CHOICE_OPTIONS)),
        "initial_option": optional(OPTION),
        "confirm": _CONFIRM,
        "focus_on_load": _FOCUS,
    }
)
_CHECKBOXES = shape(
    {
        "action_id": _ACTION,
        "options": required(items(OPTION, limits.CHOICE_OPTIONS)),
        "initial_options": optional(items(OPTION, limits.CHOICE_OPTIONS)),
        "confirm": _CONFIRM,
        "focus_on_load": _FOCUS,
    }
)
_PLAIN_INPUT = shape(
    {
        "action_id": _ACTION,
        "placeholder": _PLACEHOLDER,
        "initial_value": optional(string(limits.INPUT_LENGTH, least=0)),
        "multiline": optional(boolean),
        "min_length": optional(integer),
        "max_length": optional(integer),
        "dispatch_action_config": optional(instance(dict, "object")),
        "focus_on_load": _FOCUS,
    }
)
_DATE = shape(
    {
        "action_id": _ACTION,
        "placeholder": _PLACEHOLDER,
        "initial_date": optional(string(10)),
        "confirm": _CONFIRM,
        "focus_on_load": _FOCUS,
    }
)
IMAGE = shape(
    {"image_url": required(string(limits.URL)), "alt_text": required(string(limits.IMAGE_ALT))},
)

ELEMENTS: dict[str, Rule] = {
    "button": _BUTTON,
    "static_select": _static_select,
    "external_select": _EXTERNAL,
    "users_select": _USERS,
    "conversations_select": _CONVERSATIONS,
    "overflow": _OVERFLOW,
    "radio_buttons": _RADIO,
    "checkboxes": _CHECKBOXES,
    "datepicker": _DATE,
    "plain_text_input": _PLAIN_INPUT,
    "image": IMAGE,
}
INPUT_ELEMENTS = frozenset(ELEMENTS) - {"button", "overflow", "image"}
ACTION_ELEMENTS = frozenset(ELEMENTS) - {"plain_text_input", "image"}
SECTION_ELEMENTS = frozenset(ELEMENTS) - {"plain_text_input"}

_STYLE = optional(instance(dict, "object"))
_SOME = string(limits.TEXT)
_INLINE = variant(
    {
        "text": shape({"text": required(string(limits.MARKDOWN)), "style": _STYLE}),
        "link": shape(
            {
                "url": required(string(limits.URL)),
                "text": optional(_SOME),
                "style": _STYLE,
                "unsafe": optional(boolean),
            }
        ),
        "emoji": shape({"name": required(_SOME), "unicode": optional(_SOME), "style": _STYLE}),
        "user": shape({"user_id": required(_SOME), "style": _STYLE}),
        "usergroup": shape({"usergroup_id": required(_SOME), "style": _STYLE}),
        "channel": shape({"channel_id": required(_SOME), "style": _STYLE}),
        "broadcast": shape({"range": required(one_of("here", "channel", "everyone")), "style": _STYLE}),
        "date": shape(
            {
                "timestamp": required(integer),
                "format": required(_SOME),
                "fallback": optional(_SOME),
                "url": optional(string(limits.URL)),
                "style": _STYLE,
            }
        ),
    }
)
_MANY = 1000  # nobody publishes how many pieces a rich text may have; this only keeps the walk finite
_SECTION = shape({"elements": required(items(_INLINE, _MANY, least=0))})
_BORDERED = shape(
    {
        "elements": required(items(_INLINE, _MANY, least=0)),
        "border": optional(integer),
        "language": optional(_SOME),
    }
)
_LIST = shape(
    {
        "style": required(one_of("bullet", "ordered")),
        "elements": required(items(variant({"rich_text_section": _SECTION}), _MANY)),
        "indent": optional(integer),
        "offset": optional(integer),
        "border": optional(integer),
    }
)
RICH_TEXT_ELEMENTS = items(
    variant(
        {
            "rich_text_section": _SECTION,
            "rich_text_list": _LIST,
            "rich_text_preformatted": _BORDERED,
            "rich_text_quote": _BORDERED,
        }
    ),
    _MANY,
)
