"""
One TLS API server of the lab: authentication, faults and availability around the verbs.

kmock was looked at first: it mocks objects and watches well, but has neither tables nor evictions with budgets, neither
controllers nor the discovery that kubectl needs, so those would have been ours anyway, and this is what is left to add.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from lab import discovery, verbs
from lab.faults import Faults
from lab.identity import ANONYMOUS, Ask, Identities, User
from lab.lists import list_objects
from lab.objects import ObjectStore
from lab.resources import BY_PATH, REVIEWS, Resource
from lab.statuses import Refusal, forbidden, no_such_resource, not_allowed
from lab.table import wants_table
from lab.verbs import Call
from lab.watches import watch_objects
from lab.wire import claim_port

_WRITES = {"POST": verbs.create, "PUT": verbs.update, "PATCH": verbs.patch, "DELETE": verbs.delete, "GET": verbs.get}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
BROKEN = "an error on the server has prevented the request from succeeding"


class Availability(StrEnum):
    """What a client meets at the port."""

    UP = "up"
    FAILING = "failing"  # answers 500 to everything, as while etcd is replaced
    REFUSED = "refused"  # nothing listens, as while the server's own static pod is replaced


class ApiServer:
    """Serves a store that it shares with its peers, at a port that stays its own while it is refused."""

    def __init__(self, store: ObjectStore, identities: Identities, context: ssl.SSLContext, version: str) -> None:
        self.store = store
        self.identities = identities
        self.version = version
        self.emulates = ""  # the minor of its flag --emulated-version
        self.faults = Faults()
        self.requests: dict[str, int] = {}
        self.asked_for: set[discovery.Removed] = set()  # deprecated APIs, since its start
        self._context = context
        self._availability = Availability.REFUSED
        self._claim = claim_port()
        self.address: tuple[str, int] = self._claim.getsockname()
        self._handler = web.Server(self._answer, access_log=None, keepalive_timeout=60, handler_cancellation=True)
        self._listener: asyncio.Server | None = None

    @property
    def availability(self) -> Availability:
        """What a client meets now."""
        return self._availability

    @property
    def url(self) -> str:
        """This endpoint itself, past the balancer."""
        return f"https://{self.address[0]}:{self.address[1]}"

    async def start(self) -> None:
        """Begin to listen."""
        await self.become(Availability.UP)

    async def stop(self) -> None:
        """Close the port for good."""
        await self.become(Availability.REFUSED)
        await asyncio.sleep(0)  # a cut connection closes its socket in the loop's next round
        await self._handler.shutdown(0.1)
        self._claim.close()

    async def become(self, availability: Availability) -> None:
        """Change what clients meet; `refused` closes the port and cuts the connections."""
        self._availability = availability
        if availability is Availability.REFUSED:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            for connection in tuple(self._handler.connections):
                if connection.transport is not None:
                    connection.transport.abort()
        elif self._listener is None:
            self._listener = await asyncio.get_running_loop().create_server(
                self._handler, *self.address, ssl=self._context, reuse_address=True, ssl_shutdown_timeout=1
            )

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests[request.method] = self.requests.get(request.method, 0) + 1
        try:
            self._expect_up(request)
            fault = await self.faults.strike(request.method, request.path)
            return fault or await self._route(request)
        except Refusal as refusal:
            return _respond(refusal.code, refusal.status(), refusal.headers)

    def _expect_up(self, request: web.BaseRequest) -> None:
        if self._availability is Availability.REFUSED and request.transport is not None:
            request.transport.abort()  # its handshake was under way when the port was closed
        if self._availability is not Availability.UP:
            raise Refusal(500, BROKEN, "InternalError", {})

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        user = self.identities.authenticate(request.headers.get("Authorization", ""), _certificate(request))
        path = unquote(request.path).rstrip("/") or "/"
        parts = path.split("/")[1:]
        found = _locate(parts)
        if found is None:
            self.identities.check_path(user, request.method.lower(), path)
            accept, verbose = request.headers.get("Accept", ""), "verbose" in request.query
            return discovery.answer(
                path,
                self.version,
                accept,
                self.store,
                verbose=verbose,
                asked_for=self.asked_for,
                emulates=self.emulates,
            )
        resource, namespace, rest = found
        if resource in REVIEWS:
            return await self._review(request, user, resource)
        return await self._serve(request, user, resource, namespace, rest)

    async def _serve(
        self, request: web.BaseRequest, user: User, resource: Resource, namespace: str, rest: list[str]
    ) -> web.StreamResponse:
        name, subresource = (*rest, "", "")[:2]
        query = dict(request.query)
        ask = Ask(_verb(request.method, name, query), resource, subresource, namespace, name)
        self.identities.check(user, ask)
        if ask.verb == "watch":
            return await watch_objects(request, self.store, resource, namespace, query)
        table = wants_table(request.headers.get("Accept", ""))
        if ask.verb == "list":
            return _respond(200, list_objects(self.store, resource, namespace, query, table=table))
        if ask.verb == "deletecollection":
            raise not_allowed()
        kind = request.content_type
        body = verbs.read_body(await request.read(), kind)
        call = Call(resource, namespace, name, subresource, query, kind, body)
        code, obj = _WRITES[request.method](self.store, call)
        if table is not None and obj.get("kind") == resource.kind:
            obj = table.render(resource, [obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")}, query)
        return _respond(code, obj)

    async def _review(self, request: web.BaseRequest, user: User, resource: Resource) -> web.StreamResponse:
        if request.method != "POST":
            raise no_such_resource()
        if user == ANONYMOUS:
            raise forbidden(user.name, "create", resource, "", namespace="", name="")
        body = {} if resource.kind == "SelfSubjectReview" else verbs.read_body(await request.read()) or {}
        return _respond(201, discovery.review(resource, user, body.get("spec") or {}, self.identities))


def _verb(method: str, name: str, query: dict[str, str]) -> str:
    if method not in _VERBS:
        raise not_allowed()
    if method == "GET" and query.get("watch") in {"1", "true"}:
        return "watch"
    if method == "GET" and not name:
        return "list"
    return "deletecollection" if method == "DELETE" and not name else _VERBS[method]


def _locate(parts: list[str]) -> tuple[Resource, str, list[str]] | None:
    """The resource of a path, its namespace, and what follows it."""
    if parts[0] == "api" and len(parts) > 2:
        group, rest = parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, rest = f"{parts[1]}/{parts[2]}", parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (group, rest[2]) in BY_PATH:
        namespace, rest = rest[1], rest[2:]
    reviews = {(review.api_version, review.plural): review for review in REVIEWS}
    resource = BY_PATH.get((group, rest[0])) or reviews.get((group, rest[0]))
    if resource is None or len(rest) > 3 or bool(namespace) > resource.namespaced:
        raise no_such_resource()
    if resource.namespaced and not namespace and len(rest) > 1:
        raise no_such_resource()
    return resource, namespace, rest[1:]


def _certificate(request: web.BaseRequest) -> dict[str, Any] | None:
    return request.transport.get_extra_info("peercert") if request.transport else None


def _respond(code: int, body: dict[str, Any], headers: Any = None) -> web.Response:
    raw = json.dumps(body, separators=(",", ":")).encode() + b"\n"
    return web.Response(
        status=code,
        body=raw,
        headers={"Cache-Control": "no-cache, private", **(headers or {})},
        content_type="application/json",
    )
