"""How many nodes may be away, and who waits for a place: the driver's promise to what runs on them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from cluster.events import Happened
from cluster.findings import Findings
from cluster.operation import Operation, OperationState, Wish
from cluster.plan import PlanNode
from cluster.procedure import Step, Verb
from cluster.store import Store
from tests.engine_fixture import event, record
from tests.engine_run import OP, SMALL, begin, small, yard
from tests.engine_yard import Driving, Yard, wait_until
from tests.redis_fixture import redis_server, redis_url, store
from tests.workers.runbook_fixture import pod

__all__ = ["redis_server", "redis_url", "small", "store", "yard"]  # pytest finds fixtures by name in this module


def test_never_more_workers_are_away_than_the_pool_allows(yard: Yard, store: Store) -> None:
    """A window of two over four workers."""
    begin(yard, store).join()
    assert yard.most_away == 2


def test_a_cordon_of_somebody_else_takes_a_place_and_the_wait_is_told(small: Yard, store: Store) -> None:
    """With one place and a foreign cordon on it, only that node moves; the other waits until it is free."""
    small.change_node("w-2", cordoned=True)
    uncordoned = threading.Event()
    small.script("w-2", Verb.UNCORDON, lambda _: uncordoned.set())
    original = small.change_node

    def stays(name: str, **changes: object) -> None:
        if name == "w-2" and changes.get("cordoned") is False:
            return
        original(name, **changes)

    small.change_node = stays  # type: ignore[method-assign]
    driving = begin(small, store)
    wait_until(lambda: any("Waiting for w-2" in e.sentence for _, e in store.events(OP)))
    assert Verb.CORDON not in small.verbs("w-1")
    original("w-2", cordoned=False)
    driving.join()
    assert uncordoned.is_set()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_a_window_is_cordoned_before_its_first_eviction(yard: Yard, store: Store) -> None:
    """What is evicted from one worker must not land on the next one; a cordon that takes long is waited for."""
    pools = (yard.record.plan.pools[0], replace(yard.record.plan.pools[1], max_unavailable=3))
    yard = Yard(record(replace(yard.record.plan, pools=pools)), yard.log)
    yard.script("w-2", Verb.CORDON, lambda site: site.wait(1.0))
    begin(yard, store).join()
    told = [
        (what, node) for what, node, verb, *_ in yard.lines() if (what, verb) in {("end", "cordon"), ("start", "drain")}
    ]
    first_drain = next(n for n, (what, node) in enumerate(told) if what == "start" and node.startswith("w"))
    assert {node for what, node in told[:first_drain] if node.startswith("w")} == {"w-1", "w-2", "w-3"}
    steps = [(e.kind, e.step, e.node) for _, e in store.events(OP)]
    cordoned = steps.index((Happened.STEP_FINISHED, "0/workers/cordon", "w-2"))
    drains = [
        n for n, (kind, step, _) in enumerate(steps) if (kind, step) == (Happened.STEP_STARTED, "0/workers/drain")
    ]
    assert min(drains) > cordoned  # no drain's time counts before it may begin


def test_somebody_is_left_to_take_over_a_database_whatever_the_window_lets_in(yard: Yard, store: Store) -> None:
    """Its other node waits until the first one is back; a third one goes in its place, and the wait is told."""
    pools = (yard.record.plan.pools[0], replace(yard.record.plan.pools[1], max_unavailable=2))
    labels = {"cnpg.io/podRole": "instance", "cnpg.io/cluster": "main"}
    pods = [pod(f"main-{n}", f"w-{n}", kind="Cluster") for n in (1, 2)]
    for made in pods:
        made["metadata"]["labels"] = labels
    yard = Yard(record(replace(yard.record.plan, pools=pools)), yard.log, pods=pods)
    for name in ("w-1", "w-2"):  # whichever is let in first
        yard.script(name, Verb.DRAIN, lambda _: wait_until(lambda: Verb.UNCORDON in yard.verbs("w-4")))
    begin(yard, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    ended = [(node, verb) for what, node, verb, *_ in yard.lines() if what == "end"]
    first, second = sorted(("w-1", "w-2"), key=lambda name: ended.index((name, Verb.CORDON)))
    assert ended.index((second, Verb.CORDON)) > ended.index((first, Verb.UNCORDON))
    assert ended.index(("w-3", Verb.CORDON)) < ended.index((first, Verb.UNCORDON))


def test_what_a_database_waits_for_is_told_where_nobody_else_can_go_on(yard: Yard, store: Store) -> None:
    """An instance that is not ready may come back by itself; until then its run can be paused or cancelled."""
    pods = [pod("main-1", "w-1", kind="Cluster"), pod("main-2", "elsewhere", kind="Cluster")]
    for made in pods:
        made["metadata"]["labels"] = {"cnpg.io/podRole": "instance", "cnpg.io/cluster": "main"}
    pods[1]["status"]["conditions"] = []
    yard.pods = pods
    driving = begin(yard, store)
    wait_until(lambda: any("another instance of the database demo/main" in e.sentence for _, e in store.events(OP)))
    assert Verb.CORDON not in yard.verbs("w-1")
    pods[1]["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    driving.join()
    assert store.operation(OP).state is OperationState.COMPLETED


def _away_at_the_cordon(yard: Yard) -> Callable[[Operation, Step, PlanNode], Findings]:
    """A gate that lets w-1 to its cordon in the moment in which w-2 goes away."""
    gone: list[str] = []

    def judge(_operation: Operation, step: Step, node: PlanNode) -> Findings:
        if (node.name, step.verb, gone) == ("w-1", Verb.CORDON, []):
            gone.append("w-2")
            yard.change_node("w-2", ready=False)
        return ()

    return judge


def test_a_node_that_went_away_meanwhile_takes_the_place_before_the_next_cordon(small: Yard, store: Store) -> None:
    """A node may be let in before another one goes away; the limit holds at the cordon itself, and the wait is told."""
    small.findings = _away_at_the_cordon(small)
    driving = begin(small, store)
    wait_until(lambda: any("Waiting for w-2" in e.sentence for _, e in store.events(OP)))
    assert Verb.CORDON not in small.verbs("w-1")
    small.change_node("w-2", ready=True)
    driving.join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert small.most_away == 1


def test_a_node_that_waits_for_a_place_is_cut_short_by_a_cancel(small: Yard, store: Store) -> None:
    """Nothing of its work was disturbed, and the one that is away may never come back."""
    small.findings = _away_at_the_cordon(small)
    driving = begin(small, store)
    wait_until(lambda: any("Waiting for w-2" in e.sentence for _, e in store.events(OP)))
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    driving.join()
    assert store.operation(OP).state is OperationState.CANCELLED
    assert small.verbs("w-1")[-1] == Verb.UNHOLD


def test_the_others_follow_a_canary_after_its_soak_whoever_drives(tmp_path: Path, store: Store) -> None:
    """The thread says once until when; the second driver counts from the same end as the first one did."""
    pools = (SMALL.pools[0], replace(SMALL.pools[1], canary=1, soak=2, max_unavailable=2))
    yard = Yard(record(replace(SMALL, pools=pools)), tmp_path / "log")
    first = begin(yard, store)

    def said() -> list[str]:
        return [e.sentence for _, e in store.events(OP) if "how its canaries do" in e.sentence]

    wait_until(lambda: bool(said()))
    first.end()
    Driving(yard, store, OP).join()
    back = store.operation(OP).row("w-1").back_at
    assert back is not None
    assert len(said()) == 1
    assert f"(w-1), until {back + timedelta(seconds=2):%Y-%m-%d %H:%M:%S} UTC." in said()[0]
    cordoned = next(
        e.at
        for _, e in store.events(OP)
        if e.kind is Happened.STEP_STARTED and e.step.endswith("cordon") and e.node == "w-2"
    )
    assert cordoned >= back + timedelta(seconds=2)
    assert store.operation(OP).state is OperationState.COMPLETED
