"""One pod on the node before it gets its work back: scheduled, pulled, started and ready, then deleted."""

from __future__ import annotations

from typing import Any

from cluster.departures import OWNER_LABEL, is_ready
from cluster.errors import KubeDenied
from workers.control_plane import image_of
from workers.cordon import read_node
from workers.patience import CONFLICT, NOT_FOUND, ask_api
from workers.site import Site, StepBlocked, StepDone

Raw = dict[str, Any]
NAMESPACE = "kube-system"  # as kubeadm's own health check; policies leave it alone most often
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_OLDEST_PAUSE = "pause:3.10"  # where the node does not say which one it has
_USER = 65535  # the pause image's own
_GRACE = 60  # seconds that the cluster gives the pod longer than we do, should nobody delete it
_HOSTNAME = "kubernetes.io/hostname"
_ALWAYS_TOLERATED = (
    "node.kubernetes.io/unschedulable",
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
)


def run_smoke_pod(site: Site) -> None:
    """Raises StepBlocked unless the pod becomes ready; whatever happens, it is deleted."""
    name = pod_name(site)
    if not _create(site):
        return
    try:
        _await_ready(site, name)
    except StepBlocked:
        _delete(site, name)
        raise
    _delete(site, name)


def smoke_done(site: Site) -> StepDone:
    return StepDone(f"A smoke pod ran on {site.node.name}.")


def pod_name(site: Site) -> str:
    return f"lockkeeper-smoke-{site.attempt_id}".lower()[:63].rstrip("-")


def smoke_pod(site: Site, node: Raw, image: str) -> Raw:
    """The pod: pinned by label and not by name, so that the scheduler is tried as well; allowed by `restricted`."""
    labels = node["metadata"].get("labels") or {}
    taints = {(t["key"], t.get("effect", "")) for t in (node.get("spec") or {}).get("taints") or []}
    taints |= {(key, "NoSchedule") for key in _ALWAYS_TOLERATED}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(site),
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "lockkeeper", OWNER_LABEL: site.operation_id},
        },
        "spec": {
            "nodeSelector": {_HOSTNAME: labels.get(_HOSTNAME, site.node.name)},
            "tolerations": [{"key": k, "operator": "Exists", "effect": e} for k, e in sorted(taints)],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "activeDeadlineSeconds": int(site.waits.smoke) + _GRACE,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "smoke",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
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
            ],
        },
    }


def find_image(site: Site, node: Raw) -> str:
    """The configured image, else the newest pause that the node has, else that of the control plane's repository."""
    if configured := site.settings.clusters[site.cluster].smoke_image:
        return configured
    images = (node.get("status") or {}).get("images") or []
    names = [str(name) for image in images for name in image.get("names") or []]
    if pauses := [n for n in names if n.rpartition("/")[2].startswith("pause:")]:
        return max(pauses, key=_tag)
    pods = site.kube().items(_PODS, {"labelSelector": "component=kube-apiserver"})
    repository = next((image_of(p).rpartition("/")[0] for p in pods), "")
    return f"{repository or 'registry.k8s.io'}/{_OLDEST_PAUSE}"


def _tag(image: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in image.rpartition(":")[2].split("."))


def is_refused_by_policy(error: KubeDenied) -> bool:
    """An admission policy's no: it says nothing of the node."""
    text = str(error)
    return "admission webhook" in text or "violates PodSecurity" in text or "ValidatingAdmissionPolicy" in text


def why_not_ready(pod: Raw) -> str:
    """The best reason that a pod gives for not running."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return " ".join(f"{waiting['reason']} {waiting.get('message') or ''}".split())
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or "not scheduled")
    return f"it is {status.get('phase') or 'not started'}"


def _create(site: Site) -> bool:
    """Whether there is a pod to wait for; False where a policy forbids it."""
    node = read_node(site)

    def create() -> Raw:
        site.check_lease()
        return site.kube().post(_PODS, smoke_pod(site, node, find_image(site, node)))

    try:
        ask_api(site, create)
    except KubeDenied as error:
        if error.status == CONFLICT:  # ours, of this attempt, from a driver before us
            return True
        if not is_refused_by_policy(error):
            raise
        site.tell(f"An admission policy forbids the smoke pod on {site.node.name} ({error}); it is left out.")
        return False
    return True


def _await_ready(site: Site, name: str) -> None:
    since = site.now()
    while True:
        try:
            pod = ask_api(site, lambda: site.kube().get(f"{_PODS}/{name}"))
        except KubeDenied as error:
            if error.status != NOT_FOUND:
                raise
            raise _failed(site, "somebody deleted it") from error
        if is_ready(pod):
            return
        ended = (pod.get("status") or {}).get("phase") == "Failed"
        if ended or site.elapsed(since) > site.waits.smoke:
            raise _failed(site, why_not_ready(pod))
        site.wait(min(site.waits.poll, 1.0))


def _failed(site: Site, why: str) -> StepBlocked:
    return site.blocked(
        "smoke-test-failed",
        f"The smoke pod on {site.node.name} did not become ready within {site.waits.smoke:.0f} s: {why[:300]}.",
        "Correct that on the node, which stays cordoned, then `retry`.",
    )


def _delete(site: Site, name: str) -> None:
    def delete() -> Raw:
        return site.kube().delete(f"{_PODS}/{name}", {"gracePeriodSeconds": 0})

    try:
        ask_api(site, delete)
    except KubeDenied as error:
        if error.status != NOT_FOUND:
            raise
