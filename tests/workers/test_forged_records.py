"""Whoever can merely write to Redis starts nothing: the driver judges the signed approval whatever the record says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cluster.approval import Approval
from cluster.events import Happened
from cluster.operation import NodeRow, Operation, OperationState, RowState, schedule
from cluster.plan import PlanNode, PlanRecord, PlanStatus
from cluster.procedure import Verb, itinerary
from cluster.signing import public_line, sign_as_bot
from cluster.store import Store
from cluster.store.ledger import key, new_token
from cluster.store.operations import create_operation
from cluster.store.records import APPROVAL, PLAN
from policies.gate import check_approval, check_gate
from tests.engine_fixture import CLUSTER, approval, plan, record, settings
from tests.engine_yard import Yard
from tests.redis_fixture import redis_server, redis_url, store
from workers.engine import drive

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

BOT, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
SMALL = plan(("cp-1",), ("w-1",))
OP = "op-1"


@pytest.mark.parametrize("which", ["approval", "plan"])
def test_a_record_that_cannot_be_read_stops_the_run_and_says_so(tmp_path: Path, store: Store, which: str) -> None:
    """It would be tried again every few seconds else, with nothing but a line in a log."""
    place = Yard(made(), tmp_path / "log")
    write(
        store, place.record, schedule(place.record, operation_id=OP, approved_by="grace", now=datetime.now(UTC)), None
    )
    where = ("SET", key("approval", OP), "{}") if which == "approval" else ("HSET", key("plan", "p-1"), "record", "{}")
    store.commit(token=new_token(), checks=[], effects=[where])
    fence = store.take_lease(OP, "another driver, which may be of a release that reads it", 60_000)
    drive(place.crew(store), OP)
    assert store.operation(OP).state is OperationState.SCHEDULED
    assert fence is not None
    store.drop_lease(OP, "another driver, which may be of a release that reads it")
    drive(place.crew(store), OP)
    stopped = store.operation(OP)
    assert stopped.state is OperationState.BLOCKED
    assert "cannot be read: another release of lockkeeper wrote it" in stopped.reason
    assert store.events(OP)[-1][1].kind is Happened.OPERATION_BLOCKED
    assert place.started() == []


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    approvals = {"approvers": ["grace"], "public_key": public_line(BOT)}
    return Yard(made(), tmp_path / "log", settings=settings(("cp-1", "w-1"), approvals=approvals))


def made(age: timedelta = timedelta(0)) -> PlanRecord:
    """An approved plan, asked for `age` ago."""
    asked = datetime.now(UTC) - age
    return record(SMALL, status=PlanStatus.APPROVED, requested_at=asked, expires_at=asked + timedelta(hours=1))


def signed(of: PlanRecord, signer: Ed25519PrivateKey) -> Approval:
    statement = replace(approval(of, OP).statement, at=of.requested_at, expires_at=of.expires_at)
    return sign_as_bot(statement, signer)


def write(store: Store, of: PlanRecord, operation: Operation, given: Approval | None) -> None:
    """What anybody with the password of Redis can do."""
    effects = [
        ("HSET", key("plan", of.id), "record", PLAN.dump_json(of).decode()),
        ("SET", key("lock", CLUSTER), operation.id),
        *create_operation(operation),
    ]
    if given is not None:
        effects.append(("SET", key("approval", operation.id), APPROVAL.dump_json(given).decode()))
    store.commit(token=new_token(), checks=[], effects=effects)


def at(verb: Verb, state: RowState, attempt: int = 1) -> tuple[NodeRow, ...]:
    def place(node: PlanNode) -> int:
        verbs = [s.verb for s in itinerary(SMALL, node)]
        return verbs.index(verb) if verb in verbs else 0

    return tuple(NodeRow(n.name, position=place(n), state=state, attempt=attempt) for n in SMALL.nodes)


def run(yard: Yard, store: Store) -> None:
    drive(replace(yard.crew(store), check_gate=check_gate, check_approval=check_approval), OP)


def forge(of: PlanRecord, state: OperationState, rows: tuple[NodeRow, ...]) -> Operation:
    operation = schedule(of, operation_id=OP, approved_by="grace", now=of.requested_at)
    return replace(operation, state=state, rows=rows)


@pytest.mark.parametrize("given", [None, signed(made(), STRANGER), signed(replace(made(), id="p-2"), BOT)])
@pytest.mark.parametrize(
    ("state", "verb", "row"),
    [
        (OperationState.SCHEDULED, Verb.HOLD, RowState.WAITING),
        (OperationState.RUNNING, Verb.HOLD, RowState.STARTED),
        (OperationState.RUNNING, Verb.INSTALL_KUBELET, RowState.STARTED),
        (OperationState.RUNNING, Verb.DRAIN, RowState.WAITING),
        (OperationState.CANCELLING, Verb.DRAIN, RowState.STARTED),
        (OperationState.CANCELLING, Verb.UNHOLD, RowState.WAITING),
    ],
)
def test_a_forged_record_takes_no_step(  # noqa: PLR0917 - fixtures and cases
    yard: Yard, store: Store, given: Approval | None, state: OperationState, verb: Verb, row: RowState
) -> None:
    """Also where it says that a step is in hand already, or that the run is being cancelled."""
    write(store, yard.record, forge(yard.record, state, at(verb, row)), given)
    run(yard, store)
    assert yard.lines() == []
    assert store.operation(OP).state is OperationState.BLOCKED
    assert "approval" in store.operation(OP).reason
    if state is not OperationState.CANCELLING:
        assert yard.lease is None


def test_a_forged_record_can_be_cancelled(yard: Yard, store: Store) -> None:
    """Nothing has begun, so nothing has to be given back."""
    write(store, yard.record, forge(yard.record, OperationState.CANCELLING, at(Verb.HOLD, RowState.WAITING)), None)
    run(yard, store)
    assert yard.lines() == []
    assert store.operation(OP).state is OperationState.CANCELLED


@pytest.mark.parametrize("row", [RowState.WAITING, RowState.STARTED])
def test_an_old_run_is_not_begun_again_by_rewriting_its_record(yard: Yard, store: Store, row: RowState) -> None:
    """Its approval is genuine and its rows claim to have begun, but the cluster shows no run of that name."""
    old = made(timedelta(days=30))
    rows = at(Verb.HOLD, row, attempt=2)
    write(store, old, forge(old, OperationState.RUNNING, rows), signed(old, BOT))
    run(yard, store)
    assert store.operation(OP).state is OperationState.BLOCKED
    assert "expired" in store.operation(OP).reason
    assert yard.lines() == []


def test_a_run_that_the_cluster_knows_goes_on_after_its_approvals_expiry(yard: Yard, store: Store) -> None:
    """Expiry bounds the start alone, and our Lease in the cluster shows that it was in time."""
    old = made(timedelta(days=30))
    write(store, old, forge(old, OperationState.RUNNING, at(Verb.HOLD, RowState.STARTED)), signed(old, BOT))
    yard.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": f"lockkeeper/{OP}"}}
    run(yard, store)
    assert yard.verbs("cp-1")[:2] == [Verb.HOLD, Verb.FETCH]


@pytest.mark.parametrize("row", [RowState.WAITING, RowState.STARTED])
def test_a_row_that_was_put_forward_meets_the_gate(yard: Yard, store: Store, row: RowState) -> None:
    """The run is approved, but what its machine does not know has not begun: no kubelet before its API server."""
    rows = tuple(replace(r, state=row if r.node == "w-1" else RowState.FINISHED) for r in at(Verb.RESTART_KUBELET, row))
    write(store, yard.record, forge(yard.record, OperationState.RUNNING, rows), signed(yard.record, BOT))
    run(yard, store)
    assert yard.lines() == []
    assert store.operation(OP).state in {OperationState.BLOCKED, OperationState.PARKED}
