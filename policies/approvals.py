"""Who may decide on a plan, and whether an approval that was found in the store is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cluster.approval import Approval, SignedWith
from cluster.findings import Finding, Findings, Severity, blockers
from cluster.plan import PlanRecord, PlanStatus
from cluster.settings import Settings
from cluster.signing import is_genuine
from policies.release_notes import unread_notes
from policies.windows import next_opening

_DIGEST8 = 8


@dataclass(frozen=True, slots=True)
class SlackUser:
    """What Slack says of an account, as far as it decides; read by the bot at the click."""

    id: str
    is_bot: bool = False
    deleted: bool = False
    is_guest: bool = False
    is_stranger: bool = False  # an account of another workspace


def may_decide(
    record: PlanRecord,
    *,
    person: str,
    slack_user: SlackUser | None,
    channel: str,
    digest8: str,
    groups: Mapping[str, frozenset[str]],
    settings: Settings,
    now: datetime,
    notes_read: tuple[str, ...] = (),
) -> Findings:
    """May this person approve this plan, here and now? `slack_user` is None on a terminal; `groups` are Slack ids."""
    found: list[Finding] = []
    if person == record.requester:  # first: it is the plainest thing to say to whoever asked for the plan
        found.append(_stop("own-plan", person, "This is your own plan.", "Let a second person approve it."))
    found += [*check_person(slack_user, person, groups, settings), *_plan(record, digest8, now)]
    if channel != record.channel:
        sentence = f"The plan {record.id} is decided in its own channel only."
        found.append(_stop("other-channel", record.id, sentence, "Click on its card there."))
    if unread := _unread(record, notes_read, settings):
        sentence = f"Whoever approves {record.id} confirms to have read the release notes of {unread}."
        remedy = "Read them; a click on Approve asks for it, and so does `lockkeeper approve`, or takes `--notes-read`."
        found.append(_stop("release-notes-unread", record.id, sentence, remedy))
    return tuple(found)


def judge_approval(
    approval: Approval, record: PlanRecord, settings: Settings, now: datetime, *, started: bool = False
) -> Findings:
    """Is this an approval of this plan by somebody entitled? `started`: its expiry bounds the first step only."""
    said = approval.statement
    person = settings.people.get(said.person)
    keys = person.ssh_keys if person else ()
    genuine = is_genuine(approval, bot_key=settings.approvals.public_key, person_keys=keys)
    found = []
    if not genuine:
        sentence = f"The approval of {record.id} by {said.person!r} carries no valid signature."
        found.append(_stop("approval-not-genuine", record.id, sentence, "Cancel the run, and find out who wrote it."))
    claims = (said.plan_id, said.digest, said.cluster, said.decision, said.requester)
    truth = (record.id, record.plan.digest, record.plan.cluster, "approve", record.requester)
    if claims != truth or record.digest != record.plan.digest:
        sentence = f"The approval that was found is not one of exactly the plan {record.id}."
        found.append(_stop("approval-of-another-plan", record.id, sentence, "Cancel the run, and plan again."))
    if not is_entitled(said.person, said.evidence, approval.signed_with, settings):
        sentence = f"{said.person!r} is not among the approvers of this installation."
        found.append(_stop("approver-not-entitled", said.person, sentence, "Cancel the run; let an approver approve."))
    if said.person == record.requester:
        sentence = f"{said.person!r} approved a plan of their own."
        found.append(_stop("own-plan", said.person, sentence, "Cancel the run; let a second person approve."))
    if unread := _unread(record, said.notes_read, settings):
        sentence = f"{said.person!r} did not confirm to have read the release notes of {unread}."
        found.append(_stop("release-notes-unread", record.id, sentence, "Cancel the run, and plan again."))
    # also counted from the signed moment: what is shown to an approver as its end stands in Redis
    good_for = timedelta(seconds=settings.approvals.expire_after)
    end = min(said.expires_at, record.expires_at, said.at + good_for)
    cluster = settings.clusters.get(said.cluster)
    opening = next_opening(cluster, said.at) if cluster is not None else None
    if opening is not None and opening > said.at:  # nothing could begin before, and whoever approved was told so
        end = opening + good_for
    if not started and now >= end:
        sentence = f"The approval of {record.id} expired at {end:%H:%M} UTC, before its first step."
        found.append(_stop("approval-expired", record.id, sentence, "Cancel the run, and plan again."))
    return tuple(found)


def check_person(
    user: SlackUser | None, person: str, groups: Mapping[str, frozenset[str]], settings: Settings
) -> Iterator[Finding]:
    """Is this an approver? `user` is None on a terminal."""
    if user is not None and (user.is_bot or user.deleted or user.is_stranger):
        sentence = "Only people of this workspace may decide on a plan."
        yield _stop("outsider", person, sentence, "Let an approver of this workspace decide.")
    elif user is not None and user.is_guest:
        yield _stop("guest", person, "A guest of this workspace may not decide on a plan.", "Let a member decide.")
    known = settings.people.get(person)
    if known is None or (user is not None and known.slack != user.id):
        sentence = "You are nobody in `people` of lockkeeper.yaml."
        yield _stop("unknown-person", person, sentence, "Have your account added there.")
        return
    listed = person in settings.approvals.approvers
    member = user is not None and any(user.id in groups.get(g, ()) for g in settings.approvals.user_groups)
    if not (listed or member):
        sentence = "You are not among the approvers: neither on their list nor in one of their groups."
        yield _stop("not-an-approver", person, sentence, "Ask an approver.")


def _plan(record: PlanRecord, digest8: str, now: datetime) -> Iterator[Finding]:
    if record.status is not PlanStatus.PROPOSED:
        sentence = f"The plan {record.id} is already {record.status}."
        yield _stop("plan-decided", record.id, sentence, "Look at it with `status`.")
    if len(digest8) < _DIGEST8 or not record.plan.digest.startswith(digest8) or record.digest != record.plan.digest:
        sentence = f"The digest {digest8[:_DIGEST8]!r} is not the one of {record.id}: the plan is another one."
        yield _stop("other-digest", record.id, sentence, "Look at the newest card of this plan.")
    if now >= record.expires_at:
        sentence = f"The plan {record.id} expired at {record.expires_at:%H:%M} UTC."
        yield _stop("plan-expired", record.id, sentence, "Plan again.")
    if stops := blockers(record.findings):
        codes = ", ".join(sorted({f.code for f in stops}))
        sentence = f"The plan {record.id} is blocked by {codes}."
        yield _stop("plan-blocked", record.id, sentence, "Mend what its findings say, and plan again.")


def _unread(record: PlanRecord, notes_read: tuple[str, ...], settings: Settings) -> str:
    """The minors whose notes are still to be confirmed, in words; "" where nothing is asked for or all were."""
    asked = settings.approvals.confirm_release_notes
    return " and ".join(unread_notes(record, notes_read)) if asked else ""


def is_entitled(person: str, evidence: str, signed_with: SignedWith, settings: Settings) -> bool:
    """Listed approvers; a group's member only on the bot's word, since workers never ask Slack."""
    if person not in settings.people:
        return False
    if person in settings.approvals.approvers:
        return True
    groups = settings.approvals.user_groups
    return signed_with is SignedWith.BOT and any(evidence.startswith(f"user group {g} ") for g in groups)


def _stop(code: str, subject: str, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, subject, sentence, remedy)
