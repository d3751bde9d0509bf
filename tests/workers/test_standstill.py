"""A node that somebody else took from its work holds a place of its pool: told once, and a person asked in the end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cluster.events import Happened
from cluster.operation import OperationState, Wish, schedule
from cluster.plan import PlanNode, Role
from cluster.procedure import Phase, Verb, itinerary
from cluster.report import Node
from cluster.store import Store
from policies.stops import stops_of
from tests.engine_fixture import NOW, approve, event, plan, record, settings
from tests.engine_yard import Driving, Yard, wait_until
from tests.redis_fixture import redis_server, redis_url, store
from tests.workers.runbook_fixture import pod
from workers.run import rest_of
from workers.schedule import find_runnable
from workers.standstill import has_lasted, keep, no_place

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

OP = "op-1"
WHAT = "w-3 of the pool general to be Ready and uncordoned again (at most 1 away)"


def crowded(tmp_path: Path, place: float = 1800.0) -> Yard:
    """Of three workers one was cordoned by somebody, and is not of the plan; one may be away."""
    made = plan(("cp-1",), ("w-1", "w-2"), max_unavailable=1)
    pool = replace(made.pools[1], left_out=(PlanNode("w-3", "uid-w-3", Role.WORKER),))
    whole = settings()
    waits = whole.waits.model_copy(update={"place": place})
    yard = Yard(record(replace(made, pools=(made.pools[0], pool))), tmp_path / "log")
    yard.settings = whole.model_copy(update={"waits": waits})
    kubelet = yard.report.nodes[0].kubelet
    foreign = Node("w-3", "uid-w-3", control_plane=False, kubelet=kubelet, ready=True, cordoned=True)
    yard.set_nodes(*yard.report.nodes, foreign)
    return yard


def leaderless(tmp_path: Path, place: float = 1800.0) -> Yard:
    """Everybody is at work, but the other instance of a database on w-1 is not ready."""
    yard = crowded(tmp_path, place)
    yard.change_node("w-3", cordoned=False)
    yard.pods = [pod("main-1", "w-1", kind="Cluster"), pod("main-2", "w-3", kind="Cluster")]
    for made in yard.pods:
        made["metadata"]["labels"] = {"cnpg.io/podRole": "instance", "cnpg.io/cluster": "main"}
    yard.pods[1]["status"]["conditions"] = []
    return yard


def told(store: Store) -> list[str]:
    return [e.sentence for _, e in store.events(OP) if e.kind is Happened.STEP_WAITED]


def test_what_everybody_waits_for_is_told_once_whoever_drives(tmp_path: Path, store: Store) -> None:
    """It goes on by itself when the place is free."""
    yard = crowded(tmp_path)
    approve(store, yard.record, OP)
    for _ in range(3):
        driving = Driving(yard, store, OP)
        wait_until(lambda: store.operation(OP).waits_for)
        driving.end()
    assert store.operation(OP).waits_since is not None
    assert told(store) == [f"Waiting for {WHAT}."]
    yard.change_node("w-3", cordoned=False)
    Driving(yard, store, OP).join()
    operation = store.operation(OP)
    assert (operation.state, operation.waits_for, operation.waits_since) == (OperationState.COMPLETED, "", None)


def test_a_place_that_does_not_come_free_is_a_stop_after_a_while(tmp_path: Path, store: Store) -> None:
    """On-call is called for it as for each stop; whoever resumes waits for as long again."""
    yard = crowded(tmp_path, place=0.2)
    approve(store, yard.record, OP)
    Driving(yard, store, OP).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert WHAT in operation.reason
    assert "Uncordon what is cordoned there" in operation.reason
    assert (len(stops_of(operation)), operation.waits_since) == (1, None)
    yard.change_node("w-3", cordoned=False)
    store.resume(OP, "grace", event(Happened.RESUME_ASKED, operation_id=OP))
    Driving(yard, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_a_database_that_nobody_could_take_over_is_a_stop_after_a_while_too(tmp_path: Path, store: Store) -> None:
    """Its other instance may be ill for good: nobody would look for a run that only waits."""
    yard = leaderless(tmp_path, place=0.2)
    approve(store, yard.record, OP)
    Driving(yard, store, OP).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert "another instance of the database demo/main to be ready on a node at work (w-3)" in operation.reason
    assert Verb.CORDON not in yard.verbs("w-1")
    yard.pods[1]["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    store.resume(OP, "grace", event(Happened.RESUME_ASKED, operation_id=OP))
    Driving(yard, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_a_run_is_paused_also_where_a_node_that_is_tried_again_waits_for_a_database(
    tmp_path: Path, store: Store
) -> None:
    """It counts as in hand by its attempts, and has begun nothing."""
    yard = leaderless(tmp_path)
    approve(store, yard.record, OP)
    driving = Driving(yard, store, OP)
    wait_until(lambda: store.operation(OP).waits_for)
    driving.end()
    before = store.operation(OP)
    rows = tuple(replace(r, attempt=2) if r.node == "w-1" else r for r in before.rows)
    store.move(before, replace(before, rows=rows), fence=None, events=(), token="t-1")
    store.wish(OP, Wish.PAUSE, "grace", event(Happened.PAUSE_ASKED, operation_id=OP))
    Driving(yard, store, OP).join()
    assert store.operation(OP).state is OperationState.PARKED


@pytest.mark.parametrize("took", [0.0, 0.1, 2.0, 20.0])
def test_a_node_rests_until_a_report_has_come_in_between(took: float) -> None:
    """One may be begun just then, and only the next one is newer than the rest: without it nothing is told."""
    assert rest_of(took) >= max(1.0, 2 * took)


def test_only_a_place_has_an_end_to_the_waiting() -> None:
    """A soak is long on purpose, and ends by itself; what is told anew does not begin the time anew."""
    operation = schedule(record(), operation_id=OP, approved_by="grace", now=NOW)
    later = NOW + timedelta(hours=1)
    soaks = keep(operation, "the canary to soak", NOW, is_crowded=False)
    assert soaks is not None
    assert not has_lasted(soaks.after, 60, later)
    waits = keep(soaks.after, WHAT, NOW, is_crowded=True)
    assert waits is not None
    assert keep(waits.after, WHAT, later, is_crowded=True) is None
    other = keep(waits.after, "w-4 too", later, is_crowded=True)
    assert other is not None
    assert (other.after.waits_since, len(other.events)) == (NOW, 1)
    assert has_lasted(other.after, 3599, later)
    found = no_place(other.after, "w-4 too")
    assert (found.code, "has waited since 14:00 UTC for w-4 too" in found.sentence) == ("no-place", True)


@pytest.mark.parametrize(("cordoned", "crowded_"), [(True, True), (False, False)])
def test_a_turn_says_whether_it_is_for_a_place(tmp_path: Path, cordoned: bool, crowded_: bool) -> None:  # noqa: FBT001
    """Of workers whose stage has come."""
    yard = crowded(tmp_path)
    yard.change_node("w-3", cordoned=cordoned)
    operation = schedule(yard.record, operation_id=OP, approved_by="grace", now=NOW)
    rows = tuple(replace(r, position=_begins(yard, r.node)) for r in operation.rows)
    turn = find_runnable(yard.record.plan, replace(operation, rows=rows), yard.report, now=NOW)
    assert (turn.is_crowded, bool(turn.nodes)) == (crowded_, not crowded_)


def _begins(yard: Yard, name: str) -> int:
    """Where the workers' stage begins, and the control plane is through."""
    node = yard.record.plan.node(name)
    assert node is not None
    phases = [step.phase for step in itinerary(yard.record.plan, node)]
    return phases.index(Phase.AFTER if name == "cp-1" else Phase.WORKERS)
