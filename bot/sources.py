"""The package sources of a cluster, asked anew behind a report: a worker is woken, and what it brings is waited for."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.sights import Sights
from cluster.errors import StoreUnavailable
from cluster.offers import WANTED_FOR, WantedOffers
from cluster.queues import Wakeups
from cluster.report import Unread
from policies.overview import Overview
from policies.sources import are_old, minors_of, whom_to_ask, why_not_asked

_POLL = 0.3  # seconds between two looks for an answer


@dataclass(frozen=True, slots=True)
class Sources:
    """A few machines are asked for them, and never all: that is what a survey is for."""

    sights: Sights
    wakeups: Wakeups
    patience: float = WANTED_FOR

    def are_due(self, seen: Overview, now: datetime) -> bool:
        """Whether what is known of them is old, and somebody can be asked."""
        told, waits = self.sights.store.sources(seen.report.cluster), self.sights.settings.waits
        return not self._why_not(seen) and are_old(seen.survey, told, now, timedelta(seconds=waits.offers_fresh))

    def renew(self, seen: Overview) -> Overview:
        """The same report with what they offer just now; where they were not asked it says why, and is as it was."""
        try:
            reason = self._why_not(seen) or self._ask(seen)
        except StoreUnavailable as error:
            reason = str(error)
        return _unasked(seen, reason) if reason else self.sights.again(seen)

    def _why_not(self, seen: Overview) -> str:
        """Why nobody can be asked; "" where somebody can."""
        name, cluster = seen.report.cluster, self.sights.settings.clusters[seen.report.cluster]
        if reason := why_not_asked(seen.report, cluster):
            return reason
        if holder := self.sights.store.lock_holder(name):
            return f"{holder} is in hand there, and nobody else goes to its machines meanwhile"
        return "" if whom_to_ask(seen.report, seen.survey, cluster) else "none of its nodes is named in the inventory"

    def _ask(self, seen: Overview) -> str:
        """Wake a worker, unless somebody did already, and wait; why there is no answer, "" where there is one."""
        name, store = seen.report.cluster, self.sights.store
        asked = whom_to_ask(seen.report, seen.survey, self.sights.settings.clusters[name])
        last, deadline = self._last(name), time.monotonic() + self.patience
        if store.want_offers(WantedOffers(f"a-{secrets.token_hex(4)}", name, minors_of(seen.report), asked)):
            self.wakeups.ask_for_offers(name)
        while time.monotonic() < deadline:
            if self._last(name) != last:
                return ""
            time.sleep(_POLL)
        why = f"no worker answered within {self.patience:.0f} s, as where none runs or all are at work"
        return f"{why}: start one with `lockkeeper worker`"

    def _last(self, cluster: str) -> str:
        told = self.sights.store.sources(cluster)
        return told.id if told else ""


def _unasked(seen: Overview, reason: str) -> Overview:
    """With the day of the last answer."""
    support = seen.support
    day = support.asked_at.date() if support.asked_at and not support.unasked else support.surveyed_on
    last = f"they last told on {day}" if day else "they have never told"
    unread = Unread(f"what the package sources of {seen.report.cluster} offer", f"{last}: {reason}")
    return replace(seen, support=replace(support, unasked=(unread,)))
