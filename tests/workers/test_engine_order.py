"""The driver takes every node through every step once and in order, on a real Redis, with steps that have a memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cluster.events import Happened
from cluster.operation import OperationState, RowState
from cluster.plan import PlanKind
from cluster.procedure import Phase, Verb, itinerary
from cluster.store import Store
from tests.engine_fixture import CLUSTER, NODES, WORKERS, plan, record
from tests.engine_run import OP, begin, kinds, small, yard
from tests.engine_yard import Yard
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "small", "store", "yard"]  # pytest finds fixtures by name in this module


def test_nodes_that_do_not_move_at_every_hop_wait_for_their_turn(tmp_path: Path, store: Store) -> None:
    """A straggler begins alone, the others go from hop to hop with the control plane, or with its last one."""
    whole = plan(targets=("1.34.7", "1.35.4", "1.36.2"))
    moves = dict.fromkeys(WORKERS, (2,)) | {"w-1": (0, 1, 2)}
    pools = tuple(replace(p, nodes=tuple(replace(n, moves=moves.get(n.name)) for n in p.nodes)) for p in whole.pools)
    made = replace(whole, hops=(replace(whole.hops[0], whole=False), *whole.hops[1:]), pools=pools)
    yard = Yard(record(made), tmp_path / "log")
    begin(yard, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    for node in made.nodes:
        assert yard.verbs(node.name) == [s.verb for s in itinerary(made, node)]
    restarts = {n: yard.verbs(n).count(Verb.RESTART_KUBELET) for n in NODES}
    assert restarts == {"cp-1": 2, "cp-2": 2, "cp-3": 2, "w-1": 3, "w-2": 1, "w-3": 1, "w-4": 1}


def test_every_node_takes_every_step_once_and_in_order(yard: Yard, store: Store) -> None:
    """From scheduled to completed: each itinerary whole, phases as barriers, lock and Lease gone."""
    begin(yard, store).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.COMPLETED
    for node in yard.record.plan.nodes:
        assert yard.verbs(node.name) == [s.verb for s in itinerary(yard.record.plan, node)]
    assert len(yard.started()) == len(set(yard.started()))
    assert yard.phases() == [p.value for p in Phase if p not in {Phase.OPENING, Phase.CLOSING}]  # no hooks
    assert store.lock_holder(CLUSTER) is None
    assert yard.lease is None
    assert kinds(store)[0] is Happened.PLAN_APPROVED
    assert kinds(store)[1] is Happened.OPERATION_STARTED
    assert kinds(store)[-1] is Happened.OPERATION_COMPLETED
    assert (
        kinds(store).count(Happened.STEP_STARTED) == kinds(store).count(Happened.STEP_FINISHED) == len(yard.started())
    )


def test_the_last_event_tells_old_against_new(small: Yard, store: Store) -> None:
    """Every node's kubelet, from a report that was read at the end."""
    begin(small, store).join()
    last = store.events(OP)[-1][1]
    assert {last.facts[n] for n in ("cp-1", "w-1", "w-2")} == {"v1.34.7 -> v1.35.4"}


def test_two_hops_are_walked_one_after_the_other(tmp_path: Path, store: Store) -> None:
    """No step of the second hop before the last of the first."""
    two = Yard(record(plan(("cp-1",), ("w-1",), targets=("1.35.4", "1.36.2"))), tmp_path / "log")
    begin(two, store).join()
    hops = [e.step.split("/")[0] for _, e in store.events(OP) if e.kind is Happened.STEP_STARTED]
    assert hops == sorted(hops)
    assert set(hops) == {"0", "1"}


def test_a_revert_runs_on_the_control_plane_alone(tmp_path: Path, store: Store) -> None:
    """Workers have no row in it."""
    revert = Yard(record(plan(kind=PlanKind.REVERT)), tmp_path / "log")
    begin(revert, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert {line[1] for line in revert.lines()} == {"cp-1", "cp-2", "cp-3"}


def test_a_node_that_left_is_skipped_and_one_that_joined_is_only_told(yard: Yard, store: Store) -> None:
    """The rest goes on."""
    nodes = {n.name: n for n in yard.report.nodes}
    joined = replace(nodes.pop("w-4"), name="w-9", uid="uid-w-9")
    yard.set_nodes(*nodes.values(), joined)
    begin(yard, store).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.COMPLETED
    assert operation.row("w-4").state is RowState.SKIPPED
    assert kinds(store).count(Happened.NODE_SKIPPED) == 1
    assert kinds(store).count(Happened.NODE_JOINED) == 1
    assert {line[1] for line in yard.lines()} <= set(NODES)


def test_state_and_events_agree_for_every_worker(yard: Yard, store: Store) -> None:
    """No state without its event: each finished node has exactly one."""
    begin(yard, store).join()
    finished = [e.node for _, e in store.events(OP) if e.kind is Happened.NODE_FINISHED]
    assert sorted(finished) == sorted(NODES)
    assert set(WORKERS) <= set(finished)


def test_a_second_replica_that_a_drain_left_behind_is_taken_back_at_the_end_at_the_latest(
    small: Yard, store: Store
) -> None:
    """It is on record before it is there, and no run ends before its record was gone through."""
    path = "/apis/apps/v1/namespaces/demo/deployments/web"
    small.script("w-1", Verb.DRAIN, lambda site: site.record_surge(("demo/web",)))
    begin(small, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert store.operation(OP).row("w-1").surged == ("demo/web",)
    assert small.asked.count(path) == 1
    assert [e.sentence for _, e in store.events(OP) if "replica" in e.sentence] == [
        "demo/web gets a second replica before the drain of w-1."
    ]
