"""A pod's status through its life, as a kubelet writes it."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

from lab.clock import stamp
from lab.patches import copy_object

# How long the pod's program takes to end, in lab seconds; for pods that do not end at SIGTERM.
STOP_SECONDS = "lab.lockkeeper.io/stop-seconds"
# A pod that never gets ready, for budgets that count healthy pods.
UNREADY = "lab.lockkeeper.io/unready"


def running(pod: dict[str, Any], pod_ip: str, host_ip: str) -> dict[str, Any]:
    """The pod with every container started."""
    now = stamp()
    ready = pod["metadata"].get("annotations", {}).get(UNREADY) is None
    status: dict[str, Any] = {
        "conditions": [
            _condition("PodReadyToStartContainers", now),
            _condition("Initialized", now),
            _condition("Ready", now, ready=ready),
            _condition("ContainersReady", now, ready=ready),
            _condition("PodScheduled", now),
        ],
        "containerStatuses": [_container(one, now, ready=ready) for one in pod["spec"]["containers"]],
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "phase": "Running",
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "qosClass": pod.get("status", {}).get("qosClass", "BestEffort"),
        "startTime": now,
    }
    alive = copy_object(pod)
    alive["status"] = status
    return alive


def waiting(pod: dict[str, Any], reason: str, message: str) -> dict[str, Any]:
    """The pod with containers that do not start."""
    held = copy_object(pod)
    held["status"]["containerStatuses"] = [
        {
            "image": one["image"],
            "imageID": "",
            "lastState": {},
            "name": one["name"],
            "ready": False,
            "restartCount": 0,
            "started": False,
            "state": {"waiting": {"reason": reason, "message": message}},
        }
        for one in pod["spec"]["containers"]
    ]
    return held


def succeeded(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod with every container ended well."""
    now = stamp()
    done = copy_object(pod)
    status = done["status"]
    status["phase"] = "Succeeded"
    for condition in status["conditions"]:
        if condition["type"] in {"Ready", "ContainersReady"}:
            condition |= {"status": "False", "reason": "PodCompleted", "lastTransitionTime": now}
    for container in status["containerStatuses"]:
        started = container["state"]["running"]["startedAt"]
        ended = {"exitCode": 0, "finishedAt": now, "reason": "Completed", "startedAt": started}
        container |= {"ready": False, "started": False, "state": {"terminated": ended}}
    return done


def ends_by_itself(pod: dict[str, Any]) -> bool:
    """A pod that need not run for ever and is told what to do, does it and ends."""
    spec = pod["spec"]
    told = any(one.get("command") or one.get("args") for one in spec["containers"])
    return spec.get("restartPolicy") in {"Never", "OnFailure"} and told


def stop_seconds(pod: dict[str, Any], usual: float) -> float:
    """How long it takes to end after SIGTERM."""
    return float(pod["metadata"].get("annotations", {}).get(STOP_SECONDS, usual))


def pod_address(pod: dict[str, Any], host_ip: str) -> str:
    """An address of the pod network that stays the same for one pod."""
    if pod["spec"].get("hostNetwork"):
        return host_ip
    number = zlib.crc32(pod["metadata"]["uid"].encode())
    return f"10.244.{number >> 8 & 255}.{number % 254 + 1}"


def _container(container: dict[str, Any], now: str, *, ready: bool) -> dict[str, Any]:
    image = container["image"]
    seed = hashlib.sha256(f"{image} {now}".encode()).hexdigest()
    return {
        "containerID": f"containerd://{seed}",
        "image": image,
        "imageID": f"sha256:{hashlib.sha256(image.encode()).hexdigest()}",
        "lastState": {},
        "name": container["name"],
        "ready": ready,
        "restartCount": 0,
        "started": True,
        "state": {"running": {"startedAt": now}},
    }


def _condition(kind: str, now: str, *, ready: bool = True) -> dict[str, Any]:
    status = "True" if ready else "False"
    return {"lastProbeTime": None, "lastTransitionTime": now, "status": status, "type": kind}
