"""Wake-ups: the names of the jobs and the one queue they go through; losing or doubling one is harmless."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from redis import Redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer

from cluster.errors import StoreUnavailable

QUEUE = "lockkeeper"
_TIMEOUT = 2.0  # seconds
_NO_TIMEOUT = -1  # RQ's default of 180 s would kill a drain in mid-air
_FORGET = 60  # seconds; a job's result says nothing that the record does not


class JobName(StrEnum):
    """The only functions that a worker runs, whatever stands in Redis."""

    DRIVE = "workers.jobs.drive"
    PROPOSE = "workers.jobs.propose"
    SURVEY = "workers.jobs.survey"
    OFFERS = "workers.jobs.offers"


def _short(job: JobName) -> str:
    return job.rpartition(".")[2]


_BY_SHORT_NAME = {_short(job): job for job in JobName}


@dataclass(frozen=True, slots=True)
class Wakeups:
    """A hint to the workers that something can go on; their reconcilers find it by themselves, only later."""

    queue: Queue

    @classmethod
    def connect(cls, url: str) -> Self:
        client = Redis.from_url(
            url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=Retry(NoBackoff(), 0)
        )
        return cls(Queue(QUEUE, connection=client, serializer=JSONSerializer))

    def wake(self, operation_id: str) -> None:
        self._send(JobName.DRIVE, operation_id)

    def ask_for_plan(self, request_id: str) -> None:
        self._send(JobName.PROPOSE, request_id)

    def ask_for_survey(self, request_id: str) -> None:
        self._send(JobName.SURVEY, request_id)

    def ask_for_offers(self, cluster: str) -> None:
        self._send(JobName.OFFERS, cluster)

    def queued(self) -> frozenset[tuple[JobName, str]]:
        """What waits for a worker: function and argument."""
        found = set()
        for job_id in self._waiting():
            name, _, rest = job_id.partition("-")
            if name in _BY_SHORT_NAME:
                found.add((_BY_SHORT_NAME[name], rest.rpartition("-")[0]))
        return frozenset(found)

    def anything_waits(self) -> bool:
        """Whether work waits that a driver gives way to: no run stands still for the news behind a report."""
        return any(not job_id.startswith(f"{_short(JobName.OFFERS)}-") for job_id in self._waiting())

    def _waiting(self) -> list[str]:
        try:
            return [str(i) for i in self.queue.get_job_ids()]
        except redis_errors.RedisError as error:
            raise StoreUnavailable("The queue in Redis cannot be read: start Redis, or correct REDIS_URL.") from error

    def _send(self, job: JobName, argument: str) -> None:
        """A wake-up that cannot be sent is not an error: the record stands, and a reconciler finds it."""
        try:
            self.queue.enqueue_call(
                job.value,
                args=(argument,),
                job_id=f"{_short(job)}-{argument}-{secrets.token_hex(3)}",
                timeout=_NO_TIMEOUT,
                result_ttl=_FORGET,
                failure_ttl=_FORGET,
                description=f"{job.value}({argument})",
            )
        except redis_errors.RedisError:
            return
