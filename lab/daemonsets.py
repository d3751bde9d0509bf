"""The DaemonSet controller."""

from __future__ import annotations

from typing import Any

from lab.disruption import is_ready
from lab.nodeobject import UNREACHABLE, UNSCHEDULABLE
from lab.objects import ObjectStore
from lab.patches import copy_json, copy_object
from lab.scheduling import selected, tolerates
from lab.workloads import counts, new_pod, owned, template_hash

# What the DaemonSet controller adds to its pods, so that they stay on cordoned and troubled nodes.
DAEMON_TOLERATIONS = (
    {"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists"},
    {"effect": "NoExecute", "key": UNREACHABLE, "operator": "Exists"},
    {"effect": "NoSchedule", "key": "node.kubernetes.io/disk-pressure", "operator": "Exists"},
    {"effect": "NoSchedule", "key": "node.kubernetes.io/memory-pressure", "operator": "Exists"},
    {"effect": "NoSchedule", "key": "node.kubernetes.io/pid-pressure", "operator": "Exists"},
    {"effect": "NoSchedule", "key": UNSCHEDULABLE, "operator": "Exists"},
)


def sync_daemon_sets(store: ObjectStore) -> None:
    """One pod on every node that the set covers; a new template replaces one pod at a time."""
    for daemon in store.list("DaemonSet"):
        template = _daemon_template(daemon)
        suffix = template_hash(daemon["spec"]["template"])
        eligible = [node["metadata"]["name"] for node in store.each("Node") if _covers(template["spec"], node)]
        pods = owned(store, "Pod", daemon)
        placed: dict[str, dict[str, Any]] = {}
        for pod in pods:
            if pod["spec"].get("nodeName") in eligible and counts(pod):
                placed[pod["spec"]["nodeName"]] = pod
            elif "deletionTimestamp" not in pod["metadata"]:
                store.terminate(pod["metadata"]["name"], pod["metadata"]["namespace"], None)
        ending = {pod["spec"]["nodeName"] for pod in pods if "deletionTimestamp" in pod["metadata"]}
        for node_name in eligible:
            if node_name not in placed and node_name not in ending:
                placed[node_name] = store.put(_daemon_pod(daemon, template, suffix, node_name))
        _roll(store, eligible, placed, suffix)
        _tell_daemon(store, daemon, eligible, placed, suffix)


def _daemon_template(daemon: dict[str, Any]) -> dict[str, Any]:
    template = copy_object(daemon["spec"]["template"])
    held = template["spec"].setdefault("tolerations", [])
    held.extend(copy_json(one) for one in DAEMON_TOLERATIONS if one not in held)
    return template


def _daemon_pod(daemon: dict[str, Any], template: dict[str, Any], suffix: str, node_name: str) -> dict[str, Any]:
    pod = new_pod(daemon, template, f"{daemon['metadata']['name']}-")
    pod["metadata"]["labels"]["controller-revision-hash"] = suffix
    pod["spec"]["nodeName"] = node_name
    return pod


def _covers(spec: dict[str, Any], node: dict[str, Any]) -> bool:
    """Whether the set runs there: by selector and taints, whatever the node's state."""
    tolerations = spec.get("tolerations", [])
    return selected(node, spec) and all(
        taint["effect"] == "PreferNoSchedule" or tolerates(tolerations, taint)
        for taint in node.get("spec", {}).get("taints", ())
    )


def _roll(store: ObjectStore, eligible: list[str], placed: dict[str, dict[str, Any]], suffix: str) -> None:
    """maxUnavailable is 1: the next old pod goes only while every other pod is ready."""
    if any(name not in placed or not is_ready(placed[name]) for name in eligible):
        return
    for name in eligible:
        meta = placed[name]["metadata"]
        if meta["labels"].get("controller-revision-hash") != suffix:
            store.terminate(meta["name"], meta["namespace"], None)
            return


def _tell_daemon(
    store: ObjectStore, daemon: dict[str, Any], eligible: list[str], placed: dict[str, dict[str, Any]], suffix: str
) -> None:
    ready = sum(1 for pod in placed.values() if is_ready(pod))
    revisions = [pod["metadata"]["labels"].get("controller-revision-hash") for pod in placed.values()]
    status: dict[str, Any] = {
        "currentNumberScheduled": len(placed),
        "desiredNumberScheduled": len(eligible),
        "numberAvailable": ready,
        "numberMisscheduled": 0,
        "numberReady": ready,
        "observedGeneration": daemon["metadata"]["generation"],
        "updatedNumberScheduled": revisions.count(suffix),
    }
    if ready < len(eligible):
        status["numberUnavailable"] = len(eligible) - ready
    if status != daemon.get("status"):
        store.put(daemon | {"status": status})
