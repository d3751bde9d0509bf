"""A run that alerts keep waiting goes on when an approver says so: by name, with a reason and an end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.commands import IgnoreAlert
from bot.desk import Desk as Terminal
from bot.grammar import NotUnderstood, parse_command
from bot.run_card import GO_ON, render_run
from bot.run_desk import ignore_alert
from bot.spare_view import spare_view
from bot.stop_card import render_reminder, render_stop
from bot.terminal import render_operation
from cluster.errors import Refused
from cluster.events import Happened
from cluster.inventory import OnCall
from cluster.operation import OperationState, Spared
from cluster.queues import Wakeups
from cluster.store import Store
from lab.slack.lint import lint_blocks
from policies.stops import stops_of
from tests.bot.test_notifier import Run
from tests.bot_desk import GRACE, GUS, Desk, desk, quiet_desk
from tests.bot_fixture import CHANNEL, NASTY, NOW, operation, record
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]

REASON = "The alert KubeAPIDown (critical) fires in prod. A run waits, and goes on by itself when it has been gone."
HALTED = {"state": OperationState.RUNNING, "reason": REASON, "halted_by": ("KubeAPIDown", "KubeJobFailed")}


def halted(run: Run, at: object) -> None:
    run.move(Happened.STEP_WAITED, f"No further node is begun: {REASON}", **HALTED, halted_at=at)


def test_an_approver_lets_it_go_on_by_the_button_with_a_reason_and_an_end(desk: Desk) -> None:
    """Only the alerts that the window showed; and whoever may not approve learns so."""
    run = Run(desk)
    halted(run, desk.now())
    run.tells("no further node is begun")
    posted = desk.store.message(f"run:{run.operation.id}").ts

    def stop(_: object) -> str:
        return next((m["ts"] for m in desk.slack.thread(CHANNEL, posted) if GO_ON in str(m)), "")

    card = desk.slack.wait_for(stop)
    desk.slack.click(GRACE, card, GO_ON)
    desk.slack.wait_for(lambda it: it.views(GRACE))
    desk.slack.submit_view(GRACE, values={"reason": "Known, ticket 12", "minutes": "90"})
    desk.told(GRACE, "grace lets the run go on in spite of KubeAPIDown, KubeJobFailed for 90 minutes: Known, ticket 12")
    run.tells("in spite of KubeAPIDown, KubeJobFailed for 90 minutes: Known, ticket 12")
    going = desk.store.operation(run.operation.id)
    assert [(s.alert, s.by, s.reason) for s in going.spared] == [
        (name, "grace", "Known, ticket 12") for name in HALTED["halted_by"]
    ]
    assert (going.reason, going.halting) == ("", ())
    desk.slack.wait_for(lambda _: not stop(None))  # its buttons are taken away


def test_it_can_be_typed_and_nobody_but_an_approver_may(desk: Desk) -> None:
    """One of two alerts: the other one keeps it all the same."""
    run = Run(desk)
    halted(run, desk.now())
    desk.slack.say(GUS, CHANNEL, "/k8s ignore-alert KubeAPIDown 5 prod a try")
    desk.told(GUS, "A guest of this workspace may not decide")
    desk.slack.say(GRACE, CHANNEL, "/k8s ignore-alert Other 5 a try")
    desk.told(GRACE, "The alert `Other` does not keep op-")
    desk.slack.say(GRACE, CHANNEL, "/k8s ignore-alert KubeAPIDown 5 prod it is a false one")
    desk.told(GRACE, "in spite of KubeAPIDown for 5 minutes: it is a false one")
    assert desk.store.operation(run.operation.id).halting == ("KubeJobFailed",)


def test_on_a_terminal_an_approver_does_the_same(
    desk: Desk, store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the login of whoever types."""
    run = Run(desk)
    halted(run, desk.now())
    ada, settings = desk.settings.people["ada"], desk.settings
    people = {**settings.people, "ada": ada.model_copy(update={"logins": ("ada",)})}
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    place = Terminal(settings.model_copy(update={"people": people}), store, Wakeups.connect(redis_url))
    ignore_alert(place, store.operation(run.operation.id), "KubeAPIDown", 5, "known")
    assert store.events(run.operation.id)[-1][1].kind is Happened.ALERT_SPARED
    strict = settings.approvals.model_copy(update={"approvers": ("grace",)})
    other = replace(place, settings=place.settings.model_copy(update={"approvals": strict}))
    with pytest.raises(Refused, match="not among the approvers"):
        ignore_alert(other, store.operation(run.operation.id), "KubeJobFailed", 5, "known")


def test_a_halted_run_is_a_stop_that_calls_nobody_at_once() -> None:
    """The alert itself has called; reminders do, while it lasts. What stands still anyway is kept by no alert."""
    run, on_call = operation(**HALTED, halted_at=NOW), OnCall(mention="S0ONCALL")
    (stop,) = stops_of(run)
    message = render_stop(record(), run, stop, on_call)
    assert lint_blocks(list(message.blocks), "message") == ()
    assert "no further node is begun" in message.text
    assert "S0ONCALL" not in str(message.blocks)
    assert "S0ONCALL" in str(render_reminder(record(), run, (stop,), on_call).blocks)
    assert stops_of(replace(run, quiet_since=NOW)) == ()
    assert [s.since for s in stops_of(replace(run, state=OperationState.BLOCKED, stopped_at=NOW + timedelta(1)))] == [
        NOW + timedelta(1)
    ]


def test_whoever_looks_sees_what_it_waits_for_and_in_spite_of_what_it_goes_on() -> None:
    """On the card and on a terminal, until it has ended."""
    known = tuple(Spared(f"Alert{n}", "grace", "known", NOW) for n in range(9))
    run = operation(waits_for="w-3 to be Ready", spared=known)
    until = f"It goes on in spite of Alert0 until {NOW:%Y-%m-%d %H:%M} UTC, as grace chose: known"
    card = render_run(record(), run, NOW)
    assert lint_blocks(list(card.blocks), "message") == ()
    for shown in (str(card.blocks), render_operation(run, record())):
        assert "It waits for w-3 to be Ready." in shown
        assert until in shown
    assert "in spite of" not in render_operation(replace(run, state=OperationState.COMPLETED), record())


def test_it_is_typed_with_a_name_a_time_and_a_reason() -> None:
    """What the words after it mean is seen against the settings."""
    assert parse_command("ignore-alert KubeAPIDown 60 prod known") == IgnoreAlert("KubeAPIDown", 60, ("prod", "known"))
    for wrong, words in (("ignore-alert KubeAPIDown", "and why"), ("ignore-alert A soon x", "no whole number")):
        with pytest.raises(NotUnderstood, match=words):
            parse_command(wrong)


@pytest.mark.parametrize("nasty", NASTY)
def test_no_name_of_an_alert_breaks_the_window(nasty: str) -> None:
    """Too many of them get none."""
    view = spare_view("op-1", CHANNEL, (nasty.encode(errors="ignore").decode()[:500],))
    assert view is None or lint_blocks(view["blocks"], "modal") == ()
    assert spare_view("op-1", CHANNEL, tuple(f"Alert{n}" for n in range(500))) is None
