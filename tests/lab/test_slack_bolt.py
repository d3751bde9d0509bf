"""The unmodified bolt App and its Socket Mode client live in the lab's Slack as they would in the real one."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from lab.slack import LabSlack
from lab.slack.faults import Outage

Connect = Callable[[], tuple[App, SocketModeHandler]]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    # The built-in Socket Mode client takes a proxy from the environment, for loopback too.
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def slack() -> Iterator[LabSlack]:
    with LabSlack(ack_deadline=2.0, event_retries=(0.0, 0.2)) as running:
        yield running


@pytest.fixture
def client(slack: LabSlack) -> WebClient:
    return WebClient(slack.bot_token, base_url=slack.api_url)


@pytest.fixture
def connect(slack: LabSlack, client: WebClient) -> Iterator[Connect]:
    handlers: list[SocketModeHandler] = []

    def build() -> tuple[App, SocketModeHandler]:
        def authorize() -> AuthorizeResult:
            return AuthorizeResult(
                enterprise_id=None, team_id="T0LAB", bot_token=slack.bot_token, bot_id="B0LOCK", bot_user_id="U0LOCK"
            )

        app = App(client=client, authorize=authorize, listener_executor=ThreadPoolExecutor(8))
        handler = SocketModeHandler(app, slack.app_token, ping_interval=1)
        handlers.append(handler)
        return app, handler

    yield build
    for handler in handlers:
        handler.client.auto_reconnect_enabled = False
    slack.cut_sockets()  # else each client waits out a read of three seconds
    for handler in handlers:
        handler.close()  # type: ignore[no-untyped-call]  # bolt


def _join(slack: LabSlack, handler: SocketModeHandler) -> None:
    before = slack.sockets.count
    handler.connect()  # type: ignore[no-untyped-call]  # bolt
    slack.wait_for(lambda it: it.sockets.count > before)


def _wait_for_two(slack: LabSlack, look: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    slack.wait_for(lambda _: len(look()) == 2)
    return look()


BUTTON = {
    "type": "actions",
    "block_id": "plan",
    "elements": [
        {
            "type": "button",
            "action_id": "approve",
            "value": "p-1:abcd",
            "text": {"type": "plain_text", "text": "Approve"},
            "confirm": {
                "title": {"type": "plain_text", "text": "Sure?"},
                "text": {"type": "plain_text", "text": "It starts at once."},
                "confirm": {"type": "plain_text", "text": "Yes"},
                "deny": {"type": "plain_text", "text": "No"},
            },
        }
    ],
}
MODAL = {
    "type": "modal",
    "callback_id": "reject",
    "title": {"type": "plain_text", "text": "Reject"},
    "submit": {"type": "plain_text", "text": "Reject"},
    "private_metadata": "p-1:abcd",
    "notify_on_close": True,
    "blocks": [
        {
            "type": "input",
            "block_id": "why",
            "label": {"type": "plain_text", "text": "Why?"},
            "element": {"type": "plain_text_input", "action_id": "reason", "max_length": 50},
        }
    ],
}


def test_a_slash_command_is_answered_by_its_ack_and_by_its_response_url(slack: LabSlack, connect: Connect) -> None:
    """Both answers are ephemeral, in order, and only for the person who typed."""
    app, handler = connect()

    @app.command("/k8s")
    def listen(ack: Any, respond: Any, command: dict[str, Any]) -> None:
        ack(f"got {command['text']}")
        respond("and more")

    _join(slack, handler)
    assert slack.say("U0ADA", "C0OPS", "/k8s versions @grace") == ""
    texts = _wait_for_two(slack, lambda: slack.ephemerals("U0ADA"))
    assert {one["text"] for one in texts} == {"got versions <@U0GRACE|grace>", "and more"}
    assert slack.ephemerals("U0GRACE") == []
    assert slack.messages("C0OPS") == []


def test_a_command_that_is_acked_too_late_times_out_for_the_person(slack: LabSlack, connect: Connect) -> None:
    """The person reads operation_timeout, whatever the bot does later."""
    app, handler = connect()
    release = threading.Event()

    @app.command("/k8s")
    def listen(ack: Any) -> None:
        release.wait(10)
        ack("too late")

    _join(slack, handler)
    assert slack.say("U0ADA", "C0OPS", "/k8s versions") == "operation_timeout"
    release.set()
    assert "operation_timeout" in slack.ephemerals("U0ADA")[0]["text"]
    assert "too late" not in [one["text"] for one in slack.ephemerals("U0ADA")]


def test_a_command_without_a_bot_fails_at_once(slack: LabSlack) -> None:
    assert slack.say("U0ADA", "C0OPS", "/k8s versions") == "dispatch_failed"


def test_slash_commands_do_not_work_in_threads_and_mentions_do(
    slack: LabSlack, connect: Connect, client: WebClient
) -> None:
    """Slackbot points to the mention; the mention reaches the bot with its thread."""
    app, handler = connect()

    @app.event("app_mention")
    def listen(event: dict[str, Any], say: Any) -> None:
        say(text=f"heard {event['text']}", thread_ts=event["thread_ts"])

    _join(slack, handler)
    root = client.chat_postMessage(channel="C0OPS", text="root")["ts"]
    assert slack.say("U0ADA", "C0OPS", "/k8s status", thread=root) == "not_supported_in_threads"
    assert "@lockkeeper" in slack.ephemerals("U0ADA")[-1]["text"]
    slack.say("U0ADA", "C0OPS", "@lockkeeper status", thread=root)
    replies = _wait_for_two(slack, lambda: slack.thread("C0OPS", root))
    assert replies[1]["text"] == "heard <@U0LOCK> status"


def test_a_click_carries_who_where_and_what(slack: LabSlack, connect: Connect, client: WebClient) -> None:
    """The payload has what an approval checks: user, team, channel, message, value."""
    app, handler = connect()
    seen: list[dict[str, Any]] = []

    @app.action("approve")
    def listen(ack: Any, body: dict[str, Any], respond: Any) -> None:
        ack()
        seen.append(body)
        respond(replace_original=True, text="approved")

    _join(slack, handler)
    ts = client.chat_postMessage(channel="C0OPS", text="Plan", blocks=[BUTTON])["ts"]
    assert slack.click("U0OLGA", "Approve", "approve", confirm=False) == ""
    assert slack.click("U0OLGA", ts, "approve") == ""
    slack.wait_for(lambda it: it.messages("C0OPS")[0]["text"] == "approved")
    [body] = seen
    assert body["user"]["team_id"] == "T0OUTSIDE"
    assert body["team"]["id"] == "T0LAB"
    assert body["container"] == {"type": "message", "message_ts": ts, "channel_id": "C0OPS", "is_ephemeral": False}
    assert body["actions"][0]["value"] == "p-1:abcd"
    assert "blocks" not in slack.messages("C0OPS")[0]


def test_a_modal_goes_round(slack: LabSlack, connect: Connect, client: WebClient) -> None:
    """Opened by a click, refused by the client, then by the app, then by nobody."""
    app, handler = connect()
    submitted: list[dict[str, Any]] = []

    @app.action("approve")
    def open_modal(ack: Any, body: dict[str, Any], client: WebClient) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @app.view("reject")
    def listen(ack: Any, view: dict[str, Any]) -> None:
        reason = view["state"]["values"]["why"]["reason"]["value"]
        submitted.append(view)
        ack(response_action="errors", errors={"why": "Say more."}) if len(reason) < 5 else ack()

    _join(slack, handler)
    client.chat_postMessage(channel="C0OPS", text="Plan", blocks=[BUTTON])
    slack.click("U0GRACE", "Approve", "approve")
    slack.wait_for(lambda it: it.views("U0GRACE"))
    assert slack.submit_view("U0GRACE", "reject", {}) == "Please complete this required field."
    assert submitted == []
    assert slack.submit_view("U0GRACE", "reject", {"why": "no"}) == "Say more."
    assert slack.submit_view("U0GRACE", "reject", {"reason": "it is Friday"}) == ""
    assert slack.views("U0GRACE") == []
    assert [one["private_metadata"] for one in submitted] == ["p-1:abcd", "p-1:abcd"]


def test_an_app_may_push_update_and_clear_modals(slack: LabSlack, connect: Connect, client: WebClient) -> None:
    app, handler = connect()
    answers: list[dict[str, Any]] = [
        {"response_action": "push", "view": {**MODAL, "callback_id": "second"}},
        {"response_action": "update", "view": {**MODAL, "callback_id": "third"}},
        {"response_action": "clear"},
    ]

    @app.action("approve")
    def open_modal(ack: Any, body: dict[str, Any], client: WebClient) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    for name in ("reject", "second", "third"):
        app.view(name)(lambda ack: ack(**answers.pop(0)))
    _join(slack, handler)
    client.chat_postMessage(channel="C0OPS", text="Plan", blocks=[BUTTON])
    slack.click("U0GRACE", "Approve", "approve")
    slack.wait_for(lambda it: it.views("U0GRACE"))
    stacks = []
    for _ in range(3):
        slack.submit_view("U0GRACE", values={"why": "because"})
        stacks.append([one["callback_id"] for one in slack.views("U0GRACE")])
    assert stacks == [["reject", "second"], ["reject", "third"], []]


def test_closing_a_modal_is_told_when_asked_for(slack: LabSlack, connect: Connect, client: WebClient) -> None:
    app, handler = connect()
    closed = threading.Event()

    @app.action("approve")
    def open_modal(ack: Any, body: dict[str, Any], client: WebClient) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    @app.view_closed("reject")
    def listen(ack: Any) -> None:
        ack()
        closed.set()

    _join(slack, handler)
    client.chat_postMessage(channel="C0OPS", text="Plan", blocks=[BUTTON])
    slack.click("U0GRACE", "Approve", "approve")
    slack.wait_for(lambda it: it.views("U0GRACE"))
    assert slack.close_view("U0GRACE") == ""
    assert closed.wait(10)
    assert slack.views("U0GRACE") == []


def test_a_trigger_opens_one_modal(slack: LabSlack, connect: Connect, client: WebClient) -> None:
    app, handler = connect()
    triggers: list[str] = []

    @app.command("/k8s")
    def listen(ack: Any, body: dict[str, Any]) -> None:
        ack()
        triggers.append(body["trigger_id"])

    _join(slack, handler)
    slack.say("U0ADA", "C0OPS", "/k8s plan")
    client.views_open(trigger_id=triggers[0], view=MODAL)
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        client.views_open(trigger_id=triggers[0], view=MODAL)


@pytest.mark.parametrize("kind", [Outage.REFUSED, Outage.HTML])
def test_after_an_outage_the_bot_comes_back(slack: LabSlack, connect: Connect, client: WebClient, kind: Outage) -> None:
    """Calls fail while Slack is away; afterwards the same client hears commands again."""
    app, handler = connect()
    app.command("/k8s")(lambda ack: ack("here"))
    _join(slack, handler)
    slack.outage(kind=kind)
    assert slack.say("U0ADA", "C0OPS", "/k8s status") == "dispatch_failed"
    with pytest.raises((SlackApiError, OSError)):
        client.chat_postMessage(channel="C0OPS", text="lost")
    slack.outage(False)
    slack.wait_for(lambda it: it.sockets.count, timeout=60)
    assert slack.say("U0ADA", "C0OPS", "/k8s status") == ""
    assert client.chat_postMessage(channel="C0OPS", text="back")["ok"]


def test_a_refreshed_socket_is_replaced(slack: LabSlack, connect: Connect) -> None:
    app, handler = connect()
    app.command("/k8s")(lambda ack: ack("here"))
    _join(slack, handler)
    slack.refresh_sockets()
    slack.wait_for(lambda it: it.sockets.count, timeout=60)
    assert slack.say("U0ADA", "C0OPS", "/k8s status") == ""


def test_each_payload_goes_to_one_of_several_connections(slack: LabSlack, connect: Connect) -> None:
    """Two replicas share the commands, and no command is heard by both."""
    heard: list[str] = []

    def listener(name: str) -> Callable[[Any], None]:
        def listen(ack: Any) -> None:
            heard.append(name)
            ack()

        return listen

    for name in ("one", "two"):
        app, handler = connect()
        app.command("/k8s")(listener(name))
        _join(slack, handler)
    for _ in range(24):
        slack.say("U0ADA", "C0OPS", "/k8s status")
    assert len(heard) == 24
    assert set(heard) == {"one", "two"}


def test_an_unanswered_event_is_sent_again_and_a_command_is_not(slack: LabSlack, connect: Connect) -> None:
    """Only events are redelivered, with the number of the attempt."""
    slack.sockets.retries = (0.0, 0.2, 1.0, 5.0, 25.0)  # a busy machine may take its time to connect
    slack.say("U0ADA", "C0OPS", "@lockkeeper status")
    assert slack.say("U0ADA", "C0OPS", "/k8s status") == "dispatch_failed"
    app, handler = connect()
    heard: list[str] = []
    app.event("app_mention")(lambda event: heard.append(event["text"]))

    @app.command("/k8s")
    def listen(ack: Any) -> None:
        ack()
        heard.append("command")

    _join(slack, handler)
    slack.wait_for(lambda _: heard)
    time.sleep(0.3)
    assert heard == ["<@U0LOCK> status"]
    (delivered,) = slack.sockets.delivered
    assert delivered["retry_attempt"] >= 2


def test_with_duplicates_a_click_arrives_twice(slack: LabSlack, connect: Connect, client: WebClient) -> None:
    app, handler = connect()
    heard: list[str] = []

    @app.action("approve")
    def listen(ack: Any, body: dict[str, Any]) -> None:
        ack()
        heard.append(body["actions"][0]["action_ts"])

    _join(slack, handler)
    slack.duplicates()
    client.chat_postMessage(channel="C0OPS", text="Plan", blocks=[BUTTON])
    slack.click("U0GRACE", "Approve", "approve")
    slack.wait_for(lambda _: len(heard) == 2)
    assert len(set(heard)) == 1
