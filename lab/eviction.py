"""The eviction subresource: budgets are asked, and every refusal has the words of a real server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.clock import stamp
from lab.disruption import is_ready, matching_budgets
from lab.objects import ObjectStore
from lab.resources import BY_KIND
from lab.statuses import Refusal, bad_request, details_of, not_found, stale, success, terminating, wrong_uid

POD = BY_KIND["Pod"]
BUDGET = BY_KIND["PodDisruptionBudget"]
MAX_DISRUPTED = 2000  # evictions that the budget's controller has not confirmed yet
RETRY_AFTER = 10  # seconds that the server asks for when the budget's status is not observed yet


def evict(
    store: ObjectStore, namespace: str, name: str, body: Mapping[str, Any], *, dry: bool
) -> tuple[int, dict[str, Any]]:
    """Evict one pod, or refuse in the server's order of checks."""
    wanted = (body.get("metadata") or {}).get("name", name)
    if wanted != name:
        raise bad_request("name in URL does not match name in Eviction object")
    held = store.peek("Namespace", namespace)
    if held is not None and held.get("status", {}).get("phase") == "Terminating":
        raise terminating(POD, name, namespace)
    pod = store.get("Pod", name, namespace)
    if pod is None:
        raise not_found(POD, name)
    options: Mapping[str, Any] = body.get("deleteOptions") or {}
    _check(pod, options.get("preconditions") or {})
    dry = dry or options.get("dryRun") == ["All"]
    if not _needs_no_budget(pod):
        _ask_budget(store, pod, dry=dry)
    if not dry:
        _end(store, pod, options.get("gracePeriodSeconds"))
    return 201, success(201)


def _check(pod: dict[str, Any], wanted: Mapping[str, Any]) -> None:
    meta = pod["metadata"]
    if wanted.get("uid") and wanted["uid"] != meta["uid"]:
        raise wrong_uid(POD, meta["name"], wanted["uid"], meta["uid"])
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != meta["resourceVersion"]:
        raise stale(POD, meta["name"])


def _needs_no_budget(pod: dict[str, Any]) -> bool:
    return pod["status"].get("phase") in {"Pending", "Succeeded", "Failed"} or "deletionTimestamp" in pod["metadata"]


def _ask_budget(store: ObjectStore, pod: dict[str, Any], *, dry: bool) -> None:
    budgets = matching_budgets(store, pod)
    if len(budgets) > 1:
        message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        raise Refusal(500, message)
    if budgets and not _unhealthy_may_go(pod, budgets[0]):
        _decrement(store, pod, budgets[0], dry=dry)


def _unhealthy_may_go(pod: dict[str, Any], budget: dict[str, Any]) -> bool:
    """An unready pod does not count, so a budget that is met (or says AlwaysAllow) lets it go."""
    if is_ready(pod):
        return False
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status", {})
    return bool(status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0)


def _decrement(store: ObjectStore, pod: dict[str, Any], budget: dict[str, Any], *, dry: bool) -> None:
    name = budget["metadata"]["name"]
    status = budget.get("status", {})
    if status.get("observedGeneration", 0) < budget["metadata"]["generation"]:
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", RETRY_AFTER)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise _forbidden(name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > MAX_DISRUPTED:
        raise _forbidden(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if allowed == 0:
        raise _too_many(_why_none(name, status), 0)
    if not dry:
        disrupted = dict(status.get("disruptedPods") or {}) | {pod["metadata"]["name"]: stamp()}
        taken = {"disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}
        store.merge(BUDGET.kind, name, budget["metadata"]["namespace"], {"status": taken})


def _why_none(name: str, status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions", ()):
        if condition["type"] == "DisruptionAllowed" and condition["reason"] == "SyncFailed":
            return (
                f"The disruption budget {name} does not allow evicting pods currently because it failed sync: "
                f"{condition['message']}"
            )
    needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    return f"The disruption budget {name} needs {needs} healthy pods and has {has} currently"


def _too_many(why: str, seconds: int) -> Refusal:
    """429; a wait of 0 seconds is left out, header included."""
    details: dict[str, Any] = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    headers = {}
    if seconds:
        details["retryAfterSeconds"] = seconds
        headers["Retry-After"] = str(seconds)
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return Refusal(429, message, "TooManyRequests", details, headers=headers)


def _forbidden(name: str, why: str) -> Refusal:
    message = f'{BUDGET.qualified} "{name}" is forbidden: {why}'
    return Refusal(403, message, "Forbidden", details_of(BUDGET, name))


def _end(store: ObjectStore, pod: dict[str, Any], grace: int | None) -> None:
    meta = pod["metadata"]
    condition = {
        "lastProbeTime": None,
        "lastTransitionTime": stamp(),
        "message": "Eviction API: evicting",
        "reason": "EvictionByEvictionAPI",
        "status": "True",
        "type": "DisruptionTarget",
    }
    others = [one for one in pod["status"].get("conditions", ()) if one["type"] != "DisruptionTarget"]
    store.merge("Pod", meta["name"], meta["namespace"], {"status": {"conditions": [*others, condition]}})
    store.terminate(meta["name"], meta["namespace"], grace if grace is None or grace >= 0 else None)
