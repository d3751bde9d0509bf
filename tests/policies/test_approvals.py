"""Who may approve what: asked at the click, and again by the worker from the signed statement alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cluster.approval import SignedWith
from cluster.plan import PlanStatus
from cluster.signing import sign_as_bot
from policies.approvals import SlackUser, judge_approval, may_decide
from policies.windows import next_opening
from tests.policies_fixture import (
    BOT,
    NOW,
    SETTINGS,
    codes,
    draft,
    make_cluster,
    make_record,
    make_report,
    make_statement,
    with_node,
)

STRANGER = Ed25519PrivateKey.generate()
GRACE, LINUS = SlackUser("U0GRACE"), SlackUser("U0LINUS")
GROUPS = {"S0OPS": frozenset({"U0LINUS"})}


def ask(record=None, **changes):
    record = record or make_record()
    usual = {"person": "grace", "slack_user": GRACE, "channel": "C0OPS", "digest8": record.digest[:8], "groups": GROUPS}
    return codes(may_decide(record, settings=SETTINGS, now=NOW, **{**usual, **changes}))


def test_an_approver_may_decide_in_the_plans_channel():
    """By the list, by a group, and on a terminal, where there is no Slack account."""
    assert ask() == []
    assert ask(person="linus", slack_user=LINUS) == []
    assert ask(slack_user=None, groups={}) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"person": "ada", "slack_user": SlackUser("U0ADA")}, "own-plan"),
        ({"slack_user": replace(GRACE, is_guest=True)}, "guest"),
        ({"slack_user": replace(GRACE, is_stranger=True)}, "outsider"),
        ({"slack_user": replace(GRACE, is_bot=True)}, "outsider"),
        ({"slack_user": replace(GRACE, deleted=True)}, "outsider"),
        ({"person": "mallory", "slack_user": SlackUser("U0MALLORY")}, "not-an-approver"),
        ({"person": "linus", "slack_user": LINUS, "groups": {}}, "not-an-approver"),
        ({"person": "linus", "slack_user": None}, "not-an-approver"),  # no group on a terminal
        ({"person": "nobody", "slack_user": SlackUser("U0NOBODY")}, "unknown-person"),
        ({"slack_user": LINUS}, "unknown-person"),  # somebody else's name
        ({"channel": "C0RANDOM"}, "other-channel"),
        ({"digest8": "00000000"}, "other-digest"),
        ({"digest8": ""}, "other-digest"),
    ],
)
def test_whoever_may_not_decide_is_told_why(changes, code):
    """Each reason has its own code."""
    assert code in ask(**changes)


def test_a_requester_reads_first_that_it_is_their_own_plan():
    """Also when they are no approver at all."""
    record = make_record()
    findings = may_decide(
        record,
        person="ada",
        slack_user=SlackUser("U0ADA"),
        channel="C0OPS",
        digest8=record.digest[:8],
        groups={},
        settings=SETTINGS,
        now=NOW,
    )
    assert "own plan" in findings[0].sentence


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (make_record(expires_at=NOW), "plan-expired"),
        (make_record(status=PlanStatus.REJECTED), "plan-decided"),
        (make_record(digest="0" * 64), "other-digest"),
        (make_record(drafted=draft(report=with_node(make_report(), "w1", ready=False))), "plan-blocked"),
    ],
)
def test_a_plan_that_may_not_be_approved_is_refused_to_everybody(record, code):
    """Expired, decided, another plan than its digest says, blocked."""
    assert code in ask(record, digest8=record.digest[:8])


def judge(record=None, *, key=BOT, now=NOW, started=False, **changes):
    record = record or make_record()
    approval = sign_as_bot(make_statement(record, **changes), key)
    return codes(judge_approval(approval, record, SETTINGS, now, started=started))


def test_a_genuine_approval_stands():
    """By the list, or by a group as the bot saw it."""
    assert judge() == []
    assert judge(person="linus", evidence="user group S0OPS at 12:00 UTC") == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": STRANGER}, "approval-not-genuine"),
        ({"digest": "0" * 64}, "approval-of-another-plan"),
        ({"plan_id": "p-22222222"}, "approval-of-another-plan"),
        ({"cluster": "other"}, "approval-of-another-plan"),
        ({"decision": "reject"}, "approval-of-another-plan"),
        ({"requester": "linus"}, "approval-of-another-plan"),
        ({"person": "ada"}, "own-plan"),
        ({"person": "mallory"}, "approver-not-entitled"),
        ({"person": "linus", "evidence": "user group S0OTHER at 12:00 UTC"}, "approver-not-entitled"),
        ({"expires_at": NOW}, "approval-expired"),
    ],
)
def test_whatever_is_not_an_approval_of_exactly_this_plan_is_refused(changes, code):
    """Whoever can merely write to Redis cannot approve."""
    assert code in judge(**changes)


def test_a_changed_word_breaks_the_signature():
    """The statement that is read is the one that was signed."""
    record = make_record()
    approval = sign_as_bot(make_statement(record, person="mallory"), BOT)
    forged = replace(approval, statement=make_statement(record))
    assert "approval-not-genuine" in codes(judge_approval(forged, record, SETTINGS, NOW))


def test_the_bots_signature_is_not_taken_for_a_persons():
    """The way in which it was signed is part of what is checked."""
    record = make_record()
    approval = replace(sign_as_bot(make_statement(record), BOT), signed_with=SignedWith.SSH)
    assert "approval-not-genuine" in codes(judge_approval(approval, record, SETTINGS, NOW))


def test_expiry_bounds_the_start_only():
    """A run that has begun is not stopped by the clock."""
    late = NOW + timedelta(hours=2)
    assert judge(now=late) == ["approval-expired"]
    assert judge(now=late, started=True) == []


def test_where_nothing_may_begin_yet_an_approval_is_good_from_the_next_opening_on():
    """Whoever approves before a window sees when it opens; the run still begins within the usual time."""
    tomorrow = (NOW + timedelta(days=1)).date().isoformat()
    frozen = make_cluster(freezes=[{"begins": NOW.date().isoformat(), "ends": tomorrow}])
    settings = SETTINGS.model_copy(update={"clusters": {"prod": frozen}})
    opening = next_opening(frozen, NOW)
    record = make_record()
    approval = sign_as_bot(make_statement(record), BOT)
    for late, found in ((0, []), (59, []), (60, ["approval-expired"])):
        now = opening + timedelta(minutes=late)
        assert codes(judge_approval(approval, record, settings, now)) == found


def test_an_expiry_that_was_moved_in_the_store_counts_from_the_signed_moment():
    """What the approver saw as the plan's end stands in Redis; the moment of the decision is signed."""
    later = NOW + timedelta(days=300)
    record = make_record(expires_at=later)
    assert judge(record, expires_at=later) == []
    assert judge(record, expires_at=later, now=NOW + timedelta(days=1)) == ["approval-expired"]


CAREFUL = SETTINGS.model_copy(
    update={"approvals": SETTINGS.approvals.model_copy(update={"confirm_release_notes": True})}
)


@pytest.mark.parametrize(
    ("settings", "read", "expected"),
    [
        (SETTINGS, (), []),
        (CAREFUL, (), ["release-notes-unread"]),
        (CAREFUL, ("v1.36",), ["release-notes-unread"]),
        (CAREFUL, ("v1.35", "v1.36"), []),
    ],
)
def test_release_notes_are_confirmed_hop_by_hop_where_the_policy_asks_for_it(settings, read, expected):
    """At the click, and again by the worker from what was signed."""
    record = make_record("v1.36.2")
    usual = {"person": "grace", "slack_user": GRACE, "channel": "C0OPS", "digest8": record.digest[:8], "groups": {}}
    assert codes(may_decide(record, settings=settings, now=NOW, notes_read=read, **usual)) == expected
    approval = sign_as_bot(make_statement(record, notes_read=read), BOT)
    assert codes(judge_approval(approval, record, settings, NOW)) == expected


def test_a_confirmation_that_was_added_afterwards_breaks_the_signature():
    """Nobody can be made to have read what they did not."""
    record = make_record()
    approval = sign_as_bot(make_statement(record), BOT)
    forged = replace(approval, statement=replace(approval.statement, notes_read=("v1.35",)))
    assert codes(judge_approval(forged, record, CAREFUL, NOW)) == ["approval-not-genuine"]


def test_an_approval_from_before_one_could_confirm_stays_genuine():
    """What is signed says nothing of it where nothing was confirmed."""
    assert b"notes_read" not in make_statement(make_record()).signed_bytes()
