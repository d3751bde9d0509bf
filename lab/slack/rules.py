"""The words that the Block Kit lint is written in: a rule looks at one value and says what Slack would say."""

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.slack import limits


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal: where (a JSON pointer) and why, in Slack's words."""

    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} [json-pointer:{self.pointer}]"


Problems = Iterator[Problem]
Rule = Callable[[Any, str], Problems]


@dataclass(frozen=True, slots=True)
class Field:
    """One property of an object: its rule, and whether it must be there."""

    rule: Rule
    required: bool = False


def required(rule: Rule) -> Field:
    return Field(rule, required=True)


def optional(rule: Rule) -> Field:
    return Field(rule)


def string(most: int, least: int = 1) -> Rule:
    def check(value: Any, pointer: str) -> Problems:
        if not isinstance(value, str):
            yield Problem(pointer, "must be a string")
        elif len(value) > most:
            yield Problem(pointer, f"must be less than {most + 1} characters")
        elif len(value) < least:
            yield Problem(pointer, f"must be more than {least - 1} characters")

    return check


def one_of(*allowed: str) -> Rule:
    def check(value: Any, pointer: str) -> Problems:
        if value not in allowed:
            yield Problem(pointer, f"must be a valid enum value: {', '.join(allowed)}")

    return check


def instance(kind: type, name: str) -> Rule:
    def check(value: Any, pointer: str) -> Problems:
        # bool is an int in Python, and not in JSON.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            yield Problem(pointer, f"must be a {name}")

    return check


boolean = instance(bool, "boolean")
integer = instance(int, "number")


def number(value: Any, pointer: str) -> Problems:
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield Problem(pointer, "must be a number")


def items(rule: Rule, most: int, least: int = 1) -> Rule:
    def check(value: Any, pointer: str) -> Problems:
        if not isinstance(value, list):
            yield Problem(pointer, "must be an array")
            return
        if len(value) > most:
            yield Problem(pointer, f"no more than {most} items allowed")
        if len(value) < least:
            yield Problem(pointer, f"must have at least {least} items")
        yield from itertools.chain.from_iterable(rule(item, f"{pointer}/{index}") for index, item in enumerate(value))

    return check


def shape(fields: Mapping[str, Field]) -> Rule:
    """An object with these properties and no others; ``type`` is looked at by whoever chose the shape."""

    def check(value: Any, pointer: str) -> Problems:
        if not isinstance(value, dict):
            yield Problem(pointer, "must be an object")
            return
        for name in value.keys() - fields.keys() - {"type"}:
            yield Problem(pointer, f"invalid additional property: {name}")
        for name, field in fields.items():
            if name in value:
                yield from field.rule(value[name], f"{pointer}/{name}")
            elif field.required:
                yield Problem(pointer, f"missing required field: {name}")

    return check


def variant(shapes: Mapping[str, Rule], allowed: Collection[str] | None = None) -> Rule:
    """An object whose ``type`` chooses its shape, out of those allowed at this place."""

    def check(value: Any, pointer: str) -> Problems:
        if not isinstance(value, dict):
            yield Problem(pointer, "must be an object")
            return
        kind = value.get("type")
        if kind is None:
            yield Problem(pointer, "missing required field: type")
        elif kind not in shapes or (allowed is not None and kind not in allowed):
            yield Problem(f"{pointer}/type", f"unsupported type: {kind}")
        else:
            yield from shapes[kind](value, pointer)

    return check


def text(most: int, *kinds: str) -> Rule:
    """A text object: ``plain_text``, ``mrkdwn``, or either where no kind is named."""
    plain = shape({"text": required(string(most)), "emoji": optional(boolean)})
    mrkdwn = shape({"text": required(string(most)), "verbatim": optional(boolean)})
    return variant({"plain_text": plain, "mrkdwn": mrkdwn}, kinds or None)


def plain(most: int) -> Rule:
    return text(most, "plain_text")


CONFIRM = shape(
    {
        "title": required(plain(limits.CONFIRM_TITLE)),
        "text": required(text(limits.CONFIRM_TEXT)),
        "confirm": required(plain(limits.CONFIRM_BUTTON)),
        "deny": required(plain(limits.CONFIRM_BUTTON)),
        "style": optional(one_of("primary", "danger")),
    }
)
