"""Worker processes over machines that are files in a folder, with a Redis of their own to break."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from cluster.events import Happened
from cluster.operation import OperationState, RowState
from cluster.procedure import itinerary
from cluster.store import Store
from lab.redis import RedisServer
from tests.engine_fixture import CLUSTER, approve, record
from tests.engine_worker import REMOTE, SMALL
from tests.engine_yard import wait_until

OP = "op-1"
ROOT = Path(__file__).parents[1]


@dataclass
class Plant:
    """A Redis, a folder that is the machines, and workers."""

    redis: RedisServer
    folder: Path
    store: Store
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def worker(self, **environment: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"worker-{len(self.workers)}.log").open("wb")
        given = {**os.environ, "REDIS_URL": self.redis.url, "ENGINE_FOLDER": str(self.folder), **environment}
        command = [sys.executable, "-m", "tests.engine_worker"]
        with log:
            process = subprocess.Popen(command, cwd=ROOT, env=given, stdout=log, stderr=log)
        self.workers.append(process)
        return process

    def attempts(self) -> list[str]:
        return sorted(p.name for p in self.folder.iterdir() if p.name.startswith(OP))

    def drivers(self) -> list[tuple[int, int]]:
        """Child and worker of every drive, in order."""
        file = self.folder / "drivers"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [(int(a), int(b)) for a, b in (line.split() for line in lines)]

    def wait_for_end(self) -> None:
        wait_until(lambda: self.store.operation(OP).state is OperationState.COMPLETED, self.logs())

    def check_history(self) -> None:
        """Each remote step has one attempt, each attempt one start and one end; state and events agree."""
        count = sum(1 for n in SMALL.nodes for s in _steps(n.name) if s in REMOTE)
        assert len(self.attempts()) == count
        told = [e for _, e in self.store.events(OP)]
        ends = Counter((e.node, e.step) for e in told if e.kind is Happened.STEP_FINISHED)
        assert set(ends.values()) == {1}
        assert sum(ends.values()) == sum(len(_steps(n.name)) for n in SMALL.nodes)
        assert self.store.lock_holder(CLUSTER) is None

    def logs(self) -> str:
        return "\n".join(p.read_text(errors="replace")[-2000:] for p in self.folder.glob("worker-*.log"))


def _steps(node: str) -> list[str]:
    found = SMALL.node(node)
    return [] if found is None else [s.verb for s in itinerary(SMALL, found)]


@contextmanager
def running_plant() -> Iterator[Plant]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="lk-")))
        redis = stack.enter_context(RedisServer.start(folder / "redis"))
        store = Store.connect(redis.url)
        stack.callback(store.close)
        yield stack.enter_context(plant_on(redis, folder, store))


@contextmanager
def plant_on(redis: RedisServer, folder: Path, store: Store) -> Iterator[Plant]:
    """On a Redis that others use too."""
    plant = Plant(redis, folder, store)
    try:
        yield plant
    finally:
        for child, parent in plant.drivers():
            _kill_driver(child, parent)
        for process in plant.workers:
            process.kill()
            process.wait()


def _kill_driver(child: int, parent: int) -> None:
    """Only if it still is one of ours: a process id may have been given to another meanwhile."""
    with suppress(FileNotFoundError, ProcessLookupError):  # it may end by itself at any moment
        if b"tests.engine_worker" in Path(f"/proc/{child}/cmdline").read_bytes() and parent:
            os.kill(child, signal.SIGKILL)


def begin(plant: Plant) -> None:
    approve(plant.store, record(SMALL), OP)


def in_hand(plant: Plant, attempts: int = 1) -> None:
    """Until a remote command runs."""
    wait_until(
        lambda: (
            len(plant.attempts()) >= attempts
            and any(r.state is RowState.STARTED for r in plant.store.operation(OP).rows)
        ),
        "no remote command was started",
    )
