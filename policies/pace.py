"""How fast a pool goes: canaries first, a soak behind them, then waves that double up to the pool's limit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cluster.plan import PlanPool
from policies.wording import count_of, some_of

_MINUTE = 60  # seconds; and minutes of an hour


@dataclass(frozen=True, slots=True)
class Back:
    """A worker that a stage ended well for; `at` is when it got its work back, None where no record says it."""

    name: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Trail:
    """How far a pool is in one stage; whoever was given back unchanged, or skipped, is in none of them."""

    back: tuple[Back, ...]
    in_hand: int
    failed: int = 0  # blocked in the middle of it


@dataclass(frozen=True, slots=True)
class Pace:
    """How many more may begin, None for as many as the limit lets; `waits` says what for where nobody may."""

    room: int | None
    waits: str = ""


def is_paced(pool: PlanPool) -> bool:
    """Whether anything but its limit holds it back."""
    return pool.canary > 0 or pool.ramp


def check_pace(pool: PlanPool, trail: Trail, away: frozenset[str], now: datetime) -> Pace:
    """
    Only canaries until enough of them are back, and nobody beside one that failed; nobody until their soak is over
    and they are still well.

    With a ramp every wave is twice the one before, and begins when that one has ended well; a wave of the limit's size
    is no wave any more, but the window that slides. `away` are nodes that are not Ready or are cordoned.
    """
    back = len(trail.back)
    if back < pool.canary:
        return Pace(0 if trail.failed else max(0, pool.canary - back - trail.in_hand))
    if pool.canary and (waits := _proving(pool, trail, away, now)):
        return Pace(0, waits)
    if not pool.ramp:
        return Pace(None)
    size = end = pool.canary or 1
    while end <= back:
        size *= 2
        end += size
    return Pace(None if size >= pool.max_unavailable else max(0, end - back - trail.in_hand))


def count_waves(pool: PlanPool, moving: int) -> int:
    """How often a worker's time passes until so many are through, where all take the same time."""
    first = min(moving, pool.canary)
    waves, left = -(-first // pool.max_unavailable), moving - first
    size = 2 * pool.canary or 1
    while pool.ramp and left > 0 and size < pool.max_unavailable:
        waves, left, size = waves + 1, left - size, size * 2
    return waves + -(-max(0, left) // pool.max_unavailable)


def soak_of(pool: PlanPool, moving: int) -> int:
    """Seconds that a pool of so many waits behind its canaries; nobody waits where nobody is left."""
    return pool.soak if moving > pool.canary else 0


def tell_pace(pool: PlanPool) -> str:
    """`1 canary, then 15 min of waiting, then waves of 1, 2, 4 … up to 10`; "" where nothing but its limit holds it."""
    parts = [count_of(pool.canary, "canary", "canaries")] if pool.canary else []
    parts += [f"{_span(pool.soak)} of waiting"] if pool.soak else []
    if pool.ramp:
        size = 2 * pool.canary or 1
        sizes = ", ".join(str(size << n) for n in range(3))
        parts.append(f"waves of {sizes} … up to {pool.max_unavailable}, each when the one before ended well")
    return ", then ".join(parts)


def tell_budget(pool: PlanPool) -> str:
    """`up to 2 may be blocked while others go on`; "" where nobody goes on beside a blocked one."""
    return f"up to {pool.failure_budget} may be blocked while others go on" if pool.failure_budget else ""


def _proving(pool: PlanPool, trail: Trail, away: frozenset[str], now: datetime) -> str:
    """What the pool waits for behind its canaries; "" for nothing any more."""
    times = sorted(b.at for b in trail.back if b.at)[: pool.canary]  # who came back after them was tried once more
    until = (times[-1] if times else now - timedelta(seconds=pool.soak)) + timedelta(seconds=pool.soak)
    names = some_of(b.name for b in trail.back)
    if now < until:
        return f"the pool {pool.name} to see how its canaries do ({names}), until {until:%Y-%m-%d %H:%M:%S} UTC"
    if len(trail.back) + trail.in_hand > pool.canary:  # others have followed since
        return ""
    if ill := [b.name for b in trail.back if b.name in away]:
        return (
            f"{some_of(ill)} of the pool {pool.name} to be Ready and uncordoned again: the others follow its canaries"
        )
    return ""


def _span(seconds: int) -> str:
    if seconds < _MINUTE:
        return f"{seconds} s"
    hours, minutes = divmod(-(-seconds // _MINUTE), _MINUTE)
    return " ".join([*([f"{hours} h"] if hours else []), *([f"{minutes} min"] if minutes else [])])
