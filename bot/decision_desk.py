"""A plan that is decided on a terminal: approved with the person's SSH key, or rejected."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from bot.desk import Desk
from bot.voids import check_still_fits
from cluster import observe
from cluster.approval import Approval, statement_of
from cluster.errors import ClusterUnreadable, Refused, StaleMove
from cluster.events import Event, Happened
from cluster.findings import demand_clear
from cluster.operation import Operation, schedule
from cluster.plan import PlanRecord, PlanStatus
from cluster.signing import fingerprint, sign_with_ssh
from cluster.store import Decision, already_decided
from policies.approvals import may_decide
from policies.release_notes import confirmed, facts_of, notes_of
from policies.traces import held_elsewhere


def notes_to_confirm(desk: Desk, record: PlanRecord) -> tuple[str, ...]:
    """The minors whose release notes an approver confirms to have read, by the policy of this installation."""
    return tuple(n.minor for n in notes_of(record)) if desk.settings.approvals.confirm_release_notes else ()


def approve(desk: Desk, shown: PlanRecord, key_file: Path, notes_read: tuple[str, ...] = ()) -> Operation:
    """Approve the plan that was shown with the person's SSH key; raises Refused with the reason."""
    now = datetime.now(UTC)
    record = desk.store.plan(shown.id)
    person, line = desk.signer(key_file)
    if record.status is not PlanStatus.PROPOSED:
        raise StaleMove(already_decided(record))
    _check_right(desk, record, shown.digest, person, now, notes_read)
    check_still_fits(desk.store, record, now)
    _check_lease(desk, record)
    operation_id = f"op-{secrets.token_hex(4)}"
    evidence = f"SSH key {fingerprint(line)}"
    statement = statement_of(
        record, person=person, evidence=evidence, operation_id=operation_id, at=now, notes_read=notes_read
    )
    return _keep(desk, record, sign_with_ssh(statement, key_file), now)


def _check_right(  # noqa: PLR0917 - who decides what, and when
    desk: Desk, record: PlanRecord, digest: str, person: str, now: datetime, notes_read: tuple[str, ...]
) -> None:
    demand_clear(
        may_decide(
            record,
            person=person,
            slack_user=None,
            channel=record.channel,
            digest8=digest,
            groups={},
            settings=desk.settings,
            now=now,
            notes_read=notes_read,
        )
    )


def _check_lease(desk: Desk, record: PlanRecord) -> None:
    """A second installation shows itself by its Lease in the cluster; the worker looks again before it starts."""
    name, settings = record.plan.cluster, desk.settings
    try:
        holder = observe.read_lease_holder(name, settings.clusters[name])
    except ClusterUnreadable:
        return
    demand_clear(held_elsewhere(name, holder, settings.installation))


def _keep(desk: Desk, record: PlanRecord, approval: Approval, now: datetime) -> Operation:
    person = approval.statement.person
    operation = schedule(record, operation_id=approval.statement.operation_id, approved_by=person, now=now)
    event = Event(
        Happened.PLAN_APPROVED,
        now,
        record.plan.cluster,
        f"{person} approved the plan on the command line.{confirmed(approval.statement.notes_read)}",
        plan_id=record.id,
        operation_id=operation.id,
        person=person,
        facts=facts_of(approval.statement.notes_read),
    )
    outcome = desk.store.approve(record, approval, operation, event, now)
    if outcome.decision is not Decision.APPROVED:
        raise Refused(outcome.sentence)
    desk.wakeups.wake(operation.id)
    return operation


def reject(desk: Desk, plan_id: str, reason: str) -> PlanRecord:
    """Anybody of `people` may; it only ever stops something."""
    now = datetime.now(UTC)
    record, person = desk.store.plan(plan_id), desk.person
    sentence = f"{person} rejected the plan: {reason}"
    event = Event(Happened.PLAN_REJECTED, now, record.plan.cluster, sentence, plan_id=plan_id, person=person)
    outcome = desk.store.reject(plan_id, record.digest, person, reason, now, event)
    if outcome.decision is not Decision.REJECTED:
        raise Refused(outcome.sentence)
    return desk.store.plan(plan_id)
