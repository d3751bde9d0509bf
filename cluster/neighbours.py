"""Signs of other tools that look after the same machines: API groups that they brought, annotations on nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_NAMED = 5  # nodes of one annotation that are kept by name
_KEYS = 500  # annotations that are kept; there are a dozen, unless somebody makes one of each node


@dataclass(frozen=True, slots=True)
class Annotated:
    """An annotation, or a label, that nodes carry; its values do not matter here."""

    key: str
    nodes: tuple[str, ...]  # the first of them
    count: int


@dataclass(frozen=True, slots=True)
class Signs:
    """What there is to see without asking each tool."""

    groups: tuple[str, ...] = ()  # of the whole API
    annotations: tuple[Annotated, ...] = ()


def read_groups(raw: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(str(group["name"]) for group in raw["groups"] or ()))


def read_annotations(nodes: Iterable[Mapping[str, Any]]) -> tuple[Annotated, ...]:
    """By the metadata of nodes."""
    found: dict[str, list[str]] = {}
    for metadata in nodes:
        for key in metadata.get("annotations") or ():
            if key in found or len(found) < _KEYS:
                found.setdefault(key, []).append(str(metadata["name"]))
    return tuple(Annotated(key, tuple(names[:_NAMED]), len(names)) for key, names in sorted(found.items()))
