"""What a smoke pod is made of, and that doctor finds out whether one may be made."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.inventory import Smoke
from cluster.procedure import Verb
from cluster.versions import Minor
from lab.podsecurity import violations
from tests.workers.runbook_fixture import denied
from tests.workers.verify_fixture import PODS, upgraded
from workers.doctor import try_smoke_pod
from workers.runbook import perform
from workers.smoke_pod import fetched_image, why_not_ready


def test_a_deployment_runs_what_stays_up() -> None:
    """An image that is there for its command would end, and begin again, for ever."""
    smoke = Smoke(image="busybox:1.37", command=("true",), deployment=True)
    assert smoke.without_command() == Smoke(deployment=True)
    lasting = Smoke(image="registry.example.org/web:1", deployment=True)
    assert lasting.without_command() == lasting


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (None, []),
        (denied(404, 'namespaces "lockkeeper-smoke" not found'), ["smoke-namespace-missing"]),
        (denied(403, "cannot create resource pods"), ["smoke-pod-refused"]),
    ],
)
def test_the_doctor_tries_a_smoke_pod_that_the_server_does_not_keep(answer: Any, codes: list[str]) -> None:
    """A missing namespace is known before the first node is drained."""
    bench = upgraded()
    queries: list[Any] = []
    post = bench.api.post

    def watching(path: str, body: Any, query: Any = None) -> dict[str, Any]:
        queries.append(query)
        return post(path, body, query)

    bench.api.post = watching  # type: ignore[method-assign]
    bench.api.answers = [("POST", PODS, answer)] if answer else []
    found = list(try_smoke_pod(bench.api, "lab", bench.site("w1", Verb.SMOKE_TEST).settings.clusters["lab"]))
    assert [finding.code for finding in found] == codes
    assert queries == [{"dryRun": "All"}]


def test_the_doctor_tries_the_deployment_where_one_is_made() -> None:
    """Its right is another one than that for pods."""
    bench = upgraded()
    cluster = bench.site("w1", Verb.SMOKE_TEST).settings.clusters["lab"]
    cluster = cluster.model_copy(update={"smoke": cluster.smoke.model_copy(update={"deployment": True})})
    bench.api.answers = [
        ("POST", "/apis/apps/v1/namespaces/lockkeeper-smoke/deployments", denied(403, "cannot create"))
    ]
    (found,) = try_smoke_pod(bench.api, "lab", cluster)
    assert (found.code, "A smoke Deployment in" in found.sentence) == ("smoke-pod-refused", True)


@pytest.mark.parametrize(
    ("minor", "repository", "image"),
    [
        ("v1.31", "", "registry.k8s.io/pause:3.10"),
        ("v1.34", "registry.example.org/k8s", "registry.example.org/k8s/pause:3.10.1"),
        ("v1.99", "", "registry.k8s.io/pause:3.10"),
    ],
)
def test_where_no_pause_image_is_listed_it_is_the_one_that_was_fetched(minor: str, repository: str, image: str) -> None:
    """A node lists fifty images, the largest ones; kubeadm's own pause of the target was fetched everywhere."""
    assert fetched_image(Minor.parse(minor), repository) == image


def test_the_smoke_pod_is_restricted_pinned_and_goes_on_any_node() -> None:
    """It tolerates the cordon and the node's own taints, and its image is the node's newest pause."""
    bench = upgraded()
    bench.api.nodes["w1"]["spec"]["taints"] = [{"key": "gpu", "effect": "NoExecute"}]
    seen: list[dict[str, Any]] = []
    post = bench.api.post

    def watching(path: str, body: Any, query: Any = None) -> dict[str, Any]:
        seen.append(body)
        return post(path, body)

    bench.api.post = watching  # type: ignore[method-assign]
    perform(bench.site("w1", Verb.SMOKE_TEST))
    spec = seen[0]["spec"]
    assert list(violations(spec)) == []
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": "w1"}
    assert {t["key"] for t in spec["tolerations"]} >= {"gpu", "node.kubernetes.io/unschedulable"}
    assert spec["containers"][0]["image"] == "registry.k8s.io/pause:3.10.1"
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["securityContext"]["runAsNonRoot"] is True


def test_a_pod_that_is_not_scheduled_says_why() -> None:
    """The scheduler's words are the reason."""
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    assert why_not_ready({"status": {"phase": "Pending", "conditions": [condition]}}) == "0/3 nodes are available"
