"""What a node had before its drain has to be back on it: DaemonSets and CSI drivers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.operation import AsFound
from cluster.options import DrainMode, Options
from cluster.procedure import Verb
from tests.workers.runbook_fixture import Bench, denied, hop, node, pod
from tests.workers.verify_fixture import blocked_by, upgraded
from workers.daemons import wants
from workers.runbook import StepBlocked, perform


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


def daemon_set(name: str, **spec: Any) -> dict[str, Any]:
    """A DaemonSet of the namespace demo; `spec` is its pods'."""
    return {
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [], **spec}}},
    }


GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]
        }
    }
}


@pytest.mark.parametrize(
    ("spec", "labels", "taints", "wanted"),
    [
        ({}, {}, [], True),
        ({"nodeSelector": {"disk": "ssd"}}, {}, [], False),
        ({"nodeSelector": {"disk": "ssd"}}, {"disk": "ssd"}, [], True),
        ({"affinity": AFFINITY}, {"disk": "hdd"}, [], False),
        ({"affinity": AFFINITY}, {"disk": "ssd"}, [], True),
        ({}, {}, [GPU], False),
        ({}, {}, [{**GPU, "effect": "PreferNoSchedule"}], True),
        ({"tolerations": [{"key": "gpu", "operator": "Exists"}]}, {}, [GPU], True),
        ({"tolerations": [{"key": "gpu", "value": "no"}]}, {}, [GPU], False),
        ({"tolerations": [{"operator": "Exists"}]}, {}, [GPU], True),
        ({}, {}, [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}], True),
        ({}, {}, [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}], True),
        ({}, {}, [{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}], False),
        ({"hostNetwork": True}, {}, [{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}], True),
        ({"nodeName": "w2"}, {}, [], False),
        ({"tolerations": ["nonsense"]}, {}, [], False),
    ],
)
def test_a_daemonset_wants_the_nodes_that_its_controller_would_choose(
    *, spec: dict[str, Any], labels: dict[str, str], taints: list[dict[str, str]], wanted: bool
) -> None:
    """By name, label and taint; of a spec that is not understood nothing is demanded."""
    raw = node("w1")
    raw["metadata"]["labels"] |= labels
    raw["spec"]["taints"] = taints
    assert wants(daemon_set("net", **spec), raw) is wanted


def test_a_daemonset_without_a_pod_on_the_node_is_missed() -> None:
    """A pod that is not there is not ready either; one of another node does not count."""
    bench = upgraded()
    bench.api.daemon_list = [daemon_set("of-net"), daemon_set("gpu", nodeSelector={"gpu": "yes"})]
    bench.api.pods["net"] = pod("net", "w2", kind="DaemonSet")
    assert "the DaemonSet demo/of-net has no pod there" in blocked_by(bench, "w1", Verb.VERIFY_NODE)
    bench.api.pods["net"] = pod("net", "w1", kind="DaemonSet")
    perform(bench.site("w1", Verb.VERIFY_NODE))


def test_a_daemonset_that_is_deleted_meanwhile_is_not_waited_for() -> None:
    """Where something is missing, the list is read anew."""
    bench = upgraded()
    bench.api.daemon_list = [daemon_set("net")]
    site = bench.site("w1", Verb.VERIFY_NODE)

    def uninstall(seconds: float) -> None:
        bench.clock.sleep(seconds)
        if site.elapsed(site.started_at) > site.waits.stable:
            bench.api.daemon_list.clear()

    perform(replace(site, sleep=uninstall))
    assert site.waits.stable < site.elapsed(site.started_at) < site.waits.node_ready


def test_a_daemonset_that_ailed_before_the_drain_is_waited_for_but_not_for_ever() -> None:
    """An upgrade need not mend it; that it still ails is told."""
    bench = upgraded()
    bench.api.daemon_list = [daemon_set("net")]
    site = replace(bench.site("w1", Verb.VERIFY_NODE), as_found=AsFound(ailing=("demo/net",)))
    perform(site)
    assert site.elapsed(site.started_at) > site.waits.node_ready
    assert bench.told == [
        "On w1, as before its drain: the DaemonSet demo/net has no pod there. It is not waited for any longer."
    ]


def test_the_csi_drivers_of_before_have_to_be_registered_again() -> None:
    """Pods with volumes would not start where one is missing; one that comes back late is waited for."""
    bench = upgraded()
    bench.api.drivers = {"w1": ["nfs.csi.k8s.io"]}
    found = AsFound(drivers=("ebs.csi.aws.com", "nfs.csi.k8s.io"))
    site = replace(bench.site("w1", Verb.VERIFY_NODE), as_found=found)
    with pytest.raises(StepBlocked, match=r"its CSI driver ebs\.csi\.aws\.com is not registered again"):
        perform(site)
    site = replace(bench.site("w1", Verb.VERIFY_NODE), as_found=found)

    def register(seconds: float) -> None:
        bench.clock.sleep(seconds)
        bench.api.drivers["w1"].append("ebs.csi.aws.com")

    perform(replace(site, sleep=register))


def test_what_a_node_was_like_is_seen_at_its_cordon() -> None:
    """Also where it is not cordoned, since a patch restarts its kubelet in place."""
    bench = Bench(options=Options(drain=DrainMode.MINOR_ONLY))
    bench.api.drivers = {"w1": ["nfs.csi.k8s.io", "ebs.csi.aws.com"]}
    bench.api.daemon_list = [daemon_set("net"), daemon_set("of-log")]
    bench.api.pods["log"] = pod("log", "w1", kind="DaemonSet")
    expected = AsFound(("ebs.csi.aws.com", "nfs.csi.k8s.io"), ("demo/net",))
    assert perform(bench.site("w1", Verb.CORDON)).as_found == expected
    bench.plan = replace(bench.plan, hops=(hop("1.34.9"),))
    assert perform(bench.site("w1", Verb.CORDON)).as_found == expected


def test_a_cluster_that_does_not_show_its_csi_nodes_demands_none() -> None:
    """An account without that right upgrades as before."""
    bench = Bench()
    bench.api.always = {"/csinodes/": denied(403, "csinodes is forbidden")}
    assert perform(bench.site("w1", Verb.CORDON)).as_found == AsFound()
