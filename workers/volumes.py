"""The end of a drain: the node's volumes are detached, but for those of pods that stay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cluster.departures import claim_of
from cluster.errors import KubeDenied
from policies.wording import count_of
from workers.cordon import is_unreachable, read_node
from workers.patience import FORBIDDEN, NOT_FOUND, ask_api
from workers.residents import pods_on
from workers.site import Site

Raw = dict[str, Any]
_NAMED = 5  # volumes that a sentence names


def await_volumes(site: Site) -> None:
    """Wait until nothing is attached to the node that a pod left behind; raises StepBlocked at the drain's end."""
    if not (waiting := attached(site)):
        return
    if is_unreachable(read_node(site)):  # nobody there could unmount them
        held = count_of(len(waiting), "volume")
        site.tell(f"{site.node.name} is unreachable: the detachment of {held} is not waited for.")
        return
    kept = _kept_volumes(site)
    told = False
    while volumes := [name for name in attached(site) if name not in kept]:
        if site.drain_is_over():
            raise site.blocked(
                "drain-blocked",
                f"The volumes {', '.join(volumes[:_NAMED])} are still attached to {site.node.name} after "
                f"{site.drain_seconds} s.",
                "Look at the storage driver (`kubectl get volumeattachments`; what an uninstalled driver left there "
                "is never detached: delete it), then `retry`.",
            )
        if not told:
            told = True
            held = count_of(len(volumes), "volume")
            site.tell(f"The pods of {site.node.name} are gone; the detachment of {held} is waited for.")
        site.wait(site.waits.poll)


def attached(site: Site) -> tuple[str, ...]:
    """What is attached to the node, as it was one look ago at the most; one list serves all nodes that wait."""

    def read() -> Iterable[Raw]:
        return site.kube().items("/apis/storage.k8s.io/v1/volumeattachments")

    def look() -> tuple[str, ...]:
        return site.attachments.on(site.node.name, read, now=site.now, max_age=site.waits.poll)

    try:
        return ask_api(site, look)
    except KubeDenied as error:
        if error.status not in {NOT_FOUND, FORBIDDEN}:
            raise
        return ()  # a cluster without volumes to attach, or one that does not show them to us


def _kept_volumes(site: Site) -> set[str]:
    """Volumes of the pods that stay on the node."""
    claims = {
        (pod["metadata"]["namespace"], claim)
        for pod in ask_api(site, lambda: tuple(pods_on(site)))
        for volume in (pod.get("spec") or {}).get("volumes") or []
        if (claim := claim_of(pod, volume))
    }
    return {_volume_of(site, space, name) for space, name in claims}


def _volume_of(site: Site, namespace: str, claim: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}"
    try:
        found = ask_api(site, lambda: site.kube().get(path))
    except KubeDenied as error:
        if error.status != NOT_FOUND:
            raise
        return ""
    return str((found.get("spec") or {}).get("volumeName") or "")
