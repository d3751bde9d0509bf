"""What a pod's own object says of how it leaves its node: the facts that kubectl's drain filters ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Raw = dict[str, Any]
OWNER_LABEL = "lockkeeper.dev/operation"  # on every pod that we make ourselves
_MIRROR = "kubernetes.io/config.mirror"
_CORDONED = "node.kubernetes.io/unschedulable"
_FINISHED = ("Succeeded", "Failed")


def controller_of(pod: Mapping[str, Any]) -> Raw | None:
    """The owner that would bring the pod back; any kind of it counts."""
    owners: list[Raw] = pod["metadata"].get("ownerReferences") or []
    return next((o for o in owners if o.get("controller")), None)


def daemon_set_of(pod: Mapping[str, Any]) -> str:
    """The name of the DaemonSet that controls the pod, "" for none."""
    owner = controller_of(pod)
    if owner is None or owner.get("kind") != "DaemonSet" or not str(owner.get("apiVersion", "")).startswith("apps/"):
        return ""
    return str(owner.get("name", ""))


def is_static(pod: Mapping[str, Any]) -> bool:
    return _MIRROR in (pod["metadata"].get("annotations") or {})


def is_ours(pod: Mapping[str, Any]) -> bool:
    return OWNER_LABEL in (pod["metadata"].get("labels") or {})


def is_finished(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in _FINISHED


def has_local_storage(pod: Mapping[str, Any]) -> bool:
    """emptyDir of any medium; hostPath survives the pod and does not count."""
    return any("emptyDir" in volume for volume in (pod.get("spec") or {}).get("volumes") or [])


def is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def tolerates_cordon(pod: Mapping[str, Any]) -> bool:
    """Whether the scheduler may put the pod onto a cordoned node."""
    return any(
        t.get("key") in {None, "", _CORDONED} and t.get("effect") in {None, "", "NoSchedule"}
        for t in (pod.get("spec") or {}).get("tolerations") or []
    )


def claim_of(pod: Mapping[str, Any], volume: Mapping[str, Any]) -> str:
    """The claim behind a pod's volume, "" for none; a generic ephemeral volume's is named after pod and volume."""
    if "persistentVolumeClaim" in volume:
        return str(volume["persistentVolumeClaim"]["claimName"])
    return f"{pod['metadata']['name']}-{volume['name']}" if "ephemeral" in volume else ""
