"""What Slack hands out for a short while: trigger ids and response URLs."""

import secrets
from dataclasses import dataclass, field
from typing import Literal

from lab.slack.refusals import Refused

TRIGGER_LIFE = 3.0
RESPONSE_LIFE = 30 * 60.0
RESPONSE_USES = 5


@dataclass(slots=True)
class Trigger:
    user: str
    born: float
    view: str = ""  # the modal that was open when it was handed out, if any
    used: bool = False


@dataclass(slots=True)
class ResponseUrl:
    """Where a bot may answer: for whom, where, and which message `replace_original` means."""

    user: str
    channel: str
    born: float
    thread: str = ""
    message: str = ""  # empty for slash commands: they have no original
    uses: int = 0


@dataclass(slots=True)
class Tickets:
    triggers: dict[str, Trigger] = field(default_factory=dict)
    urls: dict[str, ResponseUrl] = field(default_factory=dict)

    def trigger(self, user: str, now: float, view: str = "") -> str:
        name = f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self.triggers[name] = Trigger(user, now, view)
        return name

    def redeem(self, name: str, now: float) -> Trigger:
        """A trigger opens one modal, and only within three seconds."""
        trigger = self.triggers.get(name)
        if trigger is None:
            raise Refused("invalid_trigger_id")
        if trigger.used:
            raise Refused("exchanged_trigger_id")
        if now - trigger.born > TRIGGER_LIFE:
            raise Refused("expired_trigger_id")
        trigger.used = True
        return trigger

    def response_url(self, url: ResponseUrl, kind: Literal["commands", "actions"]) -> str:
        """The path of a new response URL."""
        path = f"/{kind}/{secrets.token_hex(12)}"
        self.urls[path] = url
        return path

    def use(self, path: str, now: float) -> ResponseUrl:
        """Count one use of a response URL; the sixth, or one after half an hour, is refused."""
        url = self.urls.get(path)
        if url is None or now - url.born > RESPONSE_LIFE:
            raise Refused("expired_url")
        if url.uses >= RESPONSE_USES:
            raise Refused("used_url")
        url.uses += 1
        return url
