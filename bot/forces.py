"""`force-delete`: one pod that holds up a drain; one person asks, a second one allows it by a click that is signed."""

from __future__ import annotations

from bot.asked import Asked
from bot.blocks import Message
from bot.controls import running_operation
from bot.station import Station, new_id, said
from bot.text import duration
from cluster.approval import SignedWith
from cluster.errors import Refused
from cluster.events import Happened
from cluster.findings import demand_clear
from cluster.force import LIFE, ForceApproval, ForceRequest
from cluster.operation import Operation
from cluster.signing import bot_signature
from policies.forcing import draft_force, may_force, tell_force


def ask(station: Station, asked: Asked, pod: str, cluster: str | None) -> Message:
    """Keep the request; a person who may approve plans, and is another one, decides in the thread of the run."""
    person = station.person(asked)
    operation = running_operation(station, cluster)
    now = station.clock()
    request = draft_force(operation, pod, force_id=new_id("f"), person=person, now=now)
    station.store.ask_force(request, tell_force(Happened.FORCE_ASKED, request, operation, person, now))
    within = duration(int(LIFE.total_seconds()))
    return said(f"Asked, as {request.id}: an approver allows it in the thread of the run within {within}.")


def allow(station: Station, asked: Asked, token: str) -> Message:
    """The click of the second person: judged by a fresh look at who they are, and signed."""
    user = station.check_home(asked, fresh=True)
    operation_id, _, rest = token.partition(" ")
    force_id, _, digest = rest.partition(" ")
    operation = station.store.operation(operation_id)
    request = station.store.force(operation_id, force_id)
    if not digest or not request.digest.startswith(digest):
        raise Refused(f"The deletion {force_id} is not the one that this button shows: look at the newest message.")
    if asked.channel != station.settings.channel(operation.cluster):
        raise Refused(f"The deletion {force_id} is decided in the channel of its cluster only: click there.")
    person, settings = station.settings.person_of_slack(asked.user) or "", station.settings
    groups, now = station.approver_groups(person), station.clock()
    demand_clear(
        may_force(request, operation, person=person, slack_user=user, groups=groups, settings=settings, now=now)
    )
    return _sign(station, operation, request, person, station.evidence(asked, person, groups))


def _sign(station: Station, operation: Operation, request: ForceRequest, person: str, evidence: str) -> Message:
    if station.signing_key is None:
        raise Refused(
            "This bot has no `approvals.signing_key`: allow it with `lockkeeper approve-force` on a terminal."
        )
    now = station.clock()
    signature = bot_signature(request.signed_bytes(person, now, evidence), station.signing_key)
    approval = ForceApproval(person, now, evidence, SignedWith.BOT, signature)
    event = tell_force(Happened.FORCE_APPROVED, request, operation, person, now)
    station.store.approve_force(request, approval, event)
    return said(f"Allowed: {request.pod} is deleted at the worker's next look.")
