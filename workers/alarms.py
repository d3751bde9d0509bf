"""Firing alerts keep a run from beginning another node: looked up by one thread, remembered in its record."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from cluster.alerts import Alert
from cluster.errors import LockkeeperError
from cluster.events import Happened
from cluster.findings import Findings, blockers
from cluster.inventory import Alerts
from cluster.operation import Operation, OperationState
from cluster.plan import PlanKind, PlanNode
from cluster.procedure import GIVING_BACK, itinerary
from cluster.report import Unread
from cluster.steering import is_in_hand
from policies.alerts import check_alerts, spared_now
from workers.progress import Move, Teller
from workers.run import Run

_MOST_TOLD = 3
_OLD = 30.0  # seconds that an answer counts beside two pauses
_LOG = logging.getLogger(__name__)


class Alarms:
    """
    Asks again and again while the run goes on; without a monitoring in the configuration it forbids nothing.

    Whom it waits for, and since when all is quiet, stand in the record: the next driver waits no longer than this one.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._config = run.crew.settings.clusters[run.plan.cluster].alerts
        self._read = run.crew.firing
        self._seen: tuple[Alert, ...] | Unread | None = None  # not asked yet
        self._seen_at = time.monotonic()
        self._closed = threading.Event()
        self._told_unread = False

    def start(self) -> None:
        if self._read is not None:
            threading.Thread(target=self._keep, args=(self._read,), name="alarms", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def allowed(self, operation: Operation, nodes: tuple[PlanNode, ...]) -> tuple[PlanNode, ...]:
        """Those in hand, and the new ones where nothing fires; what only mends is never kept waiting."""
        plan, config = self._run.plan, self._config
        new = {n.name for n in nodes if not is_in_hand(plan, n, operation.row(n.name))}
        if config is None or self._read is None:
            self._forget(operation)
            return nodes
        if not new or _mends(self._run, operation, nodes[0]):
            return nodes
        return tuple(n for n in nodes if n.name not in new) if self._forbid(operation, config) else nodes

    def _forbid(self, operation: Operation, config: Alerts) -> bool:
        """Whether nobody new may begin now; what has changed is recorded, and told where it is news."""
        run, plan = self._run, self._run.plan
        if (seen := self._newest()) is None:
            return True
        in_hand = frozenset(r.node for r in operation.rows if (n := plan.node(r.node)) and is_in_hand(plan, n, r))
        found = check_alerts(operation.cluster, config, seen, in_hand, spared_now(operation, run.now()))
        if stops := blockers(found):
            self._halt(operation, stops)
            return True
        self._note(operation, found)
        if not operation.reason:
            return False
        if operation.quiet_since is None:
            until = run.now() + timedelta(seconds=config.calm)
            sentence = f"No alert fires any more: it goes on at {until:%Y-%m-%d %H:%M:%S} UTC if that stays so."
            self._change(operation, sentence, sentence)
            return config.calm > 0
        if run.now() < operation.quiet_since + timedelta(seconds=config.calm):
            return True
        self._change(operation, "", "No alert has fired since: it goes on.")
        return False

    def _newest(self) -> tuple[Alert, ...] | Unread | None:
        """Where not even an error came for long, the name of the monitoring may be looked up in vain."""
        age = time.monotonic() - self._seen_at
        if age < _OLD + 2 * self._run.waits.alerts:
            return self._seen
        return Unread("alerts", f"there was no answer for {age:.0f} s.")

    def _halt(self, operation: Operation, stops: Findings) -> None:
        told = [f"{f.sentence} {f.remedy}" if n == 0 else f.sentence for n, f in enumerate(stops[:_MOST_TOLD])]
        told += [f"And {len(stops) - _MOST_TOLD} more."] if len(stops) > _MOST_TOLD else []
        reason, names = " ".join(told), tuple(f.subject for f in stops if f.code == "alert-firing")
        if operation.reason != reason or operation.quiet_since is not None:
            is_news = not operation.reason or operation.quiet_since is not None
            self._change(operation, reason, f"No further node is begun: {reason}" if is_news else "", fires=names)

    def _forget(self, operation: Operation) -> None:
        """A monitoring that was taken out of the configuration keeps nobody any more."""
        if operation.state is OperationState.RUNNING and operation.reason:
            self._change(operation, "", "No alerts are looked for any more: it goes on.")

    def _change(
        self, operation: Operation, reason: str, sentence: str, *, fires: tuple[str, ...] | None = None
    ) -> None:
        run = self._run
        now = run.now()

        def change(now_at: Operation) -> Move | None:
            if now_at.state is not OperationState.RUNNING or now_at.reason != operation.reason:
                return None
            lasts = now_at.halted_at if now_at.halting else None
            after = replace(
                now_at,
                reason=reason,
                quiet_since=None if fires is not None or not reason else now,
                halted_by=fires or (),
                halted_at=(lasts or now) if fires else None,
            )
            told = (Teller(now_at, now).event(Happened.STEP_WAITED, sentence),) if sentence else ()
            return Move(after, told)

        run.move(change, run.new_token("alerts"))

    def _note(self, operation: Operation, found: Findings) -> None:
        """An unreachable monitoring that is not waited for is said once by each driver."""
        if not found:
            self._told_unread = False
        elif not self._told_unread:
            run = self._run
            self._told_unread = True
            told = Teller(operation, run.now()).event(Happened.STEP_WAITED, found[0].sentence)
            run.move(lambda o: Move(o, (told,)), run.new_token("alerts-unread"))

    def _keep(self, read: Callable[[], tuple[Alert, ...]]) -> None:
        while not self._closed.is_set():
            try:
                self._seen = read()
            except LockkeeperError as error:
                self._seen = Unread("alerts", str(error))
            except Exception as error:  # noqa: BLE001 - the edge of a thread: without its answer nothing would go on
                _LOG.exception("%s: the alerts could not be read", self._run.id)
                reason = f"reading them failed ({type(error).__name__}); the worker's log says more."
                self._seen = Unread("alerts", reason)
            self._seen_at = time.monotonic()
            self._run.woken.set()
            self._closed.wait(self._run.waits.alerts)


def _mends(run: Run, operation: Operation, node: PlanNode) -> bool:
    """Whether what is to be done makes things only better: what goes back, or is given back at the end."""
    step = itinerary(run.plan, node)[operation.row(node.name).position]
    return run.plan.kind is not PlanKind.UPGRADE or step.phase in GIVING_BACK
