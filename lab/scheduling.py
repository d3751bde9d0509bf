"""The scheduler: which node takes a pod, by cordon, taints, selectors and load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from lab.clock import stamp
from lab.nodeobject import UNSCHEDULABLE, is_node_ready
from lab.objects import ObjectStore
from lab.selectors import labels_match


def schedule_pods(store: ObjectStore) -> None:
    """Bind every pending pod that some node can take; mark the others unschedulable."""
    waiting = [
        pod
        for pod in store.list("Pod")
        if not pod["spec"].get("nodeName")
        and pod["status"].get("phase") == "Pending"
        and "deletionTimestamp" not in pod["metadata"]
    ]
    if not waiting:
        return
    nodes = list(store.each("Node"))
    load = Counter(pod["spec"].get("nodeName", "") for pod in store.each("Pod"))
    for pod in waiting:
        fitting = [node for node in nodes if accepts(node, pod)]
        if not fitting:
            _tell_unschedulable(store, pod, len(nodes))
            continue
        kin = _kin(store, pod)
        chosen = min(fitting, key=lambda node: _rank(node, kin, load))
        _bind(store, pod, chosen["metadata"]["name"])
        load[chosen["metadata"]["name"]] += 1


def accepts(node: dict[str, Any], pod: dict[str, Any]) -> bool:
    """Whether the scheduler may put the pod there."""
    tolerations = pod["spec"].get("tolerations", [])
    spec = node.get("spec", {})
    cordoned = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
    if spec.get("unschedulable") and not tolerates(tolerations, cordoned):
        return False
    taints = [taint for taint in spec.get("taints", ()) if taint["effect"] != "PreferNoSchedule"]
    if not all(tolerates(tolerations, taint) for taint in taints):
        return False
    return is_node_ready(node) and selected(node, pod["spec"])


def selected(node: dict[str, Any], spec: dict[str, Any]) -> bool:
    """nodeSelector and required node affinity."""
    labels = node["metadata"].get("labels", {})
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return False
    affinity = spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not affinity:
        return True
    return any(_term(node, term) for term in affinity.get("nodeSelectorTerms", ()))


def _term(node: dict[str, Any], term: dict[str, Any]) -> bool:
    fields = {"metadata.name": node["metadata"]["name"]}
    return labels_match(node["metadata"].get("labels", {}), term) and labels_match(
        fields, {"matchExpressions": term.get("matchFields", ())}
    )


def tolerates(tolerations: Iterable[dict[str, Any]], taint: dict[str, Any]) -> bool:
    """Whether one of the tolerations covers the taint."""
    for one in tolerations:
        if one.get("effect") not in {None, "", taint["effect"]}:
            continue
        if one.get("operator") == "Exists":
            if one.get("key") in {None, "", taint["key"]}:
                return True
        elif one.get("key") == taint["key"] and one.get("value", "") == taint.get("value", ""):
            return True
    return False


def _kin(store: ObjectStore, pod: dict[str, Any]) -> Counter[str]:
    """How many pods of the same controller each node has."""
    owners = {one["uid"] for one in pod["metadata"].get("ownerReferences", ()) if one.get("controller")}
    return Counter(
        other["spec"].get("nodeName", "")
        for other in store.each("Pod", pod["metadata"]["namespace"])
        if any(one["uid"] in owners for one in other["metadata"].get("ownerReferences", ()))
    )


def _rank(node: dict[str, Any], kin: Counter[str], load: Counter[str]) -> tuple[int, int, str]:
    name = node["metadata"]["name"]
    return kin[name], load[name], name


def _bind(store: ObjectStore, pod: dict[str, Any], node_name: str) -> None:
    pod["spec"]["nodeName"] = node_name
    pod["status"]["conditions"] = [
        {"lastProbeTime": None, "lastTransitionTime": stamp(), "status": "True", "type": "PodScheduled"}
    ]
    store.put(pod)


def _tell_unschedulable(store: ObjectStore, pod: dict[str, Any], nodes: int) -> None:
    known = pod["status"].get("conditions", ())
    if any(one.get("reason") == "Unschedulable" for one in known):
        return
    pod["status"]["conditions"] = [
        {
            "lastProbeTime": None,
            "lastTransitionTime": stamp(),
            "message": f"0/{nodes} nodes are available: no node matches the pod's selectors and tolerations.",
            "reason": "Unschedulable",
            "status": "False",
            "type": "PodScheduled",
        }
    ]
    store.put(pod)
