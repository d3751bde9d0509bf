"""A call to Slack is sent, put off, or given up for good, and blocks that Slack dislikes cost no message."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import make_server

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from bot.blocks import Message, actions, button, header, table
from bot.delivery import Delivery, SlackAway, SlackBusy, SlackRefused, ask, connect
from lab.slack import LabSlack
from lab.slack.faults import Outage
from tests.bot_fixture import CHANNEL

RAGGED = table(("a", "b"), [("only one cell",)])


@pytest.fixture
def slack(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with LabSlack() as running:
        yield running


@pytest.fixture
def delivery(slack):
    return Delivery(connect(slack.bot_token, slack.api_url))


def test_a_refused_block_makes_the_message_plainer_and_keeps_its_buttons(slack, delivery):
    """A refused message would be silence in the channel."""
    good = (header("Plan"), actions(button("Approve", "plan_approve", "p-1:abcd")))
    delivery.post(CHANNEL, Message("Plan: it waits.", (*good, {"type": "section"})))
    (posted,) = slack.messages(CHANNEL)
    assert posted["text"] == "Plan: it waits."
    assert [b["type"] for b in posted["blocks"]] == ["section", "actions"]


def test_a_table_that_slack_dislikes_is_sent_as_text(slack, delivery):
    """First the same rows in monospace."""
    block = {**RAGGED, "rows": [*RAGGED["rows"], RAGGED["rows"][0]], "column_settings": [None]}
    with_equal_rows = {**block, "rows": [block["rows"][0], block["rows"][2]]}
    delivery.post(CHANNEL, Message("Versions.", (with_equal_rows,)))
    (posted,) = slack.messages(CHANNEL)
    assert [b["type"] for b in posted["blocks"]] == ["rich_text"]


def test_a_busy_slack_says_how_long_to_wait(slack, delivery):
    """And the client does not sleep on its own."""
    slack.rate_limit("chat.postMessage", retry_after=7)
    with pytest.raises(SlackBusy) as busy:
        delivery.post(CHANNEL, Message("x"))
    assert busy.value.retry_after == 7


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
def test_the_wait_is_read_however_slack_spells_its_header(name):
    """Slack's own servers write it in small letters; a wait that is not seen becomes a storm of refused calls."""

    def refuse() -> None:
        answer = SlackResponse(
            client=None,
            http_verb="POST",
            api_url="chat.update",
            req_args={},
            data={"ok": False, "error": "ratelimited"},
            headers={name: "30"},
            status_code=429,
        )
        raise SlackApiError("no", answer)

    with pytest.raises(SlackBusy) as busy:
        ask("chat.update", refuse)
    assert busy.value.retry_after == 30


@pytest.mark.parametrize(
    ("body", "is_delivered"),
    [(b"ok", True), (b'{"ok":true}', True), (b'{"ok":false,"error":"no_text"}', False), (b"", True)],
)
def test_an_answer_that_slack_did_not_take_is_no_answer(body, is_delivered):
    """Slack may say no in an answer with status 200; the person is then told another way."""
    with answering(body) as url:
        assert Delivery(connect("xoxb-made-up", url)).respond(url, Message("x")) is is_delivered


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """A server that gives everybody the same answer."""

    def application(environ, start_response):
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    with make_server("127.0.0.1", 0, application) as server:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        thread.join(10)


@pytest.mark.parametrize("code", ["expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id"])
def test_a_window_that_came_too_late_says_to_click_again(code):
    """Slack's own word for it would tell nobody what to do."""

    def refuse() -> None:
        raise SlackApiError("no", {"ok": False, "error": code})

    with pytest.raises(SlackRefused, match="Click again"):
        ask("views.open", refuse)


@pytest.mark.parametrize("kind", [o for o in Outage if o is not Outage.NONE])
def test_an_outage_is_passing_whatever_its_kind(slack, delivery, kind):
    """Refused connections and pages of some proxy are tried again."""
    slack.outage(True, kind)
    with pytest.raises(SlackAway):
        delivery.post(CHANNEL, Message("x"))


def test_what_slack_will_never_take_is_told_apart(delivery):
    """Its own word for the reason is kept."""
    with pytest.raises(SlackRefused) as refused:
        delivery.post("C0NOWHERE", Message("x"))
    assert refused.value.code == "channel_not_found"


def test_a_response_url_that_is_gone_is_an_answer_and_no_error(slack, delivery):
    """The answer then goes another way."""
    assert delivery.respond(f"{slack.api_url}response/none", Message("x")) is False
    slack.outage()
    assert delivery.respond(f"{slack.api_url}response/none", Message("x")) is False
