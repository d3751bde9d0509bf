"""Verification: nothing counts as upgraded before it has shown that it works."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.errors import ClusterUnreadable
from cluster.procedure import Verb
from tests.workers.runbook_fixture import COMPONENTS, Bench, denied, node, pod, static_pod
from workers.runbook import StepBlocked, perform
from workers.smoke import NAMESPACE, smoke_pod, why_not_ready
from workers.verify import node_problems

TARGET = "v1.35.4"


def upgraded() -> Bench:
    """A cluster whose control plane and w1's kubelet are at the target."""
    bench = Bench()
    for name in ("cp1", "cp2"):
        for component in COMPONENTS:
            bench.api.pods[f"{component}-{name}"] = static_pod(component, name, TARGET)
        bench.api.versions[f"{name}:6443"] = TARGET
    bench.api.declared = TARGET
    bench.api.nodes["w1"] = node("w1", TARGET)
    return bench


def blocked_by(bench: Bench, name: str, verb: Verb) -> str:
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site(name, verb))
    return blocked.value.finding.sentence


def test_a_whole_control_plane_passes() -> None:
    """Own API server, static pods, declared version and peers."""
    assert TARGET in perform(upgraded().site("cp1", Verb.VERIFY_CONTROL_PLANE)).sentence


def _old_api_server(bench: Bench) -> None:
    bench.api.versions["cp1:6443"] = "v1.34.7"


def _old_scheduler(bench: Bench) -> None:
    bench.api.pods["kube-scheduler-cp1"] = static_pod("kube-scheduler", "cp1", "v1.34.7")


def _no_controller_manager(bench: Bench) -> None:
    del bench.api.pods["kube-controller-manager-cp1"]


def _unready_etcd(bench: Bench) -> None:
    bench.api.pods["etcd-cp1"] = static_pod("etcd", "cp1", "3.6.6-0")
    bench.api.pods["etcd-cp1"]["status"]["conditions"] = []


def _unsettled(bench: Bench) -> None:
    bench.api.pods["kube-apiserver-cp1"]["metadata"]["annotations"]["kubernetes.io/config.hash"] = "h2"


def _declares_the_old(bench: Bench) -> None:
    bench.api.declared = "v1.34.7"


def _sick_etcd_behind(bench: Bench) -> None:
    bench.api.unready["cp1:6443"] = "[+]ping ok\n[-]etcd failed: reason withheld\n"


def _peer_away(bench: Bench) -> None:
    bench.api.unready["cp2:6443"] = "[-]shutdown failed\n"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_old_api_server, "its API server runs v1.34.7"),
        (_old_scheduler, "kube-scheduler runs kube-scheduler:v1.34.7"),
        (_no_controller_manager, "kube-controller-manager has no pod"),
        (_unready_etcd, "etcd is not ready"),
        (_unsettled, "kube-apiserver is not ready"),
        (_declares_the_old, "kubeadm-config declares v1.34.7"),
        (_sick_etcd_behind, "its API server is not ready (etcd)"),
        (_peer_away, "the API server of cp2 is not ready (shutdown)"),
    ],
)
def test_a_control_plane_that_is_not_whole_blocks_with_what_is_wrong(spoil: Any, words: str) -> None:
    """Each part is looked at, and named."""
    bench = upgraded()
    spoil(bench)
    assert words in blocked_by(bench, "cp1", Verb.VERIFY_CONTROL_PLANE)


def test_an_api_that_is_away_after_its_own_upgrade_is_expected() -> None:
    """Refused, 500 and 403 right after the restart are told once and pass."""
    bench = upgraded()
    bench.api.answers = [
        ("LIST", "/pods", ClusterUnreadable("refused")),
        ("LIST", "/pods", denied(500)),
        ("LIST", "/pods", denied(403, "not yet synced")),
    ]
    perform(bench.site("cp1", Verb.VERIFY_CONTROL_PLANE))
    assert len(bench.told) == 1


def test_a_node_passes_only_after_two_renewals_and_the_stable_time() -> None:
    """Ready alone may be stale."""
    bench = upgraded()
    site = bench.site("w1", Verb.VERIFY_NODE)
    perform(site)
    assert bench.api.nodes["w1"]["renewals"] >= 3
    assert site.elapsed(site.started_at) >= site.waits.stable


def test_a_lease_that_stands_still_is_no_living_kubelet() -> None:
    """Everything else may look well."""
    bench = upgraded()
    api = bench.api
    read = api.get

    def frozen(path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {"spec": {"renewTime": "same"}} if "/leases/" in path else read(path, *args, **kwargs)

    bench.api.get = frozen  # type: ignore[method-assign]
    assert "lease has not been renewed" in blocked_by(bench, "w1", Verb.VERIFY_NODE)


def test_a_kubelet_that_restarts_begins_the_stable_time_anew() -> None:
    """A crash loop that looks Ready at both ends is seen by its restarts."""
    bench = upgraded()
    bench.w1.restarting = 2
    site = bench.site("w1", Verb.VERIFY_NODE)
    perform(site)
    assert site.elapsed(site.started_at) >= 2 * site.waits.stable


def test_a_kubelet_that_never_stays_up_blocks_with_its_log() -> None:
    """The last error of its log stands in the finding."""
    bench = upgraded()
    bench.w1.restarting = 1000
    assert "unknown flag: --pod-infra-container-image" in blocked_by(bench, "w1", Verb.VERIFY_NODE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": {"nodeInfo": {"kubeletVersion": "v1.34.7"}}}, "runs v1.34.7 and not v1.35.4"),
        ({"status": {"nodeInfo": {"kubeletVersion": TARGET}, "conditions": []}}, "it is not Ready"),
        ({"spec": {"taints": [{"key": "node.kubernetes.io/unreachable"}]}}, "taint node.kubernetes.io/unreachable"),
    ],
)
def test_what_a_node_says_against_itself_is_named(change: dict[str, Any], words: str) -> None:
    """Version, condition and taint."""
    assert any(words in problem for problem in node_problems(node("w1", TARGET) | change, TARGET))


def test_pressure_is_a_problem() -> None:
    """A node under pressure evicts what it is given."""
    sick = node("w1", TARGET)
    sick["status"]["conditions"].append({"type": "DiskPressure", "status": "True"})
    assert list(node_problems(sick, TARGET)) == ["it reports DiskPressure"]


def test_a_daemonset_pod_that_is_not_ready_blocks_unless_the_plan_accepts_it() -> None:
    """Networks and storage live in DaemonSets."""
    bench = upgraded()
    bench.api.pods["net"] = pod("net", "w1", kind="DaemonSet")
    bench.api.pods["net"]["status"]["conditions"] = []
    assert "demo/net" in blocked_by(bench, "w1", Verb.VERIFY_NODE)
    bench.plan = replace(bench.plan, accepted=("daemonset-not-ready:demo/another",))
    assert "demo/net" in blocked_by(bench, "w1", Verb.VERIFY_NODE)
    bench.plan = replace(bench.plan, accepted=("daemonset-not-ready:demo/of-net",))
    perform(bench.site("w1", Verb.VERIFY_NODE))


def test_a_control_plane_nodes_static_pods_are_part_of_its_health() -> None:
    """A kubelet that does not bring them back is not upgraded."""
    bench = upgraded()
    bench.api.nodes["cp1"] = node("cp1", TARGET, control_plane=True)
    bench.api.pods["kube-scheduler-cp1"]["status"]["conditions"] = []
    assert "kube-scheduler is not ready" in blocked_by(bench, "cp1", Verb.VERIFY_NODE)


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
    assert "ImagePullBackOff not found" in blocked_by(bench, "w1", Verb.SMOKE_TEST)
    assert smoke_pods(bench) == []


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
    made = smoke_pod(site, bench.api.nodes["w1"], "pause:1")
    bench.api.post(f"/api/v1/namespaces/{NAMESPACE}/pods", made)
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
    assert spec["nodeSelector"] == {"kubernetes.io/hostname": "w1"}
    assert {t["key"] for t in spec["tolerations"]} >= {"gpu", "node.kubernetes.io/unschedulable"}
    assert spec["containers"][0]["image"] == "registry.k8s.io/pause:3.10.1"
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["securityContext"]["runAsNonRoot"] is True


def test_a_pod_that_is_not_scheduled_says_why() -> None:
    """The scheduler's words are the reason."""
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    assert why_not_ready({"status": {"phase": "Pending", "conditions": [condition]}}) == "0/3 nodes are available"
