"""What happened, in the past tense: one fact each, JSON, appended in the same call that moves the state."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Happened(StrEnum):
    """Every kind of event there is."""

    PLAN_REQUESTED = "plan-requested"
    REQUEST_REFUSED = "request-refused"
    PLAN_PROPOSED = "plan-proposed"
    PLAN_APPROVED = "plan-approved"
    PLAN_REJECTED = "plan-rejected"
    PLAN_EXPIRED = "plan-expired"
    PLAN_VOIDED = "plan-voided"
    OPERATION_STARTED = "operation-started"
    DRIVER_TOOK_OVER = "driver-took-over"
    PAUSE_ASKED = "pause-asked"
    CANCEL_ASKED = "cancel-asked"
    RESUME_ASKED = "resume-asked"
    RETRY_ASKED = "retry-asked"
    SKIP_ASKED = "skip-asked"
    EXTEND_ASKED = "extend-asked"
    ALERT_SPARED = "alert-spared"  # a person lets the run go on in spite of alerts, by name and for a while
    FORCE_ASKED = "force-asked"  # the deletion of one pod that holds up a drain
    FORCE_APPROVED = "force-approved"
    FORCE_ENDED = "force-ended"  # done, or refused by the worker
    OPERATION_PARKED = "operation-parked"
    OPERATION_BLOCKED = "operation-blocked"
    OPERATION_CANCELLING = "operation-cancelling"
    OPERATION_CANCELLED = "operation-cancelled"
    OPERATION_COMPLETED = "operation-completed"
    STEP_STARTED = "step-started"
    STEP_WAITED = "step-waited"  # an expected wait, said once: what for
    NODE_HELD = "node-held"  # its drain waits for pods for longer than is usual
    NODE_FREED = "node-freed"  # it does no more
    STEP_STUCK = "step-stuck"  # its command runs for longer than is usual; nobody kills it
    STEP_FINISHED = "step-finished"
    STEP_FAILED = "step-failed"
    NODE_UNCORDONED = "node-uncordoned"  # given back after a failed drain
    NODE_FINISHED = "node-finished"
    NODE_SKIPPED = "node-skipped"
    NODE_JOINED = "node-joined"  # seen, not touched
    LOCK_RELEASED = "lock-released"
    SURVEY_ASKED = "survey-asked"
    SURVEY_FINISHED = "survey-finished"
    DRY_RUN_ASKED = "dry-run-asked"
    DRY_RUN_FINISHED = "dry-run-finished"

    @classmethod
    def _missing_(cls, value: object) -> Happened | None:
        """A kind of another release is kept as its text, which is none of these: its sentence can be told."""
        if not isinstance(value, str):
            return None
        kind = str.__new__(cls, value)
        kind._name_ = kind._value_ = value
        return kind

    @property
    def is_known(self) -> bool:
        """Whether this release has it."""
        return self.name in type(self).__members__


@dataclass(frozen=True, slots=True)
class Event:
    """One fact; `sentence` is fit for the thread, `facts` are its parts for programs."""

    kind: Happened  # or another text, where another release wrote it
    at: datetime
    cluster: str
    sentence: str
    plan_id: str = ""
    operation_id: str = ""
    node: str = ""
    step: str = ""  # "0/workers/drain": hop/phase/verb
    attempt: int = 0
    person: str = ""
    facts: dict[str, str] = field(default_factory=dict)
