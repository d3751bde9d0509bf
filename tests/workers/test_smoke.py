"""A pod runs on an upgraded node before its work comes back, and leaves nothing behind."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.inventory import Smoke
from cluster.procedure import Verb
from lab.podsecurity import violations
from tests.workers.runbook_fixture import OPERATION, Bench, denied, node
from tests.workers.verify_fixture import PODS, blocked_by, upgraded
from workers.runbook import Site, StepBlocked, perform
from workers.smoke import pod_name
from workers.smoke_deployment import build_deployment
from workers.smoke_pod import build_pod

DEPLOYMENTS = "/apis/apps/v1/namespaces/lockkeeper-smoke/deployments"


def smoke_pod(name: str, *, owner: str = OPERATION) -> dict[str, Any]:
    return build_pod(name, Smoke(), node=node("w1"), image="pause:1", owner=owner, seconds=1)


def with_smoke(site: Site, **smoke: Any) -> Site:
    """The same step where `smoke` is set in the file."""
    clusters = {"lab": site.settings.clusters["lab"].model_copy(update={"smoke": Smoke(**smoke)})}
    return replace(site, settings=site.settings.model_copy(update={"clusters": clusters}))


def smoke_pods(bench: Bench) -> list[str]:
    return [name for name in bench.api.pods if name.startswith("lockkeeper-smoke")]


def test_a_smoke_pod_is_deleted_after_it_ran() -> None:
    """Nothing of ours stays."""
    bench = upgraded()
    perform(bench.site("w1", Verb.SMOKE_TEST))
    assert any(line.startswith("POST") for line in bench.api.log)
    assert smoke_pods(bench) == []


def test_a_smoke_pod_that_never_runs_blocks_and_is_deleted() -> None:
    """The reason is the pod's own."""
    bench = upgraded()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    stuck = {"phase": "Pending", "containerStatuses": [{"state": waiting}]}
    bench.api.post = _post_stuck(bench, stuck)  # type: ignore[method-assign]
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.SMOKE_TEST))
    assert blocked.value.finding.code == "smoke-image-unavailable"
    assert "registry.k8s.io/pause:3.10.1 could not be pulled on w1" in blocked.value.finding.sentence
    assert "ImagePullBackOff not found" in blocked.value.finding.sentence
    assert "`crictl pull registry.k8s.io/pause:3.10.1`" in blocked.value.finding.remedy
    assert "`clusters.lab.smoke.image`" in blocked.value.finding.remedy
    assert smoke_pods(bench) == []


def test_the_registrys_words_outlive_the_wait_for_the_next_try() -> None:
    """Between two tries a pod says no more than that it waits."""
    bench = upgraded()
    waits = [("ErrImagePull", "manifest unknown"), ("ImagePullBackOff", "Back-off pulling image")]
    bench.api.post = _post_stuck(bench, {})  # type: ignore[method-assign]
    read = bench.api.get

    def waiting(path: str, *args: Any, **more: Any) -> dict[str, Any]:
        found = read(path, *args, **more)
        if path.startswith(PODS):
            reason, message = waits.pop(0) if len(waits) > 1 else waits[0]
            state = {"waiting": {"reason": reason, "message": message}}
            found["status"] = {"phase": "Pending", "containerStatuses": [{"state": state}]}
        return found

    bench.api.get = waiting  # type: ignore[method-assign]
    assert "within 120 s: manifest unknown." in blocked_by(bench, "w1", Verb.SMOKE_TEST)


def test_a_command_has_to_end_well_and_its_last_words_are_told() -> None:
    """Being up is not enough for it, and a right to read logs is not needed."""
    bench = upgraded()
    site = with_smoke(bench.site("w1", Verb.SMOKE_TEST), image="busybox:1.37", command=("nslookup", "kubernetes"))
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    post = bench.api.post
    bench.api.post = _post_stuck(bench, running)  # type: ignore[method-assign]
    with pytest.raises(StepBlocked, match="it is Running"):
        perform(site)
    bench.api.post = post  # type: ignore[method-assign]
    bench.api.post = _post_stuck(bench, {"phase": "Succeeded"})  # type: ignore[method-assign]
    assert perform(site).sentence == "A smoke pod ran on w1."
    bench.api.post = post  # type: ignore[method-assign]
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "nslookup: can't resolve\n"}}
    failed = {"phase": "Failed", "containerStatuses": [{"state": ended}]}
    bench.api.post = _post_stuck(bench, failed)  # type: ignore[method-assign]
    with pytest.raises(StepBlocked, match=r"it ended with 1 \(nslookup: can't resolve\)") as blocked:
        perform(site)
    assert blocked.value.finding.code == "smoke-test-failed"
    assert smoke_pods(bench) == []


def test_what_a_crash_left_behind_is_swept_by_a_later_run() -> None:
    """Of other operations and of this step's earlier attempts; what other nodes run at this moment stays."""
    bench = upgraded()
    site = bench.site("w1", Verb.SMOKE_TEST, attempt=2)
    mine = pod_name(site)
    others = mine.replace("-n0-", "-n1-")
    for name, owner in (
        ("lockkeeper-smoke-op-0-n0-s1-a1", "op-0"),
        (mine.replace("-a2", "-a1"), OPERATION),
        (others, OPERATION),
    ):
        bench.api.post(PODS, smoke_pod(name, owner=owner))
    perform(site)
    assert smoke_pods(bench) == [others]


def test_a_deployment_is_made_scaled_and_deleted_where_that_is_wished() -> None:
    """Of an image that stays up, pinned to the node; what a crash left of another one is swept."""
    bench = upgraded()
    site = with_smoke(bench.site("w1", Verb.SMOKE_TEST), deployment=True)
    bench.api.post(DEPLOYMENTS, build_deployment(smoke_pod("lockkeeper-smoke-op-0-n0-s1-a1", owner="op-0")))
    bench.api.log.clear()
    assert perform(site).sentence == "A smoke pod ran on w1, and a Deployment was scaled there."
    assert bench.api.deployments == {}
    asked = [line for line in bench.api.log if DEPLOYMENTS in line]
    assert [line.split()[0] for line in asked] == ["LIST", "DELETE", "POST", "GET", "PATCH", "GET", "DELETE"]
    assert rights_of(asked) == granted_by_the_chart("deployments")


def test_a_deployment_has_what_a_deployments_pods_may_have() -> None:
    """A pod's deadline and its restart policy are its own; its labels are selected; it stays restricted."""
    made = build_deployment(smoke_pod("lockkeeper-smoke-op-1-n0-s1-a1"))["spec"]
    assert not {"restartPolicy", "activeDeadlineSeconds"} & set(made["template"]["spec"])
    assert made["selector"]["matchLabels"].items() <= made["template"]["metadata"]["labels"].items()
    assert made["template"]["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "w1"}
    assert list(violations(made["template"]["spec"])) == []


def test_a_deployment_that_does_not_scale_blocks_and_is_deleted() -> None:
    """The reason is its pods' or its controller's."""
    bench = upgraded()
    bench.api.most_replicas = 1
    site = with_smoke(bench.site("w1", Verb.SMOKE_TEST), deployment=True)
    with pytest.raises(StepBlocked, match="did not bring its 2 pods up within 120 s: its controller made no pod") as no:
        perform(site)
    assert no.value.finding.code == "smoke-deployment-failed"
    assert bench.api.deployments == {}


def rights_of(asked: list[str]) -> set[str]:
    verbs = {"POST": "create", "LIST": "list", "GET": "get", "PATCH": "patch", "DELETE": "delete"}
    return {verbs[line.split()[0]] for line in asked}


def granted_by_the_chart(resource: str) -> set[str]:
    """The verbs that the rights' file has for it in the smoke pods' namespace."""
    text = (Path(__file__).parents[2] / "helm" / "templates" / "rbac.yaml").read_text(encoding="utf-8")
    rule = re.search(rf"resources: \[{resource}\], verbs: \[(create[^\]]*)\]", text)
    assert rule is not None
    return set(rule[1].split(", "))


def test_without_its_namespace_the_smoke_pod_is_left_out_and_that_is_said() -> None:
    """A node is not held up by what is missing in the cluster; the sentence has the command."""
    bench = upgraded()
    bench.api.answers = [("POST", PODS, denied(404, 'namespaces "lockkeeper-smoke" not found'))]
    assert perform(bench.site("w1", Verb.SMOKE_TEST)).sentence == "No smoke pod ran on w1."
    assert any("`kubectl create namespace lockkeeper-smoke`" in line for line in bench.told)


def _post_stuck(bench: Bench, status: dict[str, Any]) -> Any:
    post = bench.api.post

    def stuck(path: str, body: Any, query: Any = None) -> dict[str, Any]:
        made = post(path, body)
        made["status"] = status
        return made

    return stuck


def test_a_smoke_pod_of_a_driver_before_us_is_taken_over() -> None:
    """A conflict means that it is there already."""
    bench = upgraded()
    site = bench.site("w1", Verb.SMOKE_TEST)
    bench.api.post(PODS, smoke_pod(pod_name(site)))
    bench.api.answers = [("POST", "/pods", denied(409, "already exists"))]
    perform(site)
    assert smoke_pods(bench) == []


def test_an_admission_policy_that_forbids_the_pod_is_told_and_passed() -> None:
    """It says nothing of the node; a missing right does not pass."""
    bench = upgraded()
    bench.api.answers = [("POST", "/pods", denied(403, 'admission webhook "x" denied the request'))]
    perform(bench.site("w1", Verb.SMOKE_TEST))
    assert any("admission policy" in line for line in bench.told)
    bench.api.always = {"/pods": denied(403, "cannot create resource pods")}
    assert "cannot create" in blocked_by(bench, "w1", Verb.SMOKE_TEST)
