"""Label and field selectors, from the query string and from specs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Matcher = Callable[[dict[str, Any]], bool]

_SET = re.compile(r"^(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s*\((?P<values>[^)]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s!=,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s!=,()]*)$")
_NAME = re.compile(r"^!?[^\s!=,()]+$")

FIELDS: dict[str, tuple[str, ...]] = {
    "*": ("metadata.name", "metadata.namespace"),
    "Pod": ("spec.nodeName", "status.phase", "spec.restartPolicy", "spec.schedulerName", "status.podIP"),
    "Node": ("spec.unschedulable",),
    "Event": ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "reason", "type"),
    "Job": ("status.successful",),
    "Namespace": ("status.phase",),
    "Secret": ("type",),
    "ReplicaSet": ("status.replicas",),
}


class BadSelectorError(ValueError):
    """The selector cannot be read; the text goes into a 400 Status."""


def labels_match(labels: Mapping[str, str], selector: Mapping[str, Any]) -> bool:
    """A LabelSelector of a spec; an empty one matches everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_expression(labels, one) for one in selector.get("matchExpressions", ()))


def _expression(labels: Mapping[str, str], expression: Mapping[str, Any]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


def read_label_selector(text: str) -> Matcher:
    """``a=b,c!=d,e in (f,g),h,!i`` as the API takes it."""
    requirements = [_requirement(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()]

    def matches(obj: dict[str, Any]) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return matches


def _requirement(part: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(part):
        key, values = found["key"], {value.strip() for value in found["values"].split(",")}
        if found["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(part):
        key, value = found["key"], found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if not _NAME.match(part):
        raise BadSelectorError(f"unable to parse requirement: found '{part}', expected: a label requirement")
    if part.startswith("!"):
        return lambda labels: part[1:] not in labels
    return lambda labels: part in labels


def read_field_selector(kind: str, text: str) -> Matcher:
    """``metadata.name=x,spec.nodeName!=y``; a field that the kind does not offer is refused, as on a real server."""
    wanted: list[tuple[tuple[str, ...], bool, str]] = []
    for part in filter(None, text.split(",")):
        found = _EQUAL.match(part.strip())
        if not found:
            raise BadSelectorError(f'invalid selector: "{text}"; can\'t understand "{part}"')
        if found["key"] not in (*FIELDS["*"], *FIELDS.get(kind, ())):
            raise BadSelectorError(f"field label not supported: {found['key']}")
        wanted.append((tuple(found["key"].split(".")), found["op"] == "!=", found["value"]))

    def matches(obj: dict[str, Any]) -> bool:
        return all((_field(obj, path) == value) is not negated for path, negated, value in wanted)

    return matches


def _field(obj: Any, path: tuple[str, ...]) -> str:
    for part in path:
        obj = obj.get(part) if isinstance(obj, dict) else None
    if isinstance(obj, bool):
        return str(obj).lower()
    return "false" if obj is None and path[-1] == "unschedulable" else str(obj if obj is not None else "")
