"""What runs on every node: the DaemonSets that want one and have no ready pod there, and its CSI drivers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cluster.departures import daemon_set_of, is_finished, is_ready
from cluster.errors import KubeDenied
from cluster.operation import AsFound
from cluster.placements import read_placement, read_taints
from cluster.workloads import Toleration
from policies.places import suits
from workers.patience import FORBIDDEN, NOT_FOUND, ask_api
from workers.residents import pods_lately_on
from workers.site import Site

Raw = dict[str, Any]
_DAEMON_SETS = "/apis/apps/v1/daemonsets"
# what the DaemonSet controller adds to its pods
_ALWAYS = tuple(
    Toleration(f"node.kubernetes.io/{key}", "", effect, exists=True)
    for key, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
)
_ON_ITS_NETWORK = Toleration("node.kubernetes.io/network-unavailable", "", "NoSchedule", exists=True)


def look_before(site: Site, node: Raw) -> AsFound:
    """How the node is before its drain: what has to be there again afterwards, and what was ill already."""
    ills = ask_api(site, lambda: daemon_ills(node, pods_lately_on(site), daemon_sets(site)))
    return AsFound(_known_drivers(site), tuple(sorted(ills)))


def _known_drivers(site: Site) -> tuple[str, ...]:
    try:
        return ask_api(site, lambda: registered_drivers(site))
    except KubeDenied as error:
        if error.status != FORBIDDEN:
            raise
        return ()  # a cluster that does not show them to us


def registered_drivers(site: Site) -> tuple[str, ...]:
    """The CSI drivers that the node's kubelet has registered."""
    try:
        found = site.kube().get(f"/apis/storage.k8s.io/v1/csinodes/{site.node.name}")
    except KubeDenied as error:
        if error.status != NOT_FOUND:
            raise
        return ()
    return tuple(sorted(str(d["name"]) for d in (found.get("spec") or {}).get("drivers") or ()))


def daemon_sets(site: Site) -> tuple[Raw, ...]:
    """All of the cluster, from what the API server remembers."""
    return tuple(site.kube().items(_DAEMON_SETS, {"resourceVersion": "0"}))


def daemon_ills(node: Raw, pods: Iterable[Raw], sets: Iterable[Raw]) -> Mapping[str, str]:
    """DaemonSet ("namespace/name") → what is wrong with it on this node, as a clause; what is well is not in it."""
    found: dict[str, str] = {}
    there: set[str] = set()
    for pod in pods:
        meta = pod["metadata"]
        if not (name := daemon_set_of(pod)) or is_finished(pod) or meta.get("deletionTimestamp"):
            continue  # of the latter two the controller makes a new one
        place = f"{meta['namespace']}/{name}"
        there.add(place)
        if not is_ready(pod):
            found[place] = f"{meta['namespace']}/{meta['name']} of a DaemonSet is not ready"
    for daemon_set in sets:
        place = f"{daemon_set['metadata']['namespace']}/{daemon_set['metadata']['name']}"
        if place not in there and wants(daemon_set, node):
            found[place] = f"the DaemonSet {place} has no pod there"
    return found


def wants(daemon_set: Raw, node: Raw) -> bool:
    """Whether its controller keeps a pod on the node; of a spec that we do not understand nothing is demanded."""
    meta, name = daemon_set["metadata"], node["metadata"]["name"]
    try:
        template = daemon_set["spec"]["template"]
        spec = template["spec"]
        own = {"namespace": meta["namespace"], **(template.get("metadata") or {})}
        placement = read_placement({"metadata": own, "spec": spec}, ())
        taints = read_taints(node.get("spec") or {})
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    if meta.get("deletionTimestamp") or spec.get("nodeName") not in {None, "", name}:
        return False
    host = (_ON_ITS_NETWORK,) if spec.get("hostNetwork") else ()
    bears = (*placement.tolerations, *_ALWAYS, *host)
    labels = node["metadata"].get("labels") or {}
    return all(any(t.tolerates(taint) for t in bears) for taint in taints) and all(
        suits(choice, name, labels) for choice in placement.choices
    )
