"""What each answer to an eviction means, and what is done about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.options import Options
from cluster.procedure import Verb
from tests.workers.drain_fixture import STRICT, cordoned_bench
from tests.workers.runbook_fixture import denied, pod
from workers.eviction import Said, read_refusal, selects
from workers.patience import JUST_STARTED
from workers.runbook import StepBlocked, Yielded, perform

FULL = "Cannot evict pod as it would violate the pod's disruption budget."


@pytest.mark.parametrize(
    ("error", "said", "again"),
    [
        (denied(404), Said.GONE, None),
        (denied(409), Said.REPLACED, None),
        (denied(429, FULL, cause="DisruptionBudget"), Said.BUDGET, None),
        (denied(429, FULL, cause="DisruptionBudget", retry_after=10), Said.BUDGET, 10),
        (denied(429, "too many requests", retry_after=3), Said.LATER, 3),
        (denied(403, "namespace ends", cause="NamespaceTerminating"), Said.LATER, None),
        (denied(403, "pdb disruptions allowed is negative"), Said.LATER, None),
        (denied(403, "DisruptedPods map too big - too many evictions not confirmed"), Said.LATER, None),
        (denied(403, "cannot create resource pods/eviction"), Said.REFUSED, None),
        (denied(401, "Unauthorized"), Said.REFUSED, None),
        (denied(403, 'admission webhook "x" denied the request: keep it'), Said.NEVER, None),
        (denied(422, "ValidatingAdmissionPolicy 'x' with binding 'y' denied request: keep it"), Said.NEVER, None),
        (denied(500, "This pod has more than one PodDisruptionBudget, which …"), Said.NEVER, None),
        (denied(500, "etcdserver: leader changed"), Said.LATER, None),
        (denied(504, "timeout"), Said.LATER, None),
        (denied(422, "invalid"), Said.NEVER, None),
    ],
)
def test_each_answer_to_an_eviction_has_its_meaning(error: Any, said: Said, again: float | None) -> None:
    """The table of answers, with the server's own wish for the next try."""
    answer = read_refusal(error)
    assert (answer.said, answer.again_after) == (said, again)


def test_the_budget_is_named_as_the_server_names_it() -> None:
    """The budget's name is in the cause's sentence only."""
    assert read_refusal(denied(429, STRICT, cause="DisruptionBudget")).budget == "strict"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "db"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_selector_selects_as_policy_v1_says(*, selector: dict[str, Any] | None, expected: bool) -> None:
    """An empty selector takes every pod, a missing one none."""
    assert selects(selector, {"app": "web"}) is expected


def test_a_refused_budget_is_asked_again_told_once_and_then_passes() -> None:
    """A budget that gives way before the time-out is a wait and no failure."""
    bench = cordoned_bench(pod("a", "w1"))
    refusal = denied(429, STRICT, cause="DisruptionBudget")
    bench.api.answers = [("POST", "/eviction", refusal), ("POST", "/eviction", refusal)]
    perform(bench.site("w1", Verb.DRAIN))
    assert sum("demo/strict" in line for line in bench.told) == 1
    assert sum("/eviction" in line for line in bench.api.log) == 3


def test_a_right_that_an_api_server_misses_right_after_its_start_is_no_refusal() -> None:
    """Whichever answers behind the balancer may just have started; the pod leaves when it has found its feet."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.answers = [("POST", "/eviction", denied(403, "cannot create resource pods/eviction"))] * 2
    perform(bench.site("w1", Verb.DRAIN))
    assert "a" not in bench.api.pods


def test_a_right_that_stays_missing_gives_the_node_back_long_before_the_time_out() -> None:
    """The server's own words are the reason."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.always = {"/eviction": denied(403, "cannot create resource pods/eviction")}
    before = bench.clock.now()
    with pytest.raises(StepBlocked, match="cannot create resource pods/eviction") as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    assert blocked.value.uncordoned
    assert JUST_STARTED < (bench.clock.now() - before).total_seconds() < 2 * JUST_STARTED


def test_a_servers_wish_for_a_long_wait_does_not_outlast_a_minute() -> None:
    """Whatever an overloaded server wishes, the drain's own deadline is looked at."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.answers = [("POST", "/eviction", denied(429, "too many requests", retry_after=3600))]
    before = bench.clock.now()
    perform(bench.site("w1", Verb.DRAIN))
    assert 55 < (bench.clock.now() - before).total_seconds() < 70


def test_the_lease_is_asked_for_before_every_single_eviction() -> None:
    """A node full of pods takes a while: a driver that loses its lease meanwhile evicts no further one."""
    bench = cordoned_bench(*(pod(f"a{i}", "w1") for i in range(50)))
    site = bench.site("w1", Verb.DRAIN)
    leases = iter([True] * 10)
    with pytest.raises(Yielded):
        perform(replace(site, may_start=lambda: next(leases, False)))
    assert sum("/eviction" in line for line in bench.api.log) == 10


def test_an_unready_pod_that_its_budget_holds_has_a_remedy_of_its_own() -> None:
    """One more replica would be as unready: what helps is to mend it, or a budget that lets the unready go."""
    sick = pod("a", "w1")
    sick["status"]["conditions"] = []
    bench = cordoned_bench(sick, options=Options(drain_timeout=60))
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    assert "`unhealthyPodEvictionPolicy: AlwaysAllow`" in blocked.value.finding.remedy


def test_two_budgets_block_at_once_and_are_both_named() -> None:
    """Such an eviction never succeeds, so nobody waits for it."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.always = {"/eviction": denied(500, "This pod has more than one PodDisruptionBudget, which …")}
    bench.api.budgets = [{"metadata": {"name": n}, "spec": {"selector": {}}} for n in ("one", "two")]
    before = bench.clock.now()
    with pytest.raises(StepBlocked, match="one, two"):
        perform(bench.site("w1", Verb.DRAIN))
    assert (bench.clock.now() - before).total_seconds() < 1


def test_a_same_named_successor_is_looked_at_again_and_not_evicted_blindly() -> None:
    """The uid goes with every eviction."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.answers = [("POST", "/eviction", denied(409, "uid differs"))]
    perform(bench.site("w1", Verb.DRAIN))
    assert "a" not in bench.api.pods


def test_nothing_is_evicted_without_the_lease() -> None:
    """A driver that lost its lease stops before the side effect."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.leased = False
    with pytest.raises(Yielded):
        perform(bench.site("w1", Verb.DRAIN))
    assert "a" in bench.api.pods
