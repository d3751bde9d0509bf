"""Before the first step, preflight is asked once more: what was sound at the plan may be unsound now."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from cluster.events import Happened
from cluster.findings import Finding, Severity
from cluster.operation import OperationState, Wish
from cluster.store import Store
from tests.engine_fixture import approve, event
from tests.engine_run import OP, small
from tests.engine_yard import Driving, LeaseApi, Yard, wait_until
from tests.redis_fixture import redis_server, redis_url, store
from workers.crew import Crew

__all__ = ["redis_server", "redis_url", "small", "store"]  # pytest finds fixtures by name in this module

FULL = Finding("disk-full", Severity.BLOCKER, "w-1", "The disk of w-1 is full.", "Make room, then `resume`.")


def test_a_blocker_at_the_start_stops_before_any_step_and_a_mended_one_lets_the_run_begin(
    small: Yard, store: Store
) -> None:
    """Nothing was started; after `resume` the whole run is walked."""
    small.preflight_findings = (FULL,)
    approve(store, small.record, OP)
    Driving(small, store, OP).join()
    stopped = store.operation(OP)
    assert stopped.state is OperationState.BLOCKED
    assert "The disk of w-1 is full." in stopped.reason
    assert small.lines() == []
    small.preflight_findings = ()
    store.resume(OP, "ada", event(Happened.RESUME_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_preflight_is_not_asked_again_once_a_node_has_begun(small: Yard, store: Store) -> None:
    """A cluster in the middle of its upgrade would never pass it: the gate guards every further step."""
    approve(store, small.record, OP)
    first = Driving(small, store, OP)
    wait_until(small.started)
    first.end()
    small.preflight_findings = (FULL,)
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED


@dataclass
class SlowYard(Yard):
    """Its API keeps whoever claims the cluster waiting until the run has ended, but not for long."""

    def crew(self, store: Store) -> Crew:
        return replace(super().crew(store), kube=lambda: _SlowApi(self, store))


class _SlowApi(LeaseApi):
    def __init__(self, yard: Yard, store: Store) -> None:
        super().__init__(yard)
        self._store = store

    def get(self, path: str, *args: Any, **more: Any) -> dict[str, Any]:
        until = time.monotonic() + 0.5
        while threading.current_thread().name == "claim" and time.monotonic() < until:
            if self._store.operation(OP).ended:
                break
            time.sleep(0.01)
        return super().get(path, *args, **more)


def test_a_run_that_ends_while_its_cluster_is_claimed_leaves_no_mark_there(small: Yard, store: Store) -> None:
    """Cancelled before it began, on a slow API: another installation would take the cluster for upgraded for ever."""
    yard = SlowYard(small.record, small.log)
    approve(store, yard.record, OP)
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(yard, store, OP).join()
    for thread in [t for t in threading.enumerate() if t.name == "claim"]:
        thread.join(5.0)
    assert (store.operation(OP).state, yard.lease) == (OperationState.CANCELLED, None)
