"""Clusters whose versions stand apart: a straggler, an upgrade that was left, and what the skew policy forbids."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

from lab.provision import MANIFESTS, put_packages, run_kubelet, use_source, write_manifests
from lab.staticpods import REGISTRY, image, image_of, images, minor_of

if TYPE_CHECKING:
    from lab.machines import Machine
    from lab.site import Site

_MIRROR = "http://mirror.lab/kubernetes"  # it builds its packages itself
OLDEST, OLD, BEHIND, AHEAD = "v1.23.17", "v1.31.14", "v1.33.13", "v1.35.4"


def let_straggle(machine: Machine) -> None:
    """`skewed`: two workers that nobody took along."""
    match machine.name:
        case "w2":
            run_kubelet(machine, OLD)
        case "w3":
            run_kubelet(machine, BEHIND)


async def scatter(site: Site) -> None:
    """`skewed`: a machine whose node was deleted, a kube-proxy that was pinned, and somebody's cordon."""
    await _forget_node(site, "w4")
    pinned = {"spec": {"containers": [_proxy(BEHIND)]}}
    site.store.merge("DaemonSet", "kube-proxy", "kube-system", {"spec": {"template": pinned}})
    site.store.merge("Node", "w3", "", {"spec": {"unschedulable": True}})
    while not _is_rolled_out(site, "kube-proxy"):
        await site.clock.sleep(1)


def interrupt(machine: Machine) -> None:
    """`interrupted`: the first control plane has its new static pods, and its kubelet was not touched yet."""
    if machine.name == "cp1":
        use_source(machine, minor_of(AHEAD))
        machine.images.update(images(AHEAD))
        _move_control_plane(machine, AHEAD)


async def declare_ahead(site: Site) -> None:
    """`interrupted`: `kubeadm upgrade apply` wrote down what it brought the first control plane to."""
    found = site.store.get("ConfigMap", "kubeadm-config", "kube-system")
    body = yaml.safe_load(found["data"]["ClusterConfiguration"]) if found else {}
    data = {"ClusterConfiguration": yaml.safe_dump(body | {"kubernetesVersion": AHEAD})}
    site.store.merge("ConfigMap", "kubeadm-config", "kube-system", {"data": data})


def break_skew(machine: Machine) -> None:
    """`out-of-skew`: what edits by hand, a restored backup and nodes that were left out come to."""
    match machine.name:
        case "cp1":
            path = f"{MANIFESTS}/kube-apiserver.yaml"
            command = "    - kube-apiserver\n"
            emulating = f"{command}    - --emulated-version=1.33\n"
            machine.write(path, machine.read(path).replace(command, emulating), 0o600)
            _edit(machine, "kube-controller-manager", AHEAD)
            put_packages(machine, AHEAD, "kubeadm")
        case "cp2":
            _move_control_plane(machine, BEHIND)
            _edit(machine, "kube-scheduler", OLD)
        case "cp3":
            _move_control_plane(machine, AHEAD)
        case "w1":
            run_kubelet(machine, AHEAD)
        case "w2":
            machine.repository = replace(machine.repository, base=_MIRROR, revision="2.1")
            machine.write("/etc/lockkeeper-node.conf", f"PACKAGE_BASE_URL={_MIRROR}\n")
            run_kubelet(machine, machine.packages.release("kubelet"))
        case "w3":
            run_kubelet(machine, OLDEST)


async def pile_up(site: Site) -> None:
    """`out-of-skew`: an old kube-proxy that waits for its pod to be deleted, a second DNS, a node with dockershim."""
    old = {"nodeInfo": {"containerRuntimeVersion": "docker://20.10.24"}}
    site.store.merge("Node", "w3", "", {"status": old})
    for pod in site.store.list("Pod", "kube-system"):
        meta = pod["metadata"]
        if meta["name"].startswith("kube-proxy-") and pod["spec"]["nodeName"] == "w2":
            site.store.merge("Pod", meta["name"], "kube-system", {"spec": {"containers": [_proxy(OLD)]}})
    container = {"name": "coredns", "image": f"{REGISTRY}/coredns/coredns:v1.12.1"}
    labels = {"app": "coredns-internal"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    site.store.put(
        {
            "kind": "Deployment",
            "metadata": {"name": "coredns-internal", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }
    )


def _move_control_plane(machine: Machine, version: str) -> None:
    """kubeadm and the static pods of another version, but not the kubelet."""
    put_packages(machine, version, "kubeadm")
    if machine.kubelet is not None:
        write_manifests(machine, machine.kubelet.seat, version)


def _edit(machine: Machine, component: str, version: str) -> None:
    """Another image in one manifest, and nothing else."""
    path = f"{MANIFESTS}/{component}.yaml"
    text = machine.read(path)
    machine.write(path, text.replace(image_of(text), image(component, version)), 0o600)


async def _forget_node(site: Site, name: str) -> None:
    """As after `kubectl delete node`: the machine runs on, its kubelet is stopped."""
    kubelet, unit = site.machines[name].kubelet, site.machines[name].units.get("kubelet")
    if kubelet is not None:
        await kubelet.stop()
    if unit is not None:
        unit.active, unit.sub, unit.pid = "inactive", "dead", 0
    site.store.delete("Node", name)
    for pod in site.store.list("Pod"):
        if pod["spec"].get("nodeName") == name:
            site.store.delete("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])


def _proxy(version: str) -> dict[str, Any]:
    return {"name": "kube-proxy", "image": image("kube-proxy", version)}


def _is_rolled_out(site: Site, name: str) -> bool:
    daemon = site.store.peek("DaemonSet", name, "kube-system")
    status = daemon["status"] if daemon else {}
    wanted = status.get("desiredNumberScheduled")
    return (
        daemon is not None
        and status.get("observedGeneration") == daemon["metadata"]["generation"]
        and wanted == status.get("updatedNumberScheduled") == status.get("numberReady")
    )
