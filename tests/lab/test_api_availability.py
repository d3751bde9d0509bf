"""API servers that go away and come back, the balancer over them, and kubelets that fall silent."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from lab.apiserver import Availability
from tests.cluster_fixture import RunningCluster, daemon_set, deployment, running_cluster


@pytest.fixture
def lab(tmp_path) -> Iterator[RunningCluster]:
    """A fresh cluster, since its servers are taken away."""
    with running_cluster(tmp_path, speed=100) as cluster:
        yield cluster


def become(lab: RunningCluster, name: str, availability: Availability) -> None:
    """Change one API server."""
    lab.run(lab.cluster.servers[name].become(availability))


def readyz(lab: RunningCluster, url: str) -> int | str:
    """The status code, or the name of what went wrong below HTTP."""
    context = ssl.create_default_context(cadata=lab.cluster.authority.certificate.decode())
    with urllib3.PoolManager(ssl_context=context, retries=False, timeout=5) as pool:
        try:
            return pool.request("GET", f"{url}/readyz").status
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__


def static_pod(version: str) -> dict[str, Any]:
    """A manifest, as in /etc/kubernetes/manifests."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "kube-apiserver",
            "namespace": "kube-system",
            "labels": {"component": "kube-apiserver", "tier": "control-plane"},
        },
        "spec": {"containers": [{"name": "kube-apiserver", "image": f"registry.k8s.io/kube-apiserver:{version}"}]},
    }


def test_a_refused_server_keeps_its_port_and_comes_back(lab):
    """Connections are refused, open ones are cut, and the address is the same afterwards."""
    server = lab.cluster.servers["cp1"]
    path = lab.cluster.write_admin_kubeconfig(lab.directory / "cp1.conf", server.url)
    core = client.CoreV1Api(lab.api(path))
    core.list_node()  # leaves a connection open in its pool
    become(lab, "cp1", Availability.REFUSED)
    assert readyz(lab, server.url) == "NewConnectionError"
    with pytest.raises(urllib3.exceptions.HTTPError):
        core.list_node(_request_timeout=(2, 2))
    become(lab, "cp1", Availability.UP)
    assert readyz(lab, server.url) == 200
    assert len(core.list_node().items) == 5


def test_a_failing_server_answers_500_to_everything(lab):
    """Health and resources alike, as while its etcd is replaced."""
    become(lab, "cp1", Availability.FAILING)
    server = lab.cluster.servers["cp1"]
    assert readyz(lab, server.url) == 500
    path = lab.cluster.write_admin_kubeconfig(lab.directory / "cp1.conf", server.url)
    with pytest.raises(ApiException) as refused:
        client.CoreV1Api(lab.api(path)).list_node()
    assert refused.value.status == 500


def test_the_balancer_goes_round_the_servers_that_accept(lab):
    """One server away is not noticed; a failing one still gets its share; none left is a cut connection."""
    url = lab.cluster.balancer.url
    become(lab, "cp1", Availability.REFUSED)
    assert {readyz(lab, url) for _ in range(6)} == {200}
    become(lab, "cp1", Availability.FAILING)
    assert {readyz(lab, url) for _ in range(6)} == {200, 500}
    for name in ("cp1", "cp2"):
        become(lab, name, Availability.REFUSED)
    assert isinstance(readyz(lab, url), str)


def test_a_static_pod_shows_once_the_api_is_back(lab):
    """The mirror pod changes its image and hash only when a server can be written to."""
    agent = lab.cluster.agents["cp1"]
    lab.call(lambda: agent.set_static_pod("kube-apiserver", static_pod("v1.34.7")))
    old = lab.eventually(lambda: lab.get("Pod", "kube-apiserver-cp1", "kube-system"))
    for name in ("cp1", "cp2"):
        become(lab, name, Availability.REFUSED)
    lab.call(lambda: agent.set_static_pod("kube-apiserver", static_pod("v1.35.4")))
    assert lab.get("Pod", "kube-apiserver-cp1", "kube-system") == old
    become(lab, "cp1", Availability.UP)

    def changed() -> dict[str, Any] | None:
        pod = lab.get("Pod", "kube-apiserver-cp1", "kube-system")
        return pod if pod and pod["metadata"]["uid"] != old["metadata"]["uid"] else None

    new = lab.eventually(changed)
    assert new["spec"]["containers"][0]["image"].endswith(":v1.35.4")
    marks = [pod["metadata"]["annotations"] for pod in (old, new)]
    assert marks[0]["kubernetes.io/config.hash"] != marks[1]["kubernetes.io/config.hash"]
    assert {mark["kubernetes.io/config.source"] for mark in marks} == {"file"}
    assert all(mark["kubernetes.io/config.hash"] == mark["kubernetes.io/config.mirror"] for mark in marks)
    assert new["metadata"]["ownerReferences"][0]["kind"] == "Node"


def test_a_deleted_mirror_pod_comes_back(lab):
    """The static pod itself goes on; the kubelet mirrors it again."""
    lab.call(lambda: lab.cluster.agents["cp1"].set_static_pod("kube-apiserver", static_pod("v1.34.7")))
    core = client.CoreV1Api(lab.api())
    uid = lab.eventually(lambda: lab.get("Pod", "kube-apiserver-cp1", "kube-system"))["metadata"]["uid"]
    core.delete_namespaced_pod("kube-apiserver-cp1", "kube-system")

    def back() -> bool:
        pod = lab.get("Pod", "kube-apiserver-cp1", "kube-system")
        return pod is not None and pod["metadata"]["uid"] != uid

    assert lab.eventually(back)


def test_a_restarted_kubelet_reports_its_version_and_then_renews_its_lease(lab):
    """Ready stays True throughout; the lease is younger than the restart."""
    before = lab.eventually(lambda: lab.get("Lease", "w1", "kube-node-lease"))["spec"]["renewTime"]
    start = lab.call(lambda: lab.cluster.store.version)
    lab.run(lab.cluster.agents["w1"].restart("v1.35.4"))

    def reported() -> bool:
        node = lab.get("Node", "w1")
        return node is not None and node["status"]["nodeInfo"]["kubeletVersion"] == "v1.35.4"

    lab.eventually(reported)
    lab.eventually(lambda: (lab.get("Lease", "w1", "kube-node-lease") or {})["spec"]["renewTime"] > before)
    log = lab.call(lambda: lab.cluster.store.since(start) or [])
    nodes = [change.after for change in log if change.kind == "Node" and change.after]
    ready = {c["status"] for node in nodes for c in node["status"]["conditions"] if c["type"] == "Ready"}
    assert ready == {"True"}


def test_a_silent_kubelet_loses_its_node_and_gets_it_back(lab):
    """Unknown, tainted and its pods unready; a pod that is deleted there hangs until the kubelet is back."""
    lab.put(deployment("web", 3))
    lab.put(daemon_set("agent"))
    lab.running("web", 3)
    lab.call(lab.cluster.agents["w1"].stop)

    def lost() -> dict[str, Any] | None:
        node = lab.get("Node", "w1")
        assert node is not None
        conditions = {one["type"]: one for one in node["status"]["conditions"]}
        return node if conditions["Ready"]["status"] == "Unknown" else None

    node = lab.eventually(lost)
    assert {one["reason"] for one in node["status"]["conditions"]} == {"NodeStatusUnknown"}
    unreachable = [t["effect"] for t in node["spec"]["taints"] if t["key"] == "node.kubernetes.io/unreachable"]
    assert unreachable == ["NoSchedule", "NoExecute"]
    name = next(pod["metadata"]["name"] for pod in lab.pods("web") if pod["spec"]["nodeName"] == "w1")
    client.CoreV1Api(lab.api()).delete_namespaced_pod(name, "default")
    held = lab.get("Pod", name, "default")
    assert held is not None
    assert "deletionTimestamp" in held["metadata"]
    lab.call(lab.cluster.agents["w1"].start)
    lab.eventually(lambda: lab.get("Pod", name, "default") is None)
    lab.eventually(lambda: "taints" not in (lab.get("Node", "w1") or {"spec": {"taints": 1}})["spec"])
    lab.running("web", 3)


def test_a_daemon_set_rolls_one_pod_at_a_time(lab):
    """A new image reaches every node, and never are two pods away at once."""
    lab.put(daemon_set("proxy"))
    lab.running("proxy", 5)
    start = lab.call(lambda: lab.cluster.store.version)
    changed = [{"name": "agent", "image": "registry.example/agent:2"}]
    patch = {"spec": {"template": {"spec": {"containers": changed}}}}
    client.AppsV1Api(lab.api()).patch_namespaced_daemon_set("proxy", "kube-system", patch)

    def rolled() -> bool:
        held = lab.get("DaemonSet", "proxy", "kube-system")
        status = (held or {})["status"]
        return status["observedGeneration"] == 2 and status["updatedNumberScheduled"] == status["numberReady"] == 5

    lab.eventually(rolled)
    assert {pod["spec"]["containers"][0]["image"] for pod in lab.running("proxy", 5)} == {"registry.example/agent:2"}
    log = lab.call(lambda: lab.cluster.store.since(start) or [])
    ready = [c.after["status"]["numberReady"] for c in log if c.kind == "DaemonSet" and c.after]
    assert min(ready) == 4


def test_a_deployment_rolls_and_keeps_serving(lab):
    """The new ReplicaSet takes over; the old one stands at zero."""
    lab.put(deployment("web", 4))
    lab.running("web", 4)
    changed = [{"name": "app", "image": "registry.example/app:2"}]
    patch = {"spec": {"template": {"spec": {"containers": changed}}}}
    client.AppsV1Api(lab.api()).patch_namespaced_deployment("web", "default", patch)

    def rolled() -> bool:
        status = (lab.get("Deployment", "web", "default") or {})["status"]
        return status["observedGeneration"] == 2 and status["updatedReplicas"] == status["readyReplicas"] == 4

    lab.eventually(rolled)
    assert {pod["spec"]["containers"][0]["image"] for pod in lab.running("web", 4)} == {"registry.example/app:2"}
    sets = lab.call(lambda: lab.cluster.store.list("ReplicaSet", "default"))
    assert sorted(one["spec"]["replicas"] for one in sets) == [0, 4]


def test_a_pod_that_is_told_what_to_do_completes(lab):
    """Smoke pods and kubeadm's health check: pinned to a cordoned node, run, succeeded."""
    core = client.CoreV1Api(lab.api())
    core.patch_node("w1", {"spec": {"unschedulable": True}})
    core.create_namespaced_pod(
        "default",
        {
            "metadata": {"name": "smoke"},
            "spec": {
                "restartPolicy": "Never",
                "nodeSelector": {"kubernetes.io/hostname": "w1"},
                "tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}],
                "containers": [{"name": "smoke", "image": "registry.k8s.io/pause:3.10", "args": ["-v"]}],
            },
        },
    )
    lab.eventually(lambda: core.read_namespaced_pod("smoke", "default").status.phase == "Succeeded")
    assert core.read_namespaced_pod("smoke", "default").spec.node_name == "w1"


def test_a_job_completes_with_its_pod(lab):
    """As the upgrade's health check needs it."""
    batch = client.BatchV1Api(lab.api())
    pod = {"restartPolicy": "Never", "containers": [{"name": "check", "image": "pause", "args": ["-v"]}]}
    batch.create_namespaced_job("kube-system", {"metadata": {"name": "check"}, "spec": {"template": {"spec": pod}}})
    done = lab.eventually(lambda: (s := batch.read_namespaced_job("check", "kube-system").status).succeeded and s)
    assert (done.succeeded, done.active or 0, done.failed or 0) == (1, 0, 0)


def test_a_pod_that_fits_nowhere_stays_pending(lab):
    """With every worker cordoned and the control planes tainted there is no place."""
    core = client.CoreV1Api(lab.api())
    for name in ("w1", "w2", "w3"):
        core.patch_node(name, {"spec": {"unschedulable": True}})
    lab.put(deployment("homeless", 1))
    lab.eventually(lambda: any(p["status"].get("conditions") for p in lab.pods("homeless")))
    assert [pod["status"]["phase"] for pod in lab.pods("homeless")] == ["Pending"]
    core.patch_node("w3", {"spec": {"unschedulable": None}})
    assert lab.running("homeless", 1)[0]["spec"]["nodeName"] == "w3"


def test_the_pods_of_a_deleted_node_move_on(lab):
    """A node that leaves takes its pods along; their Deployment replaces them."""
    lab.put(deployment("web", 3))
    lab.running("web", 3)
    lab.call(lab.cluster.agents["w1"].stop)
    client.CoreV1Api(lab.api()).delete_node("w1")

    def moved() -> bool:
        pods = lab.pods("web")
        return len(pods) == 3 and {pod["spec"].get("nodeName") for pod in pods} <= {"w2", "w3"}

    assert lab.eventually(moved)


def test_a_troubled_kubelet_starts_no_pod(lab):
    """The pod says why it waits, and starts when the trouble is over."""
    agent = lab.cluster.agents["w1"]
    lab.call(lambda: setattr(agent, "trouble", ("ImagePullBackOff", "Back-off pulling image")))
    lab.put(deployment("stuck", 1, nodeSelector={"kubernetes.io/hostname": "w1"}))

    def waits() -> str | None:
        states = [one for pod in lab.pods("stuck") for one in pod["status"].get("containerStatuses", ())]
        return states[0]["state"]["waiting"]["reason"] if states else None

    assert lab.eventually(waits) == "ImagePullBackOff"
    lab.call(lambda: setattr(agent, "trouble", None))
    lab.running("stuck", 1)


def test_a_node_lists_the_images_of_its_machine(lab):
    """As they are pulled."""
    images = {"registry.k8s.io/pause:3.10.1"}
    lab.call(lambda: setattr(lab.cluster.agents["w1"], "images", images))

    def listed() -> list[str]:
        node = lab.get("Node", "w1")
        assert node is not None
        return [image["names"][0] for image in node["status"]["images"]]

    assert lab.eventually(listed) == ["registry.k8s.io/pause:3.10.1"]
    images.add("registry.k8s.io/pause:3.10.2")
    lab.eventually(lambda: len(listed()) == 2)
