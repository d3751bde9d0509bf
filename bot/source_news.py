"""Behind a report in Slack: the package sources are asked anew, and what they tell comes after it, or into it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from bot.asked import Asked
from bot.blocks import Message, section
from bot.delivery import SlackAway, SlackRefused
from bot.report_card import render_report
from bot.sources import Sources
from bot.station import Station
from bot.text import code, count, escape
from cluster.errors import LockkeeperError, StoreUnavailable
from policies.overview import Overview
from policies.support import call_newest, tell_newest

_MOST = 8  # reports that wait for news at once: each is a thread, and keeps what may be 5,000 nodes until then
_SILENT = 4  # sources of which the news say why they did not tell; the report says it of each
_LOG = logging.getLogger(__name__)

Tell = Callable[[Overview], None]


@dataclass(frozen=True)
class SourceNews:
    """A report never waits for it; where more wait than there is room for, a report stands as it is."""

    station: Station
    room: threading.Semaphore = field(default_factory=lambda: threading.BoundedSemaphore(_MOST))

    @property
    def sources(self) -> Sources:
        return Sources(self.station.sights, self.station.wakeups)

    def are_due(self, asked: Asked, seen: Overview) -> bool:
        """Whether this report asks: a guest may look, and send nobody to the machines."""
        try:
            return not self.station.check_home(asked).is_guest and self.sources.are_due(seen, self.station.clock())
        except StoreUnavailable:  # the report has said so
            return False

    def follow(self, seen: Overview, tell: Tell) -> None:
        """Have `tell` say what came of it, in a thread of its own."""
        if self.room.acquire(blocking=False):
            name = f"sources-{seen.report.cluster}"
            threading.Thread(target=self._follow, args=(seen, tell), name=name, daemon=True).start()

    def post(self, asked: Asked, seen: Overview) -> bool:
        """Put the report into the channel, where it is edited later; False where the bot cannot post there."""
        channel, delivery = asked.channel, self.station.delivery
        try:
            ts = delivery.post(channel, render_report(seen, share=False), asked.thread)
        except (SlackAway, SlackRefused) as error:
            _LOG.info("%s", error)
            return False
        self.follow(seen, lambda now: delivery.edit(channel, ts, render_report(now, share=False)))
        return True

    def _follow(self, seen: Overview, tell: Tell) -> None:
        try:
            tell(self.sources.renew(seen))
        except LockkeeperError as error:
            _LOG.warning("What the package sources of %s offer was not told: %s", seen.report.cluster, error)
        except Exception:  # noqa: BLE001 - the edge of this thread: the report stands as it is
            _LOG.exception("What the package sources of %s offer was not told.", seen.report.cluster)
        finally:
            self.room.release()


def render_news(before: Overview, now: Overview) -> Message:
    """What the sources told since the report, to whoever looks at it: Slack edits no answer to a command."""
    title = f"The package sources of {code(now.report.cluster)}, asked for the report:"
    lines = tuple(_lines(before, now)) or ("\u2022 nothing that the report does not say",)
    return Message(" ".join([title, *lines[:1]]), (section(title), *map(section, lines)))


def _lines(before: Overview, now: Overview) -> Iterator[str]:
    reported = {m.minor: m.newest for m in before.support.running}
    told = replace(now.support, unasked=()) != replace(before.support, unasked=())
    for minor in (m for m in now.support.running if told and m.newest):
        was = reported.get(minor.minor)
        beside = "as the report says" if was == minor.newest else f"where the report says {was or 'nothing'}"
        said = f"the {call_newest(minor)} of {minor.minor} is {escape(tell_newest(minor, now.support))}"
        yield f"\u2022 {said}, {beside}"
    silent = now.support.unasked
    for unread in silent[:_SILENT]:
        yield f"\u2022 {escape(unread.what, 100)} could not be read: {escape(unread.reason, 300)}"
    if len(silent) > _SILENT:
        yield f"\u2022 and {count(len(silent) - _SILENT, 'more source')} could not."
