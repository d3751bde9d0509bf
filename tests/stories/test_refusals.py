"""What is refused: each with one clear sentence, and with nothing changed."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from cluster.approval import Approval, SignedWith, Statement
from cluster.events import Event, Happened
from cluster.operation import OperationState, schedule
from cluster.plan import PlanStatus
from cluster.queues import Wakeups
from lab.rig import CHANNEL

pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]


@pytest.fixture
def untouched(office):
    """Whatever the story does, no operation is made and no machine is told to do anything."""
    operations = len(office.store.operations())
    starts = sum(1 for r in office.world.exec_log() if r.started)
    yield
    assert len(office.store.operations()) == operations
    assert sum(1 for r in office.world.exec_log() if r.started) == starts


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/k8s plan banana", "`banana` is not a version"),
        ("/k8s plan v1.34.2", "downgrade"),
        ("/k8s plan v1.35.99", "not offered"),
        ("/k8s plan v1.35.4 nowhere", "no cluster `nowhere`"),
        ("/k8s versions nowhere", "no cluster `nowhere`"),
        ("/k8s verions", "`versions`"),
        ("/k8s plan", "version"),
    ],
)
def test_a_wrong_word_gets_one_sentence(office, typed, words):
    """The sentence says what was wrong with exactly this."""
    before = len(office.slack.ephemerals("U0ADA"))
    office.slack.say("U0ADA", CHANNEL, typed)
    office.until(
        lambda: any(words.lower() in office.slack.text(m).lower() for m in office.slack.ephemerals("U0ADA")[before:])
    )


@pytest.fixture(scope="module")
def proposed(office):
    return office.plan()


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("user", "words"),
    [("U0ADA", "own plan"), ("U0GUS", "guest"), ("U0OLGA", "workspace")],
)
def test_who_may_not_approve_is_told_why(office, proposed, user, words):
    """The requester, a guest and an outsider: three reasons."""
    record, ts = proposed
    assert words in office.click(user, ts, "plan_approve").lower()
    assert office.store.plan(record.id).status is PlanStatus.PROPOSED


@pytest.mark.usefixtures("untouched")
def test_a_member_of_the_workspace_who_is_no_approver_is_told_so(office, proposed):
    """Being in the channel is not enough."""
    record, ts = proposed
    directory = office.slack.directory
    person = dataclasses.replace(directory.people["U0GUS"], is_guest=False)
    directory.people["U0GUS"], guest = person, directory.people["U0GUS"]
    try:
        # the bot remembers accounts for some minutes: the click of somebody else whom it never saw would be the same
        said = office.click("U0GUS", ts, "plan_approve").lower()
    finally:
        directory.people["U0GUS"] = guest
    assert "approve" in said
    assert office.store.plan(record.id).status is PlanStatus.PROPOSED


@pytest.mark.usefixtures("untouched")
def test_an_approval_forged_straight_into_redis_starts_nothing(office, proposed):
    """Whoever can merely write to Redis cannot approve: the worker checks the signature, and says what it found."""
    record, _ = proposed
    now = datetime.now(UTC)
    statement = Statement(
        plan_id=record.id,
        digest=record.digest,
        cluster=record.plan.cluster,
        decision="approve",
        person="grace",
        requester=record.requester,
        at=now,
        expires_at=record.expires_at,
        evidence="approver list",
        operation_id="op-0f0f0f0f",
    )
    # a copy of the record under another id, so that the genuine one stays to be approved
    forged = dataclasses.replace(record, id="p-0f0f0f0f")
    office.store.propose(forged, Event(Happened.PLAN_PROPOSED, now, record.plan.cluster, "A plan.", plan_id=forged.id))
    operation = schedule(forged, operation_id="op-0f0f0f0f", approved_by="grace", now=now)
    statement = dataclasses.replace(statement, plan_id=forged.id)
    event = Event(
        Happened.PLAN_APPROVED, now, record.plan.cluster, "Forged.", plan_id=forged.id, operation_id=operation.id
    )
    office.store.approve(forged, Approval(statement, SignedWith.BOT, "bm90IGEgc2lnbmF0dXJl"), operation, event, now)
    Wakeups.connect(office.rig.redis.url).wake(operation.id)
    try:
        blocked = office.until(
            lambda: (o := office.store.operation(operation.id)).state is OperationState.BLOCKED and o, 90
        )
        assert "genuine" in blocked.reason.lower() or "signature" in blocked.reason.lower()
        starts = [r for r in office.world.exec_log() if r.started and operation.id in r.unit]
        assert starts == []
    finally:
        gone = Event(Happened.LOCK_RELEASED, now, record.plan.cluster, "Released.", operation_id=operation.id)
        office.store.release(record.plan.cluster, operation.id, "ada", gone)
        office.store.forget(operation.id)


def test_an_expired_plan_cannot_be_approved(office):
    """After its hour the plan is only paper."""
    record, ts = office.plan()
    office.store.backdate(record.id, datetime.now(UTC) - timedelta(seconds=1))
    assert "expired" in office.click("U0GRACE", ts, "plan_approve").lower()
