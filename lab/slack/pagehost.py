"""The HTTP rim of the page: its files, its live stream, and the buttons that people press there."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.slack.gestures import Gestures, ImpossibleError
from lab.slack.refusals import Refused
from lab.slack.screen import draw_screen
from lab.slack.workspace import Change, Json, Workspace

PAGE = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# Nothing from elsewhere, and nothing inline: a text from a cluster that got through as HTML would still do nothing.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"
_HEARTBEAT = 15.0  # keeps proxies and browsers from thinking that the stream is dead


@dataclass(frozen=True, slots=True)
class Control:
    """A switch beside the machines: what it is called, what it does, and whether it is on."""

    name: str
    label: str
    press: Callable[[], None]
    is_on: Callable[[], bool] | None = None

    def describe(self) -> Json:
        return {"name": self.name, "label": self.label, "on": self.is_on() if self.is_on else None}


@dataclass(slots=True)
class PageHost:
    """Machines and controls come from whoever runs the lab; the page asks for them every second."""

    workspace: Workspace
    gestures: Gestures
    machines: Callable[[], list[Json]] | None = None
    controls: Sequence[Control] = ()
    title: str = ""
    _streams: set[asyncio.Queue[int | None]] = field(default_factory=set)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._file),
            web.get(r"/{name:[a-z]+\.(?:css|js)}", self._file),
            web.get("/archives/{channel}/{message}", self._archive),
            web.get("/lab/state", self._state),
            web.get("/lab/events", self._events),
            web.get("/lab/machines", self._machines),
            web.post("/lab/controls/{name}", self._press),
            web.post("/lab/say", self._gesture(self._say)),
            web.post("/lab/act", self._gesture(self._act)),
            web.post("/lab/submit", self._gesture(self._submit)),
            web.post("/lab/close", self._gesture(self._close)),
            web.post("/lab/suggest", self._suggest),
        ]

    def notice(self, change: Change) -> None:
        """Wake every open page."""
        for stream in self._streams:
            stream.put_nowait(change.number)

    def end_streams(self) -> None:
        for stream in self._streams:
            stream.put_nowait(None)

    async def _file(self, request: web.Request) -> web.Response:
        path = PAGE / request.match_info.get("name", "index.html")
        if not path.is_file():
            raise web.HTTPNotFound
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        text = path.read_text(encoding="utf-8")
        return web.Response(text=text, content_type=_TYPES[path.suffix], headers=headers)

    async def _archive(self, request: web.Request) -> web.Response:
        """A permalink leads to the page, with the message marked."""
        channel, name = request.match_info["channel"], request.match_info["message"].removeprefix("p")
        raise web.HTTPFound(f"/#{channel}/{name[:-6]}.{name[-6:]}")

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(draw_screen(self.workspace, request.query.get("as", "")))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        stream: asyncio.Queue[int | None] = asyncio.Queue()
        self._streams.add(stream)
        try:
            await response.write(b"data: 0\n\n")
            while (line := await self._next_line(stream)) is not None:
                await response.write(line)
        except ConnectionResetError:
            pass  # the page was closed
        finally:
            self._streams.discard(stream)
        return response

    @staticmethod
    async def _next_line(stream: asyncio.Queue[int | None]) -> bytes | None:
        try:
            number = await asyncio.wait_for(stream.get(), _HEARTBEAT)
        except TimeoutError:
            return b": still here\n\n"
        while not stream.empty() and number is not None:  # a burst of changes is one redraw
            number = stream.get_nowait()
        return None if number is None else f"data: {number}\n\n".encode()

    async def _machines(self, _request: web.Request) -> web.Response:
        machines = await asyncio.to_thread(self.machines) if self.machines else []
        controls = [control.describe() for control in self.controls]
        return web.json_response({"title": self.title, "machines": machines, "controls": controls})

    async def _press(self, request: web.Request) -> web.Response:
        await request.json()  # only a page of ours can send JSON here
        for control in self.controls:
            if control.name == request.match_info["name"]:
                await asyncio.to_thread(control.press)
                return web.json_response({"ok": True})
        return web.json_response({"ok": False, "error": "there is no such control"}, status=404)

    def _gesture(self, gesture: Callable[[Json], Awaitable[str]]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            # A foreign site cannot send this content type here without asking first.
            if request.content_type != "application/json":
                return web.json_response({"ok": False, "error": "send JSON"}, status=415)
            try:
                error = await gesture(json.loads(await request.text()))
            except (ImpossibleError, Refused) as impossible:
                error = str(impossible)
            return web.json_response({"ok": not error, "error": error})

        return handle

    async def _say(self, body: Json) -> str:
        return await self.gestures.say(body["as"], body["channel"], body["text"], body.get("thread", ""))

    async def _act(self, body: Json) -> str:
        if view := body.get("view"):
            return await self.gestures.act_in_view(
                body["as"], self.workspace.view(view), body["action_id"], body.get("chosen")
            )
        message = self.workspace.find(body["channel"], body["ts"])
        if message is None:
            raise ImpossibleError("This message is gone.")
        return await self.gestures.act(body["as"], message, body["action_id"], body.get("chosen"))

    async def _submit(self, body: Json) -> str:
        return await self.gestures.submit(body["as"], self.workspace.view(body["view"]), body["values"])

    async def _close(self, body: Json) -> str:
        return await self.gestures.close(body["as"], self.workspace.view(body["view"]))

    async def _suggest(self, request: web.Request) -> web.Response:
        body = await request.json()
        view = self.workspace.view(body["view"])
        return web.json_response(
            {"options": await self.gestures.suggest(body["as"], view, body["action_id"], body["typed"])}
        )
