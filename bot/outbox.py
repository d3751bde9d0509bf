"""The sender: what waits in the outbox is rendered from the records as they are now, and sent at Slack's pace."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.blocks import Message
from bot.delivery import SHUT, Delivery, SlackAway, SlackBusy, SlackRefused
from bot.writer import WHISPERED, Writer
from cluster.errors import StoreUnavailable, UnknownThing
from cluster.outbox import OutboxItem, OutboxKind, Posted
from cluster.report import ClusterReport
from cluster.settings import Settings
from cluster.store import Store

BURST = 4  # posts to one channel at once; after these one a second, as Slack wants it
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_SHUT_FOR = timedelta(minutes=1)
_TOGETHER = 8  # lines of one thread in one message
_LONGEST_WAIT = 30.0  # seconds between two tries while Slack is away, or of an item that we cannot make
_MOST_TRIES = 5  # of such an item
_LOG = logging.getLogger(__name__)


@dataclass
class Pace:
    """When a channel takes its next post: a burst, then one a second."""

    tokens: float = BURST
    at: datetime | None = None

    def allows(self, now: datetime) -> bool:
        if self.at is not None:
            self.tokens = min(BURST, self.tokens + max(0.0, (now - self.at).total_seconds()))
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class Sender:
    """Sends the outbox; only the holder of the sender's lease may call it."""

    settings: Settings
    store: Store
    delivery: Delivery
    look: Callable[[str], ClusterReport | None]  # the cluster as it is now; None when it cannot be read in time
    quiet_until: datetime | None = None  # Slack is away, or asked to wait
    failures: int = 0
    _edited: dict[str, datetime] = field(default_factory=dict)
    _paces: dict[str, Pace] = field(default_factory=dict)
    _shut: dict[str, datetime] = field(default_factory=dict)  # channels that take nothing, and until when we wait
    _unmade: Counter[str] = field(default_factory=Counter)  # items that we could not make, and how often

    @property
    def writer(self) -> Writer:
        return Writer(self.settings, self.store, self.look)

    def send_due(self, now: datetime, still_ours: Callable[[], bool] = lambda: True) -> int:
        """
        Send what may be sent now; how many posts and edits. Stops at the first sign that Slack is busy or away, and
        where another bot sends meanwhile: one slow call after the other would outlast the sender's lease.
        """
        began = time.monotonic()
        if self.quiet_until is not None and now < self.quiet_until:
            return 0
        sent = 0
        for group in in_groups(self._living(now)):
            if self._is_due(group[0], now):
                if not still_ours():
                    break
                try:
                    sent += self._send(group, now)
                except SlackAway as error:
                    self._wait(group[0], now + timedelta(seconds=time.monotonic() - began), error)
                    break
        return sent

    def _living(self, now: datetime) -> list[OutboxItem]:
        living = []
        for item in self.store.outbox_pending():
            if item.expires_at is not None and item.expires_at <= now:
                self.store.outbox_drop(item.id, "expired before Slack took it")
            elif item.not_before is None or item.not_before <= now:
                living.append(item)
        return living

    def _is_due(self, item: OutboxItem, now: datetime) -> bool:
        if item.channel in self._shut and now < self._shut[item.channel]:
            return False
        if item.kind is OutboxKind.EDIT:
            before = self._edited.get(item.card_key)
            return before is None or (now - before).total_seconds() >= self.settings.waits.slack_edit
        if item.thread_of and self.store.message(item.thread_of) is None:
            return False  # its card is not there yet
        return self._paces.setdefault(item.channel, Pace()).allows(now)

    def _wait(self, item: OutboxItem, now: datetime, error: SlackAway) -> None:
        self.failures += 1
        usual = min(_LONGEST_WAIT, 2.0 ** min(self.failures, 5))  # a float has no power of a thousand failures
        seconds = error.retry_after if isinstance(error, SlackBusy) else usual
        self.quiet_until = now + timedelta(seconds=seconds)
        _LOG.warning("%s", error)
        self.store.outbox_defer(item.id, self.quiet_until, str(error))

    def _send(self, group: list[OutboxItem], now: datetime) -> int:
        """One call to Slack for one item, or for some lines of one thread; how many messages went out."""
        written = self._written(group, now)
        messages = [message for _, message in written if message is not None]
        items = [item for item, _ in written]
        if not messages:
            self._drop(items, "nothing to say any more")
            return 0
        try:
            self._deliver(items[0], joined(messages), now)
        except SlackRefused as error:
            self._refused(items, error, now)
            return 0
        except UnknownThing as error:
            self._drop(items, str(error))
            return 0
        self.failures = 0
        for item in items[1:]:  # the first of them is closed by its own call; the others went along in its message
            self.store.outbox_sent(item.id, "", item.channel)
        return 1

    def _written(self, group: list[OutboxItem], now: datetime) -> list[tuple[OutboxItem, Message | None]]:
        """What each of them says; one that cannot be made is put off alone, so that it silences no other."""
        written = []
        for item in group:
            try:
                written.append((item, self.writer.write(item, now)))
            except UnknownThing as error:
                self._drop([item], str(error))
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not silence every upgrade
                _LOG.exception("%s cannot be written", item.id)
                self._put_off(item, now, f"lockkeeper itself failed on it ({type(error).__name__})")
        return written

    def _put_off(self, item: OutboxItem, now: datetime, error: str) -> None:
        self._unmade[item.id] += 1  # and not its tries: those in vain while Slack was away say nothing against it
        if self._unmade[item.id] < _MOST_TRIES:
            self.store.outbox_defer(item.id, now + timedelta(seconds=_LONGEST_WAIT), error)
        else:
            del self._unmade[item.id]
            self._drop([item], error)

    def _refused(self, items: list[OutboxItem], error: SlackRefused, now: datetime) -> None:
        if error.code in SHUT:
            channel, until = items[0].channel, now + _SHUT_FOR
            _LOG.error("%s Nothing can be told in the channel %s: open it and /invite the bot.", error, channel)
            self._shut[channel] = until
            self.store.outbox_defer(items[0].id, until, str(error))
            return
        _LOG.error("A message is given up: %s (%s)", error, items[0].id)
        self._drop(items, str(error))

    def _drop(self, items: list[OutboxItem], reason: str) -> None:
        for item in items:
            self.store.outbox_drop(item.id, reason)

    def _deliver(self, item: OutboxItem, message: Message, now: datetime) -> None:
        posted = self.store.message(item.card_key) if item.card_key else None
        if item.card_key.partition(":")[0] in WHISPERED:
            self._whisper(item, message)
        elif item.kind is OutboxKind.EDIT or (posted is not None and item.id == f"post:{item.card_key}"):
            self._edit(item, posted, message, now)
        else:
            parent = self.store.message(item.thread_of) if item.thread_of else None
            ts = self.delivery.post(item.channel, message, thread=parent.ts if parent else "")
            self.store.outbox_sent(item.id, ts, item.channel)
            self._note(item.card_key, message, now)

    def _edit(self, item: OutboxItem, posted: Posted | None, message: Message, now: datetime) -> None:
        """In place; a card that was never posted has its own item, one that somebody deleted gets one."""
        if posted is None or posted.revision_hash == message.hash:
            self.store.outbox_drop(item.id, "nothing to change")
            return
        try:
            self.delivery.edit(posted.channel, posted.ts, message)
        except SlackRefused as error:
            if error.code not in _GONE:
                raise
            cursor = self.store.outbox_cursor()
            again = replace(item, kind=OutboxKind.POST, id=f"again:{item.card_key}:{posted.ts}")
            self.store.outbox_ingest(cursor, cursor, (again,))
            self.store.outbox_drop(item.id, str(error))
            return
        self.store.outbox_sent(item.id, posted.ts, posted.channel)
        self._note(item.card_key, message, now)

    def _note(self, card_key: str, message: Message, now: datetime) -> None:
        if card_key:
            self._edited[card_key] = now
            self.store.note_revision(card_key, message.hash)

    def _whisper(self, item: OutboxItem, message: Message) -> None:
        """To the person who asked, where they asked; in the cluster's channel where the bot is not in that one."""
        request = self.store.request(item.card_key.partition(":")[2])
        person = self.settings.people.get(request.person)
        if person is not None and person.slack is not None and request.asked_in:
            try:
                self.delivery.whisper(request.asked_in, person.slack, message)
            except SlackRefused:
                if request.asked_in == item.channel:
                    raise
                self.delivery.whisper(item.channel, person.slack, message)
        self.store.outbox_sent(item.id, "", item.channel)


def in_groups(items: Iterable[OutboxItem]) -> list[list[OutboxItem]]:
    """Cards and results first, then the lines of each thread together, then the edits of running cards."""
    groups: list[list[OutboxItem]] = []
    threads: dict[str, list[OutboxItem]] = {}
    for item in sorted(items, key=_rank):
        together = threads.get(item.thread_of) if _is_line(item) else None
        if together is not None and len(together) < _TOGETHER:
            together.append(item)
        else:
            groups.append([item])
            if _is_line(item):
                threads[item.thread_of] = groups[-1]
    return groups


def _is_line(item: OutboxItem) -> bool:
    """Whether it may share a message: what has a card of its own in a thread, with buttons, may not."""
    return bool(item.thread_of) and not item.card_key


def _rank(item: OutboxItem) -> int:
    if item.thread_of:
        return 1
    return 2 if item.kind is OutboxKind.EDIT and item.card_key.startswith("run:") else 0


def joined(messages: list[Message]) -> Message:
    """Several lines as one message, each in a block of its own."""
    if len(messages) == 1:
        return messages[0]
    return Message("\n".join(m.text for m in messages), tuple(b for m in messages for b in m.blocks))
