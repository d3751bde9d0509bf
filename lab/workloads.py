"""The controllers of Deployments, ReplicaSets and Jobs."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from lab.clock import stamp
from lab.defaults import complete_pod
from lab.disruption import is_ready
from lab.objects import ObjectStore
from lab.patches import copy_json, copy_object
from lab.verbs import SUFFIX, random_suffix

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
        pods = [pod for pod in owned(store, "Pod", replica_set) if counts(pod)]
        wanted = replica_set["spec"].get("replicas", 1)
        for _ in range(wanted - len(pods)):
            store.put(new_pod(replica_set, replica_set["spec"]["template"], f"{replica_set['metadata']['name']}-"))
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


def sync_jobs(store: ObjectStore) -> None:
    """One pod per Job; its success is the Job's."""
    for job in store.list("Job"):
        status = job.get("status", {})
        if status.get("completionTime"):
            continue
        pods = owned(store, "Pod", job)
        if not pods:
            store.put(new_pod(job, job["spec"]["template"], f"{job['metadata']['name']}-"))
            continue
        done = any(pod["status"].get("phase") == "Succeeded" for pod in pods)
        fresh = status | {"startTime": status.get("startTime") or stamp(), "active": 0 if done else 1}
        if done:
            now = stamp()
            condition = {"type": "Complete", "status": "True", "lastProbeTime": now, "lastTransitionTime": now}
            fresh |= {"succeeded": 1, "completionTime": now, "conditions": [condition]}
        if fresh != status:
            store.put(job | {"status": fresh})


def new_pod(owner: dict[str, Any], template: dict[str, Any], prefix: str) -> dict[str, Any]:
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
        copy_object(one)
        for one in store.each(kind, owner["metadata"]["namespace"])
        if any(held["uid"] == uid and held.get("controller") for held in one["metadata"].get("ownerReferences", ()))
    ]


def template_hash(template: dict[str, Any]) -> str:
    """A short name for a pod template, in the letters of generated names."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(SUFFIX[byte % len(SUFFIX)] for byte in digest[:10])


def counts(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in {"Succeeded", "Failed"}
