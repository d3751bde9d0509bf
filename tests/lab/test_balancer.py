"""The balancer of the lab: a client meets a server as long as there is one."""

from __future__ import annotations

import asyncio

from lab.balancer import Balancer
from lab.wire import claim_port

CLIENTS = 60


async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"up")
    await leave(writer)


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def ask_all_at_once() -> list[bytes]:
    """What each client read, of three backends two of which refuse."""
    living = await asyncio.start_server(greet, "127.0.0.1", 0)
    with claim_port() as dead, claim_port() as gone:
        balancer = Balancer(lambda: [each.getsockname() for each in (living.sockets[0], dead, gone)])
        await balancer.start()
        try:
            return await asyncio.gather(*(ask(*balancer.address) for _ in range(CLIENTS)))
        finally:
            await balancer.stop()
            living.close()


async def ask(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    said = await reader.read()
    await leave(writer)
    return said


def test_connections_at_once_do_not_take_each_others_turns():
    """Each tries every backend once, however many others are looking for one at the same time."""
    assert asyncio.run(ask_all_at_once()) == [b"up"] * CLIENTS
