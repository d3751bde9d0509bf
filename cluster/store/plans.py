"""Plans and the decisions on them; an approval, its operation and the cluster's lock are one write."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from cluster.approval import Approval
from cluster.errors import UnknownThing
from cluster.events import Event
from cluster.operation import Operation
from cluster.plan import PlanRecord, PlanStatus, check_plan_move
from cluster.store.ledger import Check, Effect, Ledger, key, new_token, record_events
from cluster.store.operations import create_operation
from cluster.store.records import APPROVAL, PLAN


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
        effects: list[Effect] = [
            ("HSET", key("plan", record.id), "record", _dump(record)),
            ("ZADD", key("plans"), str(record.requested_at.timestamp()), record.id),
            ("SADD", key("plans", "open"), record.id),
            *record_events(event),
        ]
        self.commit(
            token=f"propose/{record.id}", checks=[Check("new", key("plan", record.id), "", "record")], effects=effects
        )

    def plan(self, plan_id: str) -> PlanRecord:
        return PLAN.validate_json(self._plan_text(plan_id))

    def plans(self, cluster: str | None = None) -> tuple[PlanRecord, ...]:
        """Newest first."""
        ids = self.latest_first(key("plans"))
        records = (self.plan(i) for i in ids)
        return tuple(r for r in records if cluster is None or r.plan.cluster == cluster)

    def open_plans(self) -> tuple[PlanRecord, ...]:
        """Those that wait for a decision."""
        return tuple(self.plan(i) for i in self.members(key("plans", "open")))

    def approval(self, operation_id: str) -> Approval | None:
        text = self.text(key("approval", operation_id))
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
        text = self._plan_text(record.id)
        if PLAN.validate_json(text) != record:
            return _not_proposed(self.plan(record.id))
        effects: list[Effect] = [
            ("HSET", key("plan", record.id), "record", _dump(closed)),
            ("SREM", key("plans", "open"), record.id),
            *record_events(event),
        ]
        checks = [Check("plan", key("plan", record.id), text, "record")]
        if self.commit(token=new_token(), checks=checks, effects=effects).refused:
            return _not_proposed(self.plan(record.id))
        return Decided(decision, f"The plan {record.id} is {closed.status}.")

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
    who = f" by {record.decided_by}" if record.decided_by else ""
    when = f" at {record.decided_at:%H:%M} UTC" if record.decided_at else ""
    sentence = f"The plan {record.id} is already {record.status}{who}{when}: nothing was changed."
    return Decided(Decision.NOT_PROPOSED, sentence, by=record.decided_by)


def _other_digest(record: PlanRecord) -> Decided:
    sentence = f"The plan {record.id} is not the one that was shown (its digest is {record.digest[:8]}): look again."
    return Decided(Decision.OTHER_DIGEST, sentence)


def _locked(cluster: str, holder: str) -> Decided:
    sentence = f"The cluster {cluster} is locked by the operation {holder}: approve again when that has ended."
    return Decided(Decision.CLUSTER_LOCKED, sentence, operation_id=holder)
