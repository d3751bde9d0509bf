"""The columns of server-side tables, as kubectl prints them and the reports read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lab.clock import read_stamp

Object = dict[str, Any]
Cell = Callable[[Object], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; priority 1 shows with `-o wide` only."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    priority: int = 0

    def definition(self) -> Object:
        """As in `columnDefinitions`."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": f"{self.name} of the object.",
            "priority": self.priority,
        }


def age(obj: Object) -> str:
    """How long ago it was created."""
    return since(obj["metadata"].get("creationTimestamp"))


def since(when: str | None) -> str:
    """kubectl's short form of a duration: 38s, 2m5s, 26m, 3h12m, 5d."""
    if not when:
        return "<unknown>"
    seconds = max(0, int((datetime.now(UTC) - read_stamp(when)).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{days}d"


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def node_status(node: Object) -> str:
    """Ready, NotReady or Unknown, and whether it is cordoned."""
    conditions = node.get("status", {}).get("conditions", ())
    ready = next((one["status"] for one in conditions if one["type"] == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"]
    if node.get("spec", {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(node: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    roles = [label.removeprefix(prefix) for label in node["metadata"].get("labels", {}) if label.startswith(prefix)]
    return ",".join(sorted(filter(None, roles))) or "<none>"


def _address(kind: str) -> Cell:
    def cell(node: Object) -> str:
        addresses = node.get("status", {}).get("addresses", ())
        return next((one["address"] for one in addresses if one["type"] == kind), "<none>")

    return cell


def _info(key: str) -> Cell:
    return lambda node: node.get("status", {}).get("nodeInfo", {}).get(key) or "<unknown>"


def pod_status(pod: Object) -> str:
    """The word that kubectl shows for a pod's state."""
    status = pod.get("status", {})
    word = status.get("reason") or status.get("phase") or "Unknown"
    if word == "Succeeded":
        word = "Completed"
    elif word == "Failed":
        word = "Error"
    for container in status.get("containerStatuses", ()):
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason"):
            word = waiting["reason"]
    return "Terminating" if "deletionTimestamp" in pod["metadata"] else word


def _ready(pod: Object) -> str:
    states = pod.get("status", {}).get("containerStatuses", ())
    return f"{sum(1 for one in states if one.get('ready'))}/{len(pod['spec']['containers'])}"


def _restarts(pod: Object) -> str:
    states = pod.get("status", {}).get("containerStatuses", ())
    count = sum(one.get("restartCount", 0) for one in states)
    ended = [
        one["lastState"]["terminated"]["finishedAt"] for one in states if one.get("lastState", {}).get("terminated")
    ]
    return f"{count} ({since(max(ended))} ago)" if count and ended else str(count)


def _at(*path: str, default: Any = "<none>") -> Cell:
    def cell(obj: Any) -> Any:
        for part in path:
            obj = obj.get(part) if isinstance(obj, dict) else None
        return default if obj is None else obj

    return cell


def _fraction(part: Cell, whole: Cell) -> Cell:
    return lambda obj: f"{part(obj)}/{whole(obj)}"


def _count(key: str) -> Cell:
    return lambda obj: len(obj.get(key) or {})


def _completions(job: Object) -> str:
    return f"{job.get('status', {}).get('succeeded', 0)}/{job['spec'].get('completions', 1)}"


NAME = Column("Name", _name, format="name")
AGE = Column("Age", age)
DEFAULT = (NAME, Column("Created At", lambda obj: obj["metadata"].get("creationTimestamp"), format="date-time"))


def _number(name: str, *path: str) -> Column:
    return Column(name, _at(*path, default=0), type="integer")


COLUMNS: dict[str, tuple[Column, ...]] = {
    "Node": (
        NAME,
        Column("Status", node_status),
        Column("Roles", _roles),
        AGE,
        Column("Version", _info("kubeletVersion")),
        Column("Internal-IP", _address("InternalIP"), priority=1),
        Column("External-IP", _address("ExternalIP"), priority=1),
        Column("OS-Image", _info("osImage"), priority=1),
        Column("Kernel-Version", _info("kernelVersion"), priority=1),
        Column("Container-Runtime", _info("containerRuntimeVersion"), priority=1),
    ),
    "Pod": (
        NAME,
        Column("Ready", _ready),
        Column("Status", pod_status),
        Column("Restarts", _restarts),
        AGE,
        Column("IP", _at("status", "podIP"), priority=1),
        Column("Node", _at("spec", "nodeName"), priority=1),
        Column("Nominated Node", _at("status", "nominatedNodeName"), priority=1),
        Column("Readiness Gates", lambda _: "<none>", priority=1),
    ),
    "Namespace": (NAME, Column("Status", _at("status", "phase")), AGE),
    "ConfigMap": (NAME, Column("Data", _count("data"), type="integer"), AGE),
    "Lease": (NAME, Column("Holder", _at("spec", "holderIdentity", default="")), AGE),
    "Deployment": (
        NAME,
        Column("Ready", _fraction(_at("status", "readyReplicas", default=0), _at("spec", "replicas", default=1))),
        _number("Up-to-date", "status", "updatedReplicas"),
        _number("Available", "status", "availableReplicas"),
        AGE,
    ),
    "ReplicaSet": (
        NAME,
        _number("Desired", "spec", "replicas"),
        _number("Current", "status", "replicas"),
        _number("Ready", "status", "readyReplicas"),
        AGE,
    ),
    "DaemonSet": (
        NAME,
        _number("Desired", "status", "desiredNumberScheduled"),
        _number("Current", "status", "currentNumberScheduled"),
        _number("Ready", "status", "numberReady"),
        _number("Up-to-date", "status", "updatedNumberScheduled"),
        _number("Available", "status", "numberAvailable"),
        Column("Node Selector", lambda _: "<none>"),
        AGE,
    ),
    "Job": (NAME, Column("Completions", _completions), AGE),
    "PodDisruptionBudget": (
        NAME,
        Column("Min Available", lambda obj: str(obj["spec"].get("minAvailable", "N/A"))),
        Column("Max Unavailable", lambda obj: str(obj["spec"].get("maxUnavailable", "N/A"))),
        _number("Allowed Disruptions", "status", "disruptionsAllowed"),
        AGE,
    ),
}
