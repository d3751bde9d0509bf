"""The deletion of one named pod that holds up a drain: asked for by one person, signed by another, done once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cluster.approval import SignedWith
from cluster.plan import canonical

LIFE = timedelta(minutes=15)  # from the asking on, and again from the signature on: whichever is over first


@dataclass(frozen=True, slots=True)
class ForceApproval:
    """Who allowed it; the signature covers these words and those of the request."""

    person: str
    at: datetime
    evidence: str  # how the right to approve was seen, as in an approval of a plan
    signed_with: SignedWith
    signature: str


@dataclass(frozen=True, slots=True)
class ForceRequest:
    """One pod, by its uid, on one node of one run."""

    id: str  # f-xxxxxxxx
    operation_id: str
    cluster: str
    node: str
    pod: str  # namespace/name
    uid: str
    held_by: str  # what kept it when it was asked for
    requester: str  # a name in `people:`
    expires_at: datetime
    approval: ForceApproval | None = None
    outcome: str = ""  # what became of it; "" while nothing has

    @property
    def digest(self) -> str:
        """Of what a button shows: whoever clicks approves exactly that."""
        return hashlib.sha256(canonical(self._words())).hexdigest()

    def signed_bytes(self, person: str, at: datetime, evidence: str) -> bytes:
        """What whoever allows it signs; canonical JSON of another kind than the approval of a plan."""
        return canonical(
            {
                "what": "lockkeeper force-delete v1",
                **self._words(),
                "person": person,
                "at": at.isoformat(),
                "evidence": evidence,
            }
        )

    def _words(self) -> dict[str, str]:
        return {
            "id": self.id,
            "operation_id": self.operation_id,
            "cluster": self.cluster,
            "node": self.node,
            "pod": self.pod,
            "uid": self.uid,
            "held_by": self.held_by,
            "requester": self.requester,
            "expires_at": self.expires_at.isoformat(),
        }
