"""Which pods leave a node at a drain: kubectl's filters in kubectl's order, each pod with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cluster.departures import (
    controller_of,
    daemon_set_of,
    has_local_storage,
    is_finished,
    is_ours,
    is_ready,
    is_static,
    tolerates_cordon,
)
from cluster.options import Options, Treatment
from policies.databases import Instance, instance_of
from policies.pod_rules import treatment_of

Raw = dict[str, Any]


class Fate(StrEnum):
    """What a drain does with a pod."""

    STAYS = "stays"
    LEAVES = "leaves"  # it is evicted
    FINISHES = "finishes"  # a rule of the plan leaves it to end by itself: only waited for
    LEAVING = "leaving"  # it is being deleted already: only waited for
    NEEDS_EMPTYDIR = "needs delete_emptydir"  # a person has to consent first
    NEEDS_UNMANAGED = "needs delete_unmanaged"


_KEPT: dict[Treatment | None, Fate] = {Treatment.STAY: Fate.STAYS, Treatment.FINISH: Fate.FINISHES}
_TURNS: dict[Treatment | None, int] = {Treatment.FIRST: -1, Treatment.LAST: 1}


@dataclass(frozen=True, slots=True)
class PodFate:
    """One pod of the node and what becomes of it."""

    namespace: str
    name: str
    uid: str
    fate: Fate
    why: str = ""
    tolerates: bool = False  # the cordon does not keep it away
    ready: bool = True
    grace: int = 0  # seconds that it may take to end
    turn: int = 0  # whoever has a lower one leaves before
    owner: str = ""  # kind/name of its controller
    leads: Instance | None = None  # the database that it takes the writes of

    @property
    def pod(self) -> str:
        return f"{self.namespace}/{self.name}"


def judge_pods(
    pods: Iterable[Raw], *, options: Options, daemon_set_exists: Callable[[str, str], bool]
) -> list[PodFate]:
    """The fate of each pod of one node; `daemon_set_exists` is asked with namespace and name."""
    return [_judge(pod, options, daemon_set_exists) for pod in pods]


def _judge(pod: Raw, options: Options, daemon_set_exists: Callable[[str, str], bool]) -> PodFate:
    fate, why = _fate(pod, options, daemon_set_exists)
    meta = pod["metadata"]
    rule = treatment_of(options, meta.get("namespace", ""), meta.get("labels") or {})
    if fate is not Fate.STAYS and not is_finished(pod) and rule in _KEPT:
        fate, why = _KEPT[rule], "a rule of the plan"
    owner = controller_of(pod) or {}
    database = instance_of(meta.get("namespace", ""), meta.get("labels") or {}, options.databases)
    if fate is not Fate.STAYS and meta.get("deletionTimestamp"):
        fate, why = Fate.LEAVING, _why_ending(meta)
    return PodFate(
        meta.get("namespace", ""),
        meta["name"],
        meta.get("uid", ""),
        fate,
        why,
        tolerates=tolerates_cordon(pod),
        ready=is_ready(pod),
        grace=int((pod.get("spec") or {}).get("terminationGracePeriodSeconds") or 0),
        turn=_TURNS.get(rule, 0),
        owner=f"{owner.get('kind')}/{owner.get('name')}" if owner else "",
        leads=database if database is not None and database.leads else None,
    )


def _why_ending(meta: Raw) -> str:
    finalizers = meta.get("finalizers") or ()
    held = f" and held by its finalizers ({', '.join(finalizers)})" if finalizers else ""
    return f"being deleted, was to end by {meta['deletionTimestamp']}{held}"


def _fate(pod: Raw, options: Options, daemon_set_exists: Callable[[str, str], bool]) -> tuple[Fate, str]:
    # The first filter that keeps a pod ends the matter, as in kubectl (filters.go).
    finished = is_finished(pod)
    if not finished and (of_daemon_set := _daemon_set(pod, options, daemon_set_exists)):
        return of_daemon_set
    if is_static(pod):
        return Fate.STAYS, "static pod"
    if finished or is_ours(pod):
        return Fate.LEAVES, ""
    if has_local_storage(pod) and not options.delete_emptydir:
        return Fate.NEEDS_EMPTYDIR, "emptyDir data would be lost"
    if controller_of(pod) is None and not options.delete_unmanaged:
        return Fate.NEEDS_UNMANAGED, "no controller would bring it back"
    return Fate.LEAVES, ""


def _daemon_set(pod: Raw, options: Options, daemon_set_exists: Callable[[str, str], bool]) -> tuple[Fate, str] | None:
    name = daemon_set_of(pod)
    if not name:
        return None
    if daemon_set_exists(pod["metadata"].get("namespace", ""), name):
        return Fate.STAYS, "of a DaemonSet"
    return None if options.delete_unmanaged else (Fate.NEEDS_UNMANAGED, f"its DaemonSet {name} is gone")


def refusals(fates: Iterable[PodFate]) -> list[PodFate]:
    """Pods that nobody consented to lose."""
    return [f for f in fates if f.fate in {Fate.NEEDS_EMPTYDIR, Fate.NEEDS_UNMANAGED}]
