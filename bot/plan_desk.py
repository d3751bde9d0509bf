"""What is asked of a worker on a terminal: a plan, a rollback, a dry run; the answer is waited for."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from bot.desk import Desk
from cluster.dry_run import DryRun
from cluster.errors import Refused
from cluster.events import Event, Happened
from cluster.requests import Answer, PlanRequest, request_dry_run, request_rollback
from policies.consents import read_consents
from policies.drained import check_living
from policies.wording import some_of


def ask_for_plan(
    desk: Desk,
    target: str,
    cluster: str | None,
    *,
    timeout: float,
    accept: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> Answer:
    """Have a worker draft the plan and wait for its answer; raises Refused when no worker answers in time."""
    name, _ = desk.settings.cluster(cluster)
    consents = read_consents(accept)
    request = PlanRequest(
        id=_new_id(),
        kind="plan",
        cluster=name,
        target=target,
        person=desk.person,
        channel=desk.settings.channel(name) or "",
        at=datetime.now(UTC),
        accepted=consents.accepted,
        overrides=consents.overrides,
        without=without,
    )
    return _ask(desk, request, _told(Happened.PLAN_REQUESTED, request, f"a plan to {target}"), timeout)


def ask_for_rollback(desk: Desk, workers: tuple[str, ...], cluster: str | None, *, timeout: float) -> Answer:
    """Have a worker draft the plan that puts the kubelets of these workers back, and wait for its answer."""
    name, _ = desk.settings.cluster(cluster)
    now, channel = datetime.now(UTC), desk.settings.channel(name) or ""
    request = request_rollback(name, workers, _new_id(), desk.person, now, channel)
    return _ask(desk, request, _told(Happened.PLAN_REQUESTED, request, f"a rollback of {some_of(workers)}"), timeout)


def ask_for_dry_run(desk: Desk, plan_id: str, *, timeout: float) -> DryRun:
    """Have a worker try each eviction of the plan, and wait for what the API server says."""
    record, person = desk.store.plan(plan_id), desk.person
    check_living(record)
    request = request_dry_run(record, _new_id(), person, datetime.now(UTC))
    answer = _ask(desk, request, _told(Happened.DRY_RUN_ASKED, request, f"a dry run of {plan_id}", plan_id), timeout)
    if answer.dry_run is None:
        raise Refused(answer.refusal)
    return answer.dry_run


def _ask(desk: Desk, request: PlanRequest, event: Event, timeout: float) -> Answer:
    desk.store.put_request(request, event)
    desk.wakeups.ask_for_plan(request.id)
    return desk.wait_for_answer(request.id, timeout)


def _told(kind: Happened, request: PlanRequest, what: str, plan_id: str = "") -> Event:
    sentence = f"{request.person} asked for {what}."
    return Event(kind, request.at, request.cluster, sentence, plan_id, person=request.person)


def _new_id() -> str:
    return f"r-{secrets.token_hex(4)}"
