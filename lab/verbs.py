"""What each REST verb does to the lab's objects; HTTP itself is in apiserver.py."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.defaults import complete
from lab.eviction import evict
from lab.objects import ObjectStore
from lab.patches import BadPatchError, copy_object, json_patch, merge_patch, strategic_patch
from lab.podsecurity import admit_pod
from lab.protobuf import MAGIC, read_protobuf
from lab.resources import BY_KIND, Resource
from lab.statuses import (
    Refusal,
    already_exists,
    bad_request,
    deleted,
    no_such_resource,
    not_found,
    stale,
    terminating,
    unsupported,
    wrong_uid,
)

SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # the letters of generated names: no vowels, no look-alikes


@dataclass(frozen=True, slots=True)
class Call:
    """One request for a resource, parsed."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""
    body: Any = None

    @property
    def dry(self) -> bool:
        """Whether nothing may be kept."""
        return self.query.get("dryRun") == "All" or (isinstance(self.body, dict) and self.body.get("dryRun") == ["All"])


def random_suffix(length: int = 5) -> str:
    """The tail of a generated name."""
    return "".join(random.choices(SUFFIX, k=length))


def get(store: ObjectStore, call: Call) -> tuple[int, dict[str, Any]]:
    """GET of one object."""
    return 200, _held(store, call)


def create(store: ObjectStore, call: Call) -> tuple[int, dict[str, Any]]:
    """POST to a collection, or an eviction."""
    if call.subresource == "eviction":
        return evict(store, call.namespace, call.name, _document(call), dry=call.dry)
    if call.subresource or call.name:
        raise no_such_resource()
    obj = copy_object(_document(call))
    meta = obj.setdefault("metadata", {})
    if not meta.get("name"):
        if not meta.get("generateName"):
            raise bad_request("name or generateName is required")
        meta["name"] = meta["generateName"] + random_suffix()
    if call.resource.namespaced:
        _admit(store, call, obj)
    obj["kind"] = call.resource.kind
    if store.peek(call.resource.kind, meta["name"], call.namespace) is not None:
        raise already_exists(call.resource, meta["name"])
    for key in ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"):
        meta.pop(key, None)
    complete(obj)
    return 201, (_preview(obj) if call.dry else store.put(obj))


def update(store: ObjectStore, call: Call) -> tuple[int, dict[str, Any]]:
    """PUT of an object or of its status."""
    before = _held(store, call)
    obj = copy_object(_document(call))
    meta = obj.setdefault("metadata", {})
    if meta.get("name", call.name) != call.name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({call.name})")
    return 200, _replace(store, call, before, obj)


def patch(store: ObjectStore, call: Call) -> tuple[int, dict[str, Any]]:
    """PATCH in one of three content types."""
    before = _held(store, call)
    try:
        after = _patched(before, call)
    except (BadPatchError, KeyError, IndexError, TypeError, ValueError) as error:
        raise Refusal(
            422, f"the server rejected our request due to an error in our request: {error}", "Invalid", {}
        ) from error
    return 200, _replace(store, call, before, after)


def _patched(before: dict[str, Any], call: Call) -> Any:
    appliers: dict[str, Callable[[Any, Any], Any]] = {
        "application/merge-patch+json": merge_patch,
        "application/strategic-merge-patch+json": strategic_patch,
        "application/json-patch+json": json_patch,
    }
    applier = appliers.get(call.content_type)
    if applier is None:
        raise unsupported(", ".join(appliers))
    return applier(before, call.body)


def delete(store: ObjectStore, call: Call) -> tuple[int, dict[str, Any]]:
    """DELETE of one object; pods end gracefully."""
    held = _held(store, call)
    options: dict[str, Any] = call.body if isinstance(call.body, dict) else {}
    check_preconditions(call.resource, held, options)
    uid = held["metadata"]["uid"]
    if call.resource.kind == "Pod":
        grace = options.get("gracePeriodSeconds")
        if grace is None and "gracePeriodSeconds" in call.query:
            grace = int(call.query["gracePeriodSeconds"])
        if not call.dry:
            store.terminate(call.name, call.namespace, grace)
        return 200, store.get("Pod", call.name, call.namespace) or held
    if call.resource.kind == "Namespace":
        if not call.dry:
            held = store.merge("Namespace", call.name, "", {"status": {"phase": "Terminating"}})
        return 200, held
    if not call.dry:
        store.delete(call.resource.kind, call.name, call.namespace)
    return 200, deleted(call.resource, call.name, uid)


def check_preconditions(resource: Resource, held: dict[str, Any], options: Mapping[str, Any]) -> None:
    """`deleteOptions.preconditions`: the uid and the version that the caller means."""
    meta = held["metadata"]
    wanted = options.get("preconditions") or {}
    if wanted.get("uid") and wanted["uid"] != meta["uid"]:
        raise wrong_uid(resource, meta["name"], wanted["uid"], meta["uid"])
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != meta["resourceVersion"]:
        raise stale(resource, meta["name"])


def _held(store: ObjectStore, call: Call) -> dict[str, Any]:
    if call.subresource not in ("", *call.resource.subresources):
        raise no_such_resource()
    held = store.get(call.resource.kind, call.name, call.namespace)
    if held is None:
        raise not_found(call.resource, call.name)
    return held


def _document(call: Call) -> dict[str, Any]:
    if not isinstance(call.body, dict):
        raise bad_request("the body of the request must be one JSON object")
    return call.body


def _admit(store: ObjectStore, call: Call, obj: dict[str, Any]) -> None:
    meta = obj["metadata"]
    if meta.setdefault("namespace", call.namespace) != call.namespace:
        raise bad_request(
            f"the namespace of the provided object does not match the namespace sent on the request: {call.namespace}"
        )
    namespace = store.peek("Namespace", call.namespace)
    if namespace is None:
        raise not_found(BY_KIND["Namespace"], call.namespace)
    if namespace.get("status", {}).get("phase") == "Terminating":
        raise terminating(call.resource, meta["name"], call.namespace)
    if call.resource.kind == "Pod":
        admit_pod(namespace, obj)


def _replace(store: ObjectStore, call: Call, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Keep the change: the status only through /status, everything else only without it."""
    meta = after.setdefault("metadata", {})
    version = meta.get("resourceVersion")
    if version and version != before["metadata"]["resourceVersion"]:
        raise stale(call.resource, call.name)
    if meta.get("uid") and meta["uid"] != before["metadata"]["uid"]:
        raise wrong_uid(call.resource, call.name, meta["uid"], before["metadata"]["uid"])
    if call.subresource == "status":
        after = before | {"status": after.get("status", {})}
    elif "status" in call.resource.subresources:
        after = {key: value for key, value in after.items() if key != "status"}
        if "status" in before:
            after["status"] = before["status"]
    after["kind"] = call.resource.kind
    after["metadata"]["name"] = call.name
    if call.resource.namespaced:
        after["metadata"]["namespace"] = call.namespace
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if key in before["metadata"]:
            after["metadata"][key] = before["metadata"][key]
    return _preview(after) if call.dry else store.put(after)


def _preview(obj: dict[str, Any]) -> dict[str, Any]:
    """What a dry run answers: as if it had been kept."""
    shown = copy_object(obj)
    shown["apiVersion"] = BY_KIND[obj["kind"]].api_version
    shown["metadata"].setdefault("uid", "00000000-0000-0000-0000-" + "".join(random.choices(string.digits, k=12)))
    return shown


def read_body(raw: bytes, content_type: str = "application/json") -> Any:
    """What a request carries, or None; protobuf of a kind that is not known here is answered with 415."""
    if not raw.strip():
        return None
    if raw.startswith(MAGIC):
        try:
            return read_protobuf(raw)
        except ValueError as error:
            raise unsupported("application/json") from error
    if not content_type.endswith(("json", "octet-stream")):
        raise unsupported("application/json")
    try:
        return json.loads(raw)
    except ValueError as error:
        raise bad_request(f"the body of the request is not JSON: {error}") from error
