"""Admission defaults: what a real API server fills in when an object is created."""

from __future__ import annotations

from typing import Any

AWAY_SECONDS = 300  # how long a pod stays on a node that is not ready or unreachable


def complete(obj: dict[str, Any]) -> None:
    """Fill in the defaults of its kind."""
    match obj["kind"]:
        case "Pod":
            complete_pod(obj)
        case "Deployment" | "ReplicaSet":
            obj["spec"].setdefault("replicas", 1)
            obj.setdefault("status", {})
        case "Job":
            obj["spec"].setdefault("backoffLimit", 6)
            obj.setdefault("status", {})
        case "Namespace":
            obj.setdefault("metadata", {}).setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"][
                "name"
            ]
            obj["status"] = {"phase": "Active"}
        case _:
            pass


def complete_pod(pod: dict[str, Any]) -> None:
    """A pod as it stands before it is scheduled."""
    spec = pod["spec"]
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    for container in spec.get("containers", ()):
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(one.get("key") in {key, None} and one.get("effect") in {"NoExecute", None} for one in tolerations):
            tolerations.append(
                {"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": AWAY_SECONDS}
            )
    pod["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def _quality(spec: dict[str, Any]) -> str:
    asked = [container.get("resources", {}) for container in spec.get("containers", ())]
    if not any(asked):
        return "BestEffort"
    if all(one.get("limits") and one.get("limits") == one.get("requests", one["limits"]) for one in asked):
        return "Guaranteed"
    return "Burstable"
