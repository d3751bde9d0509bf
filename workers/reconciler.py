"""What nobody is awake for: operations without a driver, requests without an answer, plans past their time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from cluster.errors import LockkeeperError, UnknownThing
from cluster.events import Event, Happened
from cluster.plan import PlanRecord
from cluster.queues import JobName, Wakeups
from cluster.steering import needs_driver
from cluster.store import Store

EVERY = 0.7  # seconds between two rounds; after a crash the lease's six seconds are the longer wait
_LOG = logging.getLogger(__name__)


def reconcile(store: Store, wakeups: Wakeups, now: datetime) -> None:
    """One round; harmless in any number of workers at once."""
    queued = wakeups.queued()
    for operation_id in store.active():
        if (JobName.DRIVE, operation_id) in queued or store.lease_owner(operation_id) is not None:
            continue
        try:
            operation = store.operation(operation_id)
        except UnknownThing:
            continue
        if needs_driver(operation):
            wakeups.wake(operation_id)
    for request in store.open_requests():
        if (JobName.PROPOSE, request.id) not in queued and not store.request_is_taken(request.id):
            wakeups.ask_for_plan(request.id)
    for record in store.open_plans():
        if now >= record.expires_at:
            store.expire(record.id, now, _expired(record, now))


def keep_reconciling(
    store: Store, wakeups: Wakeups, *, now: Callable[[], datetime], stop: threading.Event, every: float = EVERY
) -> None:
    """Round after round until told to stop; a Redis that is away is simply asked again."""
    complained = False
    while not stop.wait(every):
        try:
            reconcile(store, wakeups, now())
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
