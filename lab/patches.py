"""The three ways to patch an object: JSON merge patch, Kubernetes' strategic merge patch, and JSON patch."""

from __future__ import annotations

from typing import Any

# Lists that a strategic merge patch merges by a key; every other list is replaced whole, taints among them.
MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "conditions": "type",
    "addresses": "type",
    "ownerReferences": "uid",
}


class BadPatchError(ValueError):
    """The patch does not fit the object; the text goes into a 4xx Status."""


def copy_json(value: Any) -> Any:
    """A deep copy of plain JSON; several times faster than copy.deepcopy."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return value


def copy_object(obj: dict[str, Any]) -> dict[str, Any]:
    """The same for a whole object, with its type."""
    return {key: copy_json(item) for key, item in obj.items()}


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy_json(patch)
    merged = copy_json(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_patch(target: Any, patch: Any, field: str = "") -> Any:
    """A strategic merge patch, as far as clients use it on the kinds of the lab."""
    if isinstance(patch, list):
        return _merge_list(target, patch, field)
    if not isinstance(patch, dict):
        return copy_json(patch)
    if patch.get("$patch") == "replace":
        return {key: copy_json(value) for key, value in patch.items() if key != "$patch"}
    merged = copy_json(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [item for item in merged.get(name, []) if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = strategic_patch(merged.get(key), value, key)
    return merged


def _merge_list(target: Any, patch: list[Any], field: str) -> list[Any]:
    key = MERGE_KEYS.get(field)
    if key is None or not isinstance(target, list):
        return [copy_json(item) for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    merged: list[Any] = copy_json(target)
    for item in patch:
        if item.get("$patch") == "replace":
            return [copy_json(other) for other in patch if other is not item]
        place = next((n for n, held in enumerate(merged) if held.get(key) == item.get(key)), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del merged[place]
        elif place is None:
            merged.append(copy_json(item))
        else:
            merged[place] = strategic_patch(merged[place], item)
    return merged


def json_patch(target: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902 without move and copy, which no client of the lab sends."""
    document = {"": copy_json(target)}
    for operation in operations:
        parts = ["", *_pointer(operation["path"])]
        holder: Any = document
        for part in parts[:-1]:
            holder = holder[_place(holder, part)]
        _operate(holder, parts[-1], operation)
    return document[""]


def _pointer(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _place(holder: Any, part: str) -> Any:
    place: Any = int(part) if isinstance(holder, list) and part.isdecimal() else part
    missing = place >= len(holder) if isinstance(holder, list) and isinstance(place, int) else place not in holder
    if missing:
        raise BadPatchError(f"the patch names `{part}`, which the object does not have; read the object again")
    return place


def _operate(holder: Any, part: str, operation: dict[str, Any]) -> None:
    match operation["op"]:
        case "add" if isinstance(holder, list):
            holder.insert(len(holder) if part == "-" else int(part), copy_json(operation["value"]))
        case "add":
            holder[part] = copy_json(operation["value"])
        case "replace":
            holder[_place(holder, part)] = copy_json(operation["value"])
        case "remove":
            del holder[_place(holder, part)]
        case "test":
            if holder[_place(holder, part)] != operation["value"]:
                raise BadPatchError(f"the test of `{operation['path']}` failed; read the object again")
        case other:
            raise BadPatchError(f"the operation `{other}` is not known; use add, replace, remove or test")
