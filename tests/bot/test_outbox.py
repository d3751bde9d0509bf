"""The sender alone: what it does while Slack is slow, away for hours, or does not know us."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from bot.blocks import Message
from bot.delivery import SlackAway, SlackBusy, ask
from bot.outbox import Sender
from cluster.events import Event, Happened
from cluster.outbox import OutboxItem, OutboxKind
from cluster.store import Store
from tests.bot_fixture import CHANNEL, NOW
from tests.engine_fixture import settings
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]


@dataclass
class Slack:
    """Takes every post, or fails as it is told."""

    error: Exception | None = None
    takes: float = 0.0  # seconds
    posts: list[str] = field(default_factory=list)

    def post(self, channel: str, message: Message, thread: str = "") -> str:  # noqa: ARG002 - the seam's signature
        time.sleep(self.takes)
        if self.error is not None:
            raise self.error
        self.posts.append(message.text)
        return str(len(self.posts))


def sender(store: Store, slack: Slack, lines: int = 1) -> Sender:
    told = [Event(Happened.DRIVER_TOOK_OVER, NOW, "prod", f"Line {n}.") for n in range(lines)]
    items = tuple(OutboxItem(f"line:{n}", OutboxKind.POST, CHANNEL, event=e) for n, e in enumerate(told))
    store.outbox_ingest("0", "1-0", items)
    place: Any = slack
    return Sender(settings(), store, place, lambda _: None)


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
