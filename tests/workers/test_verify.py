"""Verification: nothing counts as upgraded before it has shown that it works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterUnreadable
from cluster.inventory import Smoke
from cluster.operation import AsFound
from cluster.options import DrainMode, Options
from cluster.procedure import Verb
from cluster.versions import Minor
from lab.podsecurity import violations
from tests.workers.runbook_fixture import COMPONENTS, OPERATION, Bench, denied, hop, node, pod, static_pod
from workers.daemons import wants
from workers.doctor import try_smoke_pod
from workers.runbook import Site, StepBlocked, perform
from workers.smoke import pod_name
from workers.smoke_deployment import build_deployment
from workers.smoke_pod import build_pod, fetched_image, why_not_ready
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


PODS = "/api/v1/namespaces/lockkeeper-smoke/pods"
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


def test_a_deployment_runs_what_stays_up() -> None:
    """An image that is there for its command would end, and begin again, for ever."""
    smoke = Smoke(image="busybox:1.37", command=("true",), deployment=True)
    assert smoke.without_command() == Smoke(deployment=True)
    lasting = Smoke(image="registry.example.org/web:1", deployment=True)
    assert lasting.without_command() == lasting


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
