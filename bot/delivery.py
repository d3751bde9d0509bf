"""One call to Slack at a time: sent, or refused in one of three ways, and plainer when Slack dislikes the blocks."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, TypeVar

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.webhook import WebhookClient

from bot.blocks import Block, Message, step_down
from cluster.errors import LockkeeperError

TIMEOUT = 8  # seconds for one call; below the sender's lease
_DISLIKED = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "invalid_attachments"})
_TOO_MANY = 429
_SERVER = 500
_PASSING = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})
# an app whose token is changed, or that is installed anew, has everything still to say afterwards
_LOCKED_OUT = frozenset({"invalid_auth", "not_authed", "token_expired", "token_revoked", "account_inactive"})
_LATE = frozenset({"expired_trigger_id", "exchanged_trigger_id", "invalid_trigger_id"})
_CLOSED = "not_found"  # of a window
SHUT = frozenset({"not_in_channel", "channel_not_found", "is_archived"})  # until somebody invites us or opens it
_SAYS_NO = re.compile(r'"ok"\s*:\s*false')  # a response_url may refuse with status 200
_CODE = re.compile(r"[a-z_]+")  # anything else is a page of some proxy, not Slack's word
_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)


class SlackAway(LockkeeperError):  # noqa: N818 - the errors of this project read as facts
    """Slack cannot be reached or is in trouble; the same call may work later."""


class SlackBusy(SlackAway):
    """Slack asks to wait `retry_after` seconds."""

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class SlackRefused(LockkeeperError):  # noqa: N818 - as above
    """Slack will never take this call; `code` is its own word for the reason."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


def connect(token: str, api_url: str) -> WebClient:
    """A client that never retries on its own: the outbox does, and knows what it has sent."""
    base = api_url if api_url.endswith("/") else f"{api_url}/"
    return WebClient(token=token, base_url=base, timeout=TIMEOUT, retry_handlers=[])


@dataclass(frozen=True, slots=True)
class Delivery:
    """The few calls that the bot makes, in one place: the app's scopes are for exactly these."""

    client: WebClient

    def post(self, channel: str, message: Message, thread: str = "") -> str:
        """Post and answer with the message's timestamp."""
        return self._laddered(message, lambda m: self._post(channel, m, thread))

    def _post(self, channel: str, message: Message, thread: str) -> str:
        answer = ask(
            "chat.postMessage",
            lambda: self.client.chat_postMessage(
                channel=channel,
                text=message.text,
                blocks=list(message.blocks) or None,
                thread_ts=thread or None,
                unfurl_links=False,
                unfurl_media=False,
            ),
        )
        if not answer.get("ts"):
            raise SlackAway("Slack took a message and did not say where it is: it is tried again.")
        return str(answer["ts"])

    def edit(self, channel: str, ts: str, message: Message) -> None:
        self._laddered(message, lambda m: self._edit(channel, ts, m))

    def _edit(self, channel: str, ts: str, message: Message) -> None:
        # an empty list takes the blocks away; leaving them out would keep the refused ones
        ask(
            "chat.update",
            lambda: self.client.chat_update(channel=channel, ts=ts, text=message.text, blocks=list(message.blocks)),
        )

    def whisper(self, channel: str, user: str, message: Message, thread: str = "") -> None:
        """Tell one person only."""
        self._laddered(message, lambda m: self._whisper(channel, user, m, thread))

    def _whisper(self, channel: str, user: str, message: Message, thread: str) -> None:
        ask(
            "chat.postEphemeral",
            lambda: self.client.chat_postEphemeral(
                channel=channel,
                user=user,
                text=message.text,
                blocks=list(message.blocks) or None,
                thread_ts=thread or None,
            ),
        )

    def respond(self, url: str, message: Message, *, in_channel: bool = False) -> bool:
        """Answer through a response_url; False when it is used up, expired or out of reach."""
        form: Message | None = message
        while form is not None:
            try:
                answer = WebhookClient(url, timeout=TIMEOUT, retry_handlers=[]).send(
                    text=form.text,
                    blocks=list(form.blocks) or None,
                    response_type="in_channel" if in_channel else "ephemeral",
                    replace_original=False,
                )
            except (OSError, HTTPException, SlackClientError) as error:
                _LOG.warning("response_url: %s", type(error).__name__)
                return False
            body = str(answer.body)
            if not any(word in body for word in _DISLIKED):
                return answer.status_code < 300 and not _SAYS_NO.search(body)  # noqa: PLR2004 - HTTP's success
            form = step_down(form)
        return False

    def upload(self, channel: str, thread: str, name: str, text: str) -> None:
        """Put a file into a thread, or with "" into the channel itself."""
        ask(
            "files.completeUploadExternal",
            lambda: self.client.files_upload_v2(
                channel=channel, thread_ts=thread or None, filename=name, title=name, content=text
            ),
        )

    def open_view(self, trigger_id: str, view: Block) -> str:
        """Open a window and answer with its id."""
        answer = ask("views.open", lambda: self.client.views_open(trigger_id=trigger_id, view=view))
        return str((answer.get("view") or {}).get("id") or "")

    def fill_view(self, view_id: str, view: Block) -> None:
        """Show something else in a window that is open; nothing where it was closed meanwhile."""
        try:
            ask("views.update", lambda: self.client.views_update(view_id=view_id, view=view))
        except SlackRefused as error:
            if error.code != _CLOSED:
                raise

    def link(self, channel: str, ts: str) -> str:
        """A link to a message; "" when Slack does not say."""
        try:
            found = ask("chat.getPermalink", lambda: self.client.chat_getPermalink(channel=channel, message_ts=ts))
        except (SlackAway, SlackRefused):
            return ""
        return str(found.get("permalink") or "")

    @staticmethod
    def _laddered(message: Message, send: Callable[[Message], _T]) -> _T:
        while True:
            try:
                return send(message)
            except SlackRefused as error:
                plainer = step_down(message) if error.code in _DISLIKED else None
                if plainer is None:
                    raise
                _LOG.warning("Slack refused blocks (%s); sending a plainer form of: %s", error, message.text)
                message = plainer


def ask(method: str, call: Callable[[], Any]) -> dict[str, Any]:
    """Make one Web API call; raises SlackBusy, SlackAway or SlackRefused and nothing else."""
    try:
        data = call().data
    except SlackApiError as error:
        raise _judge(method, error) from error
    except (OSError, HTTPException, SlackClientError, ValueError) as error:
        raise SlackAway(f"Slack cannot be reached for {method} ({type(error).__name__}): it is tried again.") from error
    return data if isinstance(data, dict) else {}


def _judge(method: str, error: SlackApiError) -> SlackAway | SlackRefused:
    response: Any = error.response
    status = getattr(response, "status_code", None)
    if status is None and isinstance(response, dict):
        status = response.get("status")
    code = str(response.get("error") or "") if hasattr(response, "get") else ""
    if status == _TOO_MANY or code in {"ratelimited", "rate_limited"}:
        seconds = _wait_of(getattr(response, "headers", None) or {})
        return SlackBusy(f"Slack asks to wait {seconds:g} s before {method}.", seconds)
    if code in _LOCKED_OUT:
        return SlackAway(f"Slack does not know our token ({code}): put the app's present one into the configuration.")
    if (isinstance(status, int) and status >= _SERVER) or code in _PASSING or not _CODE.fullmatch(code):
        return SlackAway(f"Slack is in trouble ({method} answered {status or code}): it is tried again.")
    if code in _LATE:
        return SlackRefused(f"Slack waited too long for lockkeeper to open this window ({code}). Click again.", code)
    return SlackRefused(f"Slack refuses {method}: {code}.", code)


def _wait_of(headers: Mapping[str, Any]) -> float:
    """Seconds of the Retry-After header, in whichever letters it is written; a second where there is none."""
    wait = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        return min(3600.0, max(0.0, float(wait)))
    except (TypeError, ValueError):
        return 1.0
