"""The lab's pace: everything that takes time in the lab sleeps here, so that one factor scales it all."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class LabClock:
    """Lab seconds pass `speed` times as fast as real ones; time stamps in objects stay real."""

    speed: float = 1.0
    started: float = field(default_factory=time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait that many lab seconds."""
        await asyncio.sleep(seconds / self.speed)

    def elapsed(self) -> float:
        """Lab seconds since the lab began."""
        return (time.monotonic() - self.started) * self.speed


def stamp(when: datetime | None = None) -> str:
    """RFC 3339 in whole seconds, as object metadata has it."""
    return (when or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp(when: datetime | None = None) -> str:
    """RFC 3339 with microseconds, as leases have it."""
    return (when or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_stamp(text: str) -> datetime:
    """Either of the two forms above."""
    return datetime.fromisoformat(text)
