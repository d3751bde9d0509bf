"""The workspace's state: messages, ephemerals and modals, and a journal of everything that changed."""

import copy
import itertools
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lab.slack.people import APP, BOT, BOT_NAME, BOT_USER, SLACKBOT, TEAM, Directory
from lab.slack.refusals import Refused
from lab.slack.throttle import Throttle
from lab.slack.tickets import Tickets

Json = dict[str, Any]


class ChangeKind(StrEnum):
    POSTED = "posted"
    EDITED = "edited"
    DELETED = "deleted"
    VIEW = "view"


@dataclass(slots=True)
class Message:
    """A message in a channel; with ``visible_to``, an ephemeral that only this person sees."""

    channel: str
    body: Json
    visible_to: str = ""
    metadata: Json | None = None

    @property
    def ts(self) -> str:
        return str(self.body["ts"])

    @property
    def thread(self) -> str:
        return str(self.body.get("thread_ts", ""))

    def as_json(self) -> Json:
        extra = {"metadata": copy.deepcopy(self.metadata)} if self.metadata else {}
        return {**copy.deepcopy(self.body), **extra, "channel": self.channel, "visible_to": self.visible_to}


@dataclass(slots=True)
class View:
    """An open modal of one person; the last of a person's stack is on top."""

    user: str
    body: Json
    errors: dict[str, str] = field(default_factory=dict)
    failed: str = ""

    @property
    def id(self) -> str:
        return str(self.body["id"])


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened, with a copy of what it left."""

    number: int
    kind: ChangeKind
    what: Json


@dataclass(slots=True)
class Workspace:
    """Only the server's own loop writes here."""

    directory: Directory = field(default_factory=Directory)
    tickets: Tickets = field(default_factory=Tickets)
    throttle: Throttle = field(default_factory=Throttle)
    timeline: list[Message] = field(default_factory=list)
    views: dict[str, list[View]] = field(default_factory=dict)
    files: dict[str, Json] = field(default_factory=dict)
    listeners: list[Callable[[Change], None]] = field(default_factory=list)
    home: str = ""  # the page's address: permalinks start with it
    api: str = ""  # the API's address without its path: upload and response URLs start with it
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _last_ts: int = 0

    def stamp(self, now: float) -> str:
        """A message's ts: its time in microseconds, never the same twice."""
        self._last_ts = max(self._last_ts + 1, int(now * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def tell(self, kind: ChangeKind, what: Json) -> None:
        change = Change(next(self._numbers), kind, what)
        for listener in tuple(self.listeners):
            listener(change)

    def post(self, message: Message) -> Message:
        self.timeline.append(message)
        self._count_reply(message)
        self.tell(ChangeKind.POSTED, message.as_json())
        return message

    def _count_reply(self, message: Message) -> None:
        if not message.thread or message.visible_to or message.thread == message.ts:
            return
        root = self.find(message.channel, message.thread)
        if root is not None:
            root.body["thread_ts"] = root.ts
            root.body["reply_count"] = root.body.get("reply_count", 0) + 1
            root.body["latest_reply"] = message.ts

    def post_as_bot(self, channel: str, content: Json, now: float, visible_to: str = "") -> Message:
        """Post what the bot wrote (text, blocks, thread_ts…), already as Slack would echo it."""
        body = {
            "type": "message",
            "user": BOT_USER,
            "bot_id": BOT,
            "app_id": APP,
            "team": TEAM,
            "ts": self.stamp(now),
            "bot_profile": {"id": BOT, "app_id": APP, "name": BOT_NAME, "team_id": TEAM, "deleted": False},
            **content,
        }
        return self.post(Message(channel, body, visible_to))

    def whisper(self, channel: str, user: str, text: str, now: float, thread: str = "") -> None:
        """Slackbot tells one person something."""
        body: Json = {"type": "message", "user": SLACKBOT, "ts": self.stamp(now), "text": text}
        if thread:
            body["thread_ts"] = thread
        self.post(Message(channel, body, visible_to=user))

    def find(self, channel: str, ts: str) -> Message | None:
        return next((one for one in self.timeline if one.ts == ts and one.channel == channel), None)

    def remove(self, message: Message) -> None:
        self.timeline.remove(message)
        self.tell(ChangeKind.DELETED, message.as_json())

    def edited(self, message: Message) -> None:
        self.tell(ChangeKind.EDITED, message.as_json())

    def stack(self, user: str) -> list[View]:
        return self.views.setdefault(user, [])

    def view(self, view_id: str = "", external_id: str = "") -> View:
        for view in itertools.chain.from_iterable(self.views.values()):
            if view.id == view_id or (external_id and view.body.get("external_id") == external_id):
                return view
        raise Refused("not_found")

    def viewed(self, user: str) -> None:
        """Somebody's modals changed."""
        self.tell(ChangeKind.VIEW, {"user": user, "views": [copy.deepcopy(one.body) for one in self.stack(user)]})


def new_id(letter: str) -> str:
    return letter + secrets.token_hex(5).upper()
