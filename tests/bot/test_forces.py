"""A pod that holds up a drain is deleted when one person asks and another one allows it: in Slack, or on a terminal."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.blocks import BUDGET, text_size
from bot.desk import Desk
from bot.force_card import ALLOW, render_force
from bot.force_desk import allow_force, ask_force, find_force
from bot.force_desk import render_force as render_on_terminal
from cluster.approval import Approval, SignedWith, Statement
from cluster.errors import Refused, StaleMove, UnknownThing
from cluster.events import Event, Happened
from cluster.force import ForceApproval, ForceRequest
from cluster.operation import Hold, OperationState, RowState, schedule
from cluster.procedure import Verb, itinerary
from cluster.queues import Wakeups
from lab.slack.lint import lint_blocks
from policies.forcing import judge_force
from tests.bot.test_notifier import Run
from tests.bot_desk import ADA, GRACE, GUS, desk, quiet_desk
from tests.bot_fixture import CHANNEL, NASTY, NOW, record, settings
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]


def held(operation, plan, now):
    """The run with w-1 in a drain that a budget holds up."""
    at = next(n for n, s in enumerate(itinerary(plan, plan.node("w-1"))) if s.verb is Verb.DRAIN)
    hold = Hold("shop/web-1", "uid-1", "the PodDisruptionBudget shop/web", "no disruption is allowed", now)
    rows = tuple(
        replace(r, position=at, state=RowState.STARTED, started_at=now, held=(hold,), stopped_at=now)
        if r.node == "w-1"
        else r
        for r in operation.rows
    )
    return {"state": OperationState.RUNNING, "rows": rows}


def test_one_asks_and_another_one_allows_it_in_the_thread(desk):
    """Never the same person, and no button of another request; the bot signs what was shown."""
    run = Run(desk)
    before = desk.store.operation(run.operation.id)
    run.move(Happened.NODE_HELD, "Held up.", **held(before, run.record.plan, desk.now()))
    desk.slack.say(ADA, CHANNEL, "/k8s force-delete shop/other")
    desk.told(ADA, "those that do are shop/web-1")
    desk.slack.say(ADA, CHANNEL, "/k8s force-delete shop/web-1")
    desk.told(ADA, "an approver allows it in the thread of the run")
    run.tells("ada asks to delete the pod shop/web-1 on w-1")
    posted = desk.store.message(f"run:{run.operation.id}").ts
    card = next(m["ts"] for m in desk.slack.thread(CHANNEL, posted) if ALLOW in str(m))
    desk.slack.click(ADA, card, ALLOW)
    desk.told(ADA, "second person")
    desk.slack.click(GUS, card, ALLOW)
    desk.told(GUS, "guest")
    assert desk.store.forces(run.operation.id)[0].approval is None
    desk.slack.click(GRACE, card, ALLOW)
    desk.told(GRACE, "Allowed: shop/web-1")
    run.tells("Allowed by grace")
    (request,) = desk.store.forces(run.operation.id)
    assert judge_force(request, desk.settings, desk.now()) == ()
    event = run.event(Happened.FORCE_ENDED, "The deletion: it was deleted.")
    desk.store.end_force(request, "it was deleted", replace(event, facts={"force": request.id}))
    run.tells("Allowed by grace: it was deleted")


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "grace"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def terminal(store, redis_url, key, monkeypatch):
    """Ada types; the key is Grace's."""
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    line = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    people = {"ada": {"logins": ["ada"]}, "grace": {"ssh_keys": [line]}}
    place = Desk(settings(people=people, approvals={"approvers": ["grace"]}), store, Wakeups.connect(redis_url))
    now = datetime.now(UTC)
    made = record(requested_at=now, expires_at=now + timedelta(hours=1))
    store.propose(made, Event(Happened.PLAN_PROPOSED, now, "prod", "A plan.", plan_id=made.id))
    operation = schedule(made, operation_id="op-1a2b3c4d", approved_by="grace", now=now)
    words = (made.id, made.digest, "prod", "approve", "grace", "ada", now, made.expires_at, "SSH key", operation.id)
    event = Event(Happened.PLAN_APPROVED, now, "prod", "Approved.", made.id, operation.id)
    store.approve(made, Approval(Statement(*words), SignedWith.SSH, "signature"), operation, event, now)
    before = store.operation(operation.id)
    after = replace(before, **held(before, made.plan, now))
    store.move(before, after, fence=None, events=(replace(event, kind=Happened.NODE_HELD),), token="held")
    return place


def test_on_a_terminal_it_is_signed_with_the_persons_own_key(terminal, key):
    """What was shown is what is signed; and what was decided meanwhile is not decided again."""
    asked = ask_force(terminal, "shop/web-1", None)
    shown = find_force(terminal, asked.id)
    assert "pod   shop/web-1 (uid uid-1)" in render_on_terminal(shown)
    allowed = allow_force(terminal, shown, key)
    assert allowed.approval.signed_with is SignedWith.SSH
    assert judge_force(allowed, terminal.settings, datetime.now(UTC)) == ()
    kinds = [e.kind for _, e in terminal.store.events(asked.operation_id)]
    assert kinds[-2:] == [Happened.FORCE_ASKED, Happened.FORCE_APPROVED]
    with pytest.raises(StaleMove, match="decided meanwhile"):
        allow_force(terminal, shown, key)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"requester": "grace"}, "own-force"),
        ({"expires_at": NOW}, "force-over"),
        ({"pod": "shop/other"}, "force-not-needed"),
    ],
)
def test_on_a_terminal_nobody_allows_their_own_or_what_is_over(terminal, key, changes, code):
    """The key says who it is, and no flag does; what it is for must still wait."""
    asked = ask_force(terminal, "shop/web-1", None)
    with pytest.raises(Refused) as refused:
        allow_force(terminal, replace(asked, **changes), key)
    assert [f.code for f in refused.value.findings] == [code]


def test_on_a_terminal_a_deletion_that_is_unknown_is_not_found(terminal):
    """One sentence, with its id."""
    with pytest.raises(UnknownThing, match="f-9"):
        find_force(terminal, "f-9")


@pytest.mark.parametrize("nasty", NASTY)
def test_no_name_of_a_pod_breaks_the_message(nasty):
    """Whoever may make pods names them."""
    nasty = nasty.encode(errors="ignore").decode()  # half a character comes through no store
    asked = ForceRequest("f-1", "op-1", "prod", nasty, nasty, nasty, nasty, "ada", NOW)
    said = ForceApproval("grace", NOW, "approver list", SignedWith.BOT, "x")
    for request in (asked, replace(asked, approval=said), replace(asked, approval=said, outcome=nasty)):
        message = render_force(request)
        assert lint_blocks(list(message.blocks), "message") == ()
        assert text_size(message.blocks) <= BUDGET
        assert "<!" not in message.text
