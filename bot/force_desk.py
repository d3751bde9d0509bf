"""`force-delete` on a terminal: ask, and as a second person allow, signed with an SSH key."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from bot.desk import Desk
from bot.text import moment
from cluster.approval import SignedWith
from cluster.errors import UnknownThing
from cluster.events import Happened
from cluster.findings import demand_clear
from cluster.force import ForceApproval, ForceRequest
from cluster.signing import fingerprint, ssh_signature
from policies.forcing import draft_force, may_force, tell_force


def ask_force(desk: Desk, pod: str, cluster: str | None) -> ForceRequest:
    """Keep the request of whoever types; raises Refused where no drain waits for that pod."""
    operation, now, person = desk.operation(None, cluster), datetime.now(UTC), desk.person
    request = draft_force(operation, pod, force_id=f"f-{secrets.token_hex(4)}", person=person, now=now)
    desk.store.ask_force(request, tell_force(Happened.FORCE_ASKED, request, operation, person, now))
    return request


def find_force(desk: Desk, force_id: str) -> ForceRequest:
    """Of the runs that have not ended."""
    found = (r for o in desk.store.active() for r in desk.store.forces(o) if r.id == force_id)
    if (request := next(found, None)) is None:
        raise UnknownThing(f"No run in hand has a deletion `{force_id[:40]}`: ask with `lockkeeper force-delete`.")
    return request


def allow_force(desk: Desk, shown: ForceRequest, key_file: Path) -> ForceRequest:
    """Allow exactly what was shown with the person's SSH key; raises Refused with the reason."""
    now, operation = datetime.now(UTC), desk.store.operation(shown.operation_id)
    person, line = desk.signer(key_file)
    demand_clear(
        may_force(shown, operation, person=person, slack_user=None, groups={}, settings=desk.settings, now=now)
    )
    evidence = f"SSH key {fingerprint(line)}"
    signature = ssh_signature(shown.signed_bytes(person, now, evidence), key_file)
    approval = ForceApproval(person, now, evidence, SignedWith.SSH, signature)
    event = tell_force(Happened.FORCE_APPROVED, shown, operation, person, now)
    return desk.store.approve_force(shown, approval, event)


def render_force(request: ForceRequest) -> str:
    """What exactly is asked for, a line each."""
    return "\n".join(
        (
            f"{request.requester} asks to delete one pod that holds up a drain ({request.id}):",
            f"  pod   {request.pod} (uid {request.uid})",
            f"  node  {request.node} of {request.cluster}, in {request.operation_id}",
            f"  held  by {request.held_by}",
            f"  until {moment(request.expires_at)}",
        )
    )
