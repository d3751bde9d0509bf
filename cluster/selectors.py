"""Label selectors as kubectl's -l takes them: `a=b,c!=d,e,!f,g in (h,i),j notin (k)`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cluster.errors import InvalidConfig

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s+\(([^)]*)\)")
_EQUALS = re.compile(rf"({_KEY})\s*(==|=|!=)\s*([A-Za-z0-9._-]*)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


@dataclass(frozen=True, slots=True)
class _Demand:
    key: str
    values: frozenset[str] | None  # None: any
    wanted: bool

    def holds(self, labels: Mapping[str, str]) -> bool:
        met = self.key in labels if self.values is None else labels.get(self.key) in self.values
        return met == self.wanted


def matches(selector: str, labels: Mapping[str, str] | Iterable[tuple[str, str]]) -> bool:
    """Whether labels satisfy every requirement; an empty selector matches all. Raises InvalidConfig."""
    known = dict(labels)
    return all(demand.holds(known) for demand in _read(selector))


def check_selector(selector: str) -> str:
    """The same selector; raises InvalidConfig for a requirement that cannot be read."""
    _read(selector)
    return selector


@lru_cache(maxsize=1000)  # those of one file are asked for each node and pod
def _read(selector: str) -> tuple[_Demand, ...]:
    parts = (p.strip() for p in _COMMA_OUTSIDE_PARENTHESES.split(selector))
    return tuple(_demand(part) for part in parts if part)


def _demand(requirement: str) -> _Demand:
    if match := _SET.fullmatch(requirement):
        return _Demand(match[1], frozenset(v.strip() for v in match[3].split(",")), match[2] == "in")
    if match := _EQUALS.fullmatch(requirement):
        return _Demand(match[1], frozenset((match[3],)), match[2] != "!=")
    if match := _EXISTS.fullmatch(requirement):
        return _Demand(match[2], None, not match[1])
    raise InvalidConfig(f"The selector `{requirement}` cannot be read: write it as kubectl's -l takes it.")
