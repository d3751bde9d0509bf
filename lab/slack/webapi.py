"""The HTTP rim that a bot talks to: ``/api/*``, response URLs, uploads and the Socket Mode endpoint."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from aiohttp import web

from lab.slack import chat, lookups, modals
from lab.slack.faults import Faults, Outage
from lab.slack.people import APP_TOKEN, BOT_TOKEN
from lab.slack.refusals import Refused, Throttled
from lab.slack.sockets import Sockets
from lab.slack.workspace import Json, Workspace

Timeless = Callable[[Workspace, Json], Json]
Timed = Callable[[Workspace, Json, float], Json]

TIMELESS: MappingProxyType[str, Timeless] = MappingProxyType(
    {
        "auth.test": lookups.auth_test,
        "bots.info": lookups.bots_info,
        "chat.delete": chat.delete,
        "chat.getPermalink": chat.get_permalink,
        "conversations.info": lookups.channel_info,
        "conversations.list": lookups.channel_list,
        "conversations.members": lookups.channel_members,
        "conversations.open": lookups.open_conversation,
        "files.getUploadURLExternal": lookups.begin_upload,
        "usergroups.list": lookups.groups_list,
        "usergroups.users.list": lookups.group_members,
        "users.info": lookups.users_info,
        "users.list": lookups.users_list,
        "views.update": modals.update_view,
    }
)
# These stamp a message or look at a trigger's age.
TIMED: MappingProxyType[str, Timed] = MappingProxyType(
    {
        "chat.postEphemeral": chat.post_ephemeral,
        "chat.postMessage": chat.post_message,
        "chat.update": chat.update,
        "files.completeUploadExternal": lookups.complete_upload,
        "views.open": modals.open_view,
        "views.push": modals.push_view,
    }
)
_CONNECT = "apps.connections.open"
_KNOWN = {*TIMELESS, *TIMED, _CONNECT}
# Objects and arrays that clients may send as a string of JSON.
_NESTED = frozenset({"blocks", "attachments", "metadata", "view", "files"})
_SORRY = "<!DOCTYPE html><html><head><title>Slack</title></head><body><h1>503 Service Unavailable</h1></body></html>"


@dataclass(frozen=True, slots=True)
class WebApi:
    """Reads requests, applies faults and limits, and hands them to the methods."""

    workspace: Workspace
    sockets: Sockets
    faults: Faults
    clock: Callable[[], float]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/{method}", self._guarded(self.call)),
            web.get("/api/{method}", self._guarded(self.call)),
            web.post("/{kind:commands|actions}/{token}", self._guarded(self.respond)),
            web.post("/upload/{file}", self._guarded(self.upload)),
            web.get("/link", self._guarded(self.sockets.serve)),
        ]

    def _guarded(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if self.faults.delay:
                await asyncio.sleep(self.faults.delay)
            if self.faults.outage is not Outage.NONE:
                return web.Response(status=503, text=_SORRY, content_type="text/html")
            answer: web.StreamResponse = await handler(request)
            return answer

        return guarded

    async def call(self, request: web.Request) -> web.Response:
        try:
            return web.json_response(self._answer(request, await _arguments(request)))
        except Throttled as throttled:
            return web.json_response(
                {"ok": False, "error": "ratelimited"},
                status=429,
                headers={"Retry-After": str(throttled.retry_after)},
            )
        except Refused as refused:
            return web.json_response(refused.answer())

    def _answer(self, request: web.Request, args: Json) -> Json:
        method, now = request.match_info["method"], self.clock()
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or str(args.get("token", ""))
        self._check_token(method, token)
        self.workspace.throttle.admit(method, str(args.get("channel", "")), now)
        if method == _CONNECT:
            # The socket is where the call came to, so that an outage closes both.
            return {"ok": True, "url": f"ws://{request.host}/link?ticket={self.sockets.ticket()}&app_id=lab"}
        if method in TIMED:
            return TIMED[method](self.workspace, args, now)
        return TIMELESS[method](self.workspace, args)

    @staticmethod
    def _check_token(method: str, token: str) -> None:
        if method not in _KNOWN:
            raise Refused("unknown_method")
        if not token:
            raise Refused("not_authed")
        if token not in {BOT_TOKEN, APP_TOKEN}:
            raise Refused("invalid_auth")
        if (token == APP_TOKEN) != (method == _CONNECT):
            raise Refused("not_allowed_token_type")

    async def respond(self, request: web.Request) -> web.Response:
        try:
            chat.respond(self.workspace, request.path, await _arguments(request), self.clock())
        except Refused as refused:
            gone = refused.code in {"expired_url", "used_url"}
            return web.Response(status=404 if gone else 400, text="\n".join((refused.code, *refused.messages)))
        return web.Response(text="ok")

    async def upload(self, request: web.Request) -> web.Response:
        file = self.workspace.files.get(request.match_info["file"])
        if file is None:
            return web.Response(status=404, text="file_not_found")
        if request.content_type == "multipart/form-data":
            part = next(iter((await request.post()).values()))
            file["content"] = part.file.read() if isinstance(part, web.FileField) else part
        else:
            file["content"] = await request.read()
        return web.Response(text=f"OK - {len(file['content'])}")


async def _arguments(request: web.Request) -> Json:
    """JSON, a form or a query; the SDK also posts JSON with no body at all."""
    args: Json = dict(request.query)
    if request.content_type == "application/json":
        text = await request.text()
        args |= json.loads(text) if text else {}
    elif request.method == "POST":
        args |= dict(await request.post())
    for name in _NESTED & args.keys():
        if isinstance(args[name], str):
            args[name] = _decoded(name, args[name])
    return args


def _decoded(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Refused("invalid_blocks_format" if name == "blocks" else "invalid_arguments") from error
