"""``LabSlack``: the whole workspace on loopback ports, driven from any thread by tests and by the demo."""

import asyncio
import copy
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from lab.slack.doors import Doors
from lab.slack.faults import Faults, Outage
from lab.slack.gestures import Gestures, ImpossibleError
from lab.slack.matching import Match, asks_again, newest
from lab.slack.pagehost import Control, PageHost
from lab.slack.people import APP_TOKEN, BOT_TOKEN, Directory
from lab.slack.sockets import ACK_DEADLINE, EVENT_RETRIES, Sockets
from lab.slack.text import render_text
from lab.slack.webapi import WebApi
from lab.slack.workspace import Change, Json, Message, View, Workspace

T = TypeVar("T")

_JOURNAL = 20_000  # changes kept; a long demo makes some thousands


class LabSlack:
    """A Slack to start, speak in, break and look at; every method may be called from any thread but its own."""

    bot_token = BOT_TOKEN
    app_token = APP_TOKEN

    def __init__(
        self,
        *,
        ack_deadline: float = ACK_DEADLINE,
        event_retries: Sequence[float] = EVENT_RETRIES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.faults = Faults()
        self.workspace = Workspace()
        self.sockets = Sockets(self.faults, ack_deadline, event_retries)
        self.gestures = Gestures(self.workspace, self.sockets, clock)
        self.page = PageHost(self.workspace, self.gestures, controls=self._controls())
        api = WebApi(self.workspace, self.sockets, self.faults, clock)
        self._doors = Doors(self.workspace, self.page, api, self.sockets, self.faults)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab-slack", daemon=True)
        self._journal: deque[Change] = deque(maxlen=_JOURNAL)
        self._changed = threading.Condition()
        self.workspace.listeners += [self._record, self.page.notice]

    def start(self, port: int = 0) -> Self:
        """Serve the page on this port (0: any free one) and the API beside it."""
        self._thread.start()
        try:
            self._run(self._doors.open(port))
        except OSError:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        self._run(self._doors.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self if self._thread.is_alive() else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def api_url(self) -> str:
        """What a WebClient takes as ``base_url``."""
        return f"{self.workspace.api}api/"

    @property
    def page_url(self) -> str:
        return self.workspace.home

    @property
    def directory(self) -> Directory:
        return self.workspace.directory

    def watch(self, title: str, machines: Callable[[], list[Json]], controls: Sequence[Control] = ()) -> None:
        """Show these machines beside the channels, asked for every second, with more switches below them."""
        self.page.title, self.page.machines = title, machines
        self.page.controls = (*self.page.controls, *controls)

    def say(self, user: str, channel: str, text: str, thread: str = "") -> str:
        """Type a slash command, a mention (``@lockkeeper versions``) or words; the error that the person sees."""
        return self._run(self.gestures.say(user, channel, text, thread))

    def click(self, user: str, message: Match, action_id: str, *, confirm: bool = True, chosen: Any = None) -> str:
        """Press a button, or choose in a menu; without ``confirm`` the dialog that asks again is declined."""
        found = self._pick(user, message)
        if not confirm and asks_again(found.body.get("blocks", []), action_id):
            return ""
        return self._run(self.gestures.act(user, found, action_id, chosen))

    def click_in_view(self, user: str, action_id: str, *, chosen: Any = None, view: str = "") -> str:
        return self._run(self.gestures.act_in_view(user, self._shown(user, view), action_id, chosen))

    def suggest(self, user: str, action_id: str, typed: str = "", *, view: str = "") -> list[Json]:
        """The options that the app offers in an external select of a modal."""
        return self._run(self.gestures.suggest(user, self._shown(user, view), action_id, typed))

    def submit_view(self, user: str, view: str = "", values: Mapping[str, Any] | None = None) -> str:
        """Submit a modal (by id, callback_id or external_id; empty: the one on top) with its fields filled in."""
        return self._run(self.gestures.submit(user, self._shown(user, view), values or {}))

    def close_view(self, user: str, view: str = "") -> str:
        return self._run(self.gestures.close(user, self._shown(user, view)))

    def messages(self, channel: str) -> list[Json]:
        """Every message of a channel, replies too, oldest first; no ephemerals."""
        return self._list(lambda one: one.channel == channel and not one.visible_to)

    def thread(self, channel: str, ts: str) -> list[Json]:
        """The replies in a thread, without its root."""
        return self._list(lambda one: one.channel == channel and one.thread == ts != one.ts and not one.visible_to)

    def ephemerals(self, user: str) -> list[Json]:
        return self._list(lambda one: one.visible_to == user)

    def views(self, user: str) -> list[Json]:
        """The person's open modals, the topmost last."""
        return self._run(self._copy(lambda: [one.body for one in self.workspace.stack(user)]))

    def changes(self) -> list[Change]:
        """Everything that was posted, edited, deleted or shown, in order."""
        return self._run(self._copy(lambda: list(self._journal)))

    def on_change(self, listener: Callable[[Change], None]) -> None:
        """Call this for every change, in the server's thread: be quick and do not call back in."""
        self._loop.call_soon_threadsafe(self.workspace.listeners.append, listener)

    def text(self, message: Json) -> str:
        return render_text(message, self.directory)

    def wait_for(self, predicate: Callable[[Self], T], timeout: float = 60.0) -> T:
        """Wait until the predicate says something true of this workspace, and return that."""
        deadline = time.monotonic() + timeout
        while True:
            with self._changed:
                seen = len(self._journal) and self._journal[-1].number
            if result := predicate(self):
                return result
            left = deadline - time.monotonic()
            if left <= 0:
                recent = [self.text(change.what) for change in self.changes()[-5:] if "ts" in change.what]
                raise TimeoutError("Nobody wrote what was waited for; the last messages: " + " | ".join(recent))
            with self._changed:
                # Half a second, because a predicate may look at more than messages.
                self._changed.wait_for(functools.partial(self._moved, seen), min(left, 0.5))

    def outage(self, down: bool = True, kind: Outage = Outage.REFUSED) -> None:  # noqa: FBT001, FBT002 - a switch
        """Take Slack away, sockets included, and bring it back."""
        self._run(self._doors.set_outage(kind if down else Outage.NONE))

    def slow(self, seconds: float) -> None:
        """Every answer of the API comes so much later."""
        self.faults.delay = seconds

    def duplicates(self, on: bool = True) -> None:  # noqa: FBT001, FBT002 - a switch
        """Deliver every payload twice."""
        self.faults.duplicates = on

    def rate_limit(self, method: str, retry_after: int = 1, times: int = 1) -> None:
        """Answer 429 to the next calls of this method."""
        self.workspace.throttle.force(method, retry_after, times)

    def unlimited(self, on: bool = True) -> None:  # noqa: FBT001, FBT002 - a switch
        """Stop counting calls."""
        self.workspace.throttle.enabled = not on

    def refresh_sockets(self) -> None:
        """Ask the bot to reconnect, as Slack does every few hours."""
        self._run(self.sockets.refresh())

    def cut_sockets(self) -> None:
        """Drop every socket without a word, as a network does."""
        self._loop.call_soon_threadsafe(self.sockets.cut)

    def _controls(self) -> list[Control]:
        return [
            Control(
                "slack-outage",
                "Slack outage",
                lambda: self.outage(self.faults.outage is Outage.NONE),
                lambda: self.faults.outage is not Outage.NONE,
            ),
            Control(
                "slack-duplicates",
                "Deliver twice",
                lambda: self.duplicates(not self.faults.duplicates),
                lambda: self.faults.duplicates,
            ),
        ]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @staticmethod
    async def _copy(read: Callable[[], T]) -> T:
        return copy.deepcopy(read())

    def _list(self, wanted: Callable[[Message], bool]) -> list[Json]:
        async def read() -> list[Json]:
            return [one.as_json() for one in self.workspace.timeline if wanted(one)]

        return self._run(read())

    def _record(self, change: Change) -> None:
        with self._changed:
            self._journal.append(change)
            self._changed.notify_all()

    def _moved(self, seen: int) -> bool:
        return bool(self._journal) and self._journal[-1].number != seen

    def _pick(self, user: str, match: Match) -> Message:
        """The newest message that fits: by ts, by the message itself, by a predicate, or by words in it."""
        seen = [one for one in tuple(self.workspace.timeline) if one.visible_to in {"", user}]
        return newest(seen, match, self.directory)

    def _shown(self, user: str, name: str) -> View:
        for view in reversed(self.workspace.stack(user)):
            if name in {"", view.id, view.body["callback_id"], view.body["external_id"]}:
                return view
        raise ImpossibleError(f"{user} has no open modal{f' {name}' if name else ''}.")
