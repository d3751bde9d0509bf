"""
How long nobody drives: after a SIGKILL of the whole worker, and at a SIGTERM; `python -m tests.torture.handover TIMES`.

One run on one installation, struck again and again; what is left of it must come to its end like any other.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable

from redis import Redis
from rq import Worker

from lab.chaos import worker_of
from lab.parts import kill_tree
from tests.torture.plant import Plant, plant

TIMES = 4
PATIENCE = 60.0  # seconds; only a hang reaches it


def measure(made: Plant, strike: Callable[[int], object]) -> float | None:
    """Seconds from the strike at the driver until the next one drives; None where the run is over."""
    await_workers(made)
    old = await_driver(made, "")
    pid = worker_of(made.rig, old)
    if pid is None:
        return None
    began = time.monotonic()
    strike(pid)
    await_driver(made, old)
    return None if _is_over(made) else time.monotonic() - began


def await_driver(made: Plant, other_than: str) -> str:
    """The owner of the lease, once it is another one; "" where the run is over."""
    deadline = time.monotonic() + PATIENCE
    while not _is_over(made):
        owner = made.rig.store.lease_owner(made.operation_id)
        if owner and owner != other_than:
            return owner
        assert time.monotonic() < deadline, f"nobody drives\n{made.logs()}"
        time.sleep(0.002)
    return ""


def await_workers(made: Plant) -> None:
    """Until every worker has come up again: one that only starts could not take over, as no rollout has it."""
    deadline = time.monotonic() + PATIENCE
    with Redis.from_url(made.rig.redis.url) as client:
        while True:
            wanted = {p.process.pid for p in made.rig.workers if p.process is not None and p.process.poll() is None}
            if len(wanted) == len(made.rig.workers) and wanted <= {w.pid for w in Worker.all(connection=client)}:
                return
            assert time.monotonic() < deadline, f"a worker does not come up\n{made.logs()}"
            time.sleep(0.05)


def _is_over(made: Plant) -> bool:
    operation = made.operation()
    return operation is not None and operation.ended


def terminate(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)


def run(times: int) -> dict[str, object]:
    killed, ended = [], []
    with plant() as made:
        made.approve()
        for _ in range(times):
            ended.append(measure(made, terminate))
            killed.append(measure(made, kill_tree))
        operation = made.follow()
        wrong = made.judge()
        if operation.state.value != "completed":
            wrong.append(f"the run ended as {operation.state}: {operation.reason}")
    return {
        "killed": [pause for pause in killed if pause],
        "handed": [pause for pause in ended if pause],
        "wrong": wrong,
    }


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else TIMES
    sys.stdout.write(json.dumps(run(times)) + "\n")


if __name__ == "__main__":
    main()
