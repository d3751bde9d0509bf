"""The bot's process: HTTP with signed requests, sockets with their health, and an end that leaves nothing behind."""

from __future__ import annotations

import io
import json
import threading
import time
from http.client import BadStatusLine
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener
from wsgiref.simple_server import make_server

import pytest
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier

from bot.serve import build_bot, look, reach, serve, socket_health
from bot.web import web_application
from cluster.errors import ClusterUnreadable, InvalidConfig
from cluster.fields import Secret
from cluster.queues import Wakeups
from cluster.settings import Digest
from tests.bot_desk import ADA, desk, quiet_desk
from tests.bot_fixture import CHANNEL, report, settings
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]

SECRET = "made-up-signing-secret"


@pytest.fixture
def bot(quiet_desk, monkeypatch):
    """In HTTP mode."""
    monkeypatch.setenv("LOCKKEEPER_TEST_SIGNING_SECRET", SECRET)
    http = {"mode": "http", "signing_secret": Secret(env="LOCKKEEPER_TEST_SIGNING_SECRET")}
    slack = quiet_desk.settings.slack.model_copy(update=http)
    chosen = quiet_desk.settings.model_copy(update={"slack": slack})
    wakeups = Wakeups.connect(quiet_desk.redis_url)
    made = build_bot(chosen, quiet_desk.store, wakeups, clock=quiet_desk.now, observe=quiet_desk.observe)
    yield made
    made.work.shutdown()


@pytest.fixture
def address(bot):
    """Where it listens on loopback."""
    with make_server("127.0.0.1", 0, web_application(bot.app)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def command(address: str, text: str, *, secret: str = SECRET, age: int = 0) -> int:
    """Send `/k8s text` as Slack would; the status of the answer."""
    fields = {"command": "/k8s", "text": text, "team_id": "T0LAB", "user_id": ADA, "channel_id": CHANNEL}
    body, stamp = urlencode(fields), str(int(time.time()) - age)
    signature = SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body)
    headers = {
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": str(signature),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    request = Request(f"{address}/slack/events", body.encode(), headers)  # noqa: S310 - loopback
    try:
        with build_opener(ProxyHandler({})).open(request) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code


def test_a_signed_command_is_answered_over_http(quiet_desk, address):
    """The same app as in Socket Mode."""
    assert command(address, "help") == 200
    quiet_desk.told(ADA, "versions [cluster]")


def test_a_command_that_slack_did_not_sign_is_refused(quiet_desk, address):
    """Another secret, or a request that is too old."""
    assert command(address, "help", secret="another") == 401
    assert command(address, "help", age=3600) == 401
    assert quiet_desk.slack.ephemerals(ADA) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": "v0=0"}, 401),
        ({"X-Slack-Request-Timestamp": "²", "X-Slack-Signature": "v0=0"}, 401),
        ({}, 400),
        ({"Content-Length": "many"}, 400),
        ({"Content-Length": "-1"}, 400),
        ({"Content-Length": "99999999999"}, 413),
    ],
)
def test_a_request_that_is_none_of_slacks_is_refused_without_ado(bot, headers, status):
    """Anybody may send one: no traceback, and no memory or thread for what is only announced."""
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/slack/events", "wsgi.input": io.BytesIO(b"\xff\xfe")}
    environ |= {"CONTENT_LENGTH": "2"}
    environ |= {("" if n == "Content-Length" else "HTTP_") + n.upper().replace("-", "_"): v for n, v in headers.items()}
    seen: list[str] = []
    list(web_application(bot.app)(environ, lambda line, _: seen.append(line)))
    assert seen[0].startswith(str(status))


def test_health_is_told_without_a_signature(address):
    """For whoever keeps the process alive."""
    with build_opener(ProxyHandler({})).open(f"{address}/healthz") as answer:
        assert json.load(answer) == {"ok": True}


def test_a_socket_that_was_never_connected_is_not_healthy(desk):
    """What the health of the connection is read from."""
    bot = build_bot(desk.settings, desk.store, Wakeups.connect(desk.redis_url), clock=desk.now)
    handler = SocketModeHandler(bot.app, "xapp-made-up")
    try:
        assert socket_health(handler)["ok"] is False
    finally:
        handler.close()
        bot.work.shutdown()


def test_a_configuration_without_slack_is_refused():
    """One sentence, before anything is connected to."""
    with pytest.raises(InvalidConfig, match="no `slack` part"):
        build_bot(settings(slack=None), None, None, clock=None)


def test_serve_is_what_the_command_line_calls(monkeypatch):
    """It refuses without a Redis before it speaks to anybody."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(InvalidConfig, match="REDIS_URL"):
        serve(settings())


@pytest.mark.parametrize("error", [ClusterUnreadable("gone"), KeyError("a mistake of ours")])
def test_a_result_does_not_wait_for_a_cluster_that_cannot_be_read(error):
    """The recorded versions are told instead."""

    def unreadable(_: str) -> None:
        raise error

    assert look(unreadable, "prod") is None
    assert look(report, "prod") == report("prod")


def test_a_cluster_that_never_answers_keeps_neither_the_result_nor_the_process():
    """A thread that is waited for at the end would hold up the whole roll-out of a bot."""
    hangs = threading.Event()

    def observe(_):
        hangs.wait(60)
        return report("prod")

    assert look(observe, "prod", within=0.05) is None
    assert [t.daemon for t in threading.enumerate() if t.name == "last-look"] == [True]
    hangs.set()


def test_a_bot_tells_the_periodic_report_where_one_is_configured(quiet_desk):
    """Through the sender; without the setting nobody looks."""
    digest = {"every": "daily", "at": "00:00", "channel": CHANNEL}
    quiet_desk.settings = quiet_desk.settings.model_copy(update={"digest": Digest.model_validate(digest)})
    quiet_desk.start_bot()
    posted = quiet_desk.slack.wait_for(lambda it: it.messages(CHANNEL))
    assert "API servers v1.34.7" in quiet_desk.slack.text(posted[0])
    assert len(posted) == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError("no route"),
        BadStatusLine("odd"),
        Exception("Failed to connect to the proxy (proxy: http://proxy, connect status code: 503)"),
        SlackApiError("no", {"ok": False, "error": "invalid_auth"}),
    ],
)
def test_a_bot_goes_on_trying_whatever_keeps_it_from_slack(error, caplog):
    """A proxy or a token may be mended while it waits; the log says what it is that must be."""
    tries: list[int] = []

    def connect() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise error

    reach(connect, threading.Event(), first_wait=0.001)
    assert len(tries) == 3
    assert str(getattr(error, "response", {}).get("error") or error) in caplog.text
