"""What nobody is awake for: operations without a driver, requests without an answer, plans past their time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from cluster.errors import LockkeeperError, Refused, StaleMove
from cluster.events import Event, Happened
from cluster.operation import Operation
from cluster.plan import PlanRecord
from cluster.queues import JobName, Wakeups
from cluster.steering import needs_driver
from cluster.store import Store

EVERY = 0.7  # seconds between two rounds; after a crash the lease's six seconds are the longer wait
_LONGEST_PAUSE = 15.0  # seconds between two tries to wake an operation that nobody drives
_LOG = logging.getLogger(__name__)


class Pauses:
    """An operation whose driver dies before it drives is woken ever more seldom, not at every round."""

    def __init__(self) -> None:
        self._next: dict[str, tuple[float, float]] = {}  # when it may be woken again, and the pause after that

    def is_over(self, operation_id: str) -> bool:
        moment = time.monotonic()
        at, pause = self._next.get(operation_id, (moment, EVERY))
        if moment < at:
            return False
        self._next[operation_id] = moment + pause, min(_LONGEST_PAUSE, pause * 2)
        return True

    def forget(self, operation_id: str) -> None:
        self._next.pop(operation_id, None)


def reconcile(store: Store, wakeups: Wakeups, now: datetime, pauses: Pauses | None = None) -> None:
    """One round; harmless in any number of workers at once."""
    queued = wakeups.queued()
    _wake(store, wakeups, queued, pauses or Pauses(), now)
    for request in store.open_requests():
        if (JobName.PROPOSE, request.id) not in queued and not store.request_is_taken(request.id):
            wakeups.ask_for_plan(request.id)
    for record in store.open_plans():
        if now >= record.expires_at:
            store.expire(record.id, now, _expired(record, now))


def _wake(
    store: Store, wakeups: Wakeups, queued: frozenset[tuple[JobName, str]], pauses: Pauses, now: datetime
) -> None:
    for seen in store.each(store.operation, _undriven(store, queued, pauses)):
        is_due = seen.goes_on_at is not None and seen.goes_on_at <= now
        operation = _go_on(store, seen, now) if is_due else seen
        if needs_driver(operation) and pauses.is_over(operation.id):
            wakeups.wake(operation.id)


def _undriven(store: Store, queued: frozenset[tuple[JobName, str]], pauses: Pauses) -> Iterator[str]:
    for operation_id in store.active():
        if store.lease_owner(operation_id) is not None:
            pauses.forget(operation_id)
        elif (JobName.DRIVE, operation_id) not in queued:
            yield operation_id


def _go_on(store: Store, operation: Operation, now: datetime) -> Operation:
    """A window has opened; the gate looks again whether it has. Another worker, or a person, may have been quicker."""
    sentence = f"{operation.cluster} is open again: {operation.id} goes on."
    event = Event(
        Happened.RESUME_ASKED, now, operation.cluster, sentence, plan_id=operation.plan_id, operation_id=operation.id
    )
    try:
        return store.go_on(operation.id, event)
    except (Refused, StaleMove):
        return operation


def keep_reconciling(
    store: Store, wakeups: Wakeups, *, now: Callable[[], datetime], stop: threading.Event, every: float = EVERY
) -> None:
    """Round after round until told to stop; a Redis that is away is simply asked again."""
    complained, pauses = False, Pauses()
    while not stop.wait(every):
        try:
            reconcile(store, wakeups, now(), pauses)
        except LockkeeperError as error:
            if not complained:
                _LOG.warning("reconciler: %s", error)
            complained = True
        except Exception:  # noqa: BLE001 - the edge of a thread: a bug in one round must not end all later ones
            _LOG.exception("reconciler: a round failed")
        else:
            complained = False


def _expired(record: PlanRecord, now: datetime) -> Event:
    sentence = f"The plan {record.id} expired: nobody decided until {record.expires_at:%H:%M} UTC."
    return Event(Happened.PLAN_EXPIRED, now, record.plan.cluster, sentence, plan_id=record.id)
