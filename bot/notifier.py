"""From events to messages: what each event posts or edits, kept in the durable outbox before anything is sent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.bulletins import Bulletins
from bot.delivery import TIMEOUT
from bot.force_card import card_key as force_key
from bot.outbox import Sender
from bot.plan_card import card_key as plan_key
from bot.run_card import card_key as run_key
from bot.run_thread import ANNOUNCED, is_told, result_key
from bot.stops import Stops
from bot.writer import REFUSAL, SURVEY
from cluster.errors import StoreUnavailable
from cluster.events import Event, Happened
from cluster.outbox import OutboxItem, OutboxKind
from cluster.store import Store
from cluster.store.history import recorded_at

LEASE = (TIMEOUT + 7) * 1000  # milliseconds; longer than the longest call to Slack
HEARTBEAT = 30.0  # seconds; the card of a run says when it was last looked at
_BATCH = 200
_LISTEN = 200  # milliseconds that one look for events may wait
_PAUSE = 1.0  # seconds before the next try without the lease or without Redis
_LOG = logging.getLogger(__name__)

_LASTING = timedelta(hours=24)  # a card or a result is worth telling late
_TOLD = timedelta(hours=1)
_PASSING = timedelta(minutes=2)  # what a step waits for is stale soon
_PRIVATE = {Happened.REQUEST_REFUSED: REFUSAL, Happened.SURVEY_FINISHED: SURVEY}  # told to whoever asked
_DECISIONS = frozenset({Happened.PLAN_APPROVED, Happened.PLAN_REJECTED, Happened.PLAN_EXPIRED, Happened.PLAN_VOIDED})


def items_for(event_id: str, event: Event, channel: str) -> tuple[OutboxItem, ...]:
    """Everything that this event sends, in order; nothing for an event that people need not see."""
    return tuple(_items(event_id, event, channel))


def _items(event_id: str, event: Event, channel: str) -> Iterator[OutboxItem]:
    plan, run = plan_key(event.plan_id), run_key(event.operation_id)
    if event.kind is Happened.PLAN_PROPOSED:
        yield _post(plan, event, channel)
    elif event.kind in _PRIVATE:
        yield _post(f"{_PRIVATE[event.kind]}:{event.facts.get('request', event_id)}", event, channel)
    elif event.kind in _DECISIONS:
        yield edit_of(plan, channel, event.at)
        yield _line(event_id, event, channel, plan)
        if event.operation_id:
            yield _post(run, event, channel)
        if event.facts.get("notes_read"):  # whoever reads the run sees what its approver confirmed
            yield _line(f"{event_id}:run", event, channel, run)
    elif event.operation_id:
        yield edit_of(run, channel, event.at)
        yield from _force(event, channel, run)
        if is_told(event):
            yield _line(event_id, event, channel, run)
        if event.kind in ANNOUNCED:
            yield _post(result_key(event.operation_id), event, channel, item_id=f"result:{event_id}")
    elif event.kind is Happened.DRY_RUN_FINISHED or (event.plan_id and not event.kind.is_known):
        yield _line(event_id, event, channel, plan)


def _force(event: Event, channel: str, run: str) -> Iterator[OutboxItem]:
    """The deletion of a pod that somebody asks for: a message with a button, in the thread of the run."""
    if force := event.facts.get("force"):
        key = force_key(force, event.operation_id)
        asks = event.kind is Happened.FORCE_ASKED
        yield replace(_post(key, event, channel), thread_of=run) if asks else edit_of(key, channel, event.at)


def _post(key: str, event: Event, channel: str, item_id: str = "") -> OutboxItem:
    """A message of its own; one item per card, however many events ask for it."""
    return OutboxItem(
        id=item_id or f"post:{key}",
        kind=OutboxKind.POST,
        channel=channel,
        card_key=key,
        thread_of="",
        event=event,
        not_before=event.at,
        expires_at=event.at + _LASTING,
    )


def edit_of(key: str, channel: str, at: datetime) -> OutboxItem:
    """Only says that the card is out of date; what it shows is read when it is sent."""
    return OutboxItem(
        id=f"edit:{key}",
        kind=OutboxKind.EDIT,
        channel=channel,
        card_key=key,
        thread_of="",
        event=None,
        not_before=at,
        expires_at=at + _LASTING,
    )


def _line(event_id: str, event: Event, channel: str, key: str) -> OutboxItem:
    life = _PASSING if event.kind is Happened.STEP_WAITED else _TOLD
    return OutboxItem(
        id=f"line:{event_id}",
        kind=OutboxKind.POST,
        channel=channel,
        card_key="",
        thread_of=key,
        event=event,
        not_before=event.at,
        expires_at=event.at + life,
    )


@dataclass
class Notifier:
    """The one sender's loop: take the lease, turn events into items, send what is due."""

    store: Store
    sender: Sender
    owner: str
    channel_of: Callable[[str], str | None]
    clock: Callable[[], datetime]
    bulletins: Bulletins | None = None
    stops: Stops | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    _beat: float = field(default=0.0)

    def run(self) -> None:
        """Until stopped. Whatever happens to Redis or Slack, the next turn tries again."""
        while not self.stopping.is_set():
            try:
                idle = not self.store.outbox_take_lease(self.owner, LEASE)
                if not idle:
                    self.turn()
            except StoreUnavailable as error:
                _LOG.warning("%s", error)
                idle = True
            except Exception:  # noqa: BLE001 - the edge of this thread: without it every upgrade would be silent
                _LOG.exception("The notifier stumbled; it goes on.")
                idle = True
            if idle:
                self.stopping.wait(_PAUSE)
        self.leave()

    def turn(self) -> None:
        """One look at the events and one round of sending; both in this thread, so no edit mark is lost between."""
        cursor = self.store.outbox_cursor()
        found = self.store.feed(cursor, _BATCH, _LISTEN)
        if found:
            ahead = self.clock() - self.store.moment()
            items = tuple(i for event_id, event in found for i in self._items(event_id, event, ahead))
            self.store.outbox_ingest(cursor, found[-1][0], items)
        elif time.monotonic() - self._beat > HEARTBEAT:
            self._beat = time.monotonic()
            if beats := tuple(self._beats()):
                self.store.outbox_ingest(cursor, cursor, beats)
        self.sender.send_due(self.clock(), lambda: self.store.outbox_take_lease(self.owner, LEASE))
        for more in (self.bulletins, self.stops):  # behind the sending: whatever becomes of them, what waits is sent
            if more is not None:
                more.step(self.clock())

    def leave(self) -> None:
        """Let another bot send at once."""
        try:
            self.store.outbox_drop_lease(self.owner)
        except StoreUnavailable as error:
            _LOG.warning("%s", error)

    def _items(self, event_id: str, event: Event, ahead: timedelta) -> tuple[OutboxItem, ...]:
        """By our own clock, which is `ahead` of Redis': the one of the worker that tells may be hours off."""
        try:
            channel = self.channel_of(event.cluster)
            told = replace(event, at=recorded_at(event_id) + ahead)
            return items_for(event_id, told, channel) if channel else ()
        except Exception:  # noqa: BLE001 - a mistake of ours about one event must not silence every upgrade
            _LOG.exception("The event %s cannot be told", event_id)
            return ()

    def _beats(self) -> Iterator[OutboxItem]:
        for operation in self.store.active_operations():
            if channel := self.channel_of(operation.cluster):
                yield edit_of(run_key(operation.id), channel, self.clock())
