"""Watches: a stream of changes from a resource version on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from lab.lists import matcher
from lab.objects import Change, ObjectStore
from lab.resources import Resource
from lab.selectors import Matcher
from lab.table import wants_table

LONGEST = 1800  # seconds; a real server ends a watch after 30 to 60 minutes


async def watch_objects(
    request: web.BaseRequest, store: ObjectStore, resource: Resource, namespace: str, query: Mapping[str, str]
) -> web.StreamResponse:
    """Answer a watch until its time is over or the client goes away."""
    stream = _Stream(store, resource, namespace, query, wants_table(request.headers.get("Accept", "")))
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
    await response.prepare(request)
    forget = store.subscribe(stream.take)
    try:
        seconds = min(int(query.get("timeoutSeconds", "") or LONGEST), LONGEST)
        async with asyncio.timeout(seconds):
            for event in stream.past(query.get("resourceVersion", "")):
                await response.write(event)
            while not stream.ended:
                await response.write(await stream.next())
    except (TimeoutError, ConnectionResetError):
        pass
    finally:
        forget()
    with contextlib.suppress(ConnectionResetError):
        await response.write_eof()
    return response


class _Stream:
    """The events of one watch, encoded."""

    def __init__(
        self, store: ObjectStore, resource: Resource, namespace: str, query: Mapping[str, str], table: Any
    ) -> None:
        self._store = store
        self._resource = resource
        self._namespace = namespace
        self._matches: Matcher = matcher(resource.kind, query)
        self._table = table
        self._query = query
        self._queue: asyncio.Queue[Change] = asyncio.Queue()
        self._columns_sent = False
        self.ended = False

    def take(self, change: Change) -> None:
        """Called by the store at every write."""
        if change.kind == self._resource.kind:
            self._queue.put_nowait(change)

    async def next(self) -> bytes:
        """The next event that concerns this watch; empty bytes are none."""
        return self._event(await self._queue.get())

    def past(self, version: str) -> list[bytes]:
        """What comes first: everything that is there, or the changes since that version."""
        if version in {"", "0"}:
            held = self._store.each(self._resource.kind, self._namespace or None)
            return [self._encode("ADDED", obj) for obj in held if self._matches(obj)]
        changes = self._store.since(int(version))
        if changes is None:
            self.ended = True
            gone = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": f"too old resource version: {version} ({self._store.version})",
                "reason": "Expired",
                "code": 410,
            }
            return [json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n"]
        return [self._event(change) for change in changes if change.kind == self._resource.kind]

    def _event(self, change: Change) -> bytes:
        was, now = self._concerns(change.before), self._concerns(change.after)
        if now and change.after is not None:
            return self._encode("MODIFIED" if was else "ADDED", change.after)
        if was and change.before is not None:
            gone = change.after or change.before
            last = gone | {"metadata": gone["metadata"] | {"resourceVersion": str(change.version)}}
            return self._encode("DELETED", last)
        return b""

    def _concerns(self, obj: dict[str, Any] | None) -> bool:
        if obj is None or (self._namespace and obj["metadata"].get("namespace") != self._namespace):
            return False
        return self._matches(obj)

    def _encode(self, kind: str, obj: dict[str, Any]) -> bytes:
        shown = obj
        if self._table is not None:
            metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            shown = self._table.render(self._resource, [obj], metadata, self._query)
            if self._columns_sent:  # the columns come with the first event only
                shown["columnDefinitions"] = None
            self._columns_sent = True
        return json.dumps({"type": kind, "object": shown}, separators=(",", ":")).encode() + b"\n"
