"""The Slack app: every payload is acknowledged at once, worked on elsewhere, and answered whatever happens."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from slack_bolt import App
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient

from bot import approvals, controls, plans, reports
from bot.asked import Asked, from_action, from_command, from_mention, from_view
from bot.blocks import Message
from bot.commands import (
    Cancel,
    Command,
    Help,
    NotUnderstood,
    Pause,
    Plan,
    Resume,
    Retry,
    Status,
    UnknownCommand,
    Versions,
    parse_command,
    parse_mention,
)
from bot.controls import Control
from bot.delivery import SlackAway, SlackRefused
from bot.plan_card import APPROVE, DETAILS, REJECT
from bot.plan_views import REASON_BLOCK, REASON_FIELD, REJECT_VIEW
from bot.report_card import LISTING, SHARE
from bot.run_card import CANCEL, PAUSE, RESUME, RETRY
from bot.station import Station, said
from cluster.errors import LockkeeperError

Body = dict[str, Any]
Ack = Callable[..., Any]
_LISTENERS = 20  # bolt's own 5 would be used up by five slow clicks, and the sixth command got no ack
_WORKERS = 8
_RUN_ACTIONS = {
    PAUSE: Control.PAUSE,
    RESUME: Control.RESUME,
    CANCEL: Control.CANCEL,
    RETRY: Control.RETRY,
}
_STEERED = {Pause: Control.PAUSE, Resume: Control.RESUME, Cancel: Control.CANCEL}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Front:
    """What stands between bolt's listeners and the work: acknowledge, hand over, answer."""

    station: Station
    work: Executor

    def command(self, ack: Ack, body: Body) -> None:
        ack()
        asked = from_command(body)
        self._hand_over(asked, lambda: self._run(asked, str(body.get("text") or ""), mention=False))

    def mention(self, body: Body) -> None:
        asked = from_mention(body)
        event = body.get("event") or {}
        if event.get("bot_id") or not asked.user:
            return  # bots are not answered: two of them would talk for ever
        self._hand_over(asked, lambda: self._run(asked, str(event.get("text") or ""), mention=True))

    def _run(self, asked: Asked, text: str, *, mention: bool) -> Message:
        try:
            command = (parse_mention if mention else parse_command)(text, self.station.command)
        except UnknownCommand as error:
            return reports.show_help(self.station, str(error))
        except NotUnderstood as error:
            return said(str(error))
        # only an answer with a response_url can be shared: sharing posts through it
        return self._carry_out(asked, command, share=not mention)

    def _carry_out(self, asked: Asked, command: Command, *, share: bool) -> Message:
        station = self.station
        match command:
            case Help():
                return reports.show_help(station)
            case Versions(cluster):
                return reports.report_versions(station, asked, cluster, share=share)
            case Status(cluster):
                return reports.report_status(station, asked, cluster)
            case Plan():
                return plans.ask_for_plan(station, asked, command)
            case Retry(words):
                return controls.retry_words(station, asked, words)
            case Pause(cluster) | Resume(cluster) | Cancel(cluster):
                return controls.steer_cluster(station, asked, _STEERED[type(command)], cluster)

    def action(self, ack: Ack, body: Body) -> None:
        """Every button; the name decides, the value only says what it is about."""
        ack()
        asked = from_action(body)
        first = (body.get("actions") or [{}])[0]
        name, value = str(first.get("action_id") or ""), str(first.get("value") or "")
        self._hand_over(asked, lambda: self._act(asked, name, value))

    def _act(self, asked: Asked, name: str, value: str) -> Message | None:
        station = self.station
        if name in _RUN_ACTIONS:
            return controls.steer_operation(station, asked, _RUN_ACTIONS[name], value)
        if name == APPROVE:
            return approvals.approve(station, asked, value)
        if name == SHARE:
            return self._share(asked, value)
        if name == LISTING:
            return self._list(asked, value)
        (approvals.ask_for_reason if name == REJECT else approvals.show_details)(station, asked, value)
        return None

    def _share(self, asked: Asked, cluster: str) -> Message | None:
        message = reports.report_versions(self.station, asked, cluster, share=False)
        if self.station.delivery.respond(asked.response_url, message, in_channel=True):
            return None
        return said("The report could not be shared: ask for it again and share that one.")

    def _list(self, asked: Asked, cluster: str) -> Message:
        """All parts to the person who clicked; the last one is answered as any answer is."""
        *first, last = reports.list_everything(self.station, asked, cluster)
        for part in first:
            self._say(asked, part)
        return last

    def reason(self, ack: Ack, body: Body) -> None:
        """The modal that asks why a plan is rejected."""
        ack()
        view = body.get("view") or {}
        token, channel = approvals.split_metadata(str(view.get("private_metadata") or ""))
        asked = from_view(body, channel)
        values = (view.get("state") or {}).get("values") or {}
        reason = str(((values.get(REASON_BLOCK) or {}).get(REASON_FIELD) or {}).get("value") or "no reason given")
        self._hand_over(asked, lambda: approvals.reject(self.station, asked, token, reason))

    def _hand_over(self, asked: Asked, work: Callable[[], Message | None]) -> None:
        """Nothing may escape a listener: an exception right after ack() takes the ack back."""
        try:
            self.work.submit(self._answer, asked, work)
        except RuntimeError:
            _LOG.warning("A payload came while the bot was stopping; the person has to ask again.")

    def _answer(self, asked: Asked, work: Callable[[], Message | None]) -> None:
        try:
            message = self._outcome(work)
            if message is not None:
                self._say(asked, message)
        except Exception:  # noqa: BLE001 - the edge of this thread: there is nobody left to tell
            _LOG.exception("An answer was lost.")

    @staticmethod
    def _outcome(work: Callable[[], Message | None]) -> Message | None:
        try:
            return work()
        except (SlackAway, SlackRefused) as error:
            _LOG.warning("%s", error)
            return said(str(error))
        except LockkeeperError as error:
            return said(str(error))
        except Exception:  # noqa: BLE001 - the edge: the person gets a name for it, the log the rest
            ref = secrets.token_hex(4)
            _LOG.exception("Ref %s", ref)
            return said(f"Something went wrong inside lockkeeper: look at `status` before you try again. Ref {ref}.")

    def _say(self, asked: Asked, message: Message) -> None:
        """To the person who asked, by the way that is open."""
        delivery = self.station.delivery
        if asked.response_url and delivery.respond(asked.response_url, message):
            return
        try:
            delivery.whisper(asked.channel, asked.user, message, asked.thread)
        except (SlackAway, SlackRefused) as error:
            _LOG.warning("An answer could not be delivered: %s", error)


def build_app(
    station: Station, *, client: WebClient, signing_secret: str | None = None, work: Executor | None = None
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
    )
    front = Front(station, work or ThreadPoolExecutor(_WORKERS, "slack-work"))
    app.command(station.command)(front.command)
    app.event("app_mention")(front.mention)
    app.event("message")(_ignore)
    for name in (APPROVE, REJECT, DETAILS, SHARE, LISTING, *_RUN_ACTIONS):
        app.action(name)(front.action)
    app.view(REJECT_VIEW)(front.reason)
    app.error(_log_error)
    return app


def _ignore(body: Body) -> None:
    """Messages are not read; a workspace that sends them anyway gets its 200."""


def _log_error(error: Exception, body: Body) -> None:
    # the body holds response_url and trigger_id, which are secrets
    kind = body.get("type") or ("command" if body.get("command") else "?")
    _LOG.error("A listener failed on %s", kind, exc_info=error)
