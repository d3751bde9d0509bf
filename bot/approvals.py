"""The click on Approve or Reject: checked in order, signed, and decided by one conditional write."""

from __future__ import annotations

from bot.asked import Asked
from bot.blocks import Message
from bot.plan_notes import notes_view
from bot.plan_views import details_view, reject_view, sentence_view
from bot.station import Station, new_id, said
from bot.text import local_moment
from bot.voids import check_still_fits
from cluster.approval import statement_of
from cluster.errors import ClusterUnreadable, LockkeeperError, Refused, StaleMove
from cluster.events import Event, Happened
from cluster.findings import demand_clear
from cluster.operation import schedule
from cluster.plan import PlanRecord, PlanStatus
from cluster.signing import sign_as_bot
from cluster.store import Decision, already_decided
from policies.approvals import SlackUser, may_decide
from policies.release_notes import confirmed, facts_of, notes_of
from policies.traces import held_elsewhere

SEPARATOR = "|"  # between a token and a channel in a modal's private metadata


def click(station: Station, asked: Asked, token: str) -> Message | None:
    """Approve, or first ask for what the policy wants confirmed; None where a window asks for it."""
    if not station.settings.approvals.confirm_release_notes:
        return approve(station, asked, token)
    record = _record(station, token)
    if not notes_of(record):
        return approve(station, asked, token)
    _person(station, asked, record)
    station.delivery.open_view(asked.trigger_id, notes_view(record, f"{token}{SEPARATOR}{asked.channel}"))
    return None


def approve(station: Station, asked: Asked, token: str, notes_read: tuple[str, ...] = ()) -> Message:
    """Every check in order, then one write; each refusal is one sentence to the person who clicked."""
    user = station.check_home(asked, fresh=True)
    record = _record(station, token)
    evidence = _check_right(station, asked, user, record, token, notes_read)
    check_still_fits(station.store, record, station.clock())
    _check_lease(station, record)
    person = station.settings.person_of_slack(asked.user) or ""
    return _decide(station, record, person, evidence, notes_read)


def _record(station: Station, token: str) -> PlanRecord:
    """The record that the button names; what the button claims of it is checked later."""
    plan_id, separator, digest8 = token.partition(":")
    if not separator or not digest8:
        raise Refused("This button is not one of lockkeeper's: make the plan again.")
    record = station.store.plan(plan_id)
    if record.status is not PlanStatus.PROPOSED:
        raise StaleMove(already_decided(record))
    return record


def _person(station: Station, asked: Asked, record: PlanRecord) -> str:
    """Somebody else than who asked for the plan."""
    person = station.settings.person_of_slack(asked.user)
    if person is None:
        raise Refused("You may not approve: your Slack account belongs to nobody in `people` of lockkeeper.yaml.")
    if person == record.requester:
        raise Refused("You may not approve your own plan: let a second person approve it.")
    return person


def _check_right(  # noqa: PLR0917 - who clicked what, where
    station: Station, asked: Asked, user: SlackUser, record: PlanRecord, token: str, notes_read: tuple[str, ...]
) -> str:
    """Who, where and which plan, as the policy says; answers with how the right was seen. Fails closed."""
    person = _person(station, asked, record)
    groups = station.approver_groups(person)
    demand_clear(
        may_decide(
            record,
            person=person,
            slack_user=user,
            channel=asked.channel,
            digest8=token.partition(":")[2],
            groups=groups,
            settings=station.settings,
            now=station.clock(),
            notes_read=notes_read,
        )
    )
    return station.evidence(asked, person, groups)


def _check_lease(station: Station, record: PlanRecord) -> None:
    """Another installation shows itself by its Lease; an unreadable cluster refuses nothing, the worker looks again."""
    try:
        holder = station.lease_holder(record.plan.cluster)
    except ClusterUnreadable:
        return
    demand_clear(held_elsewhere(record.plan.cluster, holder, station.settings.installation))


def _decide(station: Station, record: PlanRecord, person: str, evidence: str, notes_read: tuple[str, ...]) -> Message:
    if station.signing_key is None:
        raise Refused("This bot has no `approvals.signing_key`: approve with `lockkeeper approve` on a terminal.")
    now, operation_id = station.clock(), new_id("op")
    statement = statement_of(
        record, person=person, evidence=evidence, operation_id=operation_id, at=now, notes_read=notes_read
    )
    operation = schedule(record, operation_id=operation_id, approved_by=person, now=now)
    sentence = f"{person} approved the plan; run `{operation_id}` starts.{confirmed(notes_read)}"
    event = Event(
        Happened.PLAN_APPROVED,
        now,
        operation.cluster,
        sentence,
        record.id,
        operation_id,
        person=person,
        facts=facts_of(notes_read),
    )
    approval = sign_as_bot(statement, station.signing_key)
    outcome = station.store.approve(record, approval, operation, event, now)
    if outcome.decision is not Decision.APPROVED:
        raise StaleMove(outcome.sentence)
    station.wakeups.wake(operation_id)
    return Message(f"Approved by you, {local_moment(now)}. The run appears as its own message here.")


def reject(station: Station, asked: Asked, token: str, reason: str) -> Message:
    """Anybody of `people` may reject, the requester too: it only ever stops something."""
    person = station.person(asked)
    record = _record(station, token)
    if token.partition(":")[2] != record.digest[:8]:
        raise Refused(f"The digest of this button is not the one of {record.id}: look at its newest card.")
    if asked.channel != record.channel:
        raise Refused(f"The plan {record.id} is decided in the channel of its card only: click there.")
    sentence = f"{person} rejected the plan: {reason}"
    now = station.clock()
    event = Event(Happened.PLAN_REJECTED, now, record.plan.cluster, sentence, record.id, person=person)
    outcome = station.store.reject(record.id, record.digest, person, reason, now, event)
    if outcome.decision is not Decision.REJECTED:
        raise StaleMove(outcome.sentence)
    return said(f"Rejected: {record.id}.")


def ask_for_reason(station: Station, asked: Asked, token: str) -> None:
    """Open the modal that asks why; it remembers the plan and the channel of the click."""
    view = reject_view(f"{token}{SEPARATOR}{asked.channel}")
    station.delivery.open_view(asked.trigger_id, view)


def split_metadata(text: str) -> tuple[str, str]:
    token, _, channel = text.partition(SEPARATOR)
    return token, channel


def show_details(station: Station, asked: Asked, token: str) -> None:
    """Open the whole plan; a trigger lives three seconds, so nobody is asked anything before the window is there."""
    plan_id = token.partition(":")[0]
    window = station.delivery.open_view(asked.trigger_id, sentence_view(plan_id, "Reading the plan…"))
    try:
        station.check_home(asked)
        view = details_view(station.store.plan(plan_id))
    except LockkeeperError as error:
        view = sentence_view(plan_id, str(error))
    station.delivery.fill_view(window, view)
