"""How findings name things: a few of them, and the number of the others."""

from __future__ import annotations

from collections.abc import Iterable

NAMED = 5  # names that a sentence carries; the others are counted


def some_of(names: Iterable[str], most: int = NAMED) -> str:
    """`a, b, c and 7 more`, each name once, in order of its first appearance."""
    known = list(dict.fromkeys(names))
    shown = ", ".join(known[:most])
    return shown if len(known) <= most else f"{shown} and {len(known) - most} more"


def count_of(number: int, singular: str, plural: str = "") -> str:
    """`1 pod`, `2 pods`."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
