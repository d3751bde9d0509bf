"""Since when a machine gives no answer: a driver that leaves meanwhile puts it on record for the next one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime


def _unkept(_: datetime | None) -> None:
    """Where nobody puts it on record."""


class Silence:
    """Of one machine, while one attempt of a step is in hand."""

    def __init__(self, since: datetime | None = None, keep: Callable[[datetime | None], None] = _unkept) -> None:
        self.since = since
        self._on_record = since is not None
        self._keep = keep

    @property
    def is_inherited(self) -> bool:
        """Whether it began under a driver before: what that one had started may run there."""
        return self._on_record

    def begin(self, now: datetime) -> bool:
        """Whether it begins only now."""
        if self.since is not None:
            return False
        self.since = now
        return True

    def end(self) -> None:
        """The machine has answered."""
        self.since = None
        if self._on_record:
            self._on_record = False
            self._keep(None)

    def leave(self) -> None:
        """Its driver leaves; if the machine is silent then, the next one is to know since when."""
        if self.since is not None and not self._on_record:
            self._keep(self.since)
