"""Who may have one pod deleted that holds up a drain, and whether a deletion that was found in the store is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from cluster.errors import Refused, UnknownThing
from cluster.events import Event, Happened
from cluster.findings import Finding, Findings, Severity
from cluster.force import LIFE, ForceRequest
from cluster.operation import ITS_OWN_END, Hold, NodeRow, Operation
from cluster.settings import Settings
from cluster.signing import is_signed
from policies.approvals import SlackUser, check_person, is_entitled
from policies.stops import is_stopped

_CLOCKS_APART = timedelta(seconds=30)  # whoever signs is often on another host than whoever deletes


def find_held(operation: Operation, pod: str) -> tuple[NodeRow, Hold]:
    """Which drain in hand waits for this pod; raises UnknownThing or Refused where none does."""
    for row in operation.rows:
        for hold in row.held if is_stopped(row) else ():
            if hold.pod == pod:
                if hold.by == ITS_OWN_END:
                    raise Refused(
                        f"`{pod}` is being deleted already ({hold.why}): to delete it again changes nothing. "
                        "See what its end waits for."
                    )
                return row, hold
    known = [h.pod for r in operation.rows if is_stopped(r) for h in r.held]
    held = f"those that do are {', '.join(known[:5])}" if known else "none does now"
    raise UnknownThing(f"No drain in hand of {operation.id} has waited for `{pod[:120]}` for long: {held}.")


def draft_force(operation: Operation, pod: str, *, force_id: str, person: str, now: datetime) -> ForceRequest:
    """What this person asks for, as it stands now; raises like find_held."""
    row, hold = find_held(operation, pod)
    return ForceRequest(
        id=force_id,
        operation_id=operation.id,
        cluster=operation.cluster,
        node=row.node,
        pod=hold.pod,
        uid=hold.uid,
        held_by=hold.by,
        requester=person,
        expires_at=now + LIFE,
    )


def tell_force(kind: Happened, request: ForceRequest, operation: Operation, person: str, now: datetime) -> Event:
    """The event of its being asked for, or allowed."""
    if kind is Happened.FORCE_ASKED:
        sentence = f"{person} asked for the deletion of {request.pod} on {request.node}, held by {request.held_by}."
    else:
        sentence = f"{person} allowed the deletion of {request.pod} on {request.node}."
    return Event(
        kind,
        now,
        operation.cluster,
        sentence,
        plan_id=operation.plan_id,
        operation_id=operation.id,
        node=request.node,
        person=person,
        facts={"force": request.id},
    )


def may_force(
    request: ForceRequest,
    operation: Operation,
    *,
    person: str,
    slack_user: SlackUser | None,
    groups: Mapping[str, frozenset[str]],
    settings: Settings,
    now: datetime,
) -> Findings:
    """May this person allow it, now? The rules for a plan's approval; `slack_user` is None on a terminal."""
    found: list[Finding] = []
    if person == request.requester:
        sentence = f"You asked for the deletion {request.id} yourself."
        found.append(_stop("own-force", person, sentence, "Let a second person allow it."))
    found += [*check_person(slack_user, person, groups, settings), *_open(request, now)]
    if not _is_held(request, operation):
        sentence = f"No drain of {request.operation_id} waits for {request.pod} any more."
        found.append(_stop("force-not-needed", request.id, sentence, "Nothing needs to be done."))
    return tuple(found)


def judge_force(request: ForceRequest, settings: Settings, now: datetime) -> Findings:
    """Was this allowed by somebody entitled, for exactly these words, and is it still? All by the signature."""
    said = request.approval
    if said is None:
        return (_stop("force-not-genuine", request.id, f"Nobody allowed the deletion {request.id}.", "Allow it."),)
    found: list[Finding] = []
    person = settings.people.get(said.person)
    message = request.signed_bytes(said.person, said.at, said.evidence)
    keys = person.ssh_keys if person else ()
    bot_key = settings.approvals.public_key
    if not is_signed(message, said.signature, said.signed_with, bot_key=bot_key, person_keys=keys):
        sentence = (
            f"The deletion {request.id} of {request.pod}, as if allowed by {said.person!r}, has no valid signature."
        )
        found.append(_stop("force-not-genuine", request.id, sentence, "Find out who wrote it."))
    if not is_entitled(said.person, said.evidence, said.signed_with, settings):
        sentence = f"{said.person!r} is not among the approvers of this installation."
        found.append(_stop("approver-not-entitled", said.person, sentence, "Let an approver allow it."))
    if said.person == request.requester:
        sentence = f"{said.person!r} allowed a deletion of their own, {request.id}."
        found.append(_stop("own-force", said.person, sentence, "Let a second person allow it."))
    if not said.at - _CLOCKS_APART <= now < min(request.expires_at, said.at + LIFE):
        found.append(_stop("force-over", request.id, f"The deletion {request.id} came too late.", "Ask for it anew."))
    return tuple(found)


def _open(request: ForceRequest, now: datetime) -> Iterator[Finding]:
    if request.approval is not None or request.outcome:
        by = f" by {request.approval.person}" if request.approval else ""
        yield _stop("force-over", request.id, f"The deletion {request.id} was allowed already{by}.", "Look at the run.")
    if now >= request.expires_at:
        sentence = f"The deletion {request.id} expired at {request.expires_at:%H:%M} UTC."
        yield _stop("force-over", request.id, sentence, "Ask for it anew.")


def _is_held(request: ForceRequest, operation: Operation) -> bool:
    row = next((r for r in operation.rows if r.node == request.node), None)
    return row is not None and is_stopped(row) and any((h.uid, h.pod) == (request.uid, request.pod) for h in row.held)


def _stop(code: str, subject: str, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, subject, sentence, remedy)
