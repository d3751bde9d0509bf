"""What a run takes of memory while it goes on: read at each quarter of its steps."""

from __future__ import annotations

import gc
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from redis import Redis

from cluster.plan import UpgradePlan
from cluster.procedure import itinerary
from cluster.store import Store

QUARTERS = 4
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """MiB that this process has now, blocks of memory that its objects have, and MB that Redis uses."""

    own: float
    blocks: int  # what was freed may stay with the process: only these tell what is kept
    redis: float


class Gauge(threading.Thread):
    """Samples at the begin of a run and whenever a quarter of all its steps is done; a context manager."""

    def __init__(self, plan: UpgradePlan, operation_id: str, url: str) -> None:
        super().__init__(name="gauge", daemon=True)
        self.samples: list[Sample] = []
        self._operation_id = operation_id
        self._whole = sum(len(itinerary(plan, node)) for node in plan.nodes)
        self._store = Store.connect(url)
        self._client = Redis.from_url(url)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            done = sum(row.position for row in self._store.operation(self._operation_id).rows) / self._whole
            while len(self.samples) <= min(done * QUARTERS, QUARTERS - 1):
                self._take()
            self._over.wait(1.0)

    def _take(self) -> None:
        resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
        gc.collect()
        self.samples.append(
            Sample(resident / 2**20, sys.getallocatedblocks(), self._client.info("memory")["used_memory"] / 1e6)
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self._take()
        self._client.close()
        self._store.close()
