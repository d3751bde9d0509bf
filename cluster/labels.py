"""Selectors as objects of the API carry them: a label selector's, and a node selector's requirements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Labels = tuple[tuple[str, str], ...]


class Operator(StrEnum):
    """How a requirement compares; the last two are a node selector's alone."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One demand on one label."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value is not None and value in self.values
            case Operator.NOT_IN:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None
            case _:
                return value is not None and _compares(value, self.operator, self.values)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Every requirement must hold; without any it selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        return all(r.holds(labels) for r in self.requirements)

    @property
    def anchor(self) -> tuple[str, str] | None:
        """A label that everything selected has: thousands of selectors can be looked up by it; None for no such."""
        sure = (r for r in self.requirements if r.operator is Operator.IN and len(r.values) == 1)
        return next(((r.key, r.values[0]) for r in sure), None)


def read_selector(raw: Mapping[str, Any] | None) -> LabelSelector | None:
    """A selector of a spec; None, which selects nothing, where there is none. Raises ValueError."""
    if raw is None:
        return None
    return LabelSelector((*read_labels(raw.get("matchLabels")), *read_requirements(raw.get("matchExpressions"))))


def read_labels(raw: Mapping[str, str] | None) -> tuple[Requirement, ...]:
    """Plain `label: value` pairs as requirements."""
    return tuple(Requirement(str(k), Operator.IN, (str(v),)) for k, v in sorted((raw or {}).items()))


def read_requirements(raw: list[Mapping[str, Any]] | None) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(str(r["key"]), Operator(r["operator"]), tuple(map(str, r.get("values") or ()))) for r in raw or ()
    )


def _compares(value: str, operator: Operator, bounds: tuple[str, ...]) -> bool:
    try:
        number, bound = int(value), int(bounds[0])
    except (ValueError, IndexError):
        return False
    return number > bound if operator is Operator.GT else number < bound
