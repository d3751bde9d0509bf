"""Surge: single replicas get a second one before they are evicted, and never keep it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.errors import ClusterUnreadable, KubeDenied
from cluster.inventory import Defaults
from cluster.operation import schedule
from cluster.options import Options
from cluster.procedure import Verb
from policies.goals import tell_release
from tests.engine_fixture import NOW, record
from tests.workers.runbook_fixture import OPERATION, SETTINGS, Bench, denied, pod
from workers.doctor import try_surge
from workers.runbook import Site, StepBlocked, Yielded, perform
from workers.surge import MARK, take_back

CLAIM = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
TOLERANT = [{"operator": "Exists"}]


def deployment(name: str = "web", *, replicas: int = 1, owner: str = "", **spec: Any) -> dict[str, Any]:
    template = spec.pop("template", {})
    owners = [{"kind": owner, "name": "it", "controller": True}] if owner else []
    return {
        "metadata": {
            "name": name,
            "namespace": "demo",
            "resourceVersion": "7",
            "generation": 1,
            "annotations": {},
            "labels": {},
            "ownerReferences": owners,
        },
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [], **template}}, **spec},
        "status": {"observedGeneration": 1, "availableReplicas": replicas},
    }


def bench_with(made: dict[str, Any], *, surge: bool = True, **spec: Any) -> Bench:
    """A Deployment with its one pod on w1."""
    bench = Bench(options=Options(surge=surge, drain_timeout=100))
    bench.api.deployments["web"] = made
    owners = [{"kind": "Deployment", "name": "web", "controller": True}]
    bench.api.replica_sets["of-web-1"] = {"metadata": {"ownerReferences": owners}}
    bench.api.pods["web-1"] = pod("web-1", "w1", **spec)
    perform(bench.site("w1", Verb.CORDON))
    bench.api.log.clear()
    return bench


def drain_of(bench: Bench) -> tuple[Site, list[tuple[str, ...]]]:
    """Its site, and what it has put on record."""
    recorded: list[tuple[str, ...]] = []
    return replace(bench.site("w1", Verb.DRAIN), record_surge=recorded.append), recorded


def changes(bench: Bench) -> list[str]:
    return [
        line.replace("/apis/apps/v1/namespaces/demo", "")
        for line in bench.api.log
        if not line.startswith(("GET", "LIST"))
    ]


def test_a_single_replica_has_a_second_one_before_it_is_evicted_and_is_alone_again_afterwards() -> None:
    """What is scaled up is on record before it is."""
    bench = bench_with(deployment())
    site, recorded = drain_of(bench)
    perform(site)
    assert [line.split("/")[-1] for line in changes(bench)] == ["web", "eviction", "web"]
    assert recorded == [("demo/web",), ()]
    assert bench.api.deployments["web"]["spec"]["replicas"] == 1
    assert MARK not in bench.api.deployments["web"]["metadata"]["annotations"]
    assert bench.told == []


def test_a_deployment_that_changes_just_then_is_read_anew() -> None:
    """Its controller writes its status all the time; that is no reason to go without the second pod."""
    bench = bench_with(deployment())
    bench.api.answers = [("PATCH", "deployments/web", denied(409))]
    site, recorded = drain_of(bench)
    perform(site)
    assert [line.split("/")[-1] for line in changes(bench)] == ["web", "web", "eviction", "web"]
    assert (recorded, bench.told) == ([("demo/web",), ()], [])


def test_without_the_option_nothing_is_scaled() -> None:
    """It is off unless a plan has it."""
    bench = bench_with(deployment(), surge=False)
    perform(drain_of(bench)[0])
    assert [line.split("/")[-1] for line in changes(bench)] == ["eviction"]


SCALER = {"metadata": {"name": "web"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}}


@pytest.mark.parametrize(
    ("made", "pods", "why"),
    [
        (deployment(replicas=2), {}, ""),  # no single one: nothing to say
        (deployment(strategy={"type": "Recreate"}), {}, "its strategy is Recreate"),
        (deployment(paused=True), {}, "it is paused"),
        (deployment(owner="Grafana"), {}, "Grafana it decides on it"),
        (deployment(), {"tolerations": TOLERANT}, "its pods tolerate the cordon"),
        (deployment(template={"volumes": CLAIM}), {}, "its volume data is for one node"),
        (deployment(), {"scaler": True}, "the HorizontalPodAutoscaler web decides on it"),
    ],
)
def test_what_must_not_or_cannot_have_two_replicas_is_left_alone_and_told(
    made: dict[str, Any], pods: dict[str, Any], why: str
) -> None:
    """Two of them would harm it, somebody else decides, or the second one would not start."""
    scaled = pods.pop("scaler", False)
    bench = bench_with(made, **pods)
    bench.api.scalers = [SCALER] if scaled else []
    bench.api.claims = {"data": "pv-1"}
    site, recorded = drain_of(bench)
    perform(site)
    assert [line.split("/")[-1] for line in changes(bench)] == ["eviction"]
    assert recorded == []
    assert bench.told == ([f"No second replica on behalf of the drain of w1 for demo/web ({why})."] if why else [])


def test_a_volume_that_several_nodes_may_mount_is_no_obstacle() -> None:
    """ReadWriteMany."""
    bench = bench_with(deployment(template={"volumes": CLAIM}))
    bench.api.claims, bench.api.shared = {"data": "pv-1"}, {"data"}
    site, recorded = drain_of(bench)
    perform(site)
    assert recorded == [("demo/web",), ()]


def test_a_second_replica_that_does_not_come_up_is_not_waited_for_for_ever() -> None:
    """The drain goes on as it would without; that is told."""
    bench = bench_with(deployment())
    bench.api.most_replicas = 1
    site, _ = drain_of(bench)
    perform(site)
    assert 30 < site.elapsed(site.started_at) < 40
    assert bench.told == ["The second replicas of demo/web are not ready, and not waited for any longer."]
    assert bench.api.deployments["web"]["spec"]["replicas"] == 1


def test_a_drain_that_fails_takes_the_second_replica_back() -> None:
    """The node works on with the first one."""
    bench = bench_with(deployment())
    bench.api.always = {"/eviction": denied(429, "needs 1 and has 1", cause="DisruptionBudget")}
    site, recorded = drain_of(bench)
    with pytest.raises(StepBlocked):
        perform(site)
    assert recorded[-1] == ()
    assert bench.api.deployments["web"]["spec"]["replicas"] == 1


def test_a_driver_that_takes_over_goes_on_with_what_is_on_record() -> None:
    """It is scaled up once, and back by whoever comes last."""
    bench = bench_with(deployment())
    bench.api.most_replicas = 1
    site, recorded = drain_of(bench)
    bench.stopped = False

    def die(seconds: float) -> None:
        bench.clock.sleep(seconds)
        bench.stopped = True

    with pytest.raises(Yielded):
        perform(replace(site, sleep=die))
    bench.stopped, bench.api.most_replicas = False, 2
    bench.api.deployments["web"]["status"]["availableReplicas"] = 2
    perform(replace(site, surged=recorded[-1]))
    assert [line.split("/")[-1] for line in changes(bench)] == ["web", "eviction", "web"]
    assert recorded == [("demo/web",), ()]


def test_an_account_without_the_right_drains_without() -> None:
    """A second replica is a courtesy: its want is told, and fails no drain."""
    bench = bench_with(deployment())
    bench.api.always = {"/replicasets/": denied(403, "replicasets is forbidden")}
    perform(drain_of(bench)[0])
    assert [line.split("/")[-1] for line in changes(bench)] == ["eviction"]
    assert bench.told == ["No second replicas on behalf of the drain of w1: replicasets is forbidden"]


def test_what_cannot_be_taken_back_stays_on_record_for_the_end_of_the_run() -> None:
    """A right that was lost in the middle does not fail the drain."""
    bench = bench_with(deployment())
    site, recorded = drain_of(bench)
    post = bench.api.post

    def evict(*args: Any, **more: Any) -> Any:
        bench.api.always = {"/deployments/web": denied(403, "deployments is forbidden")}
        return post(*args, **more)

    bench.api.post = evict  # type: ignore[method-assign]
    perform(site)
    assert recorded == [("demo/web",)]
    assert "could not be taken back yet" in bench.told[-1]
    with pytest.raises(ClusterUnreadable):
        take_back(bench.api, OPERATION, recorded[-1])
    bench.api.always.clear()
    take_back(bench.api, OPERATION, recorded[-1])
    assert bench.api.deployments["web"]["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("mark", "replicas", "left"), [(OPERATION, 2, 1), (OPERATION, 5, 5), ("op-other", 2, 2), ("", 2, 2)]
)
def test_only_what_is_as_we_left_it_is_taken_back(mark: str, replicas: int, left: int) -> None:
    """Whoever scaled it meanwhile has the last word, and another run's mark is that run's."""
    bench = Bench()
    bench.api.deployments["web"] = deployment(replicas=replicas)
    bench.api.deployments["web"]["metadata"]["annotations"] = {MARK: mark} if mark else {}
    take_back(bench.api, OPERATION, ["demo/web", "demo/deleted"])
    found = bench.api.deployments["web"]
    assert found["spec"]["replicas"] == left
    assert (MARK in found["metadata"]["annotations"]) is (mark == "op-other")


def doubled(bench: Bench, *names: str) -> None:
    for name in names:
        bench.api.deployments[name] = deployment(name, replicas=2)
        bench.api.deployments[name]["metadata"]["annotations"] = {MARK: OPERATION}


def test_one_that_may_not_be_taken_back_keeps_no_other_at_two() -> None:
    """A policy may be about one namespace alone; that it said no is told all the same."""
    bench = Bench()
    doubled(bench, "web", "api")
    bench.api.always = {"deployments/web": denied(403)}
    with pytest.raises(KubeDenied):
        take_back(bench.api, OPERATION, ["demo/web", "demo/api"])
    assert [d["spec"]["replicas"] for d in bench.api.deployments.values()] == [2, 1]


def test_one_that_somebody_keeps_writing_is_not_taken_for_taken_back() -> None:
    """It is asked for again later: off the record it would stay at two for ever."""
    bench = Bench()
    doubled(bench, "web")
    bench.api.answers = [("PATCH", "deployments/web", denied(409)) for _ in range(5)]
    with pytest.raises(ClusterUnreadable, match="The Deployment demo/web changed between reading and writing"):
        take_back(bench.api, OPERATION, ["demo/web"])
    take_back(bench.api, OPERATION, ["demo/web"])
    assert bench.api.deployments["web"]["spec"]["replicas"] == 1


class Reviewer:
    """An API server that answers whether something is allowed."""

    def __init__(self, *, allows: bool) -> None:
        self.answer = {"status": {"allowed": allows}}

    def post(self, _path: str, _body: Any) -> Any:
        return self.answer


@pytest.mark.parametrize(("surge", "allows", "found"), [(False, False, 0), (True, True, 0), (True, False, 1)])
def test_doctor_says_where_the_right_to_scale_is_lacking(*, surge: bool, allows: bool, found: int) -> None:
    """Only where the defaults ask for it."""
    cluster = SETTINGS.clusters["lab"].model_copy(update={"defaults": Defaults(surge=surge)})
    told = list(try_surge(Reviewer(allows=allows), "lab", cluster))  # type: ignore[arg-type]
    assert [f.code for f in told] == ["surge-refused"] * found


def test_a_lock_that_is_released_by_hand_says_what_is_left_behind() -> None:
    """No driver comes any more to take it back."""
    operation = schedule(record(), operation_id="op-1", approved_by="grace", now=NOW)
    said = "ada released the lock of prod by hand."
    assert tell_release(operation, "ada") == said
    row = replace(operation.rows[0], cordoned_by_us=True, surged=("demo/web",))
    left = tell_release(replace(operation, rows=(row, *operation.rows[1:])), "ada")
    assert left == (
        f"{said} Still cordoned by us: {row.node}; uncordon what is well. "
        "Maybe still with a second replica of ours: demo/web; scale back what is annotated so."
    )
