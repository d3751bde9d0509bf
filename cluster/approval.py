"""A decision on a digest by a person, as a signed statement that a worker can check on its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cluster.plan import PlanRecord, canonical


class SignedWith(StrEnum):
    """Whose key signed: the bot's own (a click that it checked) or the person's SSH key (the command line)."""

    BOT = "bot"
    SSH = "ssh"


@dataclass(frozen=True, slots=True)
class Statement:
    """What is signed. Changing any word of it breaks the signature."""

    plan_id: str
    digest: str  # the whole SHA-256 of the plan
    cluster: str
    decision: str  # "approve"
    person: str  # a name in `people:`
    requester: str
    at: datetime
    expires_at: datetime  # bounds the start of the run
    evidence: (
        str  # how the right to approve was seen: "approver list", "user group S0… at 14:01 UTC", "SSH key SHA256:…"
    )
    operation_id: str
    notes_read: tuple[str, ...] = ()  # minors whose release notes the person confirmed to have read

    def signed_bytes(self) -> bytes:
        """Canonical JSON; times in UTC, ISO 8601. Where nothing was confirmed it is as it was before one could."""
        confirmed = {"notes_read": list(self.notes_read)} if self.notes_read else {}
        return canonical(
            {
                "what": "lockkeeper approval v1",
                "plan_id": self.plan_id,
                "digest": self.digest,
                "cluster": self.cluster,
                "decision": self.decision,
                "person": self.person,
                "requester": self.requester,
                "at": self.at.isoformat(),
                "expires_at": self.expires_at.isoformat(),
                "evidence": self.evidence,
                "operation_id": self.operation_id,
                **confirmed,
            }
        )


@dataclass(frozen=True, slots=True)
class Approval:
    """A statement and its signature: base64 (bot, Ed25519 over signed_bytes) or an armored SSH signature."""

    statement: Statement
    signed_with: SignedWith
    signature: str


def statement_of(
    record: PlanRecord,
    *,
    person: str,
    evidence: str,
    operation_id: str,
    at: datetime,
    notes_read: tuple[str, ...] = (),
) -> Statement:
    """What a person signs who approves this plan now."""
    return Statement(
        plan_id=record.id,
        digest=record.digest,
        cluster=record.plan.cluster,
        decision="approve",
        person=person,
        requester=record.requester,
        at=at,
        expires_at=record.expires_at,
        evidence=evidence,
        operation_id=operation_id,
        notes_read=notes_read,
    )
