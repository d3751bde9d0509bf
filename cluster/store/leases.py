"""The driver's lease and its growing fence: at most one driver moves an operation, whoever wakes up late."""

from __future__ import annotations

from cluster.errors import UnknownThing
from cluster.store.ledger import Ledger, key

_TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then return redis.call('HGET', KEYS[3], 'fence') end
if holder then return false end
if redis.call('EXISTS', KEYS[3]) == 0 then return false end
local fence = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[3], 'fence', fence)
return tostring(fence)
"""
# a lease that ran out may be taken up again as long as nobody else had it in between: then the fence is still ours
_RENEW = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[2], 'fence') ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_SEED = """
local known = tonumber(redis.call('GET', KEYS[1]) or '0')
if known < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
"""


class Leases(Ledger):
    """`owner` must be new for every driver: a lease is told from an older one of the same process by it."""

    def take_lease(self, operation_id: str, owner: str, ttl_ms: int) -> int | None:
        """The fence of the new driver; None while another driver has the operation."""
        cluster = self._cluster_of(operation_id)
        keys = [key("lease", operation_id), key("fence", cluster), key("operation", operation_id)]
        fence = self.run(_TAKE, keys, [owner, str(ttl_ms)])
        return None if fence is None else int(fence)

    def renew_lease(self, operation_id: str, owner: str, fence: int, ttl_ms: int) -> bool:
        keys = [key("lease", operation_id), key("operation", operation_id)]
        return bool(self.run(_RENEW, keys, [owner, str(ttl_ms), str(fence)]))

    def drop_lease(self, operation_id: str, owner: str) -> None:
        self.let_go(key("lease", operation_id), owner)

    def lease_owner(self, operation_id: str) -> str | None:
        return self.text(key("lease", operation_id))

    def seed_fence(self, cluster: str, at_least: int) -> None:
        """Let the next fence be higher than one that was seen on a machine: a Redis of old may have forgotten it."""
        self.run(_SEED, [key("fence", cluster)], [str(at_least)])

    def _cluster_of(self, operation_id: str) -> str:
        cluster = self.field(key("operation", operation_id), "cluster")
        if cluster is None:
            raise UnknownThing(f"There is no operation `{operation_id[:40]}`: look with `status`.")
        return cluster
