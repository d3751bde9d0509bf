"""What is still to be said in Slack, and where the cards are; one bot at a time sends."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import count

from cluster.bulletin import Bulletin
from cluster.outbox import OutboxItem, OutboxKind, Posted
from cluster.store.ledger import Check, Effect, Ledger, Outcome, key, new_token, reading
from cluster.store.records import BULLETIN, OUTBOX_ITEM

_ITEMS, _CURSOR, _ORDER = key("outbox", "items"), key("outbox", "cursor"), key("outbox", "order")
_BULLETIN, _PERIOD = key("bulletin", "last"), key("bulletin", "period")
_STOPS = key("stops", "told")
# only the newest of a card's edits is kept: its place is its card's, so an older one is overwritten


class Outbox(Ledger):
    """Items in the order in which they came; the cursor says how much of the feed has become items."""

    def outbox_take_lease(self, owner: str, ttl_ms: int) -> bool:
        """Become the one sender, or stay it."""
        return self.hold(key("outbox", "sender"), owner, ttl_ms)

    def outbox_drop_lease(self, owner: str) -> None:
        self.let_go(key("outbox", "sender"), owner)

    def outbox_cursor(self) -> str:
        return self.text(_CURSOR) or "0"

    def outbox_ingest(self, cursor_from: str, cursor_to: str, items: tuple[OutboxItem, ...]) -> bool:
        """Queue what the events up to `cursor_to` call for; False when another bot has done so already."""
        effects = [("SET", _CURSOR, cursor_to), *self._queued(items)]
        expected = "" if cursor_from == "0" else cursor_from
        checks = [Check("cursor", _CURSOR, expected)]
        return not self.commit(token=f"ingest/{cursor_from}/{new_token()}", checks=checks, effects=effects).refused

    def bulletin(self) -> Bulletin | None:
        """The last periodic report that was kept."""
        text = self.text(_BULLETIN)
        return BULLETIN.validate_json(text) if text else None

    def keep_bulletin(self, bulletin: Bulletin, *, after: str, item: OutboxItem) -> bool:
        """Keep it and queue its message in one write; False where somebody else has done so since `after`."""
        text = BULLETIN.dump_json(bulletin).decode()
        effects = [("SET", _BULLETIN, text), ("SET", _PERIOD, bulletin.period), *self._queued((item,))]
        checks = [Check("period", _PERIOD, after)]
        made = self.commit(token=f"bulletin/{bulletin.period}", checks=checks, effects=effects)
        return made.outcome is Outcome.DONE

    def stops_told(self) -> dict[str, datetime]:
        """When people were told of each stop that is still on their list, and when each operation's were repeated."""
        return {name: datetime.fromisoformat(text) for name, text in self.fields(_STOPS).items()}

    def tell_stop(
        self, name: str, *, before: datetime | None, after: datetime | None, items: tuple[OutboxItem, ...]
    ) -> bool:
        """Note when it is told (None: it is over) and queue the messages in one write; False: another bot did so."""
        effect = ("HSET", _STOPS, name, after.isoformat()) if after else ("HDEL", _STOPS, name)
        checks = [Check("told", _STOPS, before.isoformat() if before else "", name)]
        made = self.commit(token=new_token(), checks=checks, effects=[effect, *self._queued(items)])
        return made.outcome is Outcome.DONE

    def outbox_pending(self) -> tuple[OutboxItem, ...]:
        """Everything unsent, oldest first."""
        texts = self.fields(_ITEMS)

        def read(slot: str) -> OutboxItem:
            with reading(slot):
                return OUTBOX_ITEM.validate_json(texts[slot])

        return tuple(self.each(read, (s for s in reversed(self.latest_first(_ORDER)) if s in texts)))

    def outbox_sent(self, item_id: str, ts: str, channel: str) -> None:
        """It is in Slack: remember where its card is, and forget the item unless a newer edit took its place."""
        found = self._find(item_id)
        if found is None:
            return
        item, text = found
        effects = _removal(item)
        if item.kind is OutboxKind.POST and item.card_key:
            place = key("message", item.card_key)
            effects += [("HSET", place, "channel", channel), ("HSET", place, "ts", ts)]
        self._replace(item, text, effects)

    def outbox_defer(self, item_id: str, not_before: datetime, error: str) -> None:
        """Slack did not take it: try again later."""
        if (found := self._find(item_id)) is not None:
            item, text = found
            later = replace(item, not_before=not_before, error=error, tries=item.tries + 1)
            self._replace(item, text, [("HSET", _ITEMS, _slot(item), OUTBOX_ITEM.dump_json(later).decode())])

    def outbox_drop(self, item_id: str, error: str) -> None:
        """Slack will never take it, or nobody needs it any more."""
        if (found := self._find(item_id)) is not None:
            item, text = found
            gone = replace(item, error=error)
            kept = ("LPUSH", key("outbox", "dropped"), OUTBOX_ITEM.dump_json(gone).decode())
            trimmed = ("LTRIM", key("outbox", "dropped"), "0", "99")
            self._replace(item, text, [*_removal(item), kept, trimmed])

    def message(self, card_key: str) -> Posted | None:
        found = self.fields(key("message", card_key))
        return Posted(found["channel"], found["ts"], found.get("revision", "")) if found.get("ts") else None

    def note_revision(self, card_key: str, revision_hash: str) -> None:
        self.ask(lambda r: r.hset(key("message", card_key), "revision", revision_hash))

    def _queued(self, items: tuple[OutboxItem, ...]) -> list[Effect]:
        """The effects that put items at the end, each once."""
        first = self.ask(lambda r: r.zrevrange(_ORDER, 0, 0, withscores=True))
        places = count(int(first[0][1]) + 1 if first else 1)
        effects: list[Effect] = []
        for item in items:
            effects.append(("HSET", _ITEMS, _slot(item), OUTBOX_ITEM.dump_json(item).decode()))
            effects.append(("ZADD", _ORDER, "NX", str(next(places)), _slot(item)))
        return effects

    def _find(self, item_id: str) -> tuple[OutboxItem, str] | None:
        there = self.field(_ITEMS, item_id)  # all but an edit under a name of its own: no need to read the others
        for text in (there,) if there else self.fields(_ITEMS).values():
            with suppress(ValueError):  # of another release
                if (item := OUTBOX_ITEM.validate_json(text)).id == item_id:
                    return item, text
        return None

    def _replace(self, item: OutboxItem, text: str, effects: list[Effect]) -> None:
        checks = [Check("item", _ITEMS, text, _slot(item))]
        self.commit(token=new_token(), checks=checks, effects=effects)  # refused: a newer edit or another sender


def _slot(item: OutboxItem) -> str:
    return f"edit:{item.card_key}" if item.kind is OutboxKind.EDIT else item.id


def _removal(item: OutboxItem) -> list[Effect]:
    return [("HDEL", _ITEMS, _slot(item)), ("ZREM", _ORDER, _slot(item))]
