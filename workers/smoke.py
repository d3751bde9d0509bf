"""One pod on the node before it gets its work back: scheduled, pulled, started and ready, then deleted."""

from __future__ import annotations

from typing import Any

from cluster.departures import OWNER_LABEL, controller_of
from cluster.errors import KubeDenied
from cluster.inventory import Smoke
from workers.control_plane import image_of
from workers.cordon import read_node
from workers.patience import NOT_FOUND, ask_api
from workers.site import API_LOOK, Site, StepBlocked, StepDone
from workers.smoke_deployment import delete_deployment, deployments_of, run_deployment
from workers.smoke_objects import drop, make
from workers.smoke_pod import build_pod, fetched_image, has_passed, known_image, why_not_pulled, why_not_ready

Raw = dict[str, Any]
_API_SERVERS = "/api/v1/namespaces/kube-system/pods"
_SHOWN = 300  # characters of a reason


def run_smoke_pod(site: Site) -> StepDone:
    """Raises StepBlocked unless the pod does its work; whatever happens, it is deleted."""
    name = pod_name(site)
    _sweep(site, name)
    if left_out := _create(site, name):
        site.tell(left_out)
        return StepDone(f"No smoke pod ran on {site.node.name}.", {"smoke": "left-out"})
    try:
        _await(site, name)
    except StepBlocked:
        _delete(site, name)
        raise
    _delete(site, name)
    return _try_deployment(site, name)


def _try_deployment(site: Site, name: str) -> StepDone:
    smoke = _smoke(site)
    if not smoke.deployment:
        return StepDone(f"A smoke pod ran on {site.node.name}.")
    lasting = smoke.without_command()
    if left_out := run_deployment(site, lasting, _build(site, lasting, name)):
        site.tell(left_out)
        return StepDone(f"A smoke pod ran on {site.node.name}.", {"deployment": "left-out"})
    return StepDone(f"A smoke pod ran on {site.node.name}, and a Deployment was scaled there.")


def pod_name(site: Site) -> str:
    return f"lockkeeper-smoke-{site.attempt_id}".lower()[:63].rstrip("-")


def pods_of(smoke: Smoke) -> str:
    """The path of the smoke pods' namespace."""
    return f"/api/v1/namespaces/{smoke.namespace}/pods"


def missing_namespace(smoke: Smoke, cluster: str) -> tuple[str, str]:
    """What is missing and what to do, where nobody made the namespace in that cluster."""
    return (
        f"There is no namespace {smoke.namespace} in {cluster}, so no smoke pod runs there.",
        f"Apply the chart's rights there again, or `kubectl create namespace {smoke.namespace}`.",
    )


def _smoke(site: Site) -> Smoke:
    return site.settings.clusters[site.cluster].smoke


def _sweep(site: Site, name: str) -> None:
    """Delete what drivers before us left: of other operations, and of earlier attempts at this step."""
    smoke = _smoke(site)
    if smoke.deployment:  # without it there is no right to look for one
        for found in _left(site, name, deployments_of(smoke)):
            site.check_lease()
            delete_deployment(site, smoke, found)
    for found in _left(site, name, pods_of(smoke)):
        site.check_lease()
        _delete(site, found)


def _left(site: Site, name: str, path: str) -> list[str]:
    attempts = name.rpartition("-a")[0] + "-a"

    def read() -> tuple[Raw, ...]:
        return tuple(site.kube().items(path, {"labelSelector": OWNER_LABEL}))

    def is_left(meta: Raw) -> bool:
        foreign = bool(meta["labels"][OWNER_LABEL] != site.operation_id)
        return foreign or (meta["name"].startswith(attempts) and meta["name"] != name)

    # what has an owner goes with it
    return [o["metadata"]["name"] for o in ask_api(site, read) if controller_of(o) is None and is_left(o["metadata"])]


def _build(site: Site, smoke: Smoke, name: str) -> Raw:
    node = read_node(site)
    image = known_image(smoke, node) or fetched_image(site.hop.target.minor, _repository(site))
    return build_pod(name, smoke, node=node, image=image, owner=site.operation_id, seconds=site.waits.smoke)


def _create(site: Site, name: str) -> str:
    """Why there is no pod to wait for; "" where there is one."""
    smoke = _smoke(site)
    pod = _build(site, smoke, name)
    try:
        return make(site, pods_of(smoke), pod, "pod")
    except KubeDenied as error:
        if error.status != NOT_FOUND:
            raise
        return " ".join(missing_namespace(smoke, site.cluster))


def _repository(site: Site) -> str:
    """Where the cluster's own images come from."""

    def read() -> str:
        servers = site.kube().items(_API_SERVERS, {"labelSelector": "component=kube-apiserver"})
        return next((image_of(server).rpartition("/")[0] for server in servers), "")

    return ask_api(site, read)


def _await(site: Site, name: str) -> None:
    smoke, since, not_pulled = _smoke(site), site.now(), ""
    while True:
        try:
            pod = ask_api(site, lambda: site.kube().get(f"{pods_of(smoke)}/{name}"))
        except KubeDenied as error:
            if error.status != NOT_FOUND:
                raise
            raise _failed(site, "somebody deleted it") from error
        if has_passed(pod, smoke):
            return
        waits_for = why_not_pulled(pod)
        if waits_for and not (not_pulled and waits_for.startswith("ImagePullBackOff")):
            not_pulled = waits_for  # between two tries the pod says no more than that it waits for the next one
        ended = (pod.get("status") or {}).get("phase") == "Failed"
        if ended or site.elapsed(since) > site.waits.smoke:
            raise _not_pulled(site, pod, not_pulled) if waits_for else _failed(site, why_not_ready(pod))
        site.wait(min(site.pause(since, API_LOOK), 1.0))


def _failed(site: Site, why: str) -> StepBlocked:
    return site.blocked(
        "smoke-test-failed",
        f"The smoke pod on {site.node.name} did not do its work within {site.waits.smoke:.0f} s: {why[:_SHOWN]}.",
        "Correct that on the node, which stays cordoned, then `retry`.",
    )


def _not_pulled(site: Site, pod: Raw, why: str) -> StepBlocked:
    image = image_of(pod)
    return site.blocked(
        "smoke-image-unavailable",
        f"The smoke pod's image {image} could not be pulled on {site.node.name} within {site.waits.smoke:.0f} s: "
        f"{why[:_SHOWN]}.",
        f"Let the node reach its registry, pull it there (`crictl pull {image}`), or name another image in "
        f"`clusters.{site.cluster}.smoke.image`, then `retry`.",
    )


def _delete(site: Site, name: str) -> None:
    drop(site, f"{pods_of(_smoke(site))}/{name}", {"gracePeriodSeconds": 0})
