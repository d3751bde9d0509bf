"""The network in front of one server of the lab: it forwards, cuts, or swallows everything."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

HOST = "127.0.0.1"


def claim_port() -> socket.socket:
    """A free port, bound but never listening: no other program is given it while its server is away."""
    claim = socket.socket()
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    claim.bind((HOST, 0))
    return claim


class _Pump(asyncio.Protocol):
    """One direction of a connection through the wire."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.transport: asyncio.Transport | None = None
        self.other: _Pump | None = None
        self.waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.wire.pumps.add(self)

    def data_received(self, data: bytes) -> None:
        if self.wire.silent:
            return  # swallowed: the peer sees neither an answer nor an end
        if self.other is None or self.other.transport is None:
            self.waiting.append(data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.wire.pumps.discard(self)
        if self.other is not None and self.other.transport is not None and not self.wire.silent:
            self.other.transport.close()


class Wire:
    """Give `accept` to a loop's create_server; `behind` is the port of the real server."""

    def __init__(self) -> None:
        self.silent = False
        self.pumps: set[_Pump] = set()
        self.behind = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self) -> asyncio.Protocol:
        near = _Pump(self)
        task = asyncio.ensure_future(self._connect(near))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return near

    async def _connect(self, near: _Pump) -> None:
        if self.silent:
            return
        try:
            _, far = await asyncio.get_running_loop().create_connection(lambda: _Pump(self), HOST, self.behind)
        except OSError:
            if near.transport is not None:
                near.transport.abort()
            return
        near.other, far.other = far, near
        if far.transport is not None:
            for data in near.waiting:
                far.transport.write(data)
        near.waiting.clear()

    def cut(self) -> int:
        """Drop every connection at once; returns how many there were."""
        pumps = tuple(self.pumps)
        for pump in pumps:
            if pump.transport is not None:
                pump.transport.abort()
        return len(pumps) // 2
