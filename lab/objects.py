"""The lab's etcd: objects by kind, namespace and name, with resource versions and a change log to watch."""

from __future__ import annotations

import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lab.clock import stamp
from lab.patches import copy_object, merge_patch
from lab.resources import BY_KIND

LOG_LENGTH = 8000  # changes that a watch can still be resumed over
SNAPSHOTS = 64  # lists that a continue token can still page through

# The API server counts generations only for kinds whose spec a controller follows.
COUNTED = frozenset({"Pod", "Deployment", "DaemonSet", "ReplicaSet", "StatefulSet", "Job", "PodDisruptionBudget"})

Key = tuple[str, str]
Rows = list[dict[str, Any]]  # the store has a method of the name `list`


@dataclass(frozen=True, slots=True)
class Change:
    """One write: `before` is None for a creation, `after` for a deletion."""

    version: int
    kind: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


Changes = list[Change]


class ObjectStore:
    """Objects go in and come out as copies; what is inside is replaced, never changed in place."""

    def __init__(self) -> None:
        self.version = 100
        self.log: deque[Change] = deque(maxlen=LOG_LENGTH)
        self.compacted = self.version
        self._objects: dict[str, dict[Key, dict[str, Any]]] = {kind: {} for kind in BY_KIND}
        self._subscribers: list[Callable[[Change], None]] = []
        self._snapshots: OrderedDict[int, Rows] = OrderedDict()

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """A copy of the object, if there is one."""
        found = self.peek(kind, name, namespace)
        return None if found is None else copy_object(found)

    def peek(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """The stored object itself: only to read."""
        return self._objects[kind].get((namespace, name))

    def list(self, kind: str, namespace: str | None = None) -> Rows:
        """Copies, ordered by namespace and name; None means every namespace."""
        return [copy_object(found) for found in self.each(kind, namespace)]

    def each(self, kind: str, namespace: str | None = None) -> Iterator[dict[str, Any]]:
        """The stored objects themselves: only to read."""
        held = self._objects[kind]
        for key in sorted(held):
            if (namespace is None or key[0] == namespace) and key in held:
                yield held[key]

    def put(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Create the object or replace it; an equal one is no write."""
        fresh = copy_object(obj)
        kind = fresh["kind"]
        resource = BY_KIND[kind]
        meta = fresh.setdefault("metadata", {})
        fresh["apiVersion"] = resource.api_version
        if not resource.namespaced:
            meta.pop("namespace", None)
        key = (meta.get("namespace", ""), meta["name"])
        before = self._objects[kind].get(key)
        _carry(before, fresh)
        if before is not None and before == fresh:
            return copy_object(before)
        self._write(kind, key, before, fresh)
        return copy_object(fresh)

    def merge(self, kind: str, name: str, namespace: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Apply a JSON merge patch; the object must be there."""
        before = self.peek(kind, name, namespace)
        if before is None:
            raise KeyError(f"{kind} {namespace}/{name} is not in the lab's store; create it before patching it")
        return self.put(merge_patch(before, patch))

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        """Remove the object at once, with all that it owns; absence is fine."""
        before = self._objects[kind].get((namespace, name))
        if before is None:
            return
        self._write(kind, (namespace, name), before, None)
        self._collect(before["metadata"]["uid"])

    def subscribe(self, follower: Callable[[Change], None]) -> Callable[[], None]:
        """Call the follower at every change, until the returned function is called."""
        self._subscribers.append(follower)
        return lambda: self._subscribers.remove(follower) if follower in self._subscribers else None

    def since(self, version: int) -> Changes | None:
        """The changes after that version; None when they are no longer known."""
        if version < self.compacted or (self.log and len(self.log) == LOG_LENGTH and version < self.log[0].version - 1):
            return None
        return [change for change in self.log if change.version > version]

    def snapshot(self, rest: Rows) -> int:
        """Remember a list for paging; the number goes into the continue token."""
        self.version += 1
        self._snapshots[self.version] = rest
        while len(self._snapshots) > SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return self.version

    def recall(self, number: int) -> Rows | None:
        """The remembered list, unless it was compacted away."""
        return self._snapshots.get(number)

    def compact(self) -> None:
        """Forget the past: continue tokens and old watches expire with 410, as after etcd's compaction."""
        self._snapshots.clear()
        self.log.clear()
        self.compacted = self.version

    def _write(self, kind: str, key: Key, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
        self.version += 1
        if after is None:
            del self._objects[kind][key]
        else:
            after["metadata"]["resourceVersion"] = str(self.version)
            self._objects[kind][key] = after
        change = Change(self.version, kind, before, after)
        self.log.append(change)
        for follower in tuple(self._subscribers):
            follower(change)

    def _collect(self, owner: str) -> None:
        """Garbage collection: what the deleted object controlled goes too, pods with a graceful end."""
        for kind in ("Pod", "ReplicaSet", "Job"):
            for owned in tuple(self.each(kind)):
                meta = owned["metadata"]
                if not any(reference["uid"] == owner for reference in meta.get("ownerReferences", ())):
                    continue
                if kind == "Pod" and owned["spec"].get("nodeName"):
                    self.terminate(meta["name"], meta["namespace"], None)
                else:
                    self.delete(kind, meta["name"], meta.get("namespace", ""))

    def terminate(self, name: str, namespace: str, grace: int | None) -> None:
        """Begin a pod's graceful end; its node agent finishes it. An unscheduled pod goes at once."""
        pod = self.get("Pod", name, namespace)
        if pod is None:
            return
        seconds = pod["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else grace
        mirror = "kubernetes.io/config.mirror" in pod["metadata"].get("annotations", {})
        if seconds <= 0 or mirror or not pod["spec"].get("nodeName"):
            self.delete("Pod", name, namespace)
        elif "deletionTimestamp" not in pod["metadata"]:
            pod["metadata"] |= {"deletionTimestamp": stamp(), "deletionGracePeriodSeconds": seconds}
            self.put(pod)


def _carry(before: dict[str, Any] | None, fresh: dict[str, Any]) -> None:
    """What only the server writes: uid, creation time, version and generation."""
    meta = fresh["metadata"]
    if before is None:
        meta["uid"] = meta.get("uid") or str(uuid.uuid4())
        meta.setdefault("creationTimestamp", stamp())
        if fresh["kind"] in COUNTED:
            meta["generation"] = 1
        return
    old = before["metadata"]
    meta |= {"uid": old["uid"], "creationTimestamp": old["creationTimestamp"]}
    meta["resourceVersion"] = old["resourceVersion"]
    if "generation" in old:
        moved = before.get("spec") != fresh.get("spec")
        meta["generation"] = old["generation"] + 1 if moved else old["generation"]
