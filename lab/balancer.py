"""The lab's load balancer: plain TCP, round robin over the API servers that accept a connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

CHUNK = 65536
Address = tuple[str, int]


class Balancer:
    """One port before many; it looks at nothing but whether a backend accepts, as a layer-4 balancer does."""

    def __init__(self, backends: Callable[[], Sequence[Address]]) -> None:
        self._backends = backends
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.address: Address = ("127.0.0.1", 0)

    @property
    def url(self) -> str:
        """What kubeconfigs name."""
        return f"https://{self.address[0]}:{self.address[1]}"

    async def start(self) -> None:
        """Listen on a free loopback port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()

    async def stop(self) -> None:
        """Close the port and cut every connection."""
        if self._server is not None:
            self._server.close()
        for link in tuple(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted transport closes its socket in the loop's next round

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        if link is not None:
            self._links.add(link)
            link.add_done_callback(self._links.discard)
        backend = None
        try:
            backend = await self._connect()
            if backend is not None:
                await _join(reader, writer, *backend)
        except asyncio.CancelledError:
            # Only stop() cancels; a raised cancellation would be logged by asyncio's stream server.
            writer.transport.abort()
            if backend is not None:
                backend[1].transport.abort()
        finally:
            writer.close()
            if backend is not None:
                backend[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        backends = self._backends()
        self._turn += 1
        first = self._turn % len(backends)  # held here: other connections take their turns while this one tries
        for host, port in (*backends[first:], *backends[:first]):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(host, port)
        return None


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    back_reader: asyncio.StreamReader,
    back_writer: asyncio.StreamWriter,
) -> None:
    """Copy both ways until one side ends; then both end."""
    ways = [
        asyncio.ensure_future(_copy(reader, back_writer)),
        asyncio.ensure_future(_copy(back_reader, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
