"""How Redis is reached, and one sentence for each way in which it is not."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from redis import Redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.retry import Retry

from cluster.errors import InvalidConfig, StoreUnavailable

PREFIX = "lockkeeper:"
TIMEOUT = 2.0  # seconds; a driver must notice a silent Redis well within its lease
_CONNECTIONS = 512  # one for each thread that asks just then: the client's own limit is fewer than machines in hand

_IN_A_SCRIPT = re.compile(r"^Error running script .*?: -(?=[A-Z]+ )")  # a Redis before 7 hides its answer behind it


def connect(url: str) -> tuple[Redis, str]:
    """A client that connects lazily, and its address as errors name it, without its password."""
    try:
        client = Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            max_connections=_CONNECTIONS,
        )
        parts = urlsplit(url)
        place = parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    except ValueError:  # whose text may repeat a password; so does the traceback
        raise InvalidConfig(
            "The URL of Redis is none: write it as redis://:password@host:6379/0, rediss://… or unix:///path, "
            "in REDIS_URL or where `redis.url` of lockkeeper.yaml points."
        ) from None
    return client, f"Redis at {place}"


def unavailable(where: str, error: redis_errors.RedisError) -> Exception:
    """The sentence for what went wrong; a mistake in a script of ours stays what it is."""
    text = _IN_A_SCRIPT.sub("", str(error))
    for kinds, answers, sentence in _SENTENCES:
        if isinstance(error, kinds) or text.startswith(answers):
            return StoreUnavailable(sentence.format(where=where, text=text[:80]))
    return error


# what the client raises, how the server's answer begins, what that means; the first that fits
_SENTENCES: tuple[tuple[tuple[type[Exception], ...], tuple[str, ...], str], ...] = (
    (
        (redis_errors.AuthenticationError, redis_errors.AuthorizationError),
        ("NOAUTH", "WRONGPASS"),
        "{where} refuses our password: correct the user and password in REDIS_URL.",
    ),
    (
        (redis_errors.NoPermissionError,),
        ("NOPERM",),
        "{where} forbids us a command ({text}): give our user the rights on `" + PREFIX + "*`.",
    ),
    (
        (redis_errors.ReadOnlyError,),
        ("READONLY",),
        "{where} is a read-only replica: let REDIS_URL name the primary.",
    ),
    (
        (redis_errors.OutOfMemoryError,),
        ("OOM", "MISCONF"),
        "{where} refuses to write ({text}): give it memory, and a disk that it can write to.",
    ),
    (
        (),
        ("NOREPLICAS",),
        "{where} has too few replicas to take a write ({text}): bring them back, or lower `min-replicas-to-write`.",
    ),
    ((redis_errors.TimeoutError,), (), f"{{where}} does not answer within {TIMEOUT:g} s: look whether it hangs."),
    (
        (redis_errors.ConnectionError, redis_errors.MasterDownError, redis_errors.TryAgainError),
        ("LOADING", "BUSY"),
        "{where} cannot be reached ({text}): start it, or correct REDIS_URL.",
    ),
)
