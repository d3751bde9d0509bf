"""Try every eviction that a plan would ask for, so that the API server says which pods would leave now; none does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
from cluster.operation import Operation
from cluster.plan import PlanNode, PlanRecord
from cluster.report import Node, Unread
from cluster.requests import Answer, PlanRequest
from cluster.settings import Settings
from cluster.sieve import MALFORMED, Sieve, name_of, not_understood
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
    def operations(self, cluster: str | None = None) -> tuple[Operation, ...]: ...
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
            made = try_plan(Rehearsal(kube), record, now, positions_of(record, store))
    except StoreUnavailable:
        raise  # the request stays open, and is asked for again
    except LockkeeperError as error:
        event = _event(Happened.REQUEST_REFUSED, request, now, str(error))
        return store.answer_request(request.id, refusal=str(error), event=event)
    event = _event(Happened.DRY_RUN_FINISHED, request, now, tell_dry_run(made))
    return store.answer_request(request.id, plan_ids=(record.id,), dry_run=made, event=event)


def positions_of(record: PlanRecord, store: Records) -> dict[str, int]:
    """How far each node is on its way, where the plan is carried out already: a drain that was does not come again."""
    run = next((o for o in store.operations(record.plan.cluster) if o.plan_id == record.id), None)
    return {row.node: row.position for row in run.rows} if run else {}


def try_plan(
    api: Rehearsal, record: PlanRecord, now: datetime, positions: Mapping[str, int] = MappingProxyType({})
) -> DryRun:
    """Every pod that a drain of this plan would evict, tried once; raises ClusterUnreadable without nodes or pods."""
    plan = record.plan
    seen = {n.name: n for n in api.nodes()}
    missing = {n.name: why for n in plan.nodes if (why := _why_missing(n, seen.get(n.name)))}
    kubelets = {name: _kubelet(node) for name, node in seen.items() if name not in missing}
    drained = [n.name for n in plan.nodes if drains(plan, n, kubelets.get(n.name), positions.get(n.name, 0))]
    found = _read_residents(api, record, frozenset(drained) - missing.keys())
    answers = _try_all(api, [f for fates in found.fates.values() for f in fates if f.fate is Fate.LEAVES])
    trials = tuple(
        NodeTrial(name, not_tried=missing[name])
        if name in missing
        else _trial(name, found.fates[name], answers, found.lost[name])
        for name in drained
    )
    in_place = len(plan.nodes) - len(drained)
    return DryRun(record.id, plan.cluster, now, trials, in_place=in_place, unread=found.astray.unread)


def _why_missing(planned: PlanNode, seen: Node | None) -> str:
    if seen is None:
        return "It is no longer in the cluster."
    return "" if seen.uid == planned.uid else "It is another one than at planning: it was deleted and joined again."


def _kubelet(seen: Node) -> KubeVersion | None:
    return None if isinstance(seen.kubelet, Unread) else seen.kubelet.version


@dataclass
class _Residents:
    """The pods of the nodes that are wanted, each with what a drain would do with it."""

    fates: dict[str, list[PodFate]]
    lost: dict[str, list[Unread]]  # by node: those that were not understood
    astray: Sieve = field(default_factory=lambda: Sieve("Pod"))  # those whose node is not known either

    def read(self, pods: Iterable[Raw], judge: Callable[[Raw], PodFate]) -> None:
        """Whole pods stream by; one that is not as it should be costs itself alone, and is said."""
        for pod in pods:
            try:
                node: Any = (pod.get("spec") or {}).get("nodeName")
                is_wanted = node in self.fates
            except MALFORMED as error:
                self.astray.note(pod, error)
                continue
            if not is_wanted:
                continue
            try:
                self.fates[node].append(judge(pod))
            except MALFORMED as error:
                self.lost[node].append(Unread(name_of(pod), not_understood(error)))


def _read_residents(api: Rehearsal, record: PlanRecord, wanted: frozenset[str]) -> _Residents:
    found = _Residents({name: [] for name in wanted}, {name: [] for name in wanted})
    exists = DaemonSets(api.get).exists
    options = record.plan.options
    found.read(api.pods(), lambda pod: judge_pods((pod,), options=options, daemon_set_exists=exists)[0])
    return found


def _try_all(api: Rehearsal, pods: list[PodFate]) -> dict[str, EvictionAnswer]:
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="dry-run") as pool:
        return {pod.uid: said for pod, said in zip(pods, pool.map(lambda p: evict(api, p), pods), strict=True)}


def _trial(
    node: str, fates: Iterable[PodFate], answers: Mapping[str, EvictionAnswer], lost: Iterable[Unread] = ()
) -> NodeTrial:
    counts = dict.fromkeys((Fate.LEAVES, Fate.LEAVING, Fate.STAYS), 0)
    held: defaultdict[tuple[Hold, str], list[tuple[str, str]]] = defaultdict(list)
    for fate in fates:
        if (kept := _held(fate, answers.get(fate.uid))) is None:
            counts[Fate.LEAVING if fate.fate is Fate.FINISHES else fate.fate] += 1
        else:
            hold, by, why = kept
            held[hold, by].append((fate.pod, why))
    for unread in lost:
        held[Hold.NOT_UNDERSTOOD, unread.reason].append((unread.what, unread.reason))
    hindrances = tuple(
        Hindrance(hold, by, len(pods), tuple(pod for pod, _ in pods[:_NAMED]), pods[0][1])
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
