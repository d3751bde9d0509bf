"""Socket Mode: connections, envelopes, the three seconds for an ack, and redelivery of events."""

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from lab.slack.faults import Faults
from lab.slack.people import APP
from lab.slack.refusals import Refused

Json = dict[str, Any]

ACK_DEADLINE = 3.0
EVENT_RETRIES = (0.0, 60.0, 300.0)  # at once, after a minute, after five
MOST_CONNECTIONS = 10
TICKET_LIFE = 30.0


@dataclass(frozen=True, slots=True)
class Ack:
    """What came back for an envelope: a payload, or the error that the person sees."""

    payload: Json = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Connection:
    socket: web.WebSocketResponse
    transport: asyncio.Transport | None


@dataclass(slots=True)
class Sockets:
    """Every open connection of the app; each payload goes to one of them, chosen by chance."""

    faults: Faults
    ack_deadline: float = ACK_DEADLINE
    retries: Sequence[float] = EVENT_RETRIES
    delivered: list[Json] = field(default_factory=list)
    _tickets: dict[str, float] = field(default_factory=dict)
    _open: list[_Connection] = field(default_factory=list)
    _waiting: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def count(self) -> int:
        return len(self._open)

    def ticket(self) -> str:
        if len(self._open) >= MOST_CONNECTIONS:
            raise Refused("too_many_websockets")
        ticket = secrets.token_hex(8)
        self._tickets[ticket] = time.monotonic()
        return ticket

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, from its hello to its end."""
        born = self._tickets.pop(request.query.get("ticket", ""), None)
        if born is None or time.monotonic() - born > TICKET_LIFE:
            return web.Response(status=403, text="The ticket is unknown or used: call apps.connections.open again.")
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        connection = _Connection(socket, request.transport)
        self._open.append(connection)
        try:
            await socket.send_json(self._hello())
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    self._read(frame.data)
        finally:
            if connection in self._open:
                self._open.remove(connection)
        return socket

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self._open),
            "debug_info": {"host": "lab", "approximate_connection_time": 18060},
            "connection_info": {"app_id": APP},
        }

    def _read(self, text: str) -> None:
        answer = json.loads(text)
        waiting = self._waiting.get(answer.get("envelope_id", ""))
        if waiting is not None and not waiting.done():
            waiting.set_result(answer.get("payload") or {})

    async def deliver(self, kind: str, payload: Json, attempt: int = 0) -> Ack:
        """Send one payload and wait for its ack; what was sent twice is answered by the first."""
        if self.faults.duplicates and not attempt:
            self._start(self._deliver_again(kind, payload))
        return await self._deliver(kind, payload, attempt)

    async def _deliver_again(self, kind: str, payload: Json) -> None:
        await self._deliver(kind, payload, 1 if kind == "events_api" else 0)

    async def _deliver(self, kind: str, payload: Json, attempt: int) -> Ack:
        name = str(uuid.uuid4())
        envelope: Json = {
            "envelope_id": name,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        }
        if kind == "events_api":
            reason = "timeout" if attempt else ""
            envelope |= {"retry_attempt": attempt, "retry_reason": reason}
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[name] = waiting
        try:
            if not await self._send(envelope):
                return Ack(error="dispatch_failed")
            return Ack(payload=await asyncio.wait_for(waiting, self.ack_deadline))
        except TimeoutError:
            return Ack(error="operation_timeout")
        finally:
            del self._waiting[name]

    async def _send(self, envelope: Json) -> bool:
        if not self._open:
            return False
        connection = secrets.choice(self._open)
        try:
            await connection.socket.send_json(envelope)
        except ConnectionError:
            return False
        self.delivered.append(envelope)
        return True

    def publish(self, payload: Json) -> None:
        """An event: nobody waits for it, and it is tried again until it is acked."""
        self._start(self._publish(payload))

    async def _publish(self, payload: Json) -> None:
        ack = await self.deliver("events_api", payload)
        for attempt, delay in enumerate(self.retries, start=1):
            if not ack.error:
                return
            await asyncio.sleep(delay)
            ack = await self.deliver("events_api", payload, attempt)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def refresh(self) -> None:
        """Ask every connection to reconnect, as Slack does every few hours, and then close it."""
        for connection in tuple(self._open):
            await connection.socket.send_json({"type": "disconnect", "reason": "refresh_requested"})
            self._open.remove(connection)
            await connection.socket.close()

    def cut(self) -> None:
        """Drop every connection without a word."""
        while self._open:
            connection = self._open.pop()
            if connection.transport is not None:
                connection.transport.abort()

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()
