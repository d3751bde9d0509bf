"""HTTP mode: Slack's signed requests at /slack/events, and /healthz; anybody may knock, so nothing is believed."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from slack_bolt import App
from slack_bolt.adapter.wsgi import SlackRequestHandler

_MOST_BYTES = 1_000_000  # of one request; Slack's stay far below
_LOG = logging.getLogger(__name__)


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """A thread for each request; the ack of one never waits for another."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature of the base
        """Whoever hangs up, or never finishes a sentence, is worth a line and no traceback."""
        _LOG.info("A request of %s was not finished.", client_address[0])


class Quiet(WSGIRequestHandler):
    """Requests are Slack's; their lines would only hide ours in the log."""

    timeout = 10  # seconds for the next bytes: an open connection holds a thread

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of the base
        """Nothing."""


def web_application(app: App) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """Slack's requests at /slack/events, and /healthz for whoever keeps the process alive."""
    slack = SlackRequestHandler(app)

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/healthz":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"ok": True}).encode()]
        if refusal := _refusal(environ):
            start_response(refusal, [("Content-Type", "text/plain")])
            return []
        answered: Iterable[bytes] = slack(environ, start_response)
        return answered

    return answer


def _refusal(environ: dict[str, Any]) -> str:
    """The status for what bolt would stumble over before it looks at the signature; "" for anything else."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not _is_number(length):
        return "400 Bad Request"
    if len(length) > len(str(_MOST_BYTES)) or int(length) > _MOST_BYTES:
        return "413 Content Too Large"
    if not _is_number(environ.get("HTTP_X_SLACK_REQUEST_TIMESTAMP", "0")):
        return "401 Unauthorized"
    try:
        body = environ["wsgi.input"].read(int(length))
        body.decode()
    except OSError:
        return "408 Request Timeout"
    except UnicodeDecodeError:
        return "400 Bad Request"
    environ["wsgi.input"] = io.BytesIO(body)
    return ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
