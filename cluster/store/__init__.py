"""
The only package that knows a Redis key: requests, plans, operations, events, leases and the Slack outbox.

Every write is one conditional Lua call (see ledger.py). Whatever Redis cannot do becomes StoreUnavailable, with what to
do about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cluster.findings import Finding, Findings, Severity
from cluster.store.forces import Forces
from cluster.store.history import History
from cluster.store.leases import Leases
from cluster.store.operations import Moved, Operations
from cluster.store.outbox import Outbox
from cluster.store.plans import Decided, Decision, Plans, already_decided
from cluster.store.requests import Requests

__all__ = ["Decided", "Decision", "Moved", "Store", "already_decided"]

_OLDEST = (6, 2)  # BLMOVE, which a wake-up needs in order not to be lost
_APART = 30.0  # seconds between two clocks; windows and the ends of approvals are whole minutes


@dataclass
class Store(Requests, Plans, Operations, Forces, Leases, History, Outbox):
    """One connection of its own (never shared with RQ, which waits for minutes on its); threads may share it."""

    def check(self) -> Findings:
        """What `doctor` says of this Redis: too old, forgetful, or fine (no finding)."""
        server = self.ask(lambda r: r.info("server"))
        found: list[Finding] = []
        version = str(server.get("valkey_version") or server.get("redis_version", "0"))
        if tuple(int(p) for p in version.split(".")[:2] if p.isdigit()) < _OLDEST:
            found.append(
                _finding(
                    "redis-too-old",
                    Severity.BLOCKER,
                    f"{self.where} is version {version}.",
                    "Use Redis 6.2 or newer, or Valkey.",
                )
            )
        return (*found, *self._check_durability())

    def check_clock(self, now: datetime) -> Findings:
        """Whether this host's clock is that of the server, and by it that of every host where this is asked."""
        ahead = (now - self.moment()).total_seconds()
        if abs(ahead) <= _APART:
            return ()
        apart = timedelta(seconds=round(abs(ahead)))
        sentence = f"The clock of this host is {apart} {'ahead of' if ahead > 0 else 'behind'} that of {self.where}."
        remedy = (
            "Let both follow a time server: whether a window is open, and an approval still good, is judged by the "
            "clock of the worker, and written by that of the bot."
        )
        return (_finding("clocks-differ", Severity.WARNING, sentence, remedy),)

    def _check_durability(self) -> Findings:
        persistence = self.ask(lambda r: r.info("persistence"))
        memory = self.ask(lambda r: r.info("memory"))
        found: list[Finding] = []
        if str(persistence.get("aof_enabled", "0")) != "1":
            sentence = f"{self.where} keeps no append-only file: a crash of it forgets approvals and progress."
            found.append(_finding("redis-not-durable", Severity.WARNING, sentence, "Set `appendonly yes` there."))
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy != "noeviction":
            sentence = f"{self.where} evicts keys when memory is short (`maxmemory-policy {policy}`)."
            found.append(
                _finding("redis-evicts", Severity.BLOCKER, sentence, "Set `maxmemory-policy noeviction` there.")
            )
        return tuple(found)


def _finding(code: str, severity: Severity, sentence: str, remedy: str) -> Finding:
    return Finding(code, severity, "Redis", sentence, remedy)
