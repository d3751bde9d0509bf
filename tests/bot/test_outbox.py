"""The sender alone: what it does while Slack is slow, away for hours, or does not know us."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from bot.blocks import Message
from bot.delivery import SlackAway, SlackBusy, SlackRefused, ask
from bot.outbox import Sender
from bot.writer import Writer
from cluster.events import Event, Happened
from cluster.outbox import OutboxItem, OutboxKind
from cluster.store import Store
from tests.bot_fixture import CHANNEL, NOW
from tests.engine_fixture import settings
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]

TOLD = Happened.DRIVER_TOOK_OVER
BROKEN = "A line that nobody knows how to write."


@dataclass
class Slack:
    """Takes every post, or fails as it is told."""

    error: Exception | None = None
    takes: float = 0.0  # seconds
    posts: list[str] = field(default_factory=list)
    tries: int = 0

    def post(self, channel: str, message: Message, thread: str = "") -> str:  # noqa: ARG002 - the seam's signature
        self.tries += 1
        time.sleep(self.takes)
        if self.error is not None:
            raise self.error
        self.posts.append(message.text)
        return str(len(self.posts))


class Stumbling(Sender):
    """A sender whose writer cannot make one kind of line, whatever the reason."""

    @property
    def writer(self) -> Writer:
        class Halting(Writer):
            def write(self, item: OutboxItem, now: datetime) -> Message | None:
                if item.event is not None and item.event.sentence == BROKEN:
                    raise KeyError("nobody knows how to write this")
                return super().write(item, now)

        whole = super().writer
        return Halting(whole.settings, whole.store, whole.look)


def sender(store: Store, slack: Slack, lines: int = 1) -> Sender:
    told = [Event(Happened.DRIVER_TOOK_OVER, NOW, "prod", f"Line {n}.") for n in range(lines)]
    items = tuple(OutboxItem(f"line:{n}", OutboxKind.POST, CHANNEL, event=e) for n, e in enumerate(told))
    store.outbox_ingest("0", "1-0", items)
    place: Any = slack
    return Stumbling(settings(), store, place, lambda _: None)


def test_an_outage_of_a_day_does_not_break_the_sender(store: Store) -> None:
    """However often it was tried in vain, the next try is half a minute away and not never, nor at once."""
    slack = Slack(SlackAway("Slack is away."))
    it = sender(store, slack)
    now = NOW
    for _ in range(1200):
        it.send_due(now)
        now += timedelta(seconds=31)
    assert it.quiet_until is not None
    assert NOW < it.quiet_until <= now + timedelta(seconds=31)
    slack.error = None
    assert it.send_due(now + timedelta(seconds=31)) == 1


def test_a_sender_stops_as_soon_as_another_one_has_its_lease(store: Store) -> None:
    """One slow call after the other outlasts the lease; what is left is the other's to send."""
    slack = Slack()
    answers = iter([True, False])
    assert sender(store, slack, lines=3).send_due(NOW, lambda: next(answers)) == 1
    assert len(slack.posts) == 1


def test_slacks_wish_to_wait_counts_from_its_answer(store: Store) -> None:
    """Calls before it may have taken longer than the wait itself."""
    it = sender(store, Slack(SlackBusy("Wait.", 0.1), takes=0.3))
    it.send_due(NOW)
    assert it.quiet_until is not None
    assert it.quiet_until >= NOW + timedelta(seconds=0.4)


@pytest.mark.parametrize("code", ["invalid_auth", "token_revoked", "account_inactive"])
def test_nothing_is_given_up_while_slack_does_not_know_our_token(code: str) -> None:
    """Somebody corrects the token, and all that was to be said is said."""

    def refuse() -> None:
        raise SlackApiError("no", {"ok": False, "error": code})  # type: ignore[no-untyped-call]

    with pytest.raises(SlackAway, match="does not know our token"):
        ask("chat.postMessage", refuse)


def told(slack: Slack) -> set[str]:
    return {line for post in slack.posts for line in post.splitlines()}


def test_one_message_that_cannot_be_made_silences_no_other(store: Store) -> None:
    """A result of a cluster that left the configuration, or a record of another release; it is given up in the end."""
    slack = Slack()
    it = sender(store, slack, lines=2)
    lost = OutboxItem("line:broken", OutboxKind.POST, CHANNEL, event=Event(TOLD, NOW, "prod", BROKEN))
    store.outbox_ingest("1-0", "2-0", (lost, replace(lost, id="line:last", event=Event(TOLD, NOW, "prod", "Last."))))
    now = NOW
    for _ in range(20):
        it.send_due(now)
        now += timedelta(seconds=31)
    assert told(slack) == {"Line 0.", "Line 1.", "Last."}
    assert store.outbox_pending() == ()


def test_what_waited_out_an_outage_is_not_given_up_at_its_first_stumble(store: Store) -> None:
    """The tries that Slack was away for are none of its own."""
    it = sender(store, Slack(), lines=0)
    broken = OutboxItem("line:broken", OutboxKind.POST, CHANNEL, event=Event(TOLD, NOW, "prod", BROKEN))
    store.outbox_ingest("1-0", "2-0", (broken,))
    for _ in range(20):
        store.outbox_defer("line:broken", NOW, "Slack is away.")
    it.send_due(NOW)
    assert [i.id for i in store.outbox_pending()] == ["line:broken"]


def test_lines_of_one_thread_do_not_suffer_from_a_broken_one_among_them(store: Store) -> None:
    """They go in one message; the broken one is put off alone, and is not taken for sent."""
    slack = Slack()
    it = sender(store, slack, lines=0)
    store.outbox_ingest("1-0", "2-0", (OutboxItem("post:plan", OutboxKind.POST, CHANNEL, card_key="plan:p-1"),))
    store.outbox_sent("post:plan", "1.1", CHANNEL)
    events = (Event(TOLD, NOW, "prod", "First."), Event(TOLD, NOW, "prod", BROKEN))
    lines = tuple(
        OutboxItem(f"line:{n}", OutboxKind.POST, CHANNEL, thread_of="plan:p-1", event=e)
        for n, e in enumerate((*events, replace(events[0], sentence="Last.")))
    )
    store.outbox_ingest("2-0", "3-0", lines)
    assert it.send_due(NOW) == 1
    assert told(slack) == {"First.", "Last."}
    assert [i.id for i in store.outbox_pending()] == ["line:1"]


@pytest.mark.parametrize("code", ["not_in_channel", "channel_not_found", "is_archived"])
def test_what_a_closed_channel_does_not_take_waits_until_it_is_open(store: Store, code: str) -> None:
    """Somebody forgot to invite the bot: the plan is there as soon as they do, and Slack is not asked all the time."""
    slack = Slack(SlackRefused(f"Slack refuses: {code}.", code))
    it = sender(store, slack, lines=3)
    elsewhere = OutboxItem("line:else", OutboxKind.POST, "C0ELSE", event=Event(TOLD, NOW, "prod", "Elsewhere."))
    store.outbox_ingest("1-0", "2-0", (elsewhere,))
    for seconds in range(50):
        it.send_due(NOW + timedelta(seconds=seconds))
    assert slack.tries == 2
    assert any(code in i.error for i in store.outbox_pending())
    slack.error = None
    for seconds in range(60, 70):
        it.send_due(NOW + timedelta(seconds=seconds))
    assert told(slack) == {"Line 0.", "Line 1.", "Line 2.", "Elsewhere."}
