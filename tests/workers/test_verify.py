"""Verification: nothing counts as upgraded before it has shown that it works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cluster.errors import ClusterUnreadable
from cluster.operation import AsFound
from cluster.procedure import Verb
from tests.workers.runbook_fixture import COMPONENTS, Bench, denied, node, static_pod
from tests.workers.verify_fixture import TARGET, blocked_by, upgraded
from workers.runbook import StepBlocked, perform
from workers.verify import node_problems


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


def test_the_hash_of_each_replaced_static_pod_has_to_have_changed() -> None:
    """It is kept from before kubeadm, also for whoever drives by then; a mirror pod may be behind its manifest."""
    bench = Bench()
    done = perform(bench.site("cp1", Verb.INSTALL_KUBEADM))
    assert done.as_found == AsFound(replaced=tuple((c, "v1.34.7") for c in COMPONENTS))
    assert perform(bench.site("w1", Verb.INSTALL_KUBEADM)).as_found is None
    bench = upgraded()
    site = replace(bench.site("cp1", Verb.VERIFY_CONTROL_PLANE), as_found=done.as_found)
    assert perform(site)
    for mark in ("config.hash", "config.mirror"):
        bench.api.pods["kube-scheduler-cp1"]["metadata"]["annotations"][f"kubernetes.io/{mark}"] = "v1.34.7"
    with pytest.raises(StepBlocked, match="kube-scheduler still has the configuration of before"):
        perform(replace(bench.site("cp1", Verb.VERIFY_CONTROL_PLANE), as_found=done.as_found))


def test_what_runs_the_target_already_need_not_change() -> None:
    """Whoever goes on with a half upgrade finds some of it done."""
    bench = upgraded()
    assert perform(bench.site("cp1", Verb.INSTALL_KUBEADM)).as_found == AsFound()


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


def _restarting(bench: Bench, name: str, times: int) -> None:
    """The pod's container restarts with each of so many looks at it."""
    counts = iter([*range(times), *[times] * 10_000])
    read = bench.api.items

    def items(path: str, *args: Any, **more: Any) -> Iterator[dict[str, Any]]:
        if more.get("query", args[0] if args else {}).get("labelSelector") == "tier=control-plane":
            bench.api.pods[name]["status"]["containerStatuses"] = [{"restartCount": next(counts)}]
        return read(path, *args, **more)

    bench.api.items = items  # type: ignore[method-assign]


@pytest.mark.parametrize("verb", [Verb.VERIFY_CONTROL_PLANE, Verb.VERIFY_NODE])
def test_a_static_pod_that_restarts_begins_the_stable_time_anew(verb: Verb) -> None:
    """A crash loop is ready each time that it starts."""
    benches = [upgraded(), upgraded()]
    for bench, times in zip(benches, (30, 9000), strict=True):
        bench.api.nodes["cp1"] = node("cp1", TARGET, control_plane=True)
        _restarting(bench, "kube-scheduler-cp1", times)
    site = benches[0].site("cp1", verb)
    perform(site)
    assert site.elapsed(site.started_at) >= 30 * site.waits.poll * 0.25 + site.waits.stable
    assert "kube-scheduler" in blocked_by(benches[1], "cp1", verb)


def test_a_control_plane_nodes_static_pods_are_part_of_its_health() -> None:
    """A kubelet that does not bring them back is not upgraded."""
    bench = upgraded()
    bench.api.nodes["cp1"] = node("cp1", TARGET, control_plane=True)
    bench.api.pods["kube-scheduler-cp1"]["status"]["conditions"] = []
    assert "kube-scheduler is not ready" in blocked_by(bench, "cp1", Verb.VERIFY_NODE)
