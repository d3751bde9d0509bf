"""The API-facing half of a kubelet: registers the node, renews its lease, and lives its pods' lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from lab import podlife
from lab.clock import LabClock, micro_stamp
from lab.mirror import STATIC_PODS, mirror_pod
from lab.nodeobject import image_list, ready_conditions, register
from lab.objects import Change, ObjectStore

# Lab seconds, from the recordings and from kubelet's defaults.
LEASE_PERIOD = 10.0
RESTART_TO_REPORT = 0.3
POD_START = 1.0
POD_STOP = 1.0  # an app that ends at SIGTERM
WRITE_RETRY = 0.5  # between tries while no API server answers


class NodeAgent:
    """One per machine; it reads and writes the store only while some API server is reachable."""

    def __init__(
        self,
        store: ObjectStore,
        clock: LabClock,
        node_name: str,
        kubelet_version: str,
        roles: Collection[str] = (),
        *,
        address: str = "127.0.0.1",
        labels: dict[str, str] | None = None,
        reachable: Callable[[], bool] = lambda: True,
    ) -> None:
        self.store = store
        self.clock = clock
        self.node_name = node_name
        self.version = kubelet_version
        self.roles = tuple(roles)
        self.address = address
        self.reachable = reachable
        self.running = False
        self.images: Collection[str] = ()  # what the machine has pulled; the owner may hand in a set that grows
        self.trouble: tuple[str, str] | None = None  # why no pod starts here: a waiting reason and its message
        self._manifests: dict[str, dict[str, Any]] = {}
        self._static_due: set[str] = set()
        self._mirroring = False
        self._loop: asyncio.Task[None] | None = None
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._forget: Callable[[], None] = lambda: None
        self._labels = labels or {}
        self._register()

    def start(self) -> None:
        """Begin to run: leases, pods, and a fresh Ready condition."""
        if self.running:
            return
        self.running = True
        self._forget = self.store.subscribe(self._notice)
        self._loop = asyncio.ensure_future(self._live())

    def stop(self) -> None:
        """The kubelet ends: its containers go on, but nobody reports or ends them."""
        self.running = False
        self._forget()
        if self._loop is not None:
            self._loop.cancel()
        for life in self._lives.values():
            life.cancel()
        self._lives.clear()

    async def close(self) -> None:
        """Stop, and wait until nothing of it is left in the loop."""
        tasks = [task for task in (self._loop, *self._lives.values()) if task is not None]
        self.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def restart(self, version: str) -> None:
        """Come back as that version; the API shows it a moment later, and a fresh lease after it."""
        self.stop()
        await self.clock.sleep(RESTART_TO_REPORT)
        self.version = version
        self.start()

    def set_static_pod(self, component: str, manifest: dict[str, Any] | None) -> None:
        """Put, replace or remove the mirror pod of a static pod, as soon as the API can be written."""
        if manifest is None:
            self._manifests.pop(component, None)
        else:
            self._manifests[component] = manifest
        self._static_due.add(component)
        self._mirror()

    async def _live(self) -> None:
        """Report first, then renew for ever."""
        while not self.reachable():
            await self.clock.sleep(WRITE_RETRY)
        self._report()
        self._mirror()
        for pod in self.store.list("Pod"):
            self._tend(pod)
        while True:
            if self.reachable():
                self._renew()
                self._mirror()
                self._list_images()
                await self.clock.sleep(LEASE_PERIOD)
            else:
                await self.clock.sleep(WRITE_RETRY)

    def _report(self) -> None:
        node = self.store.get("Node", self.node_name)
        if node is None:
            node = self._register()
        node["status"]["nodeInfo"]["kubeletVersion"] = self.version
        node["status"]["conditions"] = ready_conditions(node["status"].get("conditions", []))
        node["status"]["images"] = image_list(self.images)
        self.store.put(node)

    def _list_images(self) -> None:
        """The node's image list, when it changed."""
        node = self.store.peek("Node", self.node_name)
        listed = image_list(self.images)
        if node is not None and node["status"].get("images") != listed:
            self.store.merge("Node", self.node_name, "", {"status": {"images": listed}})

    def _register(self) -> dict[str, Any]:
        return register(
            self.store,
            self.node_name,
            self.version,
            roles=self.roles,
            address=self.address,
            labels=self._labels,
        )

    def _renew(self) -> None:
        node = self.store.peek("Node", self.node_name)
        uid = node["metadata"]["uid"] if node else ""
        owner = {"apiVersion": "v1", "kind": "Node", "name": self.node_name, "uid": uid}
        held = self.store.get("Lease", self.node_name, "kube-node-lease")
        lease = held or {
            "kind": "Lease",
            "metadata": {"name": self.node_name, "namespace": "kube-node-lease", "ownerReferences": [owner]},
            "spec": {"holderIdentity": self.node_name, "leaseDurationSeconds": 40},
        }
        lease["spec"]["renewTime"] = micro_stamp()
        self.store.put(lease)

    def _mirror(self) -> None:
        """Bring the mirror pods that changed up to date."""
        node = self.store.peek("Node", self.node_name)
        if not self.running or not self.reachable() or node is None:
            return
        self._mirroring = True
        for component in sorted(self._static_due):
            manifest = self._manifests.get(component)
            name = f"{component}-{self.node_name}"
            self.store.delete("Pod", name, STATIC_PODS)
            if manifest is not None:
                self.store.put(mirror_pod(node, component, manifest, self.address))
        self._mirroring = False
        self._static_due.clear()

    def _notice(self, change: Change) -> None:
        if change.kind != "Pod":
            return
        if change.after is not None:
            self._tend(change.after)
        elif not self._mirroring and change.before is not None:
            self._restore(change.before["metadata"])

    def _restore(self, meta: dict[str, Any]) -> None:
        """A mirror pod that somebody else deleted is put back: the static pod never went away."""
        component = meta["name"].removesuffix(f"-{self.node_name}")
        if component in self._manifests and meta["namespace"] == STATIC_PODS:
            self._static_due.add(component)
            self._begin(f"{meta['uid']}/restore", self._mirror_again())

    async def _mirror_again(self) -> None:
        await self.clock.sleep(POD_STOP)
        self._mirror()

    def _tend(self, pod: dict[str, Any]) -> None:
        """Start, finish or end a pod of this node, unless that is under way."""
        if pod["spec"].get("nodeName") != self.node_name:
            return
        uid = pod["metadata"]["uid"]
        if "deletionTimestamp" in pod["metadata"]:
            self._begin(f"{uid}/end", self._end(pod))
        elif pod["status"].get("phase") == "Pending":
            self._begin(f"{uid}/start", self._run(pod))

    def _begin(self, key: str, life: Any) -> None:
        if key in self._lives:
            life.close()
            return
        task = asyncio.ensure_future(life)
        self._lives[key] = task
        task.add_done_callback(lambda done: self._lives.pop(key) if self._lives.get(key) is done else None)

    async def _run(self, pod: dict[str, Any]) -> None:
        await self.clock.sleep(POD_START)
        await self._until_reachable()
        held = self._same(pod)
        if held is not None and self.trouble is not None:
            self.store.put(podlife.waiting(held, *self.trouble))
            await self._until_well()
            held = self._same(pod)
        if held is None:
            return
        self.store.put(podlife.running(held, podlife.pod_address(held, self.address), self.address))
        if podlife.ends_by_itself(held):
            await self.clock.sleep(POD_STOP)
            await self._until_reachable()
            held = self._same(pod)
            if held is not None:
                self.store.put(podlife.succeeded(held))

    async def _end(self, pod: dict[str, Any]) -> None:
        grace = pod["metadata"].get("deletionGracePeriodSeconds", 30)
        await self.clock.sleep(min(grace, podlife.stop_seconds(pod, POD_STOP)))
        await self._until_reachable()
        meta = pod["metadata"]
        held = self.store.peek("Pod", meta["name"], meta["namespace"])
        if held is not None and held["metadata"]["uid"] == meta["uid"]:
            self.store.delete("Pod", meta["name"], meta["namespace"])

    def _same(self, pod: dict[str, Any]) -> dict[str, Any] | None:
        """The pod as it is now, unless it is gone, replaced or ending."""
        held = self.store.get("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
        if held is None or held["metadata"]["uid"] != pod["metadata"]["uid"]:
            return None
        return None if "deletionTimestamp" in held["metadata"] else held

    async def _until_well(self) -> None:
        while self.trouble is not None:
            await self.clock.sleep(POD_START)
        await self._until_reachable()

    async def _until_reachable(self) -> None:
        while not self.reachable():
            await self.clock.sleep(WRITE_RETRY)
