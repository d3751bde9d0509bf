"""One eviction: how it is asked for, and what each answer of the API server means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from cluster.errors import ClusterUnreadable, KubeDenied
from cluster.labels import read_selector
from workers.drain_rules import PodFate
from workers.patience import may_be_new, passing

Raw = dict[str, Any]
# its controller is behind, and makes that good
_BUDGET_LAGS = ("disruptions allowed is negative", "DisruptedPods map too big")
_BUDGET = re.compile(r"The disruption budget (\S+) ")


class Said(StrEnum):
    """What the server said to an eviction."""

    ACCEPTED = "accepted"
    GONE = "gone"
    REPLACED = "replaced"  # a pod of that name, but another one: look again
    BUDGET = "budget"  # a PodDisruptionBudget allows no disruption now
    LATER = "later"  # the server is busy, failing or not ready to answer
    REFUSED = "refused"  # no right to: for good, unless an API server behind the balancer just started
    NEVER = "never"  # asking again cannot help


@dataclass(frozen=True, slots=True)
class EvictionAnswer:
    """`again_after` is None where the server named no time; `budget` is the PDB's name where it is told."""

    said: Said
    why: str = ""
    budget: str = ""
    again_after: float | None = None


class Posts(Protocol):
    """What an eviction needs of cluster.kube.Kube, or of what stands before it."""

    def post(self, path: str, body: Mapping[str, Any]) -> Raw: ...


def evict(kube: Posts, pod: PodFate) -> EvictionAnswer:
    """Ask once for one pod, and only for that one: a same-named successor elsewhere is not touched."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    try:
        kube.post(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/eviction", body)
    except KubeDenied as error:
        return read_refusal(error)
    except ClusterUnreadable as error:  # it may have been accepted: the pod itself will tell
        return EvictionAnswer(Said.LATER, str(error))
    return EvictionAnswer(Said.ACCEPTED)


def read_refusal(error: KubeDenied) -> EvictionAnswer:
    """The meaning of an error answer."""
    message = str(error.body.get("message") or error)
    causes = _causes(error.body)
    if "more than one PodDisruptionBudget" in message:  # a 500 that stays one
        return EvictionAnswer(Said.NEVER, "more than one PodDisruptionBudget selects it, which evictions do not allow")
    match error.status:
        case 404:
            return EvictionAnswer(Said.GONE)
        case 409:
            return EvictionAnswer(Said.REPLACED, message)
        case 429:
            return _too_many(error, message, causes)
        case _:
            return EvictionAnswer(_how_final(error, message, causes), message, again_after=error.retry_after)


def _how_final(error: KubeDenied, message: str, causes: list[Raw]) -> Said:
    namespace_ends = any(c.get("reason") == "NamespaceTerminating" for c in causes)
    if namespace_ends or any(words in message for words in _BUDGET_LAGS) or passing(error):
        return Said.LATER
    return Said.REFUSED if may_be_new(error) else Said.NEVER


def _too_many(error: KubeDenied, message: str, causes: list[Raw]) -> EvictionAnswer:
    # Of a budget there is usually no Retry-After; without that cause the whole server is busy.
    cause = next((c for c in causes if c.get("reason") == "DisruptionBudget"), None)
    if cause is None:
        return EvictionAnswer(Said.LATER, message, again_after=error.retry_after)
    why = str(cause.get("message") or message)
    named = _BUDGET.search(why)
    return EvictionAnswer(Said.BUDGET, why, named[1] if named else "", error.retry_after)


def budgets_of(pod: Raw, budgets: Iterable[Raw]) -> tuple[str, ...]:
    """The names of the PodDisruptionBudgets of its namespace that select the pod."""
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    return tuple(
        b["metadata"]["name"]
        for b in budgets
        if b["metadata"].get("namespace") == meta.get("namespace") and selects(b["spec"].get("selector"), labels)
    )


def selects(selector: Raw | None, labels: dict[str, str]) -> bool:
    """A label selector of policy/v1: an empty one selects everything, none selects nothing."""
    read = read_selector(selector)
    return read is not None and read.selects(labels)


def _causes(body: dict[str, Any]) -> list[Raw]:
    return list((body.get("details") or {}).get("causes") or [])
