"""What changed in an operation since it was last read: thousands of rows, of which a few move between two readings."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace

from cluster.operation import Operation
from cluster.store.ledger import Effect
from cluster.store.records import OPERATION, ROW

# All fields, or with the moment of a known reading those that changed since; with the newest moment and the fence.
READ = """
local fence = redis.call('HGET', KEYS[1], 'fence')
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local at = newest[1] and newest[1][1] or ''
local names, seen = {}, {}
local known = ARGV[1] ~= '' and #redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[1]) == 1
if not known then names = redis.call('HKEYS', KEYS[1]) end
if known and at ~= ARGV[1] then
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '(' .. ARGV[1], '+')) do
    for _, name in ipairs(cjson.decode(entry[2][2])) do
      if not seen[name] then seen[name] = true; names[#names + 1] = name end
    end
  end
end
local texts = {}
for i, name in ipairs(names) do texts[i] = redis.call('HGET', KEYS[1], name) end
return {at, fence, names, texts}
"""
_WHOLE_EVERY = 2.0  # seconds
_MOST_CHANGES = "200"  # moves that a reader may have missed before it reads everything again


@dataclass(frozen=True, slots=True)
class Kept:
    """The last reading: the moment in the stream of changes, what was read, and when everything was."""

    at: str
    operation: Operation
    whole_at: float  # monotonic

    @property
    def is_fit(self) -> bool:
        """Whether to build on it; whoever writes without a note, as an older release does, is seen soon as well."""
        return time.monotonic() - self.whole_at < _WHOLE_EVERY


def changes_of(place: str) -> str:
    return f"{place}:changes"


def note_change(place: str, names: tuple[str, ...]) -> list[Effect]:
    if not names:
        return []
    return [("XADD", changes_of(place), "MAXLEN", "~", _MOST_CHANGES, "*", "fields", json.dumps(names))]


def renew(operation: Operation, changed: dict[str, str], fence: int) -> Operation:
    """The older reading with what changed since; the very same when nothing did."""
    if "head" in changed:
        operation = replace(OPERATION.validate_json(changed["head"]), rows=operation.rows, fence=operation.fence)
    fresh = {n.removeprefix("row:"): ROW.validate_json(t) for n, t in changed.items() if n.startswith("row:")}
    if fresh:
        operation = replace(operation, rows=tuple(fresh.get(r.node, r) for r in operation.rows))
    return operation if operation.fence == fence else replace(operation, fence=fence)
