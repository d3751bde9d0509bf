"""How bot and desk see clusters: one of them judged with what is on record, or all of them side by side."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime

from bot.voids import notice
from cluster.errors import LockkeeperError, StoreUnavailable
from cluster.offers import SourcesTold
from cluster.operation import OperationState
from cluster.report import ClusterReport, Unread
from cluster.settings import Settings
from cluster.store import Store
from cluster.survey import Survey
from policies.fleet import FleetLine, line_of, worst_clusters_first
from policies.overview import Overview, look_over
from policies.traces import operations_named

AT_ONCE = 8  # clusters that are read at the same time
PATIENCE = 20.0  # seconds for one cluster; the others do not wait longer for it

_LOG = logging.getLogger(__name__)

Observe = Callable[[str], ClusterReport]


@dataclass(frozen=True, slots=True)
class Sights:
    """`observe` reads the named cluster and may take seconds; what it cannot read is in the report."""

    settings: Settings
    store: Store
    observe: Observe
    clock: Callable[[], datetime]
    patience: float = PATIENCE

    def overview(self, name: str) -> Overview:
        """One cluster, read now; what Redis cannot tell is missing, and said."""
        return self._judged(name, self.observe(name), is_new=True)

    def again(self, seen: Overview) -> Overview:
        """The same reading of the cluster, judged with what is on record by now."""
        return self._judged(seen.report.cluster, seen.report, is_new=False)

    def _judged(self, name: str, report: ClusterReport, *, is_new: bool) -> Overview:
        survey, told = None, None
        known: dict[str, OperationState] | None = None
        try:
            survey, told, known = self._recorded(report)
            if is_new and report.nodes_read:
                notice(self.store, report, self.clock())
        except StoreUnavailable as error:
            report = replace(report, unread=(*report.unread, Unread("what is on record", str(error))))
        cluster, installation = self.settings.clusters[name], self.settings.installation
        now = self.clock()
        return look_over(report, survey, cluster, installation=installation, known=known, now=now, told=told)

    def fleet(self) -> tuple[FleetLine, ...]:
        """All clusters, the worst first; one that cannot be read in time has its line all the same."""
        return worst_clusters_first(line_of(name, seen) for name, seen in self.all())

    def all(self) -> tuple[tuple[str, Overview | Unread], ...]:
        """Every cluster of the configuration, read at the same time within a bound."""
        names = tuple(self.settings.clusters)
        with ThreadPoolExecutor(AT_ONCE, "fleet") as pool:
            return tuple(zip(names, pool.map(self._in_time, names), strict=True))

    def _in_time(self, name: str) -> Overview | Unread:
        """In a thread of its own that is left behind when it takes too long: a read cannot be called off."""
        answers: queue.SimpleQueue[Overview | Unread] = queue.SimpleQueue()

        def read() -> None:
            try:
                answers.put(self.overview(name))
            except LockkeeperError as error:
                answers.put(Unread(name, str(error)))
            except Exception as error:  # noqa: BLE001 - the edge of this thread: the other clusters have their lines
                _LOG.exception("%s could not be looked at", name)
                answers.put(Unread(name, f"lockkeeper itself failed on it ({type(error).__name__}): look at its log."))

        threading.Thread(target=read, name=f"read-{name}", daemon=True).start()
        try:
            return answers.get(timeout=self.patience)
        except queue.Empty:
            return Unread(name, f"`{name}` did not answer within {self.patience:g} s.")

    def _recorded(self, report: ClusterReport) -> tuple[Survey | None, SourcesTold | None, dict[str, OperationState]]:
        name = report.cluster
        return self.store.survey(name), self.store.sources(name), self.store.states(operations_named(report))
