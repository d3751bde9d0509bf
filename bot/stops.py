"""Tell what waits for a person, once, and again while it waits: queued by the bot that sends, remembered in Redis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.run_card import card_key as run_key
from bot.stop_card import REMINDER, STOP
from cluster.operation import NodeRow, Operation
from cluster.outbox import OutboxItem, OutboxKind
from cluster.settings import Settings
from cluster.store import Store
from policies.stops import Stop, is_due, stops_of

MOST = 5  # stops of one operation that have messages at once; the card of the run and the reminders name the others
_EVERY = timedelta(seconds=1)  # between two looks
_LASTS = timedelta(hours=24)

Told = Mapping[str, datetime]


@dataclass
class Stops:
    """Only the holder of the sender's lease calls `step`; what is told is told once, whoever looked."""

    settings: Settings
    store: Store
    _looked: datetime | None = None
    _shown: dict[str, NodeRow | str] = field(default_factory=dict)  # what this bot last had each message show

    def step(self, now: datetime) -> None:
        """Queue what is due by now."""
        if self._looked is not None and timedelta(0) <= now - self._looked < _EVERY:
            return
        self._looked = now
        told, read = self.store.stops_told(), self.store.active_operations()
        unread = set(self.store.active()) - {o.id for o in read}  # whether they still stand is not known
        active = [o for o in read if o.cluster in self.settings.clusters]
        for operation in active:
            self._tell(operation, told, now)
        for name in told:
            if name.partition("/")[0] not in unread | {o.id for o in active}:
                self._end(name, told[name], now)

    def _tell(self, operation: Operation, told: Told, now: datetime) -> None:
        channel, stops = self.settings.channel(operation.cluster), stops_of(operation)
        if channel is None:
            return
        current = {s.key: s for s in stops}
        ours = {n: at for n, at in told.items() if n.partition("/")[0] == operation.id}
        for name in ours.keys() - current.keys():
            if "/" in name or not stops:
                self._end(name, ours[name], now)
        kept = [n for n in ours if n in current]
        new = [s for s in stops if s.key not in ours][: max(0, MOST - len(kept))]
        for stop in new:
            self.store.tell_stop(stop.key, before=None, after=now, items=(_post(stop, channel, now),))
        for stop in (current[n] for n in kept):
            self._renew(operation, stop, channel, now)
        on_call = self.settings.on_call(operation.cluster)
        heard = tuple(at for n, at in ours.items() if n in current or n == operation.id)
        if on_call and kept and not new and is_due(heard, on_call.remind_every, now):
            again = _reminder(operation, channel, now, timedelta(seconds=on_call.remind_every))
            self.store.tell_stop(operation.id, before=ours.get(operation.id), after=now, items=(again,))

    def _renew(self, operation: Operation, stop: Stop, channel: str, now: datetime) -> None:
        """Its message is edited when what it shows has changed since this bot last looked."""
        row = operation.row(stop.node) if stop.node else operation.reason
        if self._shown.get(stop.key, stop) != row:
            cursor = self.store.outbox_cursor()
            if self.store.outbox_ingest(cursor, cursor, (_edit(stop.key, channel, now),)):
                self._shown[stop.key] = row

    def _end(self, name: str, told_at: datetime, now: datetime) -> None:
        """It goes on: its buttons are taken away."""
        self._shown.pop(name, None)
        self.store.tell_stop(name, before=told_at, after=None, items=tuple(self._last_edit(name, now)))

    def _last_edit(self, name: str, now: datetime) -> Iterator[OutboxItem]:
        posted = self.store.message(f"{STOP}:{name}") if "/" in name else None
        if posted is not None:
            yield _edit(name, posted.channel, now)


def _post(stop: Stop, channel: str, now: datetime) -> OutboxItem:
    key = f"{STOP}:{stop.key}"
    return _item(f"post:{key}", OutboxKind.POST, channel, key, stop.operation_id, now, _LASTS)


def _reminder(operation: Operation, channel: str, now: datetime, life: timedelta) -> OutboxItem:
    """One place for all of an operation's: what Slack did not take in time is overtaken by the next."""
    key = f"{REMINDER}:{operation.id}"
    return _item(key, OutboxKind.POST, channel, key, operation.id, now, life)


def _edit(name: str, channel: str, now: datetime) -> OutboxItem:
    operation_id = name.partition("/")[0]  # where it is posted again, if somebody deleted it
    return _item(f"edit:{STOP}:{name}", OutboxKind.EDIT, channel, f"{STOP}:{name}", operation_id, now, _LASTS)


def _item(  # noqa: PLR0917 - as the fields of an item stand
    item_id: str, kind: OutboxKind, channel: str, key: str, operation_id: str, now: datetime, life: timedelta
) -> OutboxItem:
    return OutboxItem(
        id=item_id,
        kind=kind,
        channel=channel,
        card_key=key,
        thread_of=run_key(operation_id),
        not_before=now,
        expires_at=now + life,
    )
