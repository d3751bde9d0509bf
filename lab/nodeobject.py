"""Node objects, as a kubelet registers and reports them."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from lab.clock import stamp
from lab.objects import ObjectStore

HEALTHY = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)
MOST_IMAGES = 50
IMAGE_BYTES = 27_000_000
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def register(
    store: ObjectStore,
    name: str,
    version: str,
    *,
    roles: Collection[str],
    address: str,
    labels: dict[str, str],
) -> dict[str, Any]:
    """Put the Node object and its CSINode, unless the node is known already."""
    held = store.get("Node", name)
    if held is not None:
        return held
    store.put({"kind": "CSINode", "metadata": {"name": name}, "spec": {"drivers": None}})  # as without any storage
    return store.put(_node(name, version, roles, address, labels))


def _node(name: str, version: str, roles: Collection[str], address: str, labels: dict[str, str]) -> dict[str, Any]:
    known = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    } | {f"node-role.kubernetes.io/{role}": "" for role in roles}
    spec: dict[str, Any] = {}
    if "control-plane" in roles:
        known["node.kubernetes.io/exclude-from-external-load-balancers"] = ""
        spec["taints"] = [{"effect": "NoSchedule", "key": CONTROL_PLANE}]
    annotations = {
        "node.alpha.kubernetes.io/ttl": "0",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    }
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": known | labels, "annotations": annotations},
        "spec": spec,
        "status": _status(name, version, address),
    }


def _status(name: str, version: str, address: str) -> dict[str, Any]:
    machine = uuid.uuid4().hex
    room = {"cpu": "2", "ephemeral-storage": "243497856212", "memory": "24581684Ki", "pods": "110"}
    return {
        "addresses": [{"address": address, "type": "InternalIP"}, {"address": name, "type": "Hostname"}],
        "allocatable": room,
        "capacity": room | {"ephemeral-storage": "264212084Ki", "memory": "24684084Ki"},
        "conditions": ready_conditions([]),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "images": [],
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": str(uuid.uuid4()),
            "containerRuntimeVersion": "containerd://2.1.9",
            "kernelVersion": "6.1.0-44-amd64",
            "kubeProxyVersion": "",
            "kubeletVersion": version,
            "machineID": machine,
            "operatingSystem": "linux",
            "osImage": "Debian GNU/Linux 12 (bookworm)",
            "systemUUID": machine,
        },
    }


def image_list(names: Collection[str]) -> list[dict[str, Any]]:
    """`status.images`, as many as a kubelet reports."""
    return [{"names": [name], "sizeBytes": IMAGE_BYTES} for name in sorted(names)[:MOST_IMAGES]]


def ready_conditions(before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conditions of a healthy kubelet; a transition time moves only when the status does."""
    return [_condition(before, kind, status, reason, message) for kind, status, reason, message in HEALTHY]


def lost_conditions(before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the node lifecycle controller writes when a kubelet is silent."""
    message = "Kubelet stopped posting node status."
    return [_condition(before, kind, "Unknown", "NodeStatusUnknown", message) for kind, *_ in HEALTHY]


def _condition(before: list[dict[str, Any]], kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    old = next((one for one in before if one["type"] == kind), None)
    now = stamp()
    return {
        "lastHeartbeatTime": old["lastHeartbeatTime"] if old and status == "Unknown" else now,
        "lastTransitionTime": old["lastTransitionTime"] if old and old["status"] == status else now,
        "message": message,
        "reason": reason,
        "status": status,
        "type": kind,
    }


def is_node_ready(node: dict[str, Any]) -> bool:
    """The node's Ready condition."""
    conditions = node.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
