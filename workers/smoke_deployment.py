"""A Deployment on the node, created with one pod and scaled to two: the cluster's controllers are tried, too."""

from __future__ import annotations

from typing import Any

from cluster.errors import KubeDenied
from cluster.inventory import Smoke
from workers.patience import NOT_FOUND, ask_api
from workers.site import Site, StepBlocked
from workers.smoke_objects import drop, make
from workers.smoke_pod import why_not_pulled, why_not_ready

Raw = dict[str, Any]
_INSTANCE = "app.kubernetes.io/instance"
_OF_A_POD_ALONE = ("restartPolicy", "activeDeadlineSeconds")  # what a Deployment's template must not have
_SHOWN = 300  # characters of a reason


def run_deployment(site: Site, smoke: Smoke, pod: Raw) -> str:
    """Why it was left out, "" where both pods came up; raises StepBlocked where they did not. It is always deleted."""
    name = pod["metadata"]["name"]
    if left_out := make(site, deployments_of(smoke), build_deployment(pod), "Deployment"):
        return left_out
    try:
        _await(site, smoke, name, 1)
        _scale(site, smoke, name, 2)
        _await(site, smoke, name, 2)
    except StepBlocked:
        delete_deployment(site, smoke, name)
        raise
    delete_deployment(site, smoke, name)
    return ""


def deployments_of(smoke: Smoke) -> str:
    return f"/apis/apps/v1/namespaces/{smoke.namespace}/deployments"


def build_deployment(pod: Raw) -> Raw:
    """The Deployment of a smoke pod that stays up."""
    meta = pod["metadata"]
    mine = {_INSTANCE: meta["name"]}
    spec = {key: value for key, value in pod["spec"].items() if key not in _OF_A_POD_ALONE}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": mine},
            "template": {"metadata": {"labels": meta["labels"] | mine}, "spec": spec},
        },
    }


def delete_deployment(site: Site, smoke: Smoke, name: str) -> None:
    """With its pods."""
    drop(site, f"{deployments_of(smoke)}/{name}", {"propagationPolicy": "Background"})


def _scale(site: Site, smoke: Smoke, name: str, replicas: int) -> None:
    def scale() -> Raw:
        site.check_lease()
        return site.kube().patch(f"{deployments_of(smoke)}/{name}", {"spec": {"replicas": replicas}})

    ask_api(site, scale)


def _await(site: Site, smoke: Smoke, name: str, replicas: int) -> None:
    since = site.now()
    while True:
        try:
            found = ask_api(site, lambda: site.kube().get(f"{deployments_of(smoke)}/{name}"))
        except KubeDenied as error:
            if error.status != NOT_FOUND:
                raise
            raise _failed(site, replicas, "somebody deleted it") from error
        if int((found.get("status") or {}).get("availableReplicas") or 0) >= replicas:
            return
        if site.elapsed(since) > site.waits.smoke:
            raise _failed(site, replicas, _why(site, smoke, name, found))
        site.wait(min(site.waits.poll, 1.0))


def _why(site: Site, smoke: Smoke, name: str, deployment: Raw) -> str:
    """What its pods say, else what its controller says."""
    path, query = f"/api/v1/namespaces/{smoke.namespace}/pods", {"labelSelector": f"{_INSTANCE}={name}"}
    for pod in ask_api(site, lambda: tuple(site.kube().items(path, query))):
        if why := why_not_pulled(pod) or ("" if _is_up(pod) else why_not_ready(pod)):
            return why
    conditions = (deployment.get("status") or {}).get("conditions") or []
    said = [str(c.get("message")) for c in conditions if c.get("message") and c.get("type") != "Available"]
    return "; ".join(said) or "its controller made no pod for it"


def _is_up(pod: Raw) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running"


def _failed(site: Site, replicas: int, why: str) -> StepBlocked:
    pods = "its pod" if replicas == 1 else f"its {replicas} pods"
    return site.blocked(
        "smoke-deployment-failed",
        f"The smoke Deployment on {site.node.name} did not bring {pods} up within {site.waits.smoke:.0f} s: "
        f"{why[:_SHOWN]}.",
        "Look at the controller manager and at the node, which stays cordoned, then `retry`.",
    )
