"""The smoke pod itself: what it is made of, which image it runs, and what it says when it does not run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cluster.departures import OWNER_LABEL, is_ready
from cluster.inventory import Smoke
from cluster.versions import Minor
from policies.kubeadm_defaults import images_of

Raw = dict[str, Any]
_UPSTREAM = "registry.k8s.io"  # kubeadm's own default
_OTHER_PAUSE = "3.10"  # of a minor that nobody wrote down
_USER = 65535  # the pause image's own
_GRACE = 60  # seconds that the cluster gives the pod longer than we do, should nobody delete it
_HOSTNAME = "kubernetes.io/hostname"
_NOT_PULLED = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
_BACK_OFF = "ImagePullBackOff"  # says that it waits, and seldom why
_ALWAYS_TOLERATED = (
    "node.kubernetes.io/unschedulable",
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
)


def build_pod(name: str, smoke: Smoke, *, node: Raw, image: str, owner: str, seconds: float) -> Raw:
    """The pod: pinned by label and not by name, so that the scheduler is tried as well; allowed by `restricted`."""
    labels = node["metadata"].get("labels") or {}
    taints = {(t["key"], t.get("effect", "")) for t in (node.get("spec") or {}).get("taints") or []}
    taints |= {(key, "NoSchedule") for key in _ALWAYS_TOLERATED}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": smoke.namespace,
            "labels": {"app.kubernetes.io/managed-by": "lockkeeper", OWNER_LABEL: owner},
        },
        "spec": {
            "nodeSelector": {_HOSTNAME: labels.get(_HOSTNAME, node["metadata"]["name"])},
            "tolerations": [{"key": k, "operator": "Exists", "effect": e} for k, e in sorted(taints)],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "activeDeadlineSeconds": int(seconds) + _GRACE,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(image, smoke)],
        },
    }


def _container(image: str, smoke: Smoke) -> Raw:
    return {
        "name": "smoke",
        "image": image,
        **({"command": list(smoke.command)} if smoke.command else {}),
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePolicy": "FallbackToLogsOnError",  # its last words, without the right to read logs
        "resources": {
            "requests": {"cpu": "1m", "memory": "8Mi"},
            "limits": {"cpu": "100m", "memory": "32Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def known_image(smoke: Smoke, node: Raw) -> str:
    """The configured image, else the newest pause that the node lists; "" where it lists none."""
    if smoke.image:
        return smoke.image
    images = (node.get("status") or {}).get("images") or []
    names = [str(name) for image in images for name in image.get("names") or []]
    return max((n for n in names if n.rpartition("/")[2].startswith("pause:")), key=_tag, default="")


def fetched_image(minor: Minor, repository: str) -> str:
    """What every machine fetched for that minor: a node lists its fifty largest images alone, and pause is small."""
    images = images_of(minor)
    return f"{repository or _UPSTREAM}/pause:{images.pause if images else _OTHER_PAUSE}"


def _tag(image: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in image.rpartition(":")[2].split("."))


def has_passed(pod: Raw, smoke: Smoke) -> bool:
    """Whether it did what it is for: its command ended well, or the image's own program stays up."""
    if (pod.get("status") or {}).get("phase") == "Succeeded":
        return True
    return not smoke.command and is_ready(pod)


def why_not_pulled(pod: Raw) -> str:
    """The registry's or the runtime's words about an image that does not come; "" where that is not the trouble."""
    for reason, message in _waiting(pod):
        if reason in _NOT_PULLED:
            return message if message and reason != _BACK_OFF else f"{reason} {message}".strip()
    return ""


def why_not_ready(pod: Raw) -> str:
    """The best reason that a pod gives for not running."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        if ended := (container.get("state") or {}).get("terminated"):
            said = " ".join(str(ended.get("message") or ended.get("reason") or "").split())
            return f"it ended with {ended.get('exitCode')}" + (f" ({said})" if said else "")
    for reason, message in _waiting(pod):
        return f"{reason} {message}".strip()
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or "not scheduled")
    own = f"{status.get('reason') or ''} {status.get('message') or ''}".strip()  # of one that a kubelet turned away
    return own or f"it is {status.get('phase') or 'not started'}"


def _waiting(pod: Raw) -> Iterable[tuple[str, str]]:
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            yield str(waiting["reason"]), " ".join(str(waiting.get("message") or "").split())
