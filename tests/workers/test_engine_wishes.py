"""What a person wishes of a run: paused, resumed, cancelled, and what a cancel leaves behind."""

from __future__ import annotations

import threading
from dataclasses import replace

from cluster.events import Happened
from cluster.operation import OperationState, RowState, Wish
from cluster.procedure import Verb
from cluster.store import Store
from tests.engine_fixture import CLUSTER, approve, event
from tests.engine_run import OP, begin, blocked, hold, kinds, small
from tests.engine_yard import Driving, Yard, wait_until
from tests.redis_fixture import redis_server, redis_url, store
from workers.site import AttemptLost, Site

__all__ = ["redis_server", "redis_url", "small", "store"]  # pytest finds fixtures by name in this module


def test_pause_finishes_the_nodes_in_hand_and_resume_goes_on(small: Yard, store: Store) -> None:
    """The node in hand is uncordoned first; the next one waits."""
    gate = threading.Event()
    small.script("w-1", Verb.DRAIN, hold(gate))
    driving = begin(small, store)
    wait_until(lambda: Verb.CORDON in small.verbs("w-1"))
    store.wish(OP, Wish.PAUSE, "grace", event(Happened.PAUSE_ASKED, operation_id=OP))
    gate.set()
    driving.join()
    operation = store.operation(OP)
    assert (operation.state, operation.reason) == (OperationState.PARKED, "paused by grace")
    assert small.verbs("w-1")[-1] == Verb.UNCORDON
    assert Verb.CORDON not in small.verbs("w-2")
    store.resume(OP, "grace", event(Happened.RESUME_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_cancel_finishes_the_nodes_in_hand_and_restores_the_touched_ones(small: Yard, store: Store) -> None:
    """Every touched node is unheld; the cluster is free; upgraded and left nodes are told apart."""
    gate = threading.Event()
    small.script("w-1", Verb.DRAIN, hold(gate))
    driving = begin(small, store)
    wait_until(lambda: Verb.CORDON in small.verbs("w-1"))
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    gate.set()
    driving.join()
    operation = store.operation(OP)
    assert operation.state is OperationState.CANCELLED
    assert [small.verbs(n)[-1] for n in ("cp-1", "w-1", "w-2")] == [Verb.UNHOLD] * 3
    assert small.verbs("w-1")[-2] == Verb.UNCORDON
    assert Verb.CORDON not in small.verbs("w-2")
    assert operation.row("w-2").state is RowState.SKIPPED
    assert store.lock_holder(CLUSTER) is None
    assert small.lease is None
    assert kinds(store).count(Happened.OPERATION_CANCELLING) == 1
    assert kinds(store)[-1] is Happened.OPERATION_CANCELLED


def test_a_blocked_operation_can_be_cancelled(small: Yard, store: Store) -> None:
    """The broken node is left as it is, its holds are restored."""
    small.script("w-1", Verb.RESTART_KUBELET, blocked)
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.CANCELLED
    assert small.verbs("w-1")[-1] == Verb.UNHOLD
    assert Verb.UNCORDON not in small.verbs("w-1")


def test_an_operation_that_was_never_begun_is_cancelled_without_a_step(small: Yard, store: Store) -> None:
    """Untouched nodes are skipped, and named in the event of it: there is no state without one."""
    approve(store, small.record, OP)
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.CANCELLED
    assert small.lines() == []
    (told,) = (e for _, e in store.events(OP) if e.kind is Happened.NODE_SKIPPED)
    assert told.facts["nodes"] == "cp-1, w-1, w-2"


def test_a_cancelled_node_whose_holds_were_restored_late_is_not_told_as_upgraded(small: Yard, store: Store) -> None:
    """Neither a block nor a reboot while its holds are restored turns it into a node that is done."""

    def lost(site: Site) -> None:
        raise AttemptLost("The machine was restarted.")

    small.script("cp-1", Verb.PLAN, blocked)
    small.script("w-1", Verb.UNHOLD, blocked)
    small.script("w-2", Verb.UNHOLD, lost)
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.BLOCKED
    store.retry(OP, "w-1", "grace", event(Happened.RETRY_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.CANCELLED
    assert {r.state for r in operation.rows} == {RowState.SKIPPED}
    assert Happened.NODE_FINISHED not in kinds(store)


def test_a_cancelled_node_that_is_cordoned_and_unchanged_is_given_back(small: Yard, store: Store) -> None:
    """A drain that ended in a bug could not uncordon; nothing on the machine was touched."""

    def bug(site: Site) -> None:
        raise KeyError(site.node.name)

    small.script("w-1", Verb.DRAIN, bug)
    small.refuses_uncordon = True
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    operation = store.operation(OP)
    assert (operation.state, operation.row("w-1").state) == (OperationState.CANCELLED, RowState.SKIPPED)
    assert small.verbs("w-1")[-2:] == [Verb.UNCORDON, Verb.UNHOLD]
    assert not any(n.cordoned for n in small.report.nodes)


def test_a_node_that_stays_cordoned_after_a_cancel_is_named(small: Yard, store: Store) -> None:
    """It stopped in the middle of its kubelet: nobody wants work on it unasked."""
    small.script("w-1", Verb.VERIFY_NODE, blocked)
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    _, last = store.events(OP)[-1]
    assert last.kind is Happened.OPERATION_CANCELLED
    assert "Still cordoned by us, since it stopped in the middle: w-1" in last.sentence


def test_holds_are_restored_also_where_holding_itself_was_blocked(small: Yard, store: Store) -> None:
    """The first step may have had its effect although its end was never seen."""
    small.script("w-1", Verb.HOLD, blocked)
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.CANCELLED
    assert small.verbs("w-1") == [Verb.UNHOLD]


def test_resume_lifts_a_pause_also_where_a_node_is_blocked(small: Yard, store: Store) -> None:
    """One word of a person is enough, while another node is still in hand."""
    approve(store, small.record, OP)
    operation = store.operation(OP)
    rows = (replace(operation.rows[0], state=RowState.BLOCKED), *operation.rows[1:])
    paused = replace(operation, rows=rows, state=OperationState.RUNNING, wish=Wish.PAUSE, wished_by="ada")
    store.move(operation, paused, fence=None, events=(), token="t-1")
    resumed = store.resume(OP, "grace", event(Happened.RESUME_ASKED, operation_id=OP))
    assert (resumed.wish, resumed.rows[0].state) == (Wish.NONE, RowState.WAITING)
