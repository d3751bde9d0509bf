"""A drain waits for every pod that leaves, says what holds it up, and gives the node back when it fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cluster.errors import ClusterUnreadable
from cluster.operation import Hold
from cluster.options import Options
from cluster.procedure import Verb
from cluster.report import CORDON_OWNER
from tests.workers.drain_fixture import STRICT, changed, cordoned_bench
from tests.workers.runbook_fixture import denied, pod
from workers.runbook import StepBlocked, perform


def test_a_node_is_emptied_but_for_what_stays() -> None:
    """Evicted pods are waited for; DaemonSet pods stay and are counted."""
    bench = cordoned_bench(pod("a", "w1"), pod("b", "w1"), pod("d", "w1", kind="DaemonSet"), pod("x", "w2"))
    bench.api.daemon_sets = {"of-d"}
    assert "static: 1" in perform(bench.site("w1", Verb.DRAIN)).sentence
    assert {"d", "x"} <= set(bench.api.pods)
    assert not {"a", "b"} & set(bench.api.pods)


@pytest.mark.parametrize(("tolerations", "evictions"), [([{"operator": "Exists"}], 1), ([], 3)])
def test_a_pod_that_tolerates_the_cordon_is_not_chased(tolerations: list[dict[str, str]], evictions: int) -> None:
    """Evicted, it may come back to this very node: its first self leaves, its next one stays, as kubectl has it."""
    bench = cordoned_bench(pod("agent-1", "w1", tolerations=tolerations))
    evicted = 0
    post = bench.api.post

    def come_again(path: str, body: Any, *rest: Any, **more: Any) -> Any:
        nonlocal evicted
        answer = post(path, body, *rest, **more)
        if path.endswith("/eviction"):
            evicted += 1
            if evicted < 3:
                successor = pod(f"agent-{evicted + 1}", "w1", tolerations=tolerations)
                bench.api.pods[successor["metadata"]["name"]] = successor
        return answer

    bench.api.post = come_again  # type: ignore[method-assign]
    perform(bench.site("w1", Verb.DRAIN))
    assert evicted == evictions


def test_a_drain_that_fails_names_pod_and_budget_and_gives_the_node_back() -> None:
    """After the time-out the node works again, and the finding says whom to ask."""
    bench = cordoned_bench(pod("a", "w1"), pod("b", "w1"), options=Options(drain_timeout=60))
    bench.api.always = {"pods/a/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    assert blocked.value.finding.code == "drain-blocked"
    assert blocked.value.uncordoned
    assert "demo/a" in blocked.value.finding.sentence
    assert "demo/strict" in blocked.value.finding.sentence
    assert "unschedulable" not in bench.api.nodes["w1"]["spec"]
    assert CORDON_OWNER not in bench.api.nodes["w1"]["metadata"]["annotations"]


def test_a_drain_takes_the_time_that_people_give_it_while_it_runs() -> None:
    """Asked for only when the plan's own is over: a hundred drains do not read the record at each look."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=60))
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    began, asked = bench.clock.now(), []

    def extension() -> int:
        asked.append((bench.clock.now() - began).total_seconds())
        return 120

    with pytest.raises(StepBlocked, match="within 180 s"):
        perform(replace(bench.site("w1", Verb.DRAIN), extension=extension))
    assert min(asked) > 60
    assert 180 < (bench.clock.now() - began).total_seconds() < 190


def test_what_holds_up_a_drain_is_recorded_when_that_lasts_and_forgotten_when_it_ends() -> None:
    """One pod after the other is usual; after a minute a person should know who is held by what."""
    bench, recorded = cordoned_bench(pod("a", "w1"), pod("b", "w1")), []
    bench.api.always = {"pods/a/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    began, since = bench.clock.now(), []

    def hold(holds: tuple[Hold, ...]) -> None:
        recorded.append(holds)
        since.append((bench.clock.now() - began).total_seconds())
        bench.api.always = {}

    perform(replace(bench.site("w1", Verb.DRAIN), hold=hold))
    assert [[(h.pod, h.by) for h in holds] for holds in recorded] == [
        [("demo/a", "the PodDisruptionBudget demo/strict")],
        [],
    ]
    assert 60 <= since[0] < 70


def test_a_new_driver_goes_on_with_what_was_recorded() -> None:
    """The minute does not begin anew, and nothing is recorded twice."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=60))
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    held = (
        Hold(
            "demo/a", "uid-a", "the PodDisruptionBudget demo/strict", STRICT, bench.clock.now() - timedelta(minutes=1)
        ),
    )
    recorded: list[tuple[Hold, ...]] = []
    with pytest.raises(StepBlocked):
        perform(replace(bench.site("w1", Verb.DRAIN), held=held, hold=recorded.append))
    assert recorded == []


def test_a_drain_that_is_held_up_is_given_up_as_soon_as_people_want_it_no_more() -> None:
    """At its next look and not at its deadline: the node works again, and nobody else is evicted."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=900))
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    began, recorded = bench.clock.now(), []
    site = replace(bench.site("w1", Verb.DRAIN), hold=recorded.append, unwanted=lambda: "ada asked to go on without it")
    with pytest.raises(StepBlocked, match="The drain of w1 is given up, as ada asked to go on without it") as blocked:
        perform(site)
    assert (blocked.value.finding.code, blocked.value.uncordoned) == ("drain-given-up", True)
    assert len(recorded) == 1
    assert 60 <= (bench.clock.now() - began).total_seconds() < 70
    assert "unschedulable" not in bench.api.nodes["w1"]["spec"]


def test_a_new_driver_gives_up_a_drain_that_people_want_no_more_before_anything_else() -> None:
    """Also one that was given back already, by a driver that was killed before it could say so."""
    bench = cordoned_bench(pod("a", "w1"))
    held = (Hold("demo/a", "uid-a", "the PodDisruptionBudget demo/strict", STRICT, bench.clock.now()),)
    site = replace(bench.site("w1", Verb.DRAIN), held=held, unwanted=lambda: "ada asked to cancel the run")
    with pytest.raises(StepBlocked) as first:
        perform(site)
    before = len(bench.api.log)
    with pytest.raises(StepBlocked) as second:
        perform(site)
    assert (first.value.uncordoned, second.value.uncordoned) == (True, False)
    assert not [line for line in bench.api.log if "/eviction" in line]
    assert not [line for line in bench.api.log[before:] if not line.startswith(("GET", "LIST"))]


def test_a_pod_that_does_not_end_holds_up_a_drain_too() -> None:
    """Beyond its own time to end: a finalizer, or a machine that hangs."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=600))
    bench.api.slow_to_end = {"a"}
    recorded: list[tuple[Hold, ...]] = []
    with pytest.raises(StepBlocked):
        perform(replace(bench.site("w1", Verb.DRAIN), hold=recorded.append))
    assert [[h.by for h in holds] for holds in recorded] == [["its own end"]]


def test_the_time_out_does_not_begin_anew_with_a_new_driver() -> None:
    """The recorded start of the attempt counts, so an operation that yields often still ends."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=60))
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    site = bench.site("w1", Verb.DRAIN)
    bench.clock.sleep(61)
    before = len(bench.api.log)
    with pytest.raises(StepBlocked, match="60 s"):
        perform(site)
    assert sum("/eviction" in line for line in bench.api.log[before:]) == 1


def test_whether_a_daemonset_is_there_is_asked_once_in_a_drain() -> None:
    """A node has several of them, and a drain looks every two seconds."""
    agent = pod("agent", "w1", kind="DaemonSet")
    bench = cordoned_bench(agent, pod("a", "w1"), options=Options(drain_timeout=60))
    bench.api.daemon_sets = {"of-agent"}
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    with pytest.raises(StepBlocked):
        perform(bench.site("w1", Verb.DRAIN))
    assert sum("/daemonsets/" in line for line in bench.api.log) == 1


def test_a_pod_that_may_take_longer_than_the_drain_is_told_before_its_eviction() -> None:
    """Databases ask for half an hour."""
    bench = cordoned_bench(pod("db", "w1", terminationGracePeriodSeconds=1800), pod("a", "w1"))
    perform(bench.site("w1", Verb.DRAIN))
    assert [line for line in bench.told if "longer" in line] == [
        "Some pods of w1 may take longer to end than its drain of 900 s: demo/db (1800 s)."
    ]


def test_a_drain_ends_by_what_etcd_holds_and_waits_by_what_the_server_remembers() -> None:
    """A memory that lags makes nobody believe that the node is empty."""
    bench = cordoned_bench(pod("a", "w1"), pod("b", "w1"))
    read, asked = bench.api.items, Counter[str]()

    def lagging(path: str, query: Any = None) -> Any:
        if path != "/api/v1/pods":
            return read(path, query)
        asked[query.get("resourceVersion", "etcd")] += 1
        found = list(read(path, query))
        return [p for p in found if p["metadata"]["name"] != "b"] if "resourceVersion" in query else found

    bench.api.items = lagging  # type: ignore[method-assign]
    perform(bench.site("w1", Verb.DRAIN))
    assert not {"a", "b"} & set(bench.api.pods)
    bench.api.pods["c"] = pod("c", "w1")
    bench.api.slow_to_end = {"c"}
    asked.clear()
    with pytest.raises(StepBlocked):
        perform(bench.site("w1", Verb.DRAIN))
    assert asked["0"] > 100
    assert asked["etcd"] == 1


def test_a_pod_that_does_not_end_is_named_at_the_time_out() -> None:
    """It is evicted once only; what hangs is its end."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=60))
    bench.api.slow_to_end = {"a"}
    with pytest.raises(StepBlocked, match="demo/a is being deleted, was to end by now"):
        perform(bench.site("w1", Verb.DRAIN))
    assert sum("/eviction" in line for line in bench.api.log) == 1


def test_a_pod_that_somebody_else_deleted_and_holds_is_named_with_what_holds_it() -> None:
    """A finalizer keeps it for ever, and on an unreachable node nothing ends: both are said."""
    held = changed(pod("a", "w1"), deletionTimestamp="2026-11-23T08:00:00Z", finalizers=["example.org/guard"])
    bench = cordoned_bench(held, options=Options(drain_timeout=60))
    bench.api.nodes["w1"]["spec"]["taints"] = [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    sentence = blocked.value.finding.sentence
    assert "demo/a is being deleted, was to end by 2026-11-23T08:00:00Z" in sentence
    assert "held by its finalizers (example.org/guard)" in sentence
    assert "The node is unreachable" in sentence


def test_an_absent_api_is_told_once_and_waited_for() -> None:
    """The drain goes on when the API is back."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.answers = [("LIST", "/pods", ClusterUnreadable("refused")), ("LIST", "/pods", denied(503))]
    perform(bench.site("w1", Verb.DRAIN))
    assert sum("cannot be read" in line for line in bench.told) == 1
