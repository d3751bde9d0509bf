"""Try every eviction that a plan would ask for, so that the API server says which pods would leave now; none does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from cluster.dry_run import DryRun, Hindrance, Hold, NodeTrial
from cluster.errors import LockkeeperError, StoreUnavailable
from cluster.events import Event, Happened
from cluster.findings import Findings
from cluster.inventory import Cluster
from cluster.kube import Kube
from cluster.observe import read_nodes
from cluster.plan import PlanNode, PlanRecord
from cluster.report import Node, Unread
from cluster.requests import Answer, PlanRequest
from cluster.settings import Settings
from cluster.versions import KubeVersion
from policies.drained import check_living, drains, tell_dry_run
from workers.drain import AT_ONCE
from workers.drain_rules import Fate, PodFate, judge_pods
from workers.eviction import EvictionAnswer, Said, evict
from workers.residents import DaemonSets

Raw = dict[str, Any]
PODS = "/api/v1/pods"
_NAMED = 5  # pods that a hindrance names
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_TRIAL = "does not support dry run"  # a webhook with side effects: it would be asked at a drain, and now is not


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """
    The only API that a trial has in hand: it reads, and whatever it posts is marked as a trial.

    In the query, which the server reads before anything else, and in the eviction itself.
    """

    _api: Kube

    def nodes(self) -> tuple[Node, ...]:
        return read_nodes(self._api)

    def pods(self) -> Iterator[Raw]:
        return self._api.items(PODS)

    def get(self, path: str) -> Raw:
        return self._api.get(path)

    def post(self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = _NOTHING) -> Raw:
        options = {**(body.get("deleteOptions") or {}), "dryRun": ["All"]}
        return self._api.post(path, {**body, "deleteOptions": options}, {**query, "dryRun": "All"})


class Records(Protocol):
    """What this needs of cluster.store.Store."""

    def plan(self, plan_id: str) -> PlanRecord: ...
    def answer_request(
        self,
        request_id: str,
        *,
        plan_ids: tuple[str, ...] = (),
        refusal: str = "",
        findings: Findings = (),
        dry_run: DryRun | None = None,
        event: Event | None = None,
    ) -> Answer: ...


Connect = Callable[[str, Cluster], Kube]


def answer_dry_run(
    request: PlanRequest, *, settings: Settings, store: Records, now: datetime, connect: Connect = Kube.connect
) -> Answer:
    """Answer one request for a dry run, with what the server said or a refusal."""
    try:
        record = store.plan(request.target)
        check_living(record)
        name, cluster = settings.cluster(record.plan.cluster)
        with connect(name, cluster) as kube:
            made = try_plan(Rehearsal(kube), record, now)
    except StoreUnavailable:
        raise  # the request stays open, and is asked for again
    except LockkeeperError as error:
        event = _event(Happened.REQUEST_REFUSED, request, now, str(error))
        return store.answer_request(request.id, refusal=str(error), event=event)
    event = _event(Happened.DRY_RUN_FINISHED, request, now, tell_dry_run(made))
    return store.answer_request(request.id, plan_ids=(record.id,), dry_run=made, event=event)


def try_plan(api: Rehearsal, record: PlanRecord, now: datetime) -> DryRun:
    """Every pod that a drain of this plan would evict, tried once; raises ClusterUnreadable without nodes or pods."""
    plan = record.plan
    seen = {n.name: n for n in api.nodes()}
    missing = {n.name: why for n in plan.nodes if (why := _why_missing(n, seen.get(n.name)))}
    drained = [n.name for n in plan.nodes if n.name in missing or drains(plan, n, _kubelet(seen[n.name]))]
    wanted = frozenset(drained) - missing.keys()
    fates = _read_fates(api, record, wanted)
    answers = _try_all(api, [f for found in fates.values() for f in found if f.fate is Fate.LEAVES])
    trials = tuple(
        NodeTrial(name, not_tried=missing[name]) if name in missing else _trial(name, fates[name], answers)
        for name in drained
    )
    return DryRun(record.id, plan.cluster, now, trials, in_place=len(plan.nodes) - len(drained))


def _why_missing(planned: PlanNode, seen: Node | None) -> str:
    if seen is None:
        return "It is no longer in the cluster."
    return "" if seen.uid == planned.uid else "It is another one than at planning: it was deleted and joined again."


def _kubelet(seen: Node) -> KubeVersion | None:
    return None if isinstance(seen.kubelet, Unread) else seen.kubelet.version


def _read_fates(api: Rehearsal, record: PlanRecord, wanted: frozenset[str]) -> dict[str, list[PodFate]]:
    """The pods of these nodes, each with what a drain would do with it; whole pods stream by."""
    found: dict[str, list[PodFate]] = {name: [] for name in wanted}
    daemon_sets = DaemonSets(api.get)
    for pod in api.pods():
        node = (pod.get("spec") or {}).get("nodeName")
        if node in wanted:
            found[node] += judge_pods((pod,), options=record.plan.options, daemon_set_exists=daemon_sets.exists)
    return found


def _try_all(api: Rehearsal, pods: list[PodFate]) -> dict[str, EvictionAnswer]:
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="dry-run") as pool:
        return {pod.uid: said for pod, said in zip(pods, pool.map(lambda p: evict(api, p), pods), strict=True)}


def _trial(node: str, fates: Iterable[PodFate], answers: Mapping[str, EvictionAnswer]) -> NodeTrial:
    counts = dict.fromkeys((Fate.LEAVES, Fate.LEAVING, Fate.STAYS), 0)
    held: defaultdict[tuple[Hold, str], list[tuple[PodFate, str]]] = defaultdict(list)
    for fate in fates:
        if (kept := _held(fate, answers.get(fate.uid))) is None:
            counts[fate.fate] += 1
        else:
            hold, by, why = kept
            held[hold, by].append((fate, why))
    hindrances = tuple(
        Hindrance(hold, by, len(pods), tuple(p.pod for p, _ in pods[:_NAMED]), pods[0][1])
        for (hold, by), pods in sorted(held.items())
    )
    return NodeTrial(node, counts[Fate.LEAVES], counts[Fate.LEAVING], counts[Fate.STAYS], hindrances)


def _held(fate: PodFate, answer: EvictionAnswer | None) -> tuple[Hold, str, str] | None:
    """What holds the pod, by whom, and in which words; None for one that nothing holds."""
    if fate.fate in {Fate.NEEDS_EMPTYDIR, Fate.NEEDS_UNMANAGED}:
        return Hold.CONSENT, fate.fate.value.removeprefix("needs ").replace("_", "-"), fate.why
    if answer is None or answer.said in {Said.ACCEPTED, Said.GONE}:
        return None
    why = answer.why.replace(fate.name, "…")  # so that the same answer to several pods is one
    match answer.said:
        case Said.BUDGET:
            return Hold.BUDGET, f"{fate.namespace}/{answer.budget}" if answer.budget else fate.namespace, answer.why
        case Said.LATER | Said.REPLACED:
            return Hold.UNANSWERED, why, answer.why
        case _:
            return (Hold.UNANSWERED if _NO_TRIAL in answer.why else Hold.REFUSED), why, answer.why


def _event(kind: Happened, request: PlanRequest, now: datetime, sentence: str) -> Event:
    return Event(
        kind,
        now,
        request.cluster,
        sentence,
        plan_id=request.target if kind is Happened.DRY_RUN_FINISHED else "",
        person=request.person,
        facts={"request": request.id},
    )
