"""Before a periodic report: have the machines of all clusters asked anew, and wait for them for a while."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from datetime import datetime

from cluster.events import Event, Happened
from cluster.queues import Wakeups
from cluster.requests import request_survey
from cluster.settings import Settings
from cluster.store import Store

PATIENCE = 600.0  # seconds; thousands of machines take minutes, and what did not come is reported with its age
_POLL = 1.0


@dataclass(frozen=True, slots=True)
class Round:
    """One look at every machine that there is."""

    settings: Settings
    store: Store
    wakeups: Wakeups
    patience: float = PATIENCE

    def go(self, period: str, now: datetime) -> None:
        """A period's requests have the same names whichever bot makes them, so that they are made once."""
        waiting = [self._ask(name, period, now) for name, c in self.settings.clusters.items() if c.machines]
        deadline = time.monotonic() + self.patience
        while waiting and time.monotonic() < deadline:
            time.sleep(min(_POLL, self.patience / 10))
            waiting = [request_id for request_id in waiting if self.store.answer(request_id) is None]

    def _ask(self, name: str, period: str, now: datetime) -> str:
        request_id = "r-" + hashlib.sha256(f"{period}/{name}".encode()).hexdigest()[:8]
        request = request_survey(name, self.settings.clusters[name], request_id, "", now)
        sentence = f"The periodic report of {period} asked for a survey of {name}."
        self.store.put_request(request, Event(Happened.SURVEY_ASKED, now, name, sentence))
        self.wakeups.ask_for_survey(request_id)
        return request_id
