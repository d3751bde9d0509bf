"""The disruption controller: what each PodDisruptionBudget allows at this moment."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from lab.clock import read_stamp, stamp
from lab.objects import ObjectStore
from lab.selectors import labels_match

CONFIRMATION = timedelta(minutes=2)  # after it, an eviction that ended no pod is forgotten


class NoScale(Exception):  # noqa: N818 - a reason, told in the budget's condition
    """The number of pods that there should be is not known."""


def is_ready(pod: dict[str, Any]) -> bool:
    """The pod's Ready condition."""
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in pod.get("status", {}).get("conditions", ())
    )


def matching_budgets(store: ObjectStore, pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The budgets of its namespace that select the pod; an empty selector selects all."""
    labels = pod["metadata"].get("labels") or {}
    return [
        budget
        for budget in store.list("PodDisruptionBudget", pod["metadata"]["namespace"])
        if budget["spec"].get("selector") is not None and labels_match(labels, budget["spec"]["selector"])
    ]


def sync_budgets(store: ObjectStore) -> None:
    """Write every budget's status anew."""
    now = datetime.now(UTC)
    for budget in store.list("PodDisruptionBudget"):
        status = _status(store, budget, now)
        if status != budget.get("status"):
            store.put(budget | {"status": status})


def _status(store: ObjectStore, budget: dict[str, Any], now: datetime) -> dict[str, Any]:
    old: dict[str, Any] = budget.get("status", {})
    selector = budget["spec"].get("selector")
    pods = [
        pod
        for pod in store.each("Pod", budget["metadata"]["namespace"])
        if selector is not None and labels_match(pod["metadata"].get("labels") or {}, selector)
    ]
    generation = budget["metadata"]["generation"]
    try:
        expected, desired = _arithmetic(store, budget["spec"], pods)
    except NoScale as why:
        failed = _condition(old, generation, "SyncFailed", str(why))
        return old | {"disruptionsAllowed": 0, "observedGeneration": generation, "conditions": [failed]}
    disrupted = _unconfirmed(old.get("disruptedPods") or {}, pods, now)
    healthy = sum(
        1
        for pod in pods
        if is_ready(pod) and "deletionTimestamp" not in pod["metadata"] and pod["metadata"]["name"] not in disrupted
    )
    allowed = max(0, healthy - desired) if expected > 0 else 0
    reason = "SufficientPods" if allowed else "InsufficientPods"
    status: dict[str, Any] = {
        "conditions": [_condition(old, generation, reason, "")],
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": generation,
    }
    return status | ({"disruptedPods": disrupted} if disrupted else {})


def _arithmetic(store: ObjectStore, spec: dict[str, Any], pods: list[dict[str, Any]]) -> tuple[int, int]:
    """Expected pods and how many must be healthy; numbers count pods, percentages count the controllers' scale."""
    if "maxUnavailable" in spec:
        expected = _scale(store, pods)
        return expected, max(0, expected - _number(spec["maxUnavailable"], expected))
    least = spec.get("minAvailable", 1)
    if isinstance(least, int):
        return len(pods), least
    expected = _scale(store, pods)
    return expected, _number(least, expected)


def _number(value: int | str, whole: int) -> int:
    """A number, or a percentage of the whole, rounded up."""
    if isinstance(value, int):
        return value
    return math.ceil(int(value.removesuffix("%")) * whole / 100)


def _scale(store: ObjectStore, pods: list[dict[str, Any]]) -> int:
    """The sum of `replicas` over the controllers of the pods, each counted once."""
    seen: dict[str, int] = {}
    for pod in pods:
        owner = next((one for one in pod["metadata"].get("ownerReferences", ()) if one.get("controller")), None)
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if owner is None:
            raise NoScale(f'found no controller ref for pod "{name}"')
        if owner["kind"] not in {"ReplicaSet", "StatefulSet"}:
            raise NoScale(f'found no controllers for pod "{name}"')
        holder = store.peek(owner["kind"], owner["name"], namespace)
        if holder is None:
            continue
        above = next((one for one in holder["metadata"].get("ownerReferences", ()) if one.get("controller")), None)
        if above is not None:
            holder = store.peek(above["kind"], above["name"], namespace) or holder
        seen[holder["metadata"]["uid"]] = holder["spec"].get("replicas", 1)
    return sum(seen.values())


def _unconfirmed(disrupted: dict[str, str], pods: list[dict[str, Any]], now: datetime) -> dict[str, str]:
    """Evictions whose pods have not begun to end yet."""
    alive = {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}
    return {name: when for name, when in disrupted.items() if name in alive and now - read_stamp(when) < CONFIRMATION}


def _condition(old: dict[str, Any], generation: int, reason: str, message: str) -> dict[str, Any]:
    status = "True" if reason == "SufficientPods" else "False"
    before = next(iter(old.get("conditions", ())), None)
    moved = before is None or before["status"] != status
    return {
        "lastTransitionTime": stamp() if moved or before is None else before["lastTransitionTime"],
        "message": message,
        "observedGeneration": generation,
        "reason": reason,
        "status": status,
        "type": "DisruptionAllowed",
    }
