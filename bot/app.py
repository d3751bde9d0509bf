"""The Slack app for both modes: which listener takes which payload; none that comes is left without an answer."""

from __future__ import annotations

import logging
import re
from concurrent.futures import Executor, ThreadPoolExecutor

from slack_bolt import App
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient

from bot.front import Ack, Body, Front
from bot.plan_notes import NOTES_VIEW
from bot.plan_views import REJECT_VIEW
from bot.spare_view import SPARE_VIEW
from bot.station import Station

_LISTENERS = 20  # bolt's own 5 would be used up by five slow clicks, and the sixth command got no ack
_WORKERS = 8
_ANY = re.compile(".*")
_LOG = logging.getLogger(__name__)


def build_app(
    station: Station,
    *,
    client: WebClient,
    signing_secret: str | None = None,
    work: Executor | None = None,
    clicks: Executor | None = None,
) -> App:
    """The bolt app for both modes; it makes no call to Slack on its own, so it starts while Slack is down."""
    token = client.token

    def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=token)

    app = App(
        client=client,
        authorize=authorize,
        signing_secret=signing_secret or "unused-in-socket-mode",
        listener_executor=ThreadPoolExecutor(_LISTENERS, "slack-listener"),
        request_verification_enabled=signing_secret is not None,
        logger=_discreet(),
    )
    hands = work or ThreadPoolExecutor(_WORKERS, "slack-work")
    front = Front(station, hands, clicks or ThreadPoolExecutor(_WORKERS, "slack-clicks"))
    app.command(station.command)(front.command)
    app.command(_ANY)(front.other_command)
    app.event("app_mention")(front.mention)
    app.event(_ANY)(_ignore)
    app.action(_ANY)(front.action)
    app.view(REJECT_VIEW)(front.reason)
    app.view(NOTES_VIEW)(front.notes)
    app.view(SPARE_VIEW)(front.spared)
    for left_over in (app.view(_ANY), app.view_closed(_ANY), app.shortcut(_ANY), app.options(_ANY)):
        left_over(_acknowledge)
    app.error(_log_error)
    return app


def _discreet() -> logging.Logger:
    """
    What bolt's loggers take after; their own level is the root's.

    At INFO bolt writes whole payloads, with their response_url and trigger_id, which are secrets. And it warns that the
    token of the environment is ignored, which is how it should be and reads as if something were wrong.
    """
    logger = logging.getLogger("bot.slack")
    logger.setLevel(logging.WARNING)
    logger.addFilter(_is_no_false_alarm)
    return logger


def _is_no_false_alarm(line: logging.LogRecord) -> bool:
    return "`authorize` has been used" not in str(line.msg)


def _ignore(body: Body) -> None:
    """What nobody subscribed to gets its 200."""


def _acknowledge(ack: Ack) -> None:
    """Windows and menus of another release: they close, and nothing is done."""
    ack()


def _log_error(error: Exception, body: Body) -> None:
    # the body holds response_url and trigger_id, which are secrets
    kind = body.get("type") or ("command" if body.get("command") else "?")
    _LOG.error("A listener failed on %s", kind, exc_info=error)
