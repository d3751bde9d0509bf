"""States in which a Redis server answers and takes no write, and the way back out of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from redis import Redis

from lab.redis import RedisServer


def _break_snapshots(client: Redis) -> None:
    """A folder has the name of the file that it saves to: as with a full disk, and for root as well."""
    _snapshot(client).mkdir()
    client.config_set("save", "3600 1")
    client.bgsave()
    for _ in range(1000):
        if client.info("persistence")["rdb_last_bgsave_status"] != "ok":
            return
        time.sleep(0.01)
    raise TimeoutError("the snapshot does not fail")


def _mend_snapshots(client: Redis) -> None:
    _snapshot(client).rmdir()
    client.config_set("save", "")


def _snapshot(client: Redis) -> Path:
    return Path(client.config_get("dir")["dir"]) / client.config_get("dbfilename")["dbfilename"]


_NOWHERE = ("127.0.0.1", 1)  # nobody listens there: the server keeps what it has, and waits for its primary
UNWILLING: Mapping[str, tuple[Callable[[Redis], Any], Callable[[Redis], Any]]] = MappingProxyType(
    {
        "without-memory": (lambda r: r.config_set("maxmemory", 1), lambda r: r.config_set("maxmemory", 0)),
        "read-only": (lambda r: r.replicaof(*_NOWHERE), lambda r: r.replicaof("NO", "ONE")),
        "unable-to-save": (_break_snapshots, _mend_snapshots),
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
