"""How a driver comes to rest when something comes in between: with a reason, and never for ever on its way."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.events import Happened
from cluster.findings import Finding, Severity
from cluster.operation import OperationState, Wish
from cluster.store import Store
from tests.engine_fixture import CLUSTER, approve, event, plan, record
from tests.engine_yard import DEADLINE, Driving, Yard
from tests.redis_fixture import redis_server, redis_url, store
from workers import ending
from workers.engine import drive
from workers.run import Run

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

OP = "op-1"


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """One control plane and one worker."""
    return Yard(record(plan(("cp-1",), ("w-1",))), tmp_path / "log")


@pytest.mark.parametrize("code", ["foreign-change", "window-closed"])
def test_a_cancel_that_comes_while_a_run_is_about_to_park_is_carried_out(yard: Yard, store: Store, code: str) -> None:
    """A run that is being cancelled cannot park: the driver lets it be, and the next one cancels."""
    approve(store, yard.record, OP)
    run = Run(yard.crew(store), yard.record, None, store.operation(OP))
    assert run.lease.take()
    begun = store.operation(OP)
    store.move(begun, replace(begun, state=OperationState.RUNNING), fence=run.lease.fence, events=(), token="run")
    seen = store.operation(OP)
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    found = Finding(code, Severity.BLOCKER, CLUSTER, "Something is in the way.", "Clear it.")
    stopping = threading.Thread(target=ending.stop, args=(run, seen, (found,)), daemon=True)
    stopping.start()
    stopping.join(DEADLINE / 6)
    run.lease.drop()
    assert not stopping.is_alive(), "it is tried for ever"
    assert store.operation(OP).state is OperationState.CANCELLING
    Driving(yard, store, OP).join()
    assert store.operation(OP).state is OperationState.CANCELLED


def test_a_bug_of_the_driver_stops_the_run_with_a_reason(yard: Yard, store: Store) -> None:
    """One that only ended would be followed by the next one, into the same bug, for ever and in silence."""

    def bug() -> bool:
        raise KeyError("secret-detail")

    approve(store, yard.record, OP)
    drive(replace(yard.crew(store), others_wait=bug), OP, turn=0.0)
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert operation.reason.startswith("Something unexpected happened while op-1 was driven, reference ")
    assert "secret-detail" not in operation.reason
    assert store.lease_owner(OP) is None
    store.resume(OP, "grace", event(Happened.RESUME_ASKED, operation_id=OP))
    Driving(yard, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED
