"""What the records of a cluster's earlier runs say about how long the next one takes."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from cluster.errors import RecordUnreadable, UnknownThing
from cluster.operation import Operation
from cluster.plan import PlanRecord
from cluster.store.history import Entries
from policies.history import Past, PastRun, learn

_PLANS = 50  # the newest; a kubelet that came before them is not put back any more
_RUNS = 5  # the newest; machines and what runs on them change
_EVENTS = 20_000  # of all of them together: a plan must not wait for the reading


class Kept(Protocol):
    """What this needs of cluster.store.Store."""

    def ended(self, cluster: str, most: int) -> tuple[Operation, ...]: ...
    def plan(self, plan_id: str) -> PlanRecord: ...
    def events(self, subject_id: str, after: str = "0", count: int | None = None) -> Entries: ...


def read_past(store: Kept, cluster: str) -> Past:
    """Of the newest runs that have ended, as many events as are read in a moment."""
    runs: list[PastRun] = []
    left = _EVENTS
    for operation in store.ended(cluster, _RUNS):
        if left <= 0:
            break
        with suppress(UnknownThing, ValueError):  # its plan is gone, or of a release that wrote it another way
            record = store.plan(operation.plan_id)
            events = tuple(event for _, event in store.events(operation.id, count=left))
            left -= len(events)
            runs.append(PastRun(record, events))
    return learn(runs)


def read_plans(store: Kept, cluster: str) -> tuple[PlanRecord, ...]:
    """The plans of the cluster's latest runs, newest first."""
    found = []
    for operation in store.ended(cluster, _PLANS):
        with suppress(UnknownThing, RecordUnreadable, ValueError):
            found.append(store.plan(operation.plan_id))
    return tuple(found)
