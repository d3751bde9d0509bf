"""One live report for everybody who asks: read in a thread of its own, never more often than needed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from cluster.errors import LockkeeperError
from cluster.report import ClusterReport

FRESH = 2.0  # seconds that a report counts as live
_PAUSE = 10.0  # times as long as a reading took nobody asks for another without need: thousands of pods cost the API
_LONGEST_PAUSE = 6.0  # seconds; a report must stay young enough to act on
_LOG = logging.getLogger(__name__)


class Watch:
    """The newest report of one cluster; None where it could not be read, with the reason beside it."""

    def __init__(self, observe: Callable[[], ClusterReport]) -> None:
        self._observe = observe
        self._changed = threading.Condition()
        self._wanted = 0.0  # monotonic; somebody wants a report that was begun after this
        self._begun = -1.0  # monotonic; when the newest one was begun
        self._took = 0.0  # seconds that reading it took
        self._report: ClusterReport | None = None
        self._reason = ""
        self._closed = False
        self._thread = threading.Thread(target=self._keep, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def reason(self) -> str:
        """Why the newest report is None."""
        return self._reason

    @property
    def took(self) -> float:
        """Seconds that the newest reading took."""
        return self._took

    def newest(self, *, newer_than: float) -> tuple[ClusterReport | None, float]:
        """Without waiting: the newest report and its age; another is read meanwhile if it is not live, or too old."""
        with self._changed:
            age = time.monotonic() - self._begun if self._begun >= 0 else float("inf")
            pause = max(FRESH, min(self._took * _PAUSE, _LONGEST_PAUSE))
            if age > pause or self._begun <= newer_than:
                self._want(max(newer_than, time.monotonic() - FRESH))
            return self._report, age

    def read(self, *, newer_than: float, give_up: Callable[[], bool]) -> ClusterReport | None:
        """A report that was begun after `newer_than` (monotonic); None when there is none or `give_up()` says so."""
        with self._changed:
            while self._begun <= newer_than:
                if self._closed or give_up():
                    return None
                self._want(newer_than)
                self._changed.wait(0.1)
            return self._report

    def _want(self, newer_than: float) -> None:
        self._wanted = max(self._wanted, newer_than)
        self._changed.notify_all()

    def _keep(self) -> None:
        while True:
            with self._changed:
                while not self._closed and self._begun > self._wanted:
                    self._changed.wait(1.0)
                if self._closed:
                    return
                begun = time.monotonic()
            report, reason = self._look()
            took = time.monotonic() - begun
            with self._changed:
                self._took = took
                self._report, self._reason, self._begun = report, reason, begun
                self._changed.notify_all()

    def _look(self) -> tuple[ClusterReport | None, str]:
        try:
            return self._observe(), ""
        except LockkeeperError as error:
            return None, str(error)
        except Exception as error:  # noqa: BLE001 - the edge of a thread: a bug must not end the watch in silence
            _LOG.exception("the cluster could not be observed")
            return None, f"Reading the cluster failed ({type(error).__name__}); the worker's log says more."
