"""The cluster is claimed before anything begins, and let go at the end: the marks of others stop a run."""

from __future__ import annotations

from dataclasses import replace

from cluster.errors import KubeDenied, UnknownThing
from cluster.events import Happened
from cluster.operation import OperationState, Wish
from cluster.store import Store
from tests.engine_fixture import approve, event, record
from tests.engine_run import OP, SMALL, begin, small
from tests.engine_yard import Driving, Yard
from tests.redis_fixture import redis_server, redis_url, store
from workers.engine import drive

__all__ = ["redis_server", "redis_url", "small", "store"]  # pytest finds fixtures by name in this module


def test_a_cluster_of_another_installation_is_not_touched(small: Yard, store: Store) -> None:
    """Its Lease stays, no step starts, the finding names the holder."""
    small.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "other/op-9"}}
    begin(small, store).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert "other/op-9" in operation.reason
    assert small.lines() == []
    assert small.lease["spec"]["holderIdentity"] == "other/op-9"


def test_what_another_installation_blocks_can_still_be_cancelled(small: Yard, store: Store) -> None:
    """Nothing was begun, so nothing has to be restored; the other's Lease stays."""
    small.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "other/op-9"}}
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.CANCELLED
    assert small.lease["spec"]["holderIdentity"] == "other/op-9"


def test_a_mark_of_our_own_without_a_record_stops_and_asks(small: Yard, store: Store) -> None:
    """A Redis that lost its data must not be taken for a fresh one."""
    small.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "lockkeeper/op-9"}}
    begin(small, store).join()
    stops = [e for _, e in store.events(OP) if e.kind is Happened.OPERATION_BLOCKED]
    assert [e.facts["codes"] for e in stops] == ["traces-without-record"]


def test_a_mark_of_an_ended_operation_of_ours_is_taken_over(small: Yard, store: Store) -> None:
    """A crash between the last move and the Lease's end must not lock the cluster for ever."""
    begin(small, store).join()
    small.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "lockkeeper/op-1"}}
    again = replace(record(SMALL, plan_id="p-2"))
    approve(store, again, "op-2")
    Driving(Yard(again, small.log.with_name("log2")), store, "op-2").join()
    assert store.operation("op-2").state is OperationState.COMPLETED


def test_a_bug_while_the_cluster_is_claimed_stops_the_operation_with_a_reason(small: Yard, store: Store) -> None:
    """Its thread must not die in silence: nothing would start, and nobody would know."""

    def bug() -> object:
        raise KeyError("x")

    approve(store, small.record, OP)
    crew = replace(small.crew(store), kube=bug)  # type: ignore[arg-type]
    drive(crew, OP)
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert "Something unexpected happened before op-1 could begin, reference " in operation.reason
    assert store.lease_owner(OP) is None


def test_what_else_refuses_to_begin_is_told_in_its_own_words(small: Yard, store: Store) -> None:
    """Not as if the cluster could not be read: somebody would look in the wrong place."""

    def unknown() -> object:
        raise UnknownThing("There is no cluster `prod`: name one of `lab`.")

    approve(store, small.record, OP)
    drive(replace(small.crew(store), kube=unknown), OP)  # type: ignore[arg-type]
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert operation.reason == "There is no cluster `prod`: name one of `lab`. Mend that, then `resume`."
    assert [e.facts for _, e in store.events(OP)][-1] == {"codes": "cannot-begin"}


def test_a_mark_that_may_not_be_taken_away_blocks_the_end_with_a_reason(small: Yard, store: Store) -> None:
    """The right to delete our Lease was taken meanwhile: nobody asks for ever in silence."""
    crew = small.crew(store)
    api = crew.kube()

    def forbid(path: str, body: object = None, query: object = None) -> object:
        raise KubeDenied("leases is forbidden", status=403, body={})

    api.delete = forbid  # type: ignore[method-assign, assignment]
    approve(store, small.record, OP)
    drive(replace(crew, kube=lambda: api), OP)
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert "forbidden" in operation.reason
