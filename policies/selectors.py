"""Label selectors as kubectl's -l takes them: `a=b,c!=d,e,!f,g in (h,i),j notin (k)`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from cluster.errors import InvalidConfig

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s+\(([^)]*)\)")
_EQUALS = re.compile(rf"({_KEY})\s*(==|=|!=)\s*([A-Za-z0-9._-]*)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def matches(selector: str, labels: Mapping[str, str] | Iterable[tuple[str, str]]) -> bool:
    """Whether labels satisfy every requirement; an empty selector matches all. Raises InvalidConfig."""
    known = dict(labels)
    parts = [p.strip() for p in _COMMA_OUTSIDE_PARENTHESES.split(selector) if p.strip()]
    return all(_holds(part, known) for part in parts)


def _holds(requirement: str, labels: Mapping[str, str]) -> bool:
    if match := _SET.fullmatch(requirement):
        values = {v.strip() for v in match[3].split(",")}
        return (labels.get(match[1]) in values) == (match[2] == "in")
    if match := _EQUALS.fullmatch(requirement):
        return (labels.get(match[1]) == match[3]) == (match[2] != "!=")
    if match := _EXISTS.fullmatch(requirement):
        return (match[2] in labels) != bool(match[1])
    raise InvalidConfig(f"The selector `{requirement}` cannot be read: write it as kubectl's -l takes it.")
