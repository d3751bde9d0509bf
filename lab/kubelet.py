"""The machine's half of a kubelet: it watches the manifests folder, and static pods take the time they take."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from lab.apiserver import ApiServer, Availability
from lab.nodeagent import NodeAgent
from lab.staticpods import COMPONENTS, Seat, flag_of, image_of, tag_of

if TYPE_CHECKING:
    from lab.machines import Machine

POLL = 1.0  # lab seconds between two looks into the folder
LEAST_POLL = 0.05  # real seconds: a very fast lab need not look more often

# As recorded while one control plane was upgraded, in seconds.
ETCD_GRACE = 78.0  # from the new manifest until the old etcd stops
ETCD_AWAY = 30.0  # the API server answers 500 meanwhile
APISERVER_AWAY = 38.5  # connection refused
APISERVER_WARM = 2.5  # 500 again, until its caches are full
OTHERS_AWAY = 14.0
BOOT = 20.0


class Kubelet:
    """Static pods and the node's agent of one machine."""

    def __init__(self, machine: Machine, agent: NodeAgent, server: ApiServer | None, seat: Seat) -> None:
        self.machine = machine
        self.agent = agent
        self.server = server
        self.seat = seat
        self.running: dict[str, str] = {}  # component → image
        self._applied: dict[str, str] = {}
        self._read: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._paths = {component: str(self._folder() / f"{component}.yaml") for component in COMPONENTS}
        self._generation: dict[str, int] = {}
        self._moves: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.Task[None] | None = None

    def generation(self, component: str) -> int:
        """Grows each time the component's mirror pod is another one."""
        return self._generation.get(component, 0)

    @property
    def version(self) -> str:
        return self.machine.packages.release("kubelet")

    async def start(self) -> None:
        """Come up with what lies in the folder, at once: the lab's cluster exists already."""
        for component, text in self._manifests().items():
            self._note(component, text)
            if component == "kube-apiserver":
                self._serve_as(text)
        self._loop = asyncio.ensure_future(self._watch())

    def _folder(self) -> Path:
        return self.machine.root / "etc/kubernetes/manifests"

    def _manifests(self) -> dict[str, str]:
        """Asked for dozens of times a second, on every machine: a file that did not change is not read again."""
        found = {}
        for component, path in self._paths.items():
            with contextlib.suppress(FileNotFoundError):
                stat = os.stat(path)  # noqa: PTH116 - a Path's own is several times slower
                mark = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if self._read.get(component, (None, ""))[0] != mark:
                    self._read[component] = (mark, Path(path).read_text(encoding="utf-8"))
                found[component] = self._read[component][1]
        return found

    def _note(self, component: str, text: str | None) -> None:
        """The mirror pod follows what runs."""
        self._generation[component] = self.generation(component) + 1
        if text is None:
            self.running.pop(component, None)
            self._applied.pop(component, None)
            self.agent.set_static_pod(component, None)
        else:
            self.running[component] = image_of(text)
            self._applied[component] = text
            self.agent.set_static_pod(component, yaml.safe_load(text))

    async def _watch(self) -> None:
        pause = max(POLL, LEAST_POLL * self.machine.clock.speed)
        while True:
            await self.machine.clock.sleep(pause)
            found = self._manifests()
            for component in COMPONENTS:
                if component not in self._moves and found.get(component) != self._applied.get(component):
                    self._begin(component, found.get(component))

    def bounce(self, component: str) -> None:
        """Restart a static pod whose manifest stays what it is."""
        if component not in self._moves:
            self._begin(component, self._applied.get(component))

    def _begin(self, component: str, text: str | None) -> None:
        task = asyncio.ensure_future(self._move(component, text))
        self._moves[component] = task
        task.add_done_callback(lambda _: self._moves.pop(component, None))

    async def _move(self, component: str, text: str | None) -> None:
        sleep = self.machine.clock.sleep
        self.machine.units.log(
            "kubelet",
            f'kubelet[138]: I "SyncLoop UPDATE" source="file" pods=["kube-system/{component}-{self.machine.name}"]',
        )
        if component == "etcd":
            await sleep(ETCD_GRACE if text is not None else 2)
            await self._serve(Availability.FAILING)
            if text is None:
                self._note(component, None)
                return
            await sleep(ETCD_AWAY)
        elif component == "kube-apiserver":
            await self._serve(Availability.REFUSED)
            if text is None:
                self._note(component, None)
                return
            await sleep(APISERVER_AWAY)
        else:
            await sleep(OTHERS_AWAY)
        if (
            component in self.machine.faults.manifest_ignored
            and text is not None
            and text != self._applied.get(component)
        ):
            self._applied[component] = text  # tried and crash-looping: nothing new is reported
            return
        if component == "kube-apiserver" and self.server is not None and text is not None:
            self._serve_as(text)
            await self._serve(Availability.FAILING)
            await sleep(APISERVER_WARM)
        if text is not None:
            self.running[component] = image_of(text)
        if component in {"etcd", "kube-apiserver"}:
            await self._serve(Availability.UP)  # first, so that the mirror pod can be written
        self._note(component, text)

    def _serve_as(self, manifest: str) -> None:
        """The API server is what its manifest says."""
        if self.server is not None:
            self.server.version = tag_of(manifest)
            self.server.emulates = flag_of(manifest, "emulated-version")

    async def _serve(self, availability: Availability) -> None:
        """What clients of this machine's API server see; without a server or an etcd it never gets better."""
        if self.server is None:
            return
        if (
            availability is Availability.UP
            and not {"etcd", "kube-apiserver"} & {*self.seat.components} <= self.running.keys()
        ):
            return
        if availability is Availability.FAILING and "kube-apiserver" not in self._manifests():
            return
        await self.server.become(availability)

    async def stop(self) -> None:
        """`systemctl stop kubelet`: containers go on, nothing is reported any more."""
        if self._loop is not None:
            self._loop.cancel()
            self._loop = None
        self.agent.stop()

    async def restart(self) -> None:
        """A new process of the installed version."""
        self.machine.units.log(
            "kubelet", f"systemd[1]: Started kubelet.service - kubelet: The Kubernetes Node Agent. {self.version}"
        )
        if self._loop is None:
            self.agent.start()
            self._loop = asyncio.ensure_future(self._watch())
        await self.agent.restart(self.version)

    async def power_off(self) -> None:
        await self.stop()
        for task in tuple(self._moves.values()):
            task.cancel()
        await self._serve(Availability.REFUSED)

    async def power_on(self) -> None:
        self.agent.start()
        self._loop = asyncio.ensure_future(self._watch())
        await self.agent.restart(self.version)
        await self.machine.clock.sleep(BOOT)
        found = self._manifests()
        for component, text in found.items():
            if self._applied.get(component) != text:
                self._note(component, text)
        if "kube-apiserver" in found:
            self._serve_as(found["kube-apiserver"])
        await self._serve(Availability.UP)

    async def close(self) -> None:
        tasks = [t for t in (*self._moves.values(), self._loop) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
