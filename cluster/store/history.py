"""The events: one stream for each plan and operation, and one feed of all."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from cluster.events import Event, Happened
from cluster.store.connection import TIMEOUT
from cluster.store.ledger import Ledger, key, record_events
from cluster.store.records import EVENT

_LONGEST_BLOCK = int(TIMEOUT * 1000 * 0.75)  # milliseconds; below the socket's own time-out
_PAGE = 2000  # events in one answer
_LOG = logging.getLogger(__name__)

Entries = tuple[tuple[str, Event], ...]


class History(Ledger):
    """Nothing here is ever trimmed: the streams are the audit."""

    def append(self, event: Event, token: str) -> None:
        """Record a fact that moves no state; once per token."""
        self.commit(token=token, checks=[], effects=record_events(event))

    def events(self, subject_id: str, after: str = "0", count: int | None = None) -> Entries:
        """Those of one plan or operation that came after the stream id `after`, oldest first."""
        found: list[Any] = []
        while count is None or len(found) < count:  # in pages: all of a large run at once would exceed the time-out
            most, start = min(_PAGE, (count or _PAGE + len(found)) - len(found)), found[-1][0] if found else after
            page = self._page(key("events", subject_id), start, most)
            found += page
            if len(page) < most:
                break
        return _entries(found)

    def _page(self, stream: str, after: str, most: int) -> list[Any]:
        return list(self.ask(lambda r: r.xrange(stream, f"({after}", "+", most)))

    def feed(self, after: str = "0", count: int = 100, block_ms: int = 0) -> Entries:
        """Events of everything after `after`; waits up to `block_ms` (at most 1.5 s) for a first one."""
        block = min(block_ms, _LONGEST_BLOCK) or None
        found = self.ask(lambda r: r.xread({key("feed"): after}, count=count, block=block))
        if not found:
            return ()
        streams = found.values() if isinstance(found, dict) else [entries for _, entries in found]
        return tuple(entry for entries in streams for entry in _entries(entries))

    def moment(self) -> datetime:
        """Now by the server's clock, which is the one that stream ids tell."""
        seconds, micros = self.ask(lambda r: r.time())
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=micros)

    def feed_end(self) -> str:
        """The id of the newest event; "0" when there is none."""
        newest = self.ask(lambda r: r.xrevrange(key("feed"), count=1))
        return str(newest[0][0]) if newest else "0"


def recorded_at(stream_id: str) -> datetime:
    """When the server took that event, by its own clock."""
    return datetime.fromtimestamp(int(stream_id.partition("-")[0]) / 1000, UTC)


def _entries(raw: Any) -> Entries:
    return tuple((str(stream_id), _event(str(stream_id), fields.get("event", ""))) for stream_id, fields in raw)


def _event(stream_id: str, text: str) -> Event:
    """One that cannot be read is said in its place: whoever follows a stream must get past it."""
    try:
        return EVENT.validate_json(text)
    except ValueError:
        _LOG.warning("The event %s cannot be read.", stream_id)
        return Event(
            Happened("unreadable"), recorded_at(stream_id), "", "Something happened that this release cannot read."
        )
