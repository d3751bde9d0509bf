"""The worker process's promises, with real processes: hand over, survive, resume, and run nothing that is not ours."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job

from cluster.events import Happened
from cluster.queues import JobName, Wakeups
from lab.redis import RedisServer
from tests.engine_plant import OP, Plant, begin, in_hand, running_plant
from tests.engine_yard import DEADLINE, wait_until
from tests.redis_fixture import redis_server, redis_url
from tests.redis_states import UNWILLING, unwilling
from workers import jobs
from workers.crashpoints import POINTS, VARIABLE
from workers.process import OpsWorker

__all__ = ["redis_server", "redis_url"]  # pytest finds fixtures by name in this module


@pytest.fixture
def plant() -> Iterator[Plant]:
    with running_plant() as made:
        yield made


def test_every_name_of_a_job_can_be_imported() -> None:
    """A wake-up that names a function which is not there would be lost in silence."""
    for name in JobName:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))


def test_an_approved_operation_needs_no_wake_up(plant: Plant) -> None:
    """The reconciler finds it; losing every RQ key loses nothing."""
    begin(plant)
    plant.worker()
    plant.wait_for_end()
    plant.check_history()


def test_what_was_imported_is_no_work_for_a_childs_collector(plant: Plant) -> None:
    """It is frozen before the first fork; a child that reads a big cluster would walk it again and again."""
    begin(plant)
    plant.worker()
    frozen = plant.folder / "frozen"
    wait_until(lambda: frozen.exists() and frozen.read_text(encoding="utf-8") != "", "no child drove")
    assert int(frozen.read_text(encoding="utf-8")) > 10_000


def test_a_terminated_worker_hands_over_and_the_command_goes_on(plant: Plant) -> None:
    """It exits by itself with code 0; the next worker attaches to the same attempt."""
    begin(plant)
    first = plant.worker()
    in_hand(plant)
    first.terminate()
    assert first.wait(DEADLINE) == 0
    assert not plant.store.operation(OP).ended
    assert plant.store.lease_owner(OP) is None
    plant.worker()
    plant.wait_for_end()
    plant.check_history()


def test_a_child_that_was_born_as_its_worker_was_told_to_leave_hears_of_it(redis_url: str) -> None:
    """A job that was taken at that moment would go on for hours, and its worker wait for it."""

    class Newborn(OpsWorker):
        def main_work_horse(self, job: Job, queue: Queue) -> None:  # noqa: ARG002 - as RQ has it
            os._exit(0 if jobs.STOP.wait(DEADLINE) else 1)

    before = signal.signal(signal.SIGUSR1, lambda *_: jobs.STOP.set())
    leaving = threading.Event()
    worker = Newborn(Redis.from_url(redis_url), leaving)
    worker.register_birth()
    job = worker.queues[0].enqueue_call(JobName.DRIVE.value, args=("op-1",), timeout=-1)
    execution = worker.prepare_execution(job)
    leaving.set()  # SIGTERM came when there was no child to tell
    worker.fork_work_horse(job, worker.queues[0])
    ended: list[int] = []

    def has_ended() -> bool:
        worker.maintain_heartbeats(job, execution)
        pid, status = os.waitpid(worker.horse_pid, os.WNOHANG)
        ended.append(status)
        return pid != 0

    try:
        wait_until(has_ended, "it was not told", DEADLINE / 10)
        assert ended[-1] == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
        jobs.STOP.clear()


def test_a_killed_worker_and_child_are_replaced_by_another_worker(plant: Plant) -> None:
    """The second worker resumes when the lease has run out; the thread is told."""
    begin(plant)
    first = plant.worker()
    in_hand(plant)
    child = plant.drivers()[-1][0]
    first.kill()
    os.kill(child, signal.SIGKILL)
    first.wait()
    plant.worker()
    plant.wait_for_end()
    plant.check_history()
    told = [e.kind for _, e in plant.store.events(OP)]
    assert told.count(Happened.DRIVER_TOOK_OVER) == 1


def test_an_orphaned_child_goes_on_alone_beside_a_new_worker(plant: Plant) -> None:
    """Only the worker is killed: its child keeps the lease, and nothing runs twice."""
    begin(plant)
    first = plant.worker()
    in_hand(plant)
    first.kill()
    first.wait()
    plant.worker()
    plant.wait_for_end()
    plant.check_history()
    assert plant.store.operation(OP).fence == 1, "another one drove beside it"


def test_a_worker_outlives_an_outage_of_redis() -> None:
    """Away, hanging, without memory or read-only: the process lives, what ran is recorded afterwards, nothing twice."""

    def outlive(state: str) -> None:
        with running_plant() as plant:
            begin(plant)
            worker = plant.worker()
            in_hand(plant)
            outage = AWAY[state](plant.redis) if state in AWAY else unwilling(plant.redis, state)
            # longer than a lease; RQ's own worker is gone by now, or would be at the next heartbeat
            with outage, pytest.raises(subprocess.TimeoutExpired):
                worker.wait(8)
            plant.wait_for_end()
            plant.check_history()
            assert worker.poll() is None
            log = (plant.folder / "worker-0.log").read_text(encoding="utf-8")
            assert "the worker waits for it" not in log, "it let go of its child"

    states = (*AWAY, *UNWILLING)
    with ThreadPoolExecutor(len(states)) as pool:
        list(pool.map(outlive, states))


@contextmanager
def away(redis: RedisServer) -> Iterator[None]:
    redis.kill()
    yield
    redis.restart()


@contextmanager
def hanging(redis: RedisServer) -> Iterator[None]:
    redis.freeze()
    yield
    redis.thaw()


AWAY = {"away": away, "hanging": hanging}


def test_a_frozen_driver_finds_itself_fenced(plant: Plant) -> None:
    """Stopped for longer than its lease, it wakes up to another driver and starts nothing."""
    begin(plant)
    plant.worker()
    in_hand(plant)
    child = plant.drivers()[-1][0]
    os.kill(child, signal.SIGSTOP)
    plant.worker()
    wait_until(lambda: plant.store.operation(OP).fence >= 2, "nobody took over")
    os.kill(child, signal.SIGCONT)
    plant.wait_for_end()
    plant.check_history()


def test_a_job_that_is_not_ours_is_refused(plant: Plant) -> None:
    """Whoever can write to Redis cannot choose what a worker imports and calls."""
    target = plant.folder / "made-by-a-stranger"
    wakeups = Wakeups.connect(plant.redis.url)
    wakeups.queue.enqueue_call("os.mkdir", args=(str(target),), job_id="forged")
    begin(plant)
    plant.worker()
    plant.wait_for_end()
    assert not target.exists()
    assert not wakeups.queue.get_job_ids()


def test_a_crash_at_either_side_of_a_side_effect_is_survived() -> None:
    """Killed right before and after a start, and right before and after its record: the same end, no second start."""

    def crash(point: str) -> None:
        with running_plant() as plant:
            begin(plant)
            plant.worker(**{VARIABLE: f"{point}:drain"})
            wait_until(lambda: _crashed(plant), f"{point} was never reached")
            assert not plant.store.operation(OP).ended
            plant.workers[0].kill()
            plant.workers[0].wait()
            plant.worker()
            plant.wait_for_end()
            plant.check_history()

    with ThreadPoolExecutor(len(POINTS)) as pool:
        list(pool.map(crash, POINTS))


def _crashed(plant: Plant) -> bool:
    drivers = plant.drivers()
    if not drivers:
        return False
    row = plant.store.operation(OP).row("w-1")
    gone = not Path(f"/proc/{drivers[0][0]}/task").exists()
    return gone and row.position > 0
