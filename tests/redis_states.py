"""States in which a Redis server answers and takes no write, and the way back out of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from redis import Redis

from lab.redis import RedisServer

_NOWHERE = ("127.0.0.1", 1)  # nobody listens there: the server keeps what it has, and waits for its primary
UNWILLING: Mapping[str, tuple[Callable[[Redis], Any], Callable[[Redis], Any]]] = MappingProxyType(
    {
        "without-memory": (lambda r: r.config_set("maxmemory", 1), lambda r: r.config_set("maxmemory", 0)),
        "read-only": (lambda r: r.replicaof(*_NOWHERE), lambda r: r.replicaof("NO", "ONE")),
        "without-its-replicas": (
            lambda r: r.config_set("min-replicas-to-write", 1),
            lambda r: r.config_set("min-replicas-to-write", 0),
        ),
    }
)


def make_unwilling(server: RedisServer, state: str) -> None:
    with Redis.from_url(server.url) as client:
        UNWILLING[state][0](client)


def make_willing(server: RedisServer, state: str) -> None:
    with Redis.from_url(server.url) as client:
        UNWILLING[state][1](client)


@contextmanager
def unwilling(server: RedisServer, state: str) -> Iterator[None]:
    """Every write is refused inside of it."""
    make_unwilling(server, state)
    try:
        yield
    finally:
        make_willing(server, state)
