"""Answer a request: survey the machines, observe the cluster, draft a plan, and put it before the people."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from cluster.errors import ClusterUnreadable, LockkeeperError, Refused, StoreUnavailable, UnknownThing
from cluster.events import Event, Happened
from cluster.examination import Examination
from cluster.examine import examine
from cluster.findings import Findings, blockers, worst_first
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.observe import observe
from cluster.operation import Operation, OperationState
from cluster.options import Options, PodRule
from cluster.plan import PlanKind, PlanRecord, PlanStatus
from cluster.report import ClusterReport
from cluster.requests import Answer, PlanRequest
from cluster.settings import Settings
from cluster.survey import Survey
from cluster.versions import Minor, parse_target
from policies.consents import words_of
from policies.databases import configured
from policies.differences import find_difference
from policies.drafting import Draft, draft_revert, draft_rollback, draft_upgrade, minors_of
from policies.drift import base_version
from policies.history import Past
from policies.overview import tell_without_nodes
from policies.preflight import check_preflight
from policies.rollback import check_named, minors_before
from policies.traces import check_traces, operations_named
from workers.images import with_images
from workers.past import Kept, read_past, read_plans
from workers.survey import Reach, reach, run_survey
from workers.waiting import Waiting, judge_waiting

_NEXT_MINORS = 2  # a survey that nobody planned for asks for the current minor and the next ones
_LONG = timedelta(minutes=1)  # a survey that took longer leaves an old report behind
_OPTIONS = TypeAdapter(Options)
_WHAT = {PlanKind.UPGRADE: "an upgrade to", PlanKind.REVERT: "a revert to", PlanKind.ROLLBACK: "a rollback to"}


class Records(Waiting, Kept, Protocol):
    """What proposals need of cluster.store.Store."""

    def operation(self, operation_id: str) -> Operation: ...
    def lock_holder(self, cluster: str) -> str | None: ...
    def survey(self, cluster: str) -> Survey | None: ...
    def save_survey(self, survey: Survey) -> None: ...
    def plan_before(self, cluster: str, kind: PlanKind, request_id: str) -> PlanRecord | None: ...
    def propose(self, record: PlanRecord, event: Event) -> None: ...
    def answer_request(
        self,
        request_id: str,
        *,
        plan_ids: tuple[str, ...] = (),
        refusal: str = "",
        findings: Findings = (),
        event: Event | None = None,
    ) -> Answer: ...


@dataclass(frozen=True)
class Eyes:
    """How a proposal sees the cluster and its machines."""

    observe: Callable[..., ClusterReport] = observe
    examine: Callable[..., Examination] = examine
    connect: Reach = field(default=reach)
    clock: Callable[[], float] = time.monotonic


def propose(
    request: PlanRequest, *, settings: Settings, store: Records, now: datetime, eyes: Eyes | None = None
) -> Answer:
    """Answer one request, with plans or a refusal; done again after a crash it makes the same plans, not others."""
    try:
        return _answer(request, settings, store, now, eyes or Eyes())
    except StoreUnavailable:
        raise  # the request stays open, and is asked for again
    except LockkeeperError as error:
        findings = error.findings if isinstance(error, Refused) else ()
        event = _event(Happened.REQUEST_REFUSED, request, now, str(error))
        return store.answer_request(request.id, refusal=str(error), findings=findings, event=event)


def _answer(request: PlanRequest, settings: Settings, store: Records, now: datetime, eyes: Eyes) -> Answer:
    name, cluster = settings.cluster(request.cluster)
    try:
        report = eyes.observe(name, cluster, now=now)
    except ClusterUnreadable as error:
        if request.kind != "survey":
            raise
        return _survey_alone(request, cluster, store, now, eyes, reason=str(error))
    earlier = _earlier(request, report, store)
    begun = eyes.clock()
    survey = run_survey(name, cluster, _minors(request, report, earlier), now, eyes.connect)
    store.save_survey(survey)
    # thousands of machines take a while: the plan starts from what is there now, and its time to decide begins now
    if (passed := timedelta(seconds=eyes.clock() - begun)) > _LONG:
        now += passed
        report = eyes.observe(name, cluster, now=now)
    examination = eyes.examine(name, cluster, report, now=now)
    survey = replace(survey, apis=examination.api_use)
    store.save_survey(survey)
    seen = Observation(report, survey, examination)
    judge_waiting(store, seen, cluster, now)
    if request.kind == "survey":
        findings = worst_first(check_preflight(seen, cluster, target=None, options=_options(cluster, request)))
        event = _event(Happened.SURVEY_FINISHED, request, now, f"{len(survey.machines)} machines were surveyed.")
        return store.answer_request(request.id, findings=findings, event=event)
    traces = check_traces(report, settings.installation, _known(store, operations_named(report)))
    expires = now + timedelta(seconds=settings.approvals.expire_after)
    records = []
    for draft in _drafts(request, seen, cluster, now=now, past=read_past(store, name), earlier=earlier):
        checked = with_images(draft, cluster, examination.declared, eyes.connect)
        whole = replace(checked, findings=worst_first((*checked.findings, *traces)))
        record = _record(request, whole, now, expires)
        before = store.plan_before(name, record.plan.kind, request.id)
        records.append(replace(record, difference=find_difference(before, record)))
        store.propose(records[-1], _proposed(request, records[-1], now))
    return store.answer_request(request.id, plan_ids=tuple(r.id for r in records), findings=records[0].findings)


def _survey_alone(
    request: PlanRequest, cluster: Cluster, store: Records, now: datetime, eyes: Eyes, *, reason: str
) -> Answer:
    """The machines tell what they tell also where the cluster does not; of the minors that they were asked for last."""
    last = store.survey(request.cluster)
    minors = {offer.minor for machine in last.machines for offer in machine.offers} if last else set()
    survey = run_survey(request.cluster, cluster, tuple(sorted(minors)), now, eyes.connect)
    store.save_survey(replace(survey, apis=last.apis if last else None))
    event = _event(Happened.SURVEY_FINISHED, request, now, f"{len(survey.machines)} machines were surveyed.")
    return store.answer_request(request.id, findings=(tell_without_nodes(request.cluster, reason),), event=event)


def _earlier(request: PlanRequest, report: ClusterReport, store: Records) -> tuple[PlanRecord, ...]:
    """What a rollback goes back by: the plans that were carried out; raises Refused where it cannot be asked for."""
    if request.kind != "rollback":
        return ()
    check_named(report, request.workers)
    if holder := store.lock_holder(request.cluster):
        raise Refused(f"{holder} is in hand on `{request.cluster}`: let it end (`skip` or `cancel`), and ask again.")
    return read_plans(store, request.cluster)


def _drafts(
    request: PlanRequest,
    seen: Observation,
    cluster: Cluster,
    *,
    now: datetime,
    past: Past,
    earlier: tuple[PlanRecord, ...],
) -> tuple[Draft, ...]:
    """The plan that was asked for; beside one that is blocked by a hand-edited control plane also its way out."""
    options = _options(cluster, request)
    if request.kind == "rollback":
        return (draft_rollback(seen, cluster, request.workers, earlier, options=options),)
    revert = draft_revert(seen, cluster, options=options, accepted=request.accepted, past=past)
    if request.kind == "revert":
        if revert is None:
            raise Refused(
                f"Nothing to revert: the control plane of `{seen.report.cluster}` runs what kubeadm-config declares."
            )
        return (revert,)
    target = parse_target(request.target)
    upgrade = draft_upgrade(
        seen, cluster, target, options=options, accepted=request.accepted, without=request.without, now=now, past=past
    )
    return (upgrade, *([revert] if revert else []))


def _minors(request: PlanRequest, report: ClusterReport, earlier: tuple[PlanRecord, ...]) -> tuple[Minor, ...]:
    if request.kind == "rollback":
        return minors_before(request.workers, earlier)
    if request.kind == "plan":
        return minors_of(report, parse_target(request.target))
    base = base_version(report)
    if base is None or request.kind == "revert":
        return ()
    return tuple(base.minor.after(i) for i in range(_NEXT_MINORS + 1))


def _options(cluster: Cluster, request: PlanRequest) -> Options:
    """The cluster's defaults with what this request overrides; raises Refused for an option that there is not."""
    usual = Options(
        drain=cluster.defaults.drain,
        drain_timeout=cluster.defaults.drain_timeout,
        delete_emptydir=cluster.defaults.delete_emptydir,
        delete_unmanaged=cluster.defaults.delete_unmanaged,
        workers=cluster.defaults.workers,
        reboot=cluster.defaults.reboot,
        surge=cluster.defaults.surge,
        databases=configured(cluster),
        pod_rules=tuple(PodRule(r.selector, r.pods, r.namespace) for r in cluster.defaults.pod_rules),
    )
    known = asdict(usual)
    if lost := sorted(set(request.overrides) - set(known)):
        raise Refused(f"There is no option {', '.join(lost)[:80]}: name one of {', '.join(known)}.")
    try:
        return _OPTIONS.validate_python({**known, **request.overrides})
    except ValidationError as error:
        first = error.errors()[0]
        raise Refused(
            f"The option {first['loc'][0]} cannot be `{str(first['input'])[:40]}`: {first['msg']}."
        ) from error


def _known(store: Records, operation_ids: Iterable[str]) -> dict[str, OperationState]:
    states = {}
    for operation_id in operation_ids:
        try:
            states[operation_id] = store.operation(operation_id).state
        except UnknownThing:
            continue  # a trace without a record: the policy says so
    return states


def _record(request: PlanRequest, draft: Draft, now: datetime, expires: datetime) -> PlanRecord:
    return PlanRecord(
        id=_plan_id(request, draft.plan.kind),
        plan=draft.plan,
        digest=draft.plan.digest,
        status=PlanStatus.PROPOSED,
        requester=request.person,
        requested_at=now,
        expires_at=expires,
        findings=draft.findings,
        basis=draft.basis,
        channel=request.channel,
        estimate=draft.estimate,
        estimate_grounds=draft.estimate_grounds,
        request_id=request.id,
        left_out_for=draft.left_out_for,
        blocked_workers=draft.blocked_workers,
        order=draft.order,
        asked=words_of(request.overrides),
    )


def _plan_id(request: PlanRequest, kind: PlanKind) -> str:
    """Made from the request, so that a worker that died between two writes does not propose twice."""
    return "p-" + hashlib.sha256(f"{request.id}/{kind}".encode()).hexdigest()[:8]


def _proposed(request: PlanRequest, record: PlanRecord, now: datetime) -> Event:
    what = _WHAT[record.plan.kind]
    stops = blockers(record.findings)
    sentence = f"{what.capitalize()} {record.plan.target} is planned for {request.person}" + (
        f", blocked by {', '.join(sorted({f.code for f in stops}))}." if stops else "."
    )
    return replace(_event(Happened.PLAN_PROPOSED, request, now, sentence), plan_id=record.id)


def _event(kind: Happened, request: PlanRequest, now: datetime, sentence: str) -> Event:
    return Event(kind, now, request.cluster, sentence, person=request.person, facts={"request": request.id})
