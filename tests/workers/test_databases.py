"""Databases under a drain: somebody is left to take over, and whoever leads is the last to leave."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.options import DatabaseRule, Options
from cluster.procedure import Verb
from tests.workers.runbook_fixture import Bench, denied, pod
from workers.databases import nobody_left
from workers.runbook import StepBlocked, perform

CNPG = {"cnpg.io/podRole": "instance", "cnpg.io/cluster": "main"}
PATRONI = {"application": "patroni", "cluster-name": "main"}


def instance(
    name: str, node: str, *, leads: bool = False, ready: bool = True, labels: dict[str, str] = CNPG
) -> dict[str, Any]:
    made = pod(name, node, kind="StatefulSet" if labels is PATRONI else "Cluster")
    role = "role" if labels is PATRONI else "cnpg.io/instanceRole"
    made["metadata"]["labels"] = {**labels, role: "primary" if leads else "replica"}
    if not ready:
        made["status"]["conditions"] = []
    return made


def bench_with(*pods: dict[str, Any], options: Options | None = None) -> Bench:
    bench = Bench(options=options)
    bench.api.pods |= {p["metadata"]["name"]: p for p in pods}
    return bench


ENDED = instance("old", "w2")
ENDED["status"]["phase"] = "Failed"
OTHER = instance("other-1", "w2", labels={**CNPG, "cnpg.io/cluster": "other"})
POOLER = pod("pooler", "w2")
POOLER["metadata"]["labels"] = {**CNPG, "cnpg.io/podRole": "pooler"}
MINE = instance("main-1", "w1", leads=True)


@pytest.mark.parametrize(
    ("pods", "away", "waits"),
    [
        ([pod("web", "w1"), pod("web-2", "w2")], {"w2"}, False),
        ([MINE], set(), False),  # nobody could ever take over: the plan says so
        ([MINE, instance("main-2", "w1")], set(), False),  # all on one node, as the plan says
        ([MINE, instance("main-2", "w2")], set(), False),
        ([MINE, instance("main-2", "w2")], {"w2"}, True),
        ([MINE, instance("main-2", "w2"), instance("main-3", "w3")], {"w2"}, False),
        ([MINE, instance("main-2", "w2"), instance("main-3", "w3")], {"w2", "w3"}, True),
        ([MINE, instance("main-2", "w2", ready=False)], set(), True),
        ([MINE, instance("main-2", "")], set(), True),  # evicted, and not back yet
        ([instance("main-1", "w1"), instance("main-2", "w2", leads=True)], {"w2"}, True),  # of no primary, too
        ([MINE, OTHER], set(), False),
        ([MINE, POOLER], set(), False),
        ([MINE, ENDED], set(), False),
    ],
)
def test_a_node_is_not_cordoned_where_a_database_would_have_nobody_left(
    pods: list[dict[str, Any]], away: set[str], *, waits: bool
) -> None:
    """Operators look for a new primary on nodes that take pods, and find none on a cordoned one."""
    told = nobody_left(bench_with(*pods).api, "w1", away)
    assert bool(told) is waits
    assert told.startswith("another instance of the database demo/main to be ready") is waits


def asked(bench: Bench) -> list[str]:
    return [line.split("/")[-2] for line in bench.api.log if line.endswith("/eviction")]


def test_a_primary_is_waited_for_until_its_operator_has_handed_over() -> None:
    """CloudNativePG does as soon as the node is cordoned; until then its budget would only refuse."""
    leading = instance("main-1", "w1", leads=True)
    bench = bench_with(leading, pod("web", "w1"), instance("main-2", "w2"))
    perform(bench.site("w1", Verb.CORDON))
    site = bench.site("w1", Verb.DRAIN)

    def hand_over() -> None:
        if site.elapsed(site.started_at) > 20:
            leading["metadata"]["labels"]["cnpg.io/instanceRole"] = "replica"

    look = bench.api.items

    def items(*args: Any, **more: Any) -> Any:
        hand_over()
        return look(*args, **more)

    bench.api.items = items  # type: ignore[method-assign]
    perform(site)
    assert asked(bench) == ["web", "main-1"]
    assert site.elapsed(site.started_at) > 20
    told = "demo/main-1 leads the database demo/main: it is waited for until CloudNativePG has handed over"
    assert bench.told == [f"{told}, as w1 is cordoned."]


def test_a_primary_that_is_never_handed_over_is_asked_for_in_the_end() -> None:
    """Its budget has the last word, and the finding names it."""
    bench = bench_with(
        instance("main-1", "w1", leads=True), instance("main-2", "w2"), options=Options(drain_timeout=100)
    )
    bench.api.always = {"/eviction": denied(429, "needs 1 healthy pods and has 1", cause="DisruptionBudget")}
    perform(bench.site("w1", Verb.CORDON))
    site = bench.site("w1", Verb.DRAIN)
    with pytest.raises(StepBlocked, match="demo/main-1 is held by the PodDisruptionBudget"):
        perform(site)
    assert asked(bench)


@pytest.mark.parametrize(
    "others",
    [
        [instance("main-1", "w1", leads=True)],
        [instance("main-1", "w1", leads=True, labels=PATRONI), instance("main-2", "w2", labels=PATRONI)],
    ],
)
def test_a_primary_that_nobody_hands_over_leaves_after_all_others(others: list[dict[str, Any]]) -> None:
    """Of one instance there is nobody to wait for, and Patroni fails over only when its primary goes."""
    bench = bench_with(*others, pod("web", "w1"))
    bench.api.slow_to_end = {"web"}
    perform(bench.site("w1", Verb.CORDON))
    site = bench.site("w1", Verb.DRAIN)
    look = bench.api.items

    def items(*args: Any, **more: Any) -> Any:
        if site.elapsed(site.started_at) > 20:
            bench.api.pods.pop("web", None)
        return look(*args, **more)

    bench.api.items = items  # type: ignore[method-assign]
    perform(site)
    assert asked(bench) == ["web", "main-1"]
    assert 20 < site.elapsed(site.started_at) < 30
    assert bench.told == []


def test_a_database_of_the_file_is_treated_like_those_that_are_known() -> None:
    """By the rule that stands in the plan."""
    rule = DatabaseRule(
        "our own MySQL", (("app", "mysql"),), "mysql/cluster", "mysql/role", ("leader",), moves_on_cordon=True
    )
    pods = [instance(f"main-{n}", f"w{n}") for n in (1, 2)]
    for made, role in zip(pods, ("leader", "replica"), strict=True):
        made["metadata"]["labels"] = {"app": "mysql", "mysql/cluster": "main", "mysql/role": role}
    bench = bench_with(*pods, options=Options(databases=(rule,), drain_timeout=20))
    assert nobody_left(bench.api, "w1", {"w2"}, (rule,)).startswith("another instance of the database demo/main")
    assert nobody_left(bench.api, "w1", {"w2"}) == ""
    perform(bench.site("w1", Verb.CORDON))
    site = bench.site("w1", Verb.DRAIN)
    perform(site)
    assert site.elapsed(site.started_at) > 10
    assert "until our own MySQL has handed over" in bench.told[0]
