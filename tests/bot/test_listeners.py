"""Every payload that reaches the bot is acknowledged at once and answered, also one that it does not know."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from slack_bolt.request import BoltRequest
from slack_sdk import WebClient

from bot.app import build_app
from bot.blocks import Message
from bot.plan_card import APPROVE
from cluster.errors import Refused
from tests.bot_fixture import CHANNEL
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]

HOME = {"team_id": "T0HOME", "user_id": "U0ADA", "channel_id": CHANNEL, "response_url": "https://made.up/answer"}


class Answers:
    """Takes what the bot says; everything else of a delivery is out of reach."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.came = threading.Event()

    def respond(self, url: str, message: Message, *, in_channel: bool = False) -> bool:  # noqa: ARG002 - the seam's signature
        self.said.append(message.text)
        self.came.set()
        return True

    def whisper(self, channel: str, user: str, message: Message, thread: str = "") -> None:  # noqa: ARG002 - as above
        self.said.append(message.text)


class Place:
    """A station where nobody is at home and every read takes until it is told to end."""

    command = "/k8s"

    def __init__(self) -> None:
        self.delivery = Answers()
        self.settings = self.store = self.people = None
        self.reading, self.ended = threading.Semaphore(0), threading.Event()

    def check_home(self, asked: object, *, fresh: bool = False) -> None:  # noqa: ARG002 - the seam's signature
        self.reading.release()
        self.ended.wait(10)
        raise Refused("Nobody is at home.")


@pytest.fixture
def place():
    made = Place()
    yield made
    made.ended.set()


def send(app: Any, payload: dict[str, Any]) -> int:
    body = json.dumps(payload)
    answer = app.dispatch(BoltRequest(body=body, headers={"content-type": ["application/json"]}, mode="socket_mode"))
    return int(answer.status)


def started(place: Any) -> Any:
    return build_app(place, client=WebClient("xoxb-made-up"))


def action(name: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "block_actions",
        "user": {"id": "U0ADA", "team_id": "T0HOME"},
        "team": {"id": "T0HOME"},
        "channel": {"id": CHANNEL},
        "response_url": "https://made.up/answer",
        "actions": [{"action_id": name, "block_id": "b", "type": "button", "value": "p-1:abcd1234"}],
        **more,
    }


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (action("plan_burn"), "This button is not one that lockkeeper knows any more"),
        ({**HOME, "command": "/kube", "text": "help"}, "lockkeeper listens to `/k8s` here, not to `/kube`"),
    ],
)
def test_what_an_older_or_another_installation_left_behind_is_answered(place, payload, words):
    """Without an answer Slack shows a warning sign, or "dispatch_failed", that helps nobody."""
    assert send(started(place), payload) == 200
    assert place.delivery.came.wait(10)
    assert words in place.delivery.said[0]


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "view_submission", "user": {"id": "U0ADA"}, "view": {"type": "modal", "callback_id": "old"}},
        {"type": "view_closed", "user": {"id": "U0ADA"}, "view": {"type": "modal", "callback_id": "old"}},
        {"type": "shortcut", "callback_id": "x", "user": {"id": "U0ADA"}, "trigger_id": "1.2"},
        {"type": "block_suggestion", "action_id": "x", "block_id": "b", "value": "", "user": {"id": "U0ADA"}},
        {"type": "event_callback", "team_id": "T0HOME", "event": {"type": "app_home_opened", "user": "U0ADA"}},
        action(APPROVE, user=None, channel=None, team=None),
    ],
)
def test_a_payload_of_any_kind_is_acknowledged(place, payload, caplog):
    """Nothing escapes a listener, whatever is missing in what it got."""
    place.ended.set()
    with caplog.at_level(logging.WARNING):
        assert send(started(place), payload) == 200
    assert "Traceback" not in caplog.text


def test_a_click_does_not_wait_behind_slow_reports(place):
    """A window must open within three seconds, also while a cluster hangs and everybody asks for its versions."""
    app = started(place)
    for _ in range(30):
        assert send(app, {**HOME, "command": "/k8s", "text": "versions"}) == 200
    assert place.reading.acquire(timeout=10)
    assert send(app, action(APPROVE)) == 200
    assert send(app, action("plan_burn")) == 200
    assert place.delivery.came.wait(5)


def test_no_payload_is_written_into_the_log(place, caplog):
    """An address to answer to, and what opens a window, are secrets; bolt writes them where a signature is wrong."""
    caplog.set_level(logging.INFO)
    app = build_app(place, client=WebClient("xoxb-made-up"), signing_secret="made-up")
    body = "command=%2Fk8s&response_url=https%3A%2F%2Fmade.up%2Fsecret"
    assert app.dispatch(BoltRequest(body=body, headers={"x-slack-signature": ["v0=0"]})).status == 401
    assert "secret" not in caplog.text
    assert "will be ignored" not in caplog.text


def test_a_mention_that_slack_sends_again_is_answered_once(place, store):
    """To whichever bot it comes, and hours of work would otherwise be asked for twice."""
    place.store = store
    with ThreadPoolExecutor(1) as work:
        app = build_app(place, client=WebClient("xoxb-made-up"), work=work)
        event = {"type": "app_mention", "user": "U0ADA", "channel": CHANNEL, "text": "Hi <@U0BOT> help"}
        for event_id in ("Ev1", "Ev1", "Ev2"):
            assert (
                send(app, {"type": "event_callback", "team_id": "T0HOME", "event_id": event_id, "event": event}) == 200
            )
        app.listener_runner.listener_executor.shutdown()
    assert len(place.delivery.said) == 2
