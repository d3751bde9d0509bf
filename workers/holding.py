"""Pods that hold up a drain: recorded when that has lasted for longer than is usual, so that a person may choose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from cluster.operation import ITS_OWN_END, Hold
from workers.drain_rules import Fate, PodFate
from workers.site import Site

PATIENCE, SHARE = 60.0, 0.1  # seconds, and of the whole drain: budgets that let one pod go after the other are usual
MOST = 10  # pods that are recorded

Holder = Callable[[PodFate], tuple[str, str]]  # what keeps a pod, and why


class Holding:
    """What was last recorded, and since when each pod waits; a driver goes on with what the one before recorded."""

    def __init__(self, held: tuple[Hold, ...] = ()) -> None:
        self._recorded = held
        self.has_lasted = bool(held)  # whether anything was ever on record
        self._since = {h.uid: h.since for h in held}
        self._ending = {h.uid for h in held if h.by == ITS_OWN_END}

    @property
    def lasts(self) -> bool:
        """Whether anything is on record that people can see, and ask about."""
        return bool(self._recorded)

    def note(self, pod: PodFate, *, now: datetime, waits: bool) -> None:
        """What the last answer about a pod means for its waiting."""
        if waits:
            self._since.setdefault(pod.uid, now)
        else:
            self._since.pop(pod.uid, None)

    def tell(self, site: Site, going: Iterable[PodFate], holder: Holder) -> None:
        """Record who holds up the drain by now, if that is not on record yet."""
        now, long = site.now(), min(PATIENCE, site.plan.options.drain_timeout * SHARE)
        for pod in (pods := tuple(going)):
            if pod.fate is Fate.LEAVING and pod.uid not in self._ending:  # what held it before does so no more
                self._ending.add(pod.uid)
                self._since[pod.uid] = now
        holding = [p for p in pods if p.uid in self._since and self._lasts(p, now) >= long][:MOST]
        if {p.uid for p in holding} == {h.uid for h in self._recorded}:
            return
        known = {h.uid: h for h in self._recorded}
        self._recorded = tuple(known.get(p.uid) or self._hold(p, *holder(p)) for p in holding)
        self.has_lasted = self.has_lasted or self.lasts
        site.hold(self._recorded)

    def _lasts(self, pod: PodFate, now: datetime) -> float:
        """Seconds beyond what it may take to end."""
        passed = (now - self._since[pod.uid]).total_seconds()
        return passed - pod.grace if pod.fate is Fate.LEAVING else passed

    def _hold(self, pod: PodFate, by: str, why: str) -> Hold:
        return Hold(pod.pod, pod.uid, by, why, self._since[pod.uid])
