"""Clusters that kubeadm did not make are reported all the same: no static pods, no kubeadm-config, no own endpoints."""

from datetime import UTC, datetime

from cluster.errors import ClusterUnreadable, KubeDenied
from cluster.observe import observe
from cluster.report import Unread

NOW = datetime(2026, 11, 25, tzinfo=UTC)
LABELS = {"kubernetes.io/hostname": "agent-1"}
MASTER = {"node-role.kubernetes.io/control-plane": "true"}


class ScriptedKube:
    """A k3s server as its API shows it; `broken` maps a part of a path to what asking for it raises."""

    name, ca_hash, server = "edge", "0" * 64, "https://edge.example:6443/k8s/clusters/c-1"

    def __init__(self, **broken):
        self.broken = broken
        self.asked = []

    def _ask(self, path):
        self.asked.append(path)
        for part, error in self.broken.items():
            if part in path:
                raise error
        if "configmaps" in path or "leases" in path:
            raise KubeDenied("not found", status=404, body={})

    def get(self, path, *_, **__):
        self._ask(path)
        return {"gitVersion": "v1.31.1+k3s1"} if path == "/version" else {"metadata": {"uid": "u-1"}}

    def text(self, path, **_):
        self._ask(path)
        return 200, "ok"

    def rows(self, path, *_, **__):
        self._ask(path)
        for name, labels in (("server-1", MASTER), ("agent-1", LABELS)):
            cells = {"Name": name, "Status": "Ready", "Version": "v1.31.1+k3s1", "OS-Image": "K3s OS"}
            yield cells, {"name": name, "uid": f"uid-{name}", "labels": labels}

    def items(self, path, *_, **__):
        self._ask(path)
        if path.endswith("/pods"):
            container = {"name": "coredns", "image": "rancher/mirrored-coredns-coredns:1.12.0"}
            yield {"metadata": {"name": "coredns-1"}, "spec": {"nodeName": "server-1", "containers": [container]}}
        if path.endswith("daemonsets"):
            spec = {"template": {"spec": {"containers": [{"image": "cilium:v1.18.1"}, {"image": "proxy:v1"}]}}}
            status = {"desiredNumberScheduled": 2, "numberReady": 2}
            yield {"metadata": {"namespace": "cilium", "name": "agent"}, "spec": spec, "status": status}


def look(kube):
    return observe("edge", None, now=NOW, kube=kube)


def test_the_api_is_asked_at_the_clusters_address_where_its_servers_are_no_pods():
    """With the path that a proxy in front of it may have, and without a node that it could be on."""
    report = look(ScriptedKube())
    (server,) = report.api_servers
    assert (server.node, server.endpoint, str(server.version), server.ready) == (
        "",
        "edge.example:6443/k8s/clusters/c-1",
        "v1.31.1+k3s1",
        True,
    )
    assert [str(n.kubelet) for n in report.nodes] == ["v1.31.1+k3s1", "v1.31.1+k3s1"]
    assert (report.has_kubeadm_config, report.static_pods) == (False, ())
    assert [a.name for a in report.add_ons] == ["coredns-1"]


def test_a_daemon_set_carries_the_images_of_its_containers():
    """So that a network add-on in a namespace of its own is known without a further request."""
    kube = ScriptedKube()
    assert [d.images for d in look(kube).daemon_sets] == [("cilium:v1.18.1", "proxy:v1")]
    assert len([p for p in kube.asked if p.endswith("daemonsets")]) == 1


def test_an_address_that_does_not_answer_is_a_value():
    """The nodes are there all the same."""
    report = look(ScriptedKube(version=ClusterUnreadable("it is away")))
    assert report.api_servers[0].version == Unread("API server at the cluster's address", "it is away")
    assert len(report.nodes) == 2


def test_a_refused_kubeadm_config_is_not_an_absent_one():
    """Then nothing is known of how the cluster was made, and each control plane is looked for as ever."""
    report = look(ScriptedKube(configmaps=KubeDenied("forbidden", status=403, body={})))
    assert report.has_kubeadm_config is None
    assert [s.node for s in report.api_servers] == ["server-1"]
