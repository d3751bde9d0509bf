"""One pod may be deleted past what protects it: two people, these very words, a quarter of an hour."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cluster.approval import SignedWith
from cluster.errors import Refused, UnknownThing
from cluster.force import LIFE, ForceApproval
from cluster.operation import ITS_OWN_END, Hold, NodeRow, RowState
from cluster.signing import bot_signature, sign_as_bot
from policies.approvals import SlackUser
from policies.forcing import draft_force, find_held, judge_force, may_force
from tests import bot_fixture
from tests.policies_fixture import BOT, NOW, SETTINGS, codes, make_record, make_statement

GRACE, LINUS = SlackUser("U0GRACE"), SlackUser("U0LINUS")
GROUPS = {"S0OPS": frozenset({"U0LINUS"})}
HOLD = Hold("shop/web-1", "uid-1", "the PodDisruptionBudget shop/web", "no disruption is allowed", NOW)
ENDING = Hold("shop/old-1", "uid-2", ITS_OWN_END, "held by its finalizers", NOW)


def run(*holds, state=RowState.STARTED):
    row = NodeRow("w-1", 9, state=state, held=holds, started_at=NOW)
    made = bot_fixture.operation()
    return replace(made, rows=tuple(row if r.node == "w-1" else r for r in made.rows))


ASKED = draft_force(run(HOLD), "shop/web-1", force_id="f-1", person="ada", now=NOW)


def allowed(request=ASKED, *, key=BOT, person="grace", evidence="approver list", at=NOW):
    signature = bot_signature(request.signed_bytes(person, at, evidence), key)
    return replace(request, approval=ForceApproval(person, at, evidence, SignedWith.BOT, signature))


def ask(request=ASKED, operation=None, **changes):
    usual = {"person": "grace", "slack_user": GRACE, "groups": GROUPS, "now": NOW}
    return codes(may_force(request, operation or run(HOLD), settings=SETTINGS, **{**usual, **changes}))


def test_what_is_asked_for_is_one_pod_of_one_drain():
    """By its uid: a successor of its name is another pod."""
    assert (ASKED.node, ASKED.pod, ASKED.uid, ASKED.expires_at) == ("w-1", "shop/web-1", "uid-1", NOW + LIFE)


@pytest.mark.parametrize(
    ("operation", "pod", "error"),
    [
        (run(), "shop/web-1", UnknownThing),
        (run(HOLD), "shop/web-2", UnknownThing),
        (run(HOLD), "web-1", UnknownThing),
        (run(HOLD, state=RowState.WAITING), "shop/web-1", UnknownThing),
        (run(HOLD, ENDING), "shop/old-1", Refused),
    ],
)
def test_only_what_a_drain_in_hand_waits_for_can_be_asked_for(operation, pod, error):
    """Nothing else is in the way of an upgrade; and what ends already would not end sooner."""
    with pytest.raises(error):
        find_held(operation, pod)


def test_an_approver_may_allow_it():
    """By the list, by a group, and on a terminal."""
    assert ask() == []
    assert ask(person="linus", slack_user=LINUS) == []
    assert ask(slack_user=None, groups={}) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"person": "ada", "slack_user": SlackUser("U0ADA")}, "own-force"),
        ({"slack_user": replace(GRACE, is_guest=True)}, "guest"),
        ({"slack_user": replace(GRACE, is_bot=True)}, "outsider"),
        ({"person": "linus", "slack_user": LINUS, "groups": {}}, "not-an-approver"),
        ({"person": "nobody", "slack_user": SlackUser("U0NOBODY")}, "unknown-person"),
        ({"now": NOW + LIFE}, "force-over"),
        ({"request": allowed()}, "force-over"),
        ({"request": replace(ASKED, outcome="it was deleted")}, "force-over"),
        ({"operation": run()}, "force-not-needed"),
        ({"operation": run(replace(HOLD, uid="uid-9"))}, "force-not-needed"),
    ],
)
def test_whoever_may_not_is_told_why(changes, code):
    """The rules are those for the approval of a plan."""
    assert code in ask(**changes)


def judge(request, now=NOW):
    return codes(judge_force(request, SETTINGS, now))


def test_a_genuine_one_stands():
    """By the list, or by a group as the bot saw it."""
    assert judge(allowed()) == []
    assert judge(allowed(person="linus", evidence="user group S0OPS at 12:00 UTC")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "f-2"},
        {"operation_id": "op-2"},
        {"cluster": "other"},
        {"node": "w-2"},
        {"pod": "shop/web-2"},
        {"uid": "uid-2"},
        {"held_by": "nothing"},
        {"requester": "linus"},
        {"expires_at": NOW + timedelta(days=1)},
    ],
)
def test_no_word_of_it_can_be_changed_in_the_store(changes):
    """Whoever can write to Redis has no key."""
    assert "force-not-genuine" in judge(replace(allowed(), **changes))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (ASKED, "force-not-genuine"),
        (allowed(key=Ed25519PrivateKey.generate()), "force-not-genuine"),
        (allowed(person="ada"), "own-force"),
        (allowed(person="mallory"), "approver-not-entitled"),
        (allowed(person="linus"), "approver-not-entitled"),  # in no list, and the bot saw no group
        (allowed(at=NOW + timedelta(minutes=1)), "force-over"),  # signed in the future
        (allowed(replace(ASKED, expires_at=NOW + timedelta(days=1)), at=NOW - LIFE), "force-over"),
    ],
)
def test_what_nobody_entitled_signed_in_time_is_none(request_, code):
    """All by the signed words alone."""
    assert code in judge(request_)


def test_one_that_was_signed_by_a_clock_a_little_ahead_stands():
    """The bot signs on one host and a worker deletes on another: their clocks are never quite the same."""
    assert judge(allowed(at=NOW + timedelta(seconds=20))) == []


def test_it_is_over_after_a_quarter_of_an_hour():
    """An old allowance is not kept for a worse day."""
    assert judge(allowed(), NOW + LIFE - timedelta(seconds=1)) == []
    assert judge(allowed(), NOW + LIFE) == ["force-over"]


def test_the_approval_of_a_plan_is_no_signature_of_a_deletion():
    """The same keys sign both; what is signed says which it is."""
    plan = sign_as_bot(make_statement(make_record()), BOT)
    said = ForceApproval("grace", NOW, "approver list", plan.signed_with, plan.signature)
    assert "force-not-genuine" in judge(replace(ASKED, approval=said))
