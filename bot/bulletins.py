"""Once a period, look at all clusters and queue what changed: in the outbox, by the bot that sends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.bulletin_card import card_key
from bot.sights import Sights
from cluster.errors import StoreUnavailable
from cluster.outbox import OutboxItem, OutboxKind
from cluster.settings import Digest
from cluster.store import Store
from policies.bulletins import period_of, write_bulletin

_LASTS = timedelta(hours=20)  # one that Slack does not take until then is not worth posting any more
_AGAIN = timedelta(minutes=5)  # after something went wrong
_LOG = logging.getLogger(__name__)


def in_background(work: Callable[[], None]) -> None:
    """Many clusters take longer to read than the sender's lease lasts; and nothing waits for this at the end."""
    threading.Thread(target=work, name="bulletin", daemon=True).start()


@dataclass
class Bulletins:
    """Only the holder of the sender's lease calls `step`; what is kept is kept once, whoever looked."""

    digest: Digest
    channel: str
    store: Store
    sights: Sights
    begin: Callable[[Callable[[], None]], None] = in_background
    ask_machines: Callable[[str, datetime], None] | None = None  # for a period, before the look
    _told: str = ""  # the last period that is known to be told
    _looking: threading.Event = field(default_factory=threading.Event)
    _not_before: datetime | None = None

    def step(self, now: datetime) -> None:
        """Begin a look if one is due; cheap while none is."""
        period = period_of(self.digest, now)
        if period == self._told or self._looking.is_set() or (self._not_before and now < self._not_before):
            return
        last = self.store.bulletin()
        if last is not None and last.period >= period:
            self._told = period
            return
        self._looking.set()
        self.begin(lambda: self._look(period, now))

    def _look(self, period: str, now: datetime) -> None:
        try:
            if self.ask_machines is not None:
                self.ask_machines(period, now)
            last = self.store.bulletin()
            made = write_bulletin(period, self.sights.all(), last, now)
            self.store.keep_bulletin(made, after=last.period if last else "", item=self._item(period, now))
        except StoreUnavailable as error:
            _LOG.warning("%s", error)
            self._not_before = now + _AGAIN
        except Exception:  # noqa: BLE001 - the edge of this thread: the next look may do better
            _LOG.exception("The periodic report of %s could not be made.", period)
            self._not_before = now + _AGAIN
        finally:
            self._looking.clear()

    def _item(self, period: str, now: datetime) -> OutboxItem:
        return OutboxItem(
            id=f"post:{card_key(period)}",
            kind=OutboxKind.POST,
            channel=self.channel,
            card_key=card_key(period),
            expires_at=now + _LASTS,
        )
