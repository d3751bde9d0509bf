"""A real Redis server for tests: one per test session, emptied before each test, or one of a test's own to break."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from cluster.store import Store
from lab.redis import RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for tests that do not break it."""
    with tempfile.TemporaryDirectory(prefix="lk-") as directory, RedisServer.start(Path(directory)) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of an empty server."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that only this test uses, to be killed, frozen and restarted."""
    with tempfile.TemporaryDirectory(prefix="lk-") as directory, RedisServer.start(Path(directory)) as server:
        yield server


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    """A store on the empty server."""
    made = Store.connect(redis_url)
    yield made
    made.close()
