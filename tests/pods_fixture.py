"""Raw objects of the API by hand: pods, nodes, volumes and budgets, with as much in them as a rule asks for."""

import json

from cluster.pages import decode


def make_pod(name, node="w1", *, owner="ReplicaSet/web", namespace="demo", labels=None, **spec):
    """A running pod; `owner` is KIND/NAME of its controller, "" for none."""
    kind, _, owned_by = owner.partition("/")
    version = "apps/v1" if kind in {"ReplicaSet", "StatefulSet", "DaemonSet"} else "example.org/v1"
    reference = {"apiVersion": version, "kind": kind, "name": owned_by, "controller": True}
    spec = {"containers": [{"name": "main", "image": "app:1"}], **spec}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "labels": labels or {},
            "ownerReferences": [reference] if owner else [],
        },
        "spec": spec | ({"nodeName": node} if node else {}),
        "status": {"phase": "Running" if node else "Pending"},
    }


def requesting(cpu, memory="128Mi"):
    """The containers of a pod that asks for so much."""
    return [{"name": "main", "image": "app:1", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]


def make_node(name, *, cpu="4", memory="8Gi", pods="110", taints=()):
    return {
        "metadata": {"name": name},
        "spec": {"taints": [{"key": key, "effect": effect} for key, effect in taints]},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods}},
    }


def make_budget(name, selector, *, namespace="demo", status=None, **spec):
    usual = {"disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3}
    return {
        "metadata": {"name": name, "namespace": namespace, "generation": 1},
        "spec": {"minAvailable": 2, "selector": selector, **spec},
        "status": {**usual, "observedGeneration": 1, **(status or {})},
    }


def make_volume(name, claim, node, *, namespace="demo"):
    """A local volume of one node, bound to a claim."""
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    return {
        "metadata": {"name": name},
        "spec": {
            "claimRef": {"namespace": namespace, "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }


class PaperLists:
    """An API that has these objects and gives what a shape names of them; a path may stand for its error."""

    def __init__(self, *, pods=(), nodes=(), budgets=(), volumes=()):
        self.lists = {
            "/api/v1/pods": pods,
            "/api/v1/nodes": nodes,
            "/apis/policy/v1/poddisruptionbudgets": budgets,
            "/api/v1/persistentvolumes": volumes,
        }

    def items(self, path, *, shape=None):
        found = self.lists[path]
        if isinstance(found, Exception):
            raise found
        if shape is not None and isinstance(found, list | tuple):
            found = decode(json.dumps({"items": list(found)}).encode(), shape)["items"]
        yield from found
