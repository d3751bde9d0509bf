"""The sender: what waits in the outbox is rendered from the records as they are now, and sent at Slack's pace."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot.blocks import Message, section
from bot.bulletin_card import render_bulletin
from bot.delivery import Delivery, SlackAway, SlackBusy, SlackRefused
from bot.plan_card import render_plan
from bot.run_card import render_run
from bot.run_thread import ENDINGS, render_line, render_result
from bot.text import code, escape
from cluster.errors import UnknownThing
from cluster.events import Event
from cluster.outbox import OutboxItem, OutboxKind, Posted
from cluster.plan import PlanRecord
from cluster.report import ClusterReport
from cluster.settings import Settings
from cluster.store import Store

BURST = 4  # posts to one channel at once; after these one a second, as Slack wants it
_LATE = timedelta(minutes=2)  # a result that is told later says so
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
_TOGETHER = 8  # lines of one thread in one message
_LONGEST_WAIT = 30.0  # seconds between two tries while Slack is away
REFUSAL = "refusal"  # a card key of its own: told to one person, kept nowhere
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
        """One call to Slack for one item, or for some lines of one thread."""
        try:
            messages = [m for item in group if (m := self._render(item, now)) is not None]
            if messages:
                self._deliver(group[0], joined(messages), now)
        except SlackRefused as error:
            _LOG.error("A message is given up: %s (%s)", error, group[0].id)
            messages = []
            self._drop(group, str(error))
        except UnknownThing as error:
            messages = []
            self._drop(group, str(error))
        else:
            self.failures = 0
            self._close(group, told=bool(messages))
        return len(messages[:1])

    def _close(self, group: list[OutboxItem], *, told: bool) -> None:
        """The first of them is closed by its own call; the others went along in its message."""
        if not told:
            self._drop(group, "nothing to say any more")
        for item in group[1:] if told else ():
            self.store.outbox_sent(item.id, "", item.channel)

    def _drop(self, items: list[OutboxItem], reason: str) -> None:
        for item in items:
            self.store.outbox_drop(item.id, reason)

    def _deliver(self, item: OutboxItem, message: Message, now: datetime) -> None:
        posted = self.store.message(item.card_key) if item.card_key else None
        if item.card_key.startswith(f"{REFUSAL}:"):
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

    def _render(self, item: OutboxItem, now: datetime) -> Message | None:
        kind, _, name = item.card_key.partition(":")
        if kind in {"plan", "run", "bulletin"}:
            return self._card(kind, name, now)
        if item.event is None:
            return None
        if kind == "result":
            return self._result(item.event, now)
        if kind == REFUSAL:
            return self._refusal(name, item.event)
        return render_line(item.event, self._record(item.event))

    def _card(self, kind: str, name: str, now: datetime) -> Message | None:
        """As its record is now; None for a periodic report that a later one has taken the place of."""
        if kind == "plan":
            return render_plan(self.store.plan(name))
        if kind == "run":
            operation = self.store.operation(name)
            return render_run(self.store.plan(operation.plan_id), operation, now)
        bulletin, slack = self.store.bulletin(), self.settings.slack
        if bulletin is None or bulletin.period != name:
            return None
        return render_bulletin(bulletin, slack.command if slack else "/k8s")

    def _result(self, event: Event, now: datetime) -> Message:
        operation = self.store.operation(event.operation_id)
        record = self.store.plan(operation.plan_id)
        people = [self.settings.people.get(n) for n in dict.fromkeys((record.requester, operation.approved_by))]
        mention = tuple(p.slack for p in people if p is not None and p.slack)
        after = self.look(operation.cluster) if event.kind in ENDINGS else None
        late = now - event.at > _LATE
        return render_result(event, record, operation, after=after, mention=mention, delayed=late)

    def _refusal(self, request_id: str, event: Event) -> Message:
        target = escape(self.store.request(request_id).target or "That", 40)
        text = f"{target} on {code(event.cluster)} cannot be planned: {escape(event.sentence, 1000)}"
        return Message(text, (section(text),))

    def _record(self, event: Event) -> PlanRecord | None:
        try:
            return self.store.plan(event.plan_id) if event.plan_id else None
        except UnknownThing:
            return None


def in_groups(items: Iterable[OutboxItem]) -> list[list[OutboxItem]]:
    """Cards and results first, then the lines of each thread together, then the edits of running cards."""
    groups: list[list[OutboxItem]] = []
    threads: dict[str, list[OutboxItem]] = {}
    for item in sorted(items, key=_rank):
        together = threads.get(item.thread_of) if item.thread_of else None
        if together is not None and len(together) < _TOGETHER:
            together.append(item)
        else:
            groups.append([item])
            if item.thread_of:
                threads[item.thread_of] = groups[-1]
    return groups


def _rank(item: OutboxItem) -> int:
    if item.thread_of:
        return 1
    return 2 if item.kind is OutboxKind.EDIT and item.card_key.startswith("run:") else 0


def joined(messages: list[Message]) -> Message:
    """Several lines as one message, each in a block of its own."""
    if len(messages) == 1:
        return messages[0]
    return Message("\n".join(m.text for m in messages), tuple(b for m in messages for b in m.blocks))
