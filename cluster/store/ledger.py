"""
One conditional write to Redis: checks, effects and a token in a single Lua call.

Everything that changes a record goes through `commit`: either every check holds and every effect happens, or nothing
does. A token makes a repeated call harmless, so that a lost answer may simply be asked for again; the client itself
never retries, since it would write twice.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any, Self, TypeVar

from redis import Redis
from redis import exceptions as redis_errors

from cluster.collector import uncollected
from cluster.errors import RecordUnreadable, UnknownThing
from cluster.events import Event
from cluster.store.connection import PREFIX, connect, unavailable
from cluster.store.records import EVENT

_TOKEN_SECONDS = 2 * 86_400  # a repeated call comes within seconds; the rest is margin
_PAGE = 50  # ids of an index that are asked for at once; whoever looks for the newest needs no more
MOST = 100  # records that a list gives, unless more are asked for: nothing is ever removed, and each may be megabytes

_COMMIT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return {'again', ''} end
local asked = cjson.decode(ARGV[1])
for _, check in ipairs(asked.checks) do
  local actual
  if check.field == '' then actual = redis.call('GET', check.key)
  else actual = redis.call('HGET', check.key, check.field) end
  if (actual or '') ~= check.expected then return {'refused', check.name, actual or ''} end
end
for _, effect in ipairs(asked.effects) do redis.call(unpack(effect)) end
redis.call('SET', KEYS[1], '1', 'EX', ARGV[2])
return {'done', ''}
"""
_HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_LET_GO = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""

Effect = tuple[str, ...]
_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """What must hold: a text key, or with `field` a hash's field, has this value; "" means absent."""

    name: str
    key: str
    expected: str
    field: str = ""


class Outcome(StrEnum):
    """What became of a commit; `again` is a token that was seen before: nothing changed now."""

    DONE = "done"
    AGAIN = "again"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Commit:
    """The answer; a refused one names the check that did not hold and what was there instead."""

    outcome: Outcome
    failed: str = ""
    actual: str = ""

    @property
    def refused(self) -> bool:
        return self.outcome is Outcome.REFUSED


def key(*parts: str) -> str:
    return PREFIX + ":".join(parts)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """What this release cannot read becomes one sentence, that says of what."""
    try:
        with uncollected():
            yield
    except (ValueError, LookupError) as error:
        raise RecordUnreadable(
            f"The record of `{what[:60]}` cannot be read: another release of lockkeeper wrote it, or somebody else; "
            "run that release until it is not needed any more."
        ) from error


def new_token() -> str:
    return secrets.token_hex(12)


@dataclass
class Ledger:
    """A connection of its own, and the one way to write through it; threads may share it."""

    client: Redis
    where: str = "Redis"
    _scripts: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    _left_out: set[str] = dataclasses.field(default_factory=set, repr=False)

    @classmethod
    def connect(cls, url: str) -> Self:
        """Connects lazily; raises InvalidConfig for what is no URL of Redis."""
        return cls(*connect(url))

    def close(self) -> None:
        self.client.close()

    def ask(self, call: Callable[[Redis], Any]) -> Any:
        """Read, or write what may be written twice; a dropped connection is replaced once."""
        try:
            try:
                return call(self.client)
            except redis_errors.TimeoutError:
                raise
            except redis_errors.ConnectionError:
                return call(self.client)
        except redis_errors.RedisError as error:
            raise unavailable(self.where, error) from error

    def text(self, place: str) -> str | None:
        found: str | None = self.ask(lambda r: r.get(place))
        return found

    def field(self, place: str, name: str) -> str | None:
        found: str | None = self.ask(lambda r: r.hget(place, name))
        return found

    def fields(self, place: str) -> dict[str, str]:
        found: dict[str, str] = self.ask(lambda r: r.hgetall(place))
        return found

    def some_fields(self, place: str, names: tuple[str, ...]) -> tuple[str | None, ...]:
        """The values of these fields, in their order; None for one that is not there."""
        return tuple(self.ask(lambda r: r.hmget(place, names)))

    def members(self, place: str) -> tuple[str, ...]:
        """Of a set, sorted."""
        return tuple(sorted(self.ask(lambda r: r.smembers(place))))

    def latest_first(self, place: str) -> tuple[str, ...]:
        """Of a sorted set, from its end."""
        return tuple(self.ask(lambda r: r.zrevrange(place, 0, -1)))

    def newest_first(self, place: str) -> Iterator[str]:
        """The same, page by page as far as somebody looks; what is added meanwhile shifts pages and repeats nothing."""
        given: set[str] = set()
        for start in count(0, _PAGE):
            page = self._members_from(place, start)
            new = [one for one in page if one not in given]
            yield from new
            given.update(new)
            if len(page) < _PAGE:
                return

    def _members_from(self, place: str, start: int) -> list[str]:
        return list(self.ask(lambda r: r.zrevrange(place, start, start + _PAGE - 1)))

    def each(self, read: Callable[[str], _T], ids: Iterable[str]) -> Iterator[_T]:
        """Those that are there and can be read; one that cannot hides no other."""
        for one in ids:
            try:
                found = read(one)
            except (UnknownThing, RecordUnreadable) as error:
                if one not in self._left_out:
                    _LOG.warning("%s is left out: %s", one, error)
                self._left_out.add(one)
            else:
                yield found

    def run(self, script: str, keys: list[str], args: list[str]) -> Any:
        """Run a Lua script that is idempotent in its arguments."""
        if script not in self._scripts:
            self._scripts[script] = self.client.register_script(script)
        return self.ask(lambda _: self._scripts[script](keys=keys, args=args))

    def hold(self, place: str, owner: str, ttl_ms: int) -> bool:
        """Take a mark that times out, or renew it; False while somebody else has it."""
        return bool(self.run(_HOLD, [place], [owner, str(ttl_ms)]))

    def let_go(self, place: str, owner: str) -> None:
        """Give a mark up, if it is ours."""
        self.run(_LET_GO, [place], [owner])

    def commit(self, *, token: str, checks: list[Check], effects: list[Effect]) -> Commit:
        """All effects if all checks hold, once per token."""
        asked = {
            "checks": [{"name": c.name, "key": c.key, "field": c.field, "expected": c.expected} for c in checks],
            "effects": effects,
        }
        keys = [key("token", token), *dict.fromkeys([c.key for c in checks] + [e[1] for e in effects])]
        answer = self.run(_COMMIT, keys, [json.dumps(asked), str(_TOKEN_SECONDS)])
        return Commit(Outcome(answer[0]), *answer[1:])


def record_events(*events: Event) -> list[Effect]:
    """The effects that append events to the streams of their plan and operation, and to the feed of all."""
    effects: list[Effect] = []
    for event in events:
        text = EVENT.dump_json(event).decode()
        subjects = [s for s in (event.plan_id, event.operation_id) if s]
        streams = [*(key("events", s) for s in subjects), key("feed")]
        effects += [("XADD", stream, "*", "event", text) for stream in streams]
    return effects
