"""What is still to be said in Slack: durable items that any bot can send after the one that queued them died."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cluster.events import Event


class OutboxKind(StrEnum):
    """A new message, or a mark that a card's message is out of date."""

    POST = "post"
    EDIT = "edit"


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """One thing to say; it is rendered when it is sent, from what is stored then."""

    id: str
    kind: OutboxKind
    channel: str
    card_key: str = ""  # "plan:p-1", "run:op-1"; "" for a line in a thread
    thread_of: str = ""  # the card in whose thread it belongs
    event: Event | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None  # progress that nobody needs to read late
    tries: int = 0
    error: str = ""  # why the last try failed


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a card's message is, and the hash of what it shows."""

    channel: str
    ts: str
    revision_hash: str = ""
