"""What lives in a lab cluster when it begins: kubeadm's declarations, add-ons, and somebody's applications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from cluster.inventory import Smoke
from lab.defaults import complete_pod
from lab.objects import ObjectStore
from lab.podsecurity import ENFORCE, RESTRICTED
from lab.scenarios import App, Scenario
from lab.staticpods import REGISTRY, image, template

CLUSTER_NAME = "lab"
APP_IMAGE = "registry.lab/app:1"
K3S_DNS = "rancher/mirrored-coredns-coredns:1.12.1"
SMOKE_NAMESPACE = Smoke().namespace
_CONTROL_PLANE = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule", "operator": "Exists"}
_COREFILE = """.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}
"""


def settle(store: ObjectStore, scenario: Scenario, endpoint: str) -> None:
    """Put everything but nodes and static pods."""
    made = (*declarations(scenario, endpoint), *addons(scenario)) if scenario.kubeadm else (_dns(K3S_DNS),)
    for obj in (*made, *applications(scenario)):
        store.put(obj)


def _etcd(scenario: Scenario) -> dict[str, Any]:
    if not scenario.outside_etcd:
        return {"local": {"dataDir": "/var/lib/etcd"}}
    return {
        "external": {
            "endpoints": list(scenario.outside_etcd),
            "caFile": "/etc/kubernetes/pki/etcd/ca.crt",
            "certFile": "/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "keyFile": "/etc/kubernetes/pki/apiserver-etcd-client.key",
        }
    }


def declarations(scenario: Scenario, endpoint: str) -> Iterator[dict[str, Any]]:
    """What kubeadm remembers of a cluster."""
    body = {
        "apiServer": {},
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "caCertificateValidityPeriod": "87600h0m0s",
        "certificateValidityPeriod": "8760h0m0s",
        "certificatesDir": "/etc/kubernetes/pki",
        "clusterName": CLUSTER_NAME,
        "controlPlaneEndpoint": endpoint,
        "controllerManager": {"extraArgs": [{"name": "allocate-node-cidrs", "value": "false"}]},
        "dns": {},
        "encryptionAlgorithm": "RSA-2048",
        "etcd": _etcd(scenario),
        "imageRepository": REGISTRY,
        "kind": "ClusterConfiguration",
        "kubernetesVersion": scenario.version,
        "networking": {"dnsDomain": "cluster.local", "podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12"},
        "proxy": {},
        "scheduler": {},
    }
    yield _settings("kubeadm-config", {"ClusterConfiguration": yaml.safe_dump(body)})
    kubelet = template("kubelet-config.yaml").replace(
        "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock", 'containerRuntimeEndpoint: ""'
    )
    yield _settings("kubelet-config", {"kubelet": kubelet})
    yield _settings("coredns", {"Corefile": _COREFILE})
    yield _settings(
        "kube-proxy", {"config.conf": "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"}
    )


def _settings(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"}, "data": data}


def _workload(
    kind: str, name: str, namespace: str, labels: dict[str, str], spec: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            **more,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": dict(labels)}, "spec": spec},
        },
    }


def addons(scenario: Scenario) -> Iterator[dict[str, Any]]:
    """CoreDNS and kube-proxy as kubeadm installs them, and the network that somebody chose."""
    yield _dns(image("coredns", scenario.version))
    proxy = {
        "containers": [{"name": "kube-proxy", "image": image("kube-proxy", scenario.version)}],
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "tolerations": [{"operator": "Exists"}],
    }
    yield _workload("DaemonSet", "kube-proxy", "kube-system", {"k8s-app": "kube-proxy"}, proxy)
    if scenario.network:
        agent = {
            "containers": [{"name": f"agent-{n}", "image": one} for n, one in enumerate(scenario.network, 1)],
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists"}],
        }
        yield _workload("DaemonSet", "canal", "kube-system", {"k8s-app": "canal"}, agent)


def _dns(dns_image: str) -> dict[str, Any]:
    spec = {
        "containers": [{"name": "coredns", "image": dns_image}],
        "priorityClassName": "system-cluster-critical",
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}, _CONTROL_PLANE],
    }
    return _workload("Deployment", "coredns", "kube-system", {"k8s-app": "kube-dns"}, spec, replicas=2)


def applications(scenario: Scenario) -> Iterator[dict[str, Any]]:
    """Deployments with their budgets, an agent on every node, and the namespace that the chart makes."""
    yield _namespace(SMOKE_NAMESPACE, {ENFORCE: RESTRICTED})
    for namespace in sorted({app.namespace for app in scenario.apps}):
        yield _namespace(namespace, {})
    for app in scenario.apps:
        yield deployment(app)
        if app.min_available is not None:
            yield _budget(app, app.name)
        if app.second_budget:
            yield _budget(app, f"{app.name}-too")
    for name in scenario.bare_pods:
        pod = {"kind": "Pod", "metadata": {"name": name, "namespace": "demo"}, "spec": {"containers": _containers("")}}
        complete_pod(pod)
        yield pod
    agent = {"containers": [{"name": "agent", "image": APP_IMAGE}], "tolerations": [_CONTROL_PLANE]}
    yield _workload("DaemonSet", "agent", "demo", {"app": "agent"}, agent)


def _namespace(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"kubernetes.io/metadata.name": name, **labels}}
    return {"kind": "Namespace", "metadata": metadata, "status": {"phase": "Active"}}


def _budget(app: App, name: str) -> dict[str, Any]:
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": app.namespace},
        "spec": {"minAvailable": app.min_available, "selector": {"matchLabels": {"app": app.name}}},
        "status": {},
    }


def _containers(cpu: str) -> list[dict[str, Any]]:
    asked = {"resources": {"requests": {"cpu": cpu}}} if cpu else {}
    return [{"name": "app", "image": APP_IMAGE, **asked}]


def deployment(app: App) -> dict[str, Any]:
    """An application as a Deployment."""
    spec: dict[str, Any] = {"containers": _containers(app.cpu)}
    if app.node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": app.node}
    if app.emptydir:
        spec["volumes"] = [{"name": "scratch", "emptyDir": {}}]
        spec["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]
    made = _workload("Deployment", app.name, app.namespace, {"app": app.name}, spec, replicas=app.replicas)
    made["spec"]["template"]["metadata"]["labels"] |= dict(app.labels)
    return made
