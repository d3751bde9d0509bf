"""The lab's controller manager and scheduler: loops that follow the store, and the node lifecycle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lab.clock import LabClock, stamp
from lab.daemonsets import sync_daemon_sets
from lab.disruption import sync_budgets
from lab.nodeobject import UNREACHABLE, UNSCHEDULABLE, is_node_ready, lost_conditions
from lab.objects import Change, ObjectStore
from lab.patches import copy_object
from lab.scheduling import schedule_pods, tolerates
from lab.workloads import sync_deployments, sync_jobs, sync_replica_sets

SETTLE = 0.1  # lab seconds between a change and the controllers' answer to it
UNREACHABLE_RETRY = 2.0  # lab seconds
MONITOR_PERIOD = 5.0  # lab seconds
# A node is lost when its lease stands still for the grace period of 50 s. Counted in rounds, not on a clock: when the
# machine that runs the lab stalls, leases and rounds stall together, and no node is lost for it.
ROUNDS_TO_LOSS = 10
AWAY_ROUNDS = 60  # tolerationSeconds 300

FOLLOWED = frozenset(
    {"Node", "Pod", "Deployment", "ReplicaSet", "DaemonSet", "Job", "PodDisruptionBudget", "Namespace"}
)
SYNCS: tuple[Callable[[ObjectStore], None], ...] = (
    sync_deployments,
    sync_replica_sets,
    sync_daemon_sets,
    sync_jobs,
    schedule_pods,
    sync_budgets,
)


class Controllers:
    """Runs the syncs after every change, while some API server is reachable."""

    def __init__(self, store: ObjectStore, clock: LabClock, reachable: Callable[[], bool] = lambda: True) -> None:
        self.store = store
        self.clock = clock
        self.reachable = reachable
        self._dirty = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._forget: Callable[[], None] = lambda: None
        self._leases: dict[str, tuple[str, int]] = {}

    def start(self) -> None:
        """Begin to follow the store."""
        self._dirty.set()
        self._forget = self.store.subscribe(self._notice)
        self._tasks = [asyncio.ensure_future(self._follow()), asyncio.ensure_future(self._monitor())]

    def stop(self) -> None:
        """Leave the store alone."""
        self._forget()
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Stop, and wait until nothing of it is left in the loop."""
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _notice(self, change: Change) -> None:
        if change.kind in FOLLOWED:
            self._dirty.set()

    async def _follow(self) -> None:
        while True:
            await self._dirty.wait()
            await self.clock.sleep(SETTLE if self.reachable() else UNREACHABLE_RETRY)
            if not self.reachable():
                continue
            self._dirty.clear()
            self.sync()

    def sync(self) -> None:
        """One round of every controller."""
        taint_cordoned(self.store)
        finish_namespaces(self.store)
        collect_orphans(self.store)
        for one in SYNCS:
            one(self.store)

    async def _monitor(self) -> None:
        while True:
            await self.clock.sleep(MONITOR_PERIOD)
            if self.reachable():
                self._watch_leases()

    def _watch_leases(self) -> None:
        for node in tuple(self.store.each("Node")):
            name = node["metadata"]["name"]
            lease = self.store.peek("Lease", name, "kube-node-lease")
            version = lease["metadata"]["resourceVersion"] if lease else ""
            known, rounds = self._leases.get(name, ("", 0))
            rounds = rounds + 1 if known == version else 0
            self._leases[name] = (version, rounds)
            if rounds >= ROUNDS_TO_LOSS:
                lose(self.store, copy_object(node), rounds - ROUNDS_TO_LOSS)
            elif is_node_ready(node):
                find(self.store, node)


def taint_cordoned(store: ObjectStore) -> None:
    """The unschedulable taint follows the field."""
    for node in tuple(store.each("Node")):
        taints: list[dict[str, Any]] = node["spec"].get("taints", [])
        tainted = any(one["key"] == UNSCHEDULABLE for one in taints)
        cordoned = bool(node["spec"].get("unschedulable"))
        if cordoned and not tainted:
            _put_taints(store, node, [*taints, _taint(UNSCHEDULABLE, "NoSchedule")])
        elif tainted and not cordoned:
            _put_taints(store, node, [one for one in taints if one["key"] != UNSCHEDULABLE])


def lose(store: ObjectStore, node: dict[str, Any], rounds: int) -> None:
    """Mark a silent node, take it from service, and after their tolerations end delete its pods."""
    name = node["metadata"]["name"]
    if any(one["type"] == "Ready" and one["status"] != "Unknown" for one in node["status"]["conditions"]):
        node["status"]["conditions"] = lost_conditions(node["status"]["conditions"])
        others = [one for one in node["spec"].get("taints", []) if one["key"] != UNREACHABLE]
        gone = [_taint(UNREACHABLE, effect) for effect in ("NoSchedule", "NoExecute")]
        _put_taints(store, node, [*others, *gone])
    for pod in store.list("Pod"):
        if pod["spec"].get("nodeName") != name:
            continue
        _unready(store, pod)
        if rounds >= AWAY_ROUNDS and not _stays(pod):
            store.terminate(pod["metadata"]["name"], pod["metadata"]["namespace"], None)


def find(store: ObjectStore, node: dict[str, Any]) -> None:
    """A node that reports again gets its taints taken away and its pods back."""
    taints = node["spec"].get("taints", [])
    if not any(one["key"] == UNREACHABLE for one in taints):
        return
    _put_taints(store, node, [one for one in taints if one["key"] != UNREACHABLE])
    for pod in store.list("Pod"):
        if pod["spec"].get("nodeName") == node["metadata"]["name"] and pod["status"].get("phase") == "Running":
            _set_ready(store, pod, ready=True)


def _unready(store: ObjectStore, pod: dict[str, Any]) -> None:
    if pod["status"].get("phase") == "Running":
        _set_ready(store, pod, ready=False)


def _set_ready(store: ObjectStore, pod: dict[str, Any], *, ready: bool) -> None:
    status = "True" if ready else "False"
    for condition in pod["status"].get("conditions", ()):
        if condition["type"] == "Ready" and condition["status"] != status:
            condition |= {"status": status, "lastTransitionTime": stamp()}
    store.put(pod)


def _stays(pod: dict[str, Any]) -> bool:
    """Tolerates the unreachable taint without an end."""
    endless = [one for one in pod["spec"].get("tolerations", ()) if "tolerationSeconds" not in one]
    return tolerates(endless, {"key": UNREACHABLE, "effect": "NoExecute"})


def collect_orphans(store: ObjectStore) -> None:
    """Pods of a node that is no longer there are removed."""
    nodes = {node["metadata"]["name"] for node in store.each("Node")}
    for pod in tuple(store.each("Pod")):
        if pod["spec"].get("nodeName") and pod["spec"]["nodeName"] not in nodes:
            store.delete("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])


def finish_namespaces(store: ObjectStore) -> None:
    """Empty a namespace that is going away; it goes when nothing is left in it."""
    for namespace in tuple(store.each("Namespace")):
        if namespace.get("status", {}).get("phase") != "Terminating":
            continue
        name = namespace["metadata"]["name"]
        for kind in ("Deployment", "DaemonSet", "Job", "ReplicaSet", "PodDisruptionBudget", "ConfigMap"):
            for held in store.list(kind, name):
                store.delete(kind, held["metadata"]["name"], name)
        pods = store.list("Pod", name)
        for pod in pods:
            store.terminate(pod["metadata"]["name"], name, None)
        if not store.list("Pod", name):
            store.delete("Namespace", name)


def _taint(key: str, effect: str) -> dict[str, Any]:
    return {"effect": effect, "key": key, "timeAdded": stamp()}


def _put_taints(store: ObjectStore, node: dict[str, Any], taints: list[dict[str, Any]]) -> None:
    spec = {key: value for key, value in node["spec"].items() if key != "taints"}
    store.put(node | {"spec": spec | ({"taints": taints} if taints else {})})
