"""What may stand in the way of an upgrade beside versions: things that somebody left in a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

from lab.discovery import Removed
from lab.objects import ObjectStore
from lab.provision import run_kubelet
from lab.staticpods import REGISTRY

if TYPE_CHECKING:
    from lab.machines import Machine
    from lab.site import Site

OLD_API: Removed = ("storage.k8s.io", "v1alpha1", "volumeattributesclasses", "1.35")
LATER_API: Removed = ("storage.k8s.io", "v1beta1", "volumeattributesclasses", "1.37")
METRICS_API = "v1beta1.metrics.k8s.io"
_PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
_ARGUMENTS = [
    {"name": "enable-taint-manager", "value": "true"},
    {"name": "feature-gates", "value": "MyOwnGate=true"},
]


def strand(machine: Machine) -> None:
    """A worker that was left out for long, whose mirror is old; a registry without an image; a snapshot kept back."""
    machine.faults.images_missing = {"kube-scheduler:v1.35.4"}
    if machine.name == "cp1":
        settings = machine.read("/etc/lockkeeper-node.conf")
        machine.write("/etc/lockkeeper-node.conf", f"{settings}SNAPSHOT_EXPORT=no\n")
    if machine.name == "w2":
        minors = {minor: releases for minor, releases in machine.repository.minors.items() if minor != "v1.34"}
        machine.repository = replace(machine.repository, minors=minors)
        run_kubelet(machine, "v1.31.14")


async def obstruct(site: Site) -> None:
    """Put all of it into a cluster that is settled."""
    store = site.store
    for obj in _objects():
        store.put(obj)
    store.merge("Deployment", "coredns", "kube-system", {"spec": {"template": {"spec": {"containers": [_coredns()]}}}})
    _declare(store)
    for node in tuple(store.each("Node")):
        machine = {"cluster.x-k8s.io/machine": f"lab-{node['metadata']['name']}"}
        store.merge("Node", node["metadata"]["name"], "", {"metadata": {"annotations": machine}})
    for server in site.cluster.servers.values():
        server.asked_for |= {OLD_API, LATER_API}


def _objects() -> Iterator[dict[str, Any]]:
    yield _webhook("guard", "guard")
    yield _webhook("audit", "audit", failure="Ignore")
    yield _webhook("outside", "", url="https://hooks.lab/validate")
    yield _webhook("policy", "policy")
    yield from _service("policy", "w1")
    away = {"type": "Available", "status": "False", "reason": "MissingEndpoints", "message": "no endpoints available"}
    service = {"namespace": "kube-system", "name": "metrics-server", "port": 443}
    yield {
        "kind": "APIService",
        "metadata": {"name": METRICS_API},
        "spec": {"service": service, "group": "metrics.k8s.io", "version": "v1beta1"},
        "status": {"conditions": [away]},
    }
    written = {"manager": "helm", "operation": "Update", "apiVersion": "storage.k8s.io/v1alpha1"}
    yield {"kind": "VolumeAttributesClass", "metadata": {"name": "fast", "managedFields": [written]}}
    labels = {"name": "kured"}
    pod = {"containers": [{"name": "kured", "image": "ghcr.io/kubereboot/kured:1.20.0"}]}
    yield {
        "kind": "DaemonSet",
        "metadata": {"name": "kured", "namespace": "kube-system", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def _webhook(name: str, service: str, *, failure: str = "Fail", url: str = "") -> dict[str, Any]:
    client: dict[str, Any] = {"service": {"namespace": "demo", "name": service}} if service else {"url": url}
    hook = {"name": f"{name}.lab", "rules": [_PODS], "failurePolicy": failure, "clientConfig": client}
    return {"kind": "ValidatingWebhookConfiguration", "metadata": {"name": name}, "webhooks": [hook]}


def _service(name: str, node: str) -> Iterator[dict[str, Any]]:
    """One that answers, from one node alone."""
    yield {"kind": "Service", "metadata": {"name": name, "namespace": "demo"}, "spec": {"ports": [{"port": 443}]}}
    yield {
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "namespace": "demo", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.1.7"], "conditions": {"ready": True}, "nodeName": node}],
        "ports": [{"port": 8443}],
    }


def _coredns() -> dict[str, Any]:
    return {"name": "coredns", "image": f"{REGISTRY}/coredns/coredns:v1.12.1-ours"}


def _declare(store: ObjectStore) -> None:
    found = store.get("ConfigMap", "kubeadm-config", "kube-system")
    body = yaml.safe_load(found["data"]["ClusterConfiguration"]) if found else {}
    body["controllerManager"] = {"extraArgs": _ARGUMENTS}
    body["etcd"] = {"local": {"dataDir": "/var/lib/etcd", "imageTag": "3.6.5-0"}}
    data = {"data": {"ClusterConfiguration": yaml.safe_dump(body)}}
    store.merge("ConfigMap", "kubeadm-config", "kube-system", data)
