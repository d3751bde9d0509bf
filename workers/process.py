"""The worker process: RQ's worker with an allow-list, a hand-over on SIGTERM, and a life longer than Redis's."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from redis import Redis
from redis import exceptions as redis_errors
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer

from cluster.queues import QUEUE, JobName, Wakeups
from cluster.settings import Settings
from cluster.store import Store
from workers import jobs
from workers.reconciler import keep_reconciling

_AGAIN = 1.0  # seconds before a worker that lost Redis begins anew
_LOG = logging.getLogger(__name__)
Functions = Mapping[str, Callable[[str], None]]
FUNCTIONS: Functions = {
    JobName.DRIVE: jobs.drive,
    JobName.PROPOSE: jobs.propose,
    JobName.SURVEY: jobs.survey,
    JobName.OFFERS: jobs.offers,
}


class NotOurs(RuntimeError):  # noqa: N818 - reads as a fact, as in cluster/errors.py
    """Redis names a function that no worker of ours runs."""


class ListedJob(Job):
    """A job whose function comes from our list: whoever can write to Redis must not choose what is imported."""

    functions: ClassVar[Functions] = FUNCTIONS

    @property
    def func(self) -> Callable[[str], None]:
        name = self.func_name
        if name is None or self.instance is not None or name not in self.functions:
            raise NotOurs(f"The job {self.id} names `{str(name)[:80]}`, which no worker runs: it is refused.")
        return self.functions[name]

    @property
    def success_callback(self) -> None:
        """None are ours."""

    @property
    def failure_callback(self) -> None:
        """None are ours."""

    @property
    def stopped_callback(self) -> None:
        """None are ours."""


class OpsWorker(Worker):
    """One queue; a child per job, which SIGTERM asks to hand over; heartbeats that a silent Redis does not break."""

    max_connection_wait_time = 2.0  # seconds; RQ's own back-off grows to a minute

    def __init__(self, connection: Redis, leaving: threading.Event, job_class: type[ListedJob] = ListedJob) -> None:
        super().__init__(
            [Queue(QUEUE, connection=connection, job_class=job_class, serializer=JSONSerializer)],
            connection=connection,
            job_class=job_class,
            serializer=JSONSerializer,
            job_monitoring_interval=5,
            worker_ttl=30,
            maintenance_interval=30,
        )
        self._leaving = leaving
        self.log_job_description = False

    def handle_warm_shutdown_request(self) -> None:
        """SIGTERM: no new job, and the child leaves at its next poll."""
        self._leaving.set()
        if pid := self.horse_pid:
            _LOG.info("handing over: child %d is asked to leave", pid)
            try:
                os.kill(pid, signal.SIGUSR1)
            except ProcessLookupError:
                return

    def set_shutdown_requested_date(self) -> None:
        _through(super().set_shutdown_requested_date)

    def maintain_heartbeats(self, job: Job, execution: Any) -> None:
        if self._leaving.is_set():  # a child that was being born just then has not heard of it
            self.handle_warm_shutdown_request()
        _through(lambda: super(OpsWorker, self).maintain_heartbeats(job, execution))

    def teardown(self) -> None:
        _through(super().teardown)


def work(settings: Settings, job_class: type[ListedJob] = ListedJob) -> int:
    """Work until SIGTERM; returns the exit code."""
    url = settings.redis.url.read()
    jobs.SETTINGS.set(settings)
    # What was imported stays: the collector of a child that reads thousands of objects need not walk, nor copy, it.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGUSR1, _leave)  # inherited by every child
    leaving = threading.Event()
    stopped = threading.Event()
    store, wakeups = Store.connect(url), Wakeups.connect(url)
    threading.Thread(
        target=keep_reconciling,
        args=(store, wakeups),
        kwargs={"now": lambda: datetime.now(UTC), "stop": stopped},
        name="reconciler",
        daemon=True,
    ).start()
    try:
        _work_on(url, leaving, job_class)
    finally:
        stopped.set()
    return 0


def _work_on(url: str, leaving: threading.Event, job_class: type[ListedJob]) -> None:
    """A worker after the other: RQ's ends when Redis is away, this process does not."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leaving.set())
    while not leaving.is_set():
        try:
            connection = Redis.from_url(url, socket_connect_timeout=2.0)
            OpsWorker(connection, leaving, job_class).work(logging_level="WARNING")
        except StopRequested:
            return
        except redis_errors.RedisError as error:
            _LOG.warning("Redis is away (%s); the worker waits for it", type(error).__name__)
        leaving.wait(_AGAIN)


def _leave(_number: int, _frame: object) -> None:
    jobs.STOP.set()


def _through(call: Callable[[], object]) -> None:
    """What RQ wants to note in Redis can wait until Redis is back, or takes a write again."""
    try:
        call()
    except redis_errors.RedisError as error:
        _LOG.warning("Redis is away (%s); what runs goes on", type(error).__name__)
