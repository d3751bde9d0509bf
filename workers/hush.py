"""Alerts of the nodes in hand are silenced while they are: each silence has an end, is renewed, and is expired."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import timedelta

from cluster.errors import LockkeeperError
from cluster.events import Happened
from cluster.operation import NodeRow, Operation, RowState
from cluster.procedure import GIVING_BACK, Phase, itinerary
from cluster.steering import is_in_hand, needs_driver
from workers.progress import Move, Teller
from workers.run import Run
from workers.silencing import Silence, Silencer
from workers.site import Yielded

LASTS = timedelta(minutes=10)  # so long alerts stay silent after a crash that nobody takes over from
_QUIET = frozenset({Phase.OPENING, Phase.PREPARE}) | GIVING_BACK  # nothing alerts there by our doing
_PAUSES = 4  # looks at the alerts between two at the silences
_LAST_WORD = 5.0  # seconds that a driver waits at its end for silences to be expired
_LOG = logging.getLogger(__name__)


class Hush:
    """
    What is silent stands in the Alertmanager alone: a new driver finds there what an old one made, and goes on with it.

    A node that is blocked is no longer silent, as somebody has to look at it. Without success the run goes on.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._silencer = run.crew.silencer
        self._wanted: frozenset[str] = frozenset()
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._left = False  # to the next driver
        self._told = False
        self._thread: threading.Thread | None = None

    def start(self, operation: Operation) -> None:
        self.want(operation)
        if self._silencer is not None:
            self._thread = threading.Thread(target=self._keep, args=(self._silencer,), name="hush", daemon=True)
            self._thread.start()

    def want(self, operation: Operation) -> None:
        """Who is in hand now; nobody where the operation waits for a person or has ended."""
        if self._silencer is None:
            return
        rows = operation.rows if needs_driver(operation) else ()
        wanted = frozenset(r.node for r in rows if _is_away(self._run, r))
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    def close(self) -> None:
        """A driver that hands over leaves them to the next one; else what nobody needs any more is expired."""
        run, thread = self._run, self._thread
        self._left = run.leaving() or run.giving_way.is_set()
        if thread is not None and not self._left:
            try:
                self.want(run.operation())
            except Yielded:
                self._left = True
        self._closed.set()
        self._changed.set()
        if thread is not None and not self._left:
            thread.join(_LAST_WORD)

    def _keep(self, silencer: Silencer) -> None:
        is_last = False
        while not is_last:
            is_last = self._closed.is_set()
            if self._left or self._run.lease.lost:
                return
            self._changed.clear()
            try:
                self._match(silencer, self._wanted)
            except LockkeeperError as error:
                self._tell(str(error))
            except Exception:  # noqa: BLE001 - the edge of a thread: silence is a courtesy, and the run goes on
                _LOG.exception("%s: alerts could not be silenced", self._run.id)
            if not is_last:
                self._changed.wait(pause_of(self._run.waits.alerts))

    def _match(self, silencer: Silencer, wanted: frozenset[str]) -> None:
        """Make what is missing, renew what ends soon, expire what nobody needs."""
        now, found = self._run.now(), silencer.silences(self._run.id)
        for silence in found:
            if silence.node not in wanted:
                silencer.expire(silence)
            elif silence.ends - now < LASTS / 2:
                silencer.silence(replace(silence, ends=now + LASTS))
        for node in sorted(wanted - {s.node for s in found}):
            silencer.silence(Silence("", self._run.id, node, now, now + LASTS))

    def _tell(self, reason: str) -> None:
        """Once by each driver: whoever is called out wants to know why nothing was silent."""
        _LOG.warning("%s: %s", self._run.id, reason)
        if self._told or self._closed.is_set():
            return
        self._told = True
        run = self._run
        sentence = f"Alerts of the nodes in hand may ring: {reason}"
        try:
            told = Teller(run.operation(), run.now()).event(Happened.STEP_WAITED, sentence)
            run.move(lambda o: Move(o, (told,)), run.new_token("hush"))
        except Yielded:
            return


def pause_of(alerts: float) -> float:
    """Seconds between two looks at the silences: however seldom those at alerts are, none ends unrenewed."""
    return min(_PAUSES * alerts, LASTS.total_seconds() / 4)


def _is_away(run: Run, row: NodeRow) -> bool:
    node = run.plan.node(row.node)
    if node is None or row.state is RowState.BLOCKED or not is_in_hand(run.plan, node, row):
        return False
    return itinerary(run.plan, node)[row.position].phase not in _QUIET
