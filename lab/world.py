"""The lab as tests and the demo hold it: a cluster and its machines in a thread, with a plain synchronous face."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

from lab.clock import LabClock
from lab.cluster import Cluster
from lab.machines import Machine
from lab.scenarios import SCENARIOS, Scenario
from lab.site import POOL, POOL_LABEL, Site, script_path
from lab.sshd import USER
from lab.toolbox import ExecRecord
from lab.views import Json, list_machines, take_snapshot

MAX_UNAVAILABLE = 2
T = TypeVar("T")


class World:
    """One running lab; see `World.start`."""

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self._site = site
        self._loop = loop
        self.kubeconfig = site.directory / "admin.kubeconfig"

    @classmethod
    @contextmanager
    def start(
        cls, scenario: str | Scenario = "healthy", speed: float = 50, directory: Path | None = None
    ) -> Iterator[World]:
        """Run a scenario until the block ends; then nothing of it is left but the directory, if one was given."""
        chosen = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
        folder = directory or Path(tempfile.mkdtemp(prefix="lab-world-"))
        with _loop_in_thread() as loop:

            async def build() -> Site:
                site = Site(chosen, LabClock(speed), folder.resolve())
                try:
                    await site.open()
                except BaseException:
                    await site.close()
                    raise
                return site

            site = asyncio.run_coroutine_threadsafe(build(), loop).result()
            try:
                world = cls(site, loop)
                world.call(lambda: site.cluster.write_admin_kubeconfig(world.kubeconfig))
                yield world
            finally:
                asyncio.run_coroutine_threadsafe(site.close(), loop).result()
                if directory is None:
                    shutil.rmtree(folder, ignore_errors=True)

    @overload
    def call(self, action: Callable[[], Coroutine[Any, Any, T]]) -> T: ...
    @overload
    def call(self, action: Callable[[], T]) -> T: ...
    def call(self, action: Callable[[], Any]) -> Any:
        """Run something inside the lab's own thread, and wait for what it returns."""

        async def run() -> Any:
            answer = action()
            return await answer if inspect.isawaitable(answer) else answer

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    @property
    def scenario(self) -> Scenario:
        return self._site.scenario

    @property
    def clock(self) -> LabClock:
        return self._site.clock

    @property
    def cluster(self) -> Cluster:
        return self._site.cluster

    @property
    def machines(self) -> dict[str, Machine]:
        return self._site.machines

    @property
    def site(self) -> Site:
        """The whole inside, for faults that have no name here; touch it by `call`."""
        return self._site

    def config(self) -> dict[str, Any]:
        """The `clusters:` part of lockkeeper.yaml for this lab."""
        return {"clusters": {self.scenario.cluster: self.settings()}}

    def settings(self) -> dict[str, Any]:
        """What lockkeeper.yaml says of this one cluster."""
        machines = {
            name: {
                "address": "127.0.0.1",
                "port": machine.ssh.port,
                "user": USER,
                "key_file": str(self._site.key_file),
                "host_key": machine.ssh.fingerprint,
                "node_script": script_path(machine),
            }
            for name, machine in self.machines.items()
            if machine.ssh is not None and name not in self.scenario.unlisted
        }
        pools = {POOL: {"selector": f"{POOL_LABEL}={POOL}", "max_unavailable": MAX_UNAVAILABLE}}
        return {"kubeconfig": str(self.kubeconfig), "machines": machines, "pools": pools, **self.scenario.rules}

    # ---- what there is to see

    def exec_log(self) -> list[ExecRecord]:
        """Every tool that ran on a machine, and every transient unit that was started or refused."""
        return self.call(lambda: list(self._site.log.records))

    def snapshot(self) -> dict[str, Json]:
        """Versions, cordons, holds and pods by node."""
        return self.call(lambda: take_snapshot(self._site))

    def view(self) -> list[Json]:
        """The same for the page beside the lab's Slack."""
        return self.call(lambda: list_machines(self._site))

    # ---- what can go wrong, or be put right

    def cordon(self, name: str, *, cordoned: bool = True) -> None:
        """Somebody else's cordon."""
        self.call(lambda: self.cluster.store.merge("Node", name, "", {"spec": {"unschedulable": cordoned or None}}))

    def lift_budget(self) -> None:
        """Let the application of `pdb-blocked` be evicted."""
        name = self.scenario.blocked_app
        self.call(lambda: self.cluster.store.merge("PodDisruptionBudget", name, "demo", {"spec": {"minAvailable": 0}}))

    def cut_ssh(self, *names: str) -> int:
        """Drop every SSH connection, or those of some machines; returns how many there were."""
        chosen = [m for n, m in self.machines.items() if not names or n in names]
        return self.call(lambda: sum(m.ssh.cut() for m in chosen if m.ssh is not None))

    def blackhole_ssh(self, name: str, *, silent: bool = True) -> None:
        """Swallow every packet of a machine's SSH, or stop doing so."""
        ssh = self.machines[name].ssh
        if ssh is not None:
            self.call(lambda: ssh.blackhole(silent=silent))

    def change_host_key(self, name: str) -> None:
        """The machine answers with another host key from now on."""
        ssh = self.machines[name].ssh
        if ssh is not None:
            self.call(ssh.change_host_key)

    def reboot(self, name: str) -> None:
        """Power off and on again; returns when the machine is back."""
        self.call(self.machines[name].reboot)


@contextmanager
def _loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="lab", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_drain(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _drain() -> None:
    """Cancel what is left, so that nothing is destroyed while it is pending."""
    own = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not own]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()
