"""Plans and the decisions on them; an approval, its operation and the cluster's lock are one write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice

from cluster.approval import Approval
from cluster.errors import StaleMove, UnknownThing
from cluster.events import Event, Happened
from cluster.operation import Operation
from cluster.plan import PlanKind, PlanRecord, PlanStatus, check_plan_move
from cluster.store.ledger import MOST, Check, Effect, Ledger, key, new_token, reading, record_events
from cluster.store.operations import create_operation
from cluster.store.records import APPROVAL, PLAN

_TRIES = 20  # at a write beside decisions that are made at the same moment
_CHANGED = "-"  # what no record reads like: the write is refused


class Decision(StrEnum):
    """What became of a decision on a plan."""

    APPROVED = "approved"
    REJECTED = "rejected"
    CLOSED = "closed"  # expired or void, as asked
    NOT_PROPOSED = "not-proposed"
    OTHER_DIGEST = "other-digest"
    EXPIRED = "expired"
    OWN_PLAN = "own-plan"
    CLUSTER_LOCKED = "cluster-locked"


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision's outcome: `sentence` is fit for the person; `by` and `operation_id` say who was first."""

    decision: Decision
    sentence: str
    by: str = ""
    operation_id: str = ""


class Plans(Ledger):
    """Plans, newest first, and the only ways in which one may be decided."""

    def propose(self, record: PlanRecord, event: Event) -> None:
        """
        Keep a new plan; of one cluster only the plans of one request wait for a decision.

        Older ones become void in the same write, so that nobody approves what was seen before.
        """
        cluster, kind = record.plan.cluster, record.plan.kind
        indexes = (key("plans"), key("plans", "of", cluster), key("plans", "of", cluster, kind))
        newest = key("plans", "newest", cluster)
        for _ in range(_TRIES):
            last = self.text(newest) or ""
            checks = [Check("new", key("plan", record.id), "", "record"), Check("newest", newest, last)]
            effects: list[Effect] = [
                ("SET", newest, record.id),
                ("HSET", key("plan", record.id), "record", _dump(record)),
                *(("ZADD", index, str(record.requested_at.timestamp()), record.id) for index in indexes),
                ("SADD", key("plans", "open"), record.id),
            ]
            for older in self._overtaken_by(record):
                check, replaced = self._overtake(older, record)
                checks.append(check)
                effects += replaced
            effects += record_events(event)
            done = self.commit(token=f"propose/{record.id}", checks=checks, effects=effects)
            if not done.refused or done.failed == "new":
                return
        raise StaleMove(f"The plans of {record.plan.cluster} change too fast: ask for the plan again.")

    def _overtaken_by(self, record: PlanRecord) -> tuple[PlanRecord, ...]:
        return tuple(
            older
            for older in self.open_plans()
            if older.plan.cluster == record.plan.cluster
            and older.status is PlanStatus.PROPOSED
            and older.id != record.id
            and (older.request_id != record.request_id or not record.request_id)
        )

    def _overtake(self, older: PlanRecord, record: PlanRecord) -> tuple[Check, list[Effect]]:
        reason = f"the newer plan {record.id} took its place"
        now = record.requested_at
        closed = replace(older, status=PlanStatus.VOID, decided_at=now, reason=reason)
        sentence = f"The plan {older.id} is void: {reason}."
        told = Event(Happened.PLAN_VOIDED, now, older.plan.cluster, sentence, older.id, facts={"by": record.id})
        return self._closing(older, closed, told)

    def plan(self, plan_id: str) -> PlanRecord:
        text = self._plan_text(plan_id)
        with reading(plan_id):
            return PLAN.validate_json(text)

    def plans(self, cluster: str | None = None, most: int = MOST) -> tuple[PlanRecord, ...]:
        """The newest ones, of one cluster or of all, newest first."""
        index = key("plans") if cluster is None else key("plans", "of", cluster)
        return tuple(islice(self.each(self.plan, self.newest_first(index)), most))

    def plan_before(self, cluster: str, kind: PlanKind, request_id: str) -> PlanRecord | None:
        """The newest plan of this kind that an earlier request made, whatever became of it."""
        records = self.each(self.plan, self.newest_first(key("plans", "of", cluster, kind)))
        return next((r for r in records if r.request_id != request_id), None)

    def open_plans(self) -> tuple[PlanRecord, ...]:
        """Those that wait for a decision."""
        return tuple(self.each(self.plan, self.members(key("plans", "open"))))

    def approval(self, operation_id: str) -> Approval | None:
        text = self.text(key("approval", operation_id))
        with reading(f"the approval of {operation_id}"):
            return None if text is None else APPROVAL.validate_json(text)

    def approve(
        self, record: PlanRecord, approval: Approval, operation: Operation, event: Event, now: datetime
    ) -> Decided:
        """
        Approve exactly the plan that was shown: the stored one is judged, and the write demands that it is still there.

        The plan becomes approved, the approval is kept, the operation and its rows begin, the cluster is locked.
        """
        if (known := self.approval(operation.id)) is not None:  # our own answer was lost on the way
            return Decided(Decision.APPROVED, "Approved.", known.statement.person, operation.id)
        text = self._plan_text(record.id)
        stored = PLAN.validate_json(text)
        if refusal := _refusal(stored, record, approval, now):
            return refusal
        approved = replace(stored, status=PlanStatus.APPROVED, decided_by=approval.statement.person, decided_at=now)
        lock = key("lock", stored.plan.cluster)
        effects: list[Effect] = [
            ("HSET", key("plan", record.id), "record", _dump(approved)),
            ("SREM", key("plans", "open"), record.id),
            ("SET", key("approval", operation.id), APPROVAL.dump_json(approval).decode()),
            ("SET", lock, operation.id),
            *create_operation(operation),
            *record_events(event),
        ]
        checks = [Check("plan", key("plan", record.id), text, "record"), Check("lock", lock, "")]
        done = self.commit(token=f"approve/{operation.id}", checks=checks, effects=effects)
        if not done.refused:
            return Decided(Decision.APPROVED, "Approved.", approval.statement.person, operation.id)
        if done.failed == "lock":
            return _locked(stored.plan.cluster, done.actual)
        return _refusal(self.plan(record.id), record, approval, now) or Decided(
            Decision.NOT_PROPOSED, f"The plan {record.id} changed meanwhile: look at it again."
        )

    def reject(  # noqa: PLR0917 - who, what and why of one decision
        self, plan_id: str, digest: str, person: str, reason: str, now: datetime, event: Event
    ) -> Decided:
        """Reject the plan with this digest for good."""
        record = self.plan(plan_id)
        if record.digest != digest:
            return _other_digest(record)
        closed = replace(record, status=PlanStatus.REJECTED, decided_by=person, decided_at=now, reason=reason)
        return self._close(record, closed, event, Decision.REJECTED)

    def expire(self, plan_id: str, now: datetime, event: Event) -> Decided:
        record = self.plan(plan_id)
        reason = f"nobody decided until {record.expires_at:%Y-%m-%d %H:%M} UTC"
        closed = replace(record, status=PlanStatus.EXPIRED, decided_at=now, reason=reason)
        return self._close(record, closed, event, Decision.CLOSED)

    def void(self, plan_id: str, reason: str, now: datetime, event: Event) -> Decided:
        """The cluster moved on: the plan no longer fits it."""
        record = self.plan(plan_id)
        closed = replace(record, status=PlanStatus.VOID, decided_at=now, reason=reason)
        return self._close(record, closed, event, Decision.CLOSED)

    def _close(self, record: PlanRecord, closed: PlanRecord, event: Event, decision: Decision) -> Decided:
        if record.status is not PlanStatus.PROPOSED:
            return _not_proposed(record)
        check_plan_move(record.status, closed.status)
        check, effects = self._closing(record, closed, event)
        if self.commit(token=new_token(), checks=[check], effects=effects).refused:
            return _not_proposed(self.plan(record.id))
        return Decided(decision, f"The plan {record.id} is {closed.status}.")

    def _closing(self, record: PlanRecord, closed: PlanRecord, event: Event) -> tuple[Check, list[Effect]]:
        """What must hold and what happens when a plan that waits is closed as `closed` says."""
        text = self._plan_text(record.id)
        if PLAN.validate_json(text) != record:
            text = _CHANGED
        effects: list[Effect] = [
            ("HSET", key("plan", record.id), "record", _dump(closed)),
            ("SREM", key("plans", "open"), record.id),
            *record_events(event),
        ]
        return Check("plan", key("plan", record.id), text, "record"), effects

    def _plan_text(self, plan_id: str) -> str:
        text = self.field(key("plan", plan_id), "record")
        if text is None:
            raise UnknownThing(f"There is no plan `{plan_id[:40]}`: ask for a new one.")
        return text


def _dump(record: PlanRecord) -> str:
    return PLAN.dump_json(record).decode()


def _refusal(stored: PlanRecord, shown: PlanRecord, approval: Approval, now: datetime) -> Decided | None:
    statement = approval.statement
    if stored.status is not PlanStatus.PROPOSED:
        return _not_proposed(stored)
    if not stored.plan.digest == stored.digest == shown.digest == statement.digest:
        return _other_digest(stored)
    if now >= stored.expires_at:
        return Decided(
            Decision.EXPIRED, f"The plan {stored.id} expired at {stored.expires_at:%H:%M} UTC: ask for a new one."
        )
    if statement.person == stored.requester:
        return Decided(
            Decision.OWN_PLAN, "You asked for this plan: somebody else must approve it.", by=stored.requester
        )
    return None


def _not_proposed(record: PlanRecord) -> Decided:
    return Decided(Decision.NOT_PROPOSED, already_decided(record), by=record.decided_by)


def already_decided(record: PlanRecord) -> str:
    """The one sentence for whoever comes too late."""
    who = f" by {record.decided_by}" if record.decided_by else ""
    when = f" at {record.decided_at:%H:%M} UTC" if record.decided_at else ""
    if record.status is PlanStatus.VOID:
        reason = record.reason.rstrip(".")
        return f"The plan {record.id} is void{when.replace(' at', ' since')}: {reason}. Decide on a newer plan."
    return f"The plan {record.id} is already {record.status}{who}{when}: nothing was changed."


def _other_digest(record: PlanRecord) -> Decided:
    sentence = f"The plan {record.id} is not the one that was shown (its digest is {record.digest[:8]}): look again."
    return Decided(Decision.OTHER_DIGEST, sentence)


def _locked(cluster: str, holder: str) -> Decided:
    sentence = f"The cluster {cluster} is locked by the operation {holder}: approve again when that has ended."
    return Decided(Decision.CLUSTER_LOCKED, sentence, operation_id=holder)
