"""Slack's rate limits: a bucket per method, or per method and channel where Slack counts so."""

import math
from dataclasses import dataclass, field

from lab.slack.refusals import Throttled


@dataclass(frozen=True, slots=True)
class Limit:
    """So many calls at once, and so many a minute after that."""

    burst: int
    per_minute: int
    by_channel: bool = False


_TIER_2 = Limit(20, 20)
_TIER_3 = Limit(50, 50)
_TIER_4 = Limit(100, 100)
_LIMITS = {
    # About one a second in a channel; "short bursts" are allowed and not defined: five.
    "chat.postMessage": Limit(5, 60, by_channel=True),
    "chat.postEphemeral": _TIER_4,
    "chat.update": _TIER_3,
    "chat.delete": _TIER_3,
    "users.info": _TIER_4,
    "users.list": _TIER_2,
    "usergroups.list": _TIER_2,
    "usergroups.users.list": _TIER_2,
    "conversations.list": _TIER_2,
    "conversations.info": _TIER_3,
    "conversations.members": _TIER_4,
    "views.open": _TIER_4,
    "views.push": _TIER_4,
    "views.update": _TIER_4,
    "apps.connections.open": Limit(20, 20),
}


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


@dataclass(slots=True)
class Throttle:
    """Counts calls and says 429; a test can also demand it for the next calls of a method."""

    enabled: bool = True
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)
    _forced: dict[str, list[int]] = field(default_factory=dict)

    def force(self, method: str, retry_after: int, times: int) -> None:
        """The next calls of this method are refused, whatever the count."""
        self._forced[method] = [retry_after] * times

    def admit(self, method: str, channel: str, now: float) -> None:
        """Let this call pass, or raise Throttled."""
        if forced := self._forced.get(method):
            raise Throttled(forced.pop())
        limit = _LIMITS.get(method)
        if limit is None or not self.enabled:
            return
        rate = limit.per_minute / 60
        bucket = self._buckets.setdefault((method, channel if limit.by_channel else ""), _Bucket(limit.burst, now))
        bucket.left = min(limit.burst, bucket.left + (now - bucket.at) * rate)
        bucket.at = now
        if bucket.left < 1:
            raise Throttled(max(1, math.ceil((1 - bucket.left) / rate)))
        bucket.left -= 1
