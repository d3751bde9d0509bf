"""The controllers of Deployments, ReplicaSets, DaemonSets and Jobs."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from lab.clock import stamp
from lab.defaults import complete_pod
from lab.disruption import is_ready
from lab.nodeobject import UNREACHABLE, UNSCHEDULABLE
from lab.objects import ObjectStore
from lab.patches import copy_json
from lab.scheduling import selected, tolerates
from lab.verbs import SUFFIX, random_suffix

# What the DaemonSet controller adds to its pods, so that they stay on cordoned and troubled nodes.
DAEMON_TOLERATIONS = (
    {"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists"},
    {"effect": "NoExecute", "key": UNREACHABLE, "operator": "Exists"},
    {"effect": "NoSchedule", "key": "node.kubernetes.io/disk-pressure", "operator": "Exists"},
    {"effect": "NoSchedule", "key": "node.kubernetes.io/memory-pressure", "operator": "Exists"},
    {"effect": "NoSchedule", "key": "node.kubernetes.io/pid-pressure", "operator": "Exists"},
    {"effect": "NoSchedule", "key": UNSCHEDULABLE, "operator": "Exists"},
)
SURGE = 0.25  # of a Deployment's replicas, both ways


def sync_deployments(store: ObjectStore) -> None:
    """Move every Deployment towards its newest ReplicaSet."""
    for deployment in store.list("Deployment"):
        sets = owned(store, "ReplicaSet", deployment)
        suffix = template_hash(deployment["spec"]["template"])
        name = f"{deployment['metadata']['name']}-{suffix}"
        newest = next((one for one in sets if one["metadata"]["name"] == name), None)
        older = [one for one in sets if one["metadata"]["name"] != name]
        wanted = deployment["spec"].get("replicas", 1)
        surge = max(1, math.ceil(wanted * SURGE))
        running = sum(one["spec"]["replicas"] for one in older)
        goal = min(wanted, max(newest["spec"]["replicas"] if newest else 0, wanted + surge - running, 0))
        if newest is None:
            newest = store.put(_replica_set(deployment, name, suffix, goal))
        else:
            newest = _scale(store, newest, goal)
        ready = newest.get("status", {}).get("readyReplicas", 0)
        spare = max(0, wanted - math.floor(wanted * SURGE) - ready)
        for old in older:
            kept = min(old["spec"]["replicas"], spare)
            _scale(store, old, kept)
            spare -= kept
        _tell_deployment(store, deployment, newest, [newest, *older])


def _replica_set(deployment: dict[str, Any], name: str, suffix: str, replicas: int) -> dict[str, Any]:
    template = copy_json(deployment["spec"]["template"])
    template.setdefault("metadata", {}).setdefault("labels", {})["pod-template-hash"] = suffix
    selector = copy_json(deployment["spec"]["selector"])
    selector.setdefault("matchLabels", {})["pod-template-hash"] = suffix
    return {
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": deployment["metadata"]["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "ownerReferences": [reference(deployment)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
        "status": {},
    }


def _scale(store: ObjectStore, replica_set: dict[str, Any], replicas: int) -> dict[str, Any]:
    return store.put(replica_set | {"spec": replica_set["spec"] | {"replicas": replicas}})


def _tell_deployment(
    store: ObjectStore, deployment: dict[str, Any], newest: dict[str, Any], sets: list[dict[str, Any]]
) -> None:
    ready = sum(one.get("status", {}).get("readyReplicas", 0) for one in sets)
    wanted = deployment["spec"].get("replicas", 1)
    available = ready >= wanted - math.floor(wanted * SURGE)
    status: dict[str, Any] = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": sum(one.get("status", {}).get("replicas", 0) for one in sets),
        "updatedReplicas": newest.get("status", {}).get("replicas", 0),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "conditions": [_availability(deployment, available=available)],
    }
    if wanted > ready:
        status["unavailableReplicas"] = wanted - ready
    if status != deployment.get("status"):
        store.put(deployment | {"status": status})


def _availability(deployment: dict[str, Any], *, available: bool) -> dict[str, Any]:
    before = next(iter(deployment.get("status", {}).get("conditions", ())), None)
    status = "True" if available else "False"
    moved = before is None or before["status"] != status
    return {
        "lastTransitionTime": stamp() if moved or before is None else before["lastTransitionTime"],
        "message": f"Deployment {'has' if available else 'does not have'} minimum availability.",
        "reason": "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
        "status": status,
        "type": "Available",
    }


def sync_replica_sets(store: ObjectStore) -> None:
    """Create the pods that are missing, remove those that are too many."""
    for replica_set in store.list("ReplicaSet"):
        pods = [pod for pod in owned(store, "Pod", replica_set) if _counts(pod)]
        wanted = replica_set["spec"].get("replicas", 1)
        for _ in range(wanted - len(pods)):
            store.put(_pod(replica_set, replica_set["spec"]["template"], f"{replica_set['metadata']['name']}-"))
        pods.sort(key=lambda pod: (is_ready(pod), pod["metadata"]["creationTimestamp"]))
        for pod in pods[: max(0, len(pods) - wanted)]:
            store.terminate(pod["metadata"]["name"], pod["metadata"]["namespace"], None)
        ready = sum(1 for pod in pods if is_ready(pod))
        status = {
            "observedGeneration": replica_set["metadata"]["generation"],
            "replicas": min(len(pods), wanted),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        if status != replica_set.get("status"):
            store.put(replica_set | {"status": status})


def sync_daemon_sets(store: ObjectStore) -> None:
    """One pod on every node that the set covers; a new template replaces one pod at a time."""
    for daemon in store.list("DaemonSet"):
        template = _daemon_template(daemon)
        suffix = template_hash(daemon["spec"]["template"])
        eligible = [node["metadata"]["name"] for node in store.each("Node") if _covers(template["spec"], node)]
        pods = owned(store, "Pod", daemon)
        placed: dict[str, dict[str, Any]] = {}
        for pod in pods:
            if pod["spec"].get("nodeName") in eligible and _counts(pod):
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
    template = copy_json(daemon["spec"]["template"])
    held = template["spec"].setdefault("tolerations", [])
    held.extend(copy_json(one) for one in DAEMON_TOLERATIONS if one not in held)
    return template  # type: ignore[no-any-return]


def _daemon_pod(daemon: dict[str, Any], template: dict[str, Any], suffix: str, node_name: str) -> dict[str, Any]:
    pod = _pod(daemon, template, f"{daemon['metadata']['name']}-")
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


def sync_jobs(store: ObjectStore) -> None:
    """One pod per Job; its success is the Job's."""
    for job in store.list("Job"):
        status = job.get("status", {})
        if status.get("completionTime"):
            continue
        pods = owned(store, "Pod", job)
        if not pods:
            store.put(_pod(job, job["spec"]["template"], f"{job['metadata']['name']}-"))
            continue
        done = any(pod["status"].get("phase") == "Succeeded" for pod in pods)
        fresh = status | {"startTime": status.get("startTime") or stamp(), "active": 0 if done else 1}
        if done:
            now = stamp()
            condition = {"type": "Complete", "status": "True", "lastProbeTime": now, "lastTransitionTime": now}
            fresh |= {"succeeded": 1, "completionTime": now, "conditions": [condition]}
        if fresh != status:
            store.put(job | {"status": fresh})


def _pod(owner: dict[str, Any], template: dict[str, Any], prefix: str) -> dict[str, Any]:
    meta = template.get("metadata", {})
    labels = dict(meta.get("labels") or {})
    if owner["kind"] == "Job":
        labels |= {"batch.kubernetes.io/job-name": owner["metadata"]["name"], "job-name": owner["metadata"]["name"]}
    pod = {
        "kind": "Pod",
        "metadata": {
            "name": prefix + random_suffix(),
            "generateName": prefix,
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
            "annotations": dict(meta.get("annotations") or {}),
            "ownerReferences": [reference(owner)],
        },
        "spec": copy_json(template["spec"]),
    }
    complete_pod(pod)
    return pod


def reference(owner: dict[str, Any]) -> dict[str, Any]:
    """A controlling ownerReference."""
    return {
        "apiVersion": owner["apiVersion"],
        "blockOwnerDeletion": True,
        "controller": True,
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }


def owned(store: ObjectStore, kind: str, owner: dict[str, Any]) -> list[dict[str, Any]]:
    """Copies of the objects that the owner controls."""
    uid = owner["metadata"]["uid"]
    return [
        copy_json(one)
        for one in store.each(kind, owner["metadata"]["namespace"])
        if any(held["uid"] == uid and held.get("controller") for held in one["metadata"].get("ownerReferences", ()))
    ]


def template_hash(template: dict[str, Any]) -> str:
    """A short name for a pod template, in the letters of generated names."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(SUFFIX[byte % len(SUFFIX)] for byte in digest[:10])


def _counts(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in {"Succeeded", "Failed"}
