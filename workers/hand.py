"""One node in hand: a thread that carries it step by step to the end of its stage."""

from __future__ import annotations

import logging
import secrets
import threading
import time

from cluster.errors import ClusterUnreadable, LockkeeperError
from cluster.operation import NodeRow, Operation, OperationState, RowState, Wish
from cluster.plan import PlanNode
from cluster.procedure import GIVING_BACK, Step, Verb, itinerary
from cluster.report import ClusterReport
from cluster.steering import OVER, is_in_hand, needs_driver
from cluster.versions import ReportedVersion
from policies.drained import is_emptied
from workers import progress
from workers.absence import everybody_away, lacks_place
from workers.attempt import Attempts
from workers.databases import nobody_left
from workers.passage import pass_gate
from workers.progress import Move
from workers.run import Run
from workers.site import Yielded

_MOMENT = 0.05  # seconds between two looks whether the others are cordoned
_LOG = logging.getLogger(__name__)


class Hand(threading.Thread):
    """Ends at the end of the stage, when the node is blocked, when the gate says no, or when the driver leaves."""

    def __init__(self, run: Run, node: PlanNode) -> None:
        super().__init__(name=f"hand-{node.name}", daemon=True)
        self._run = run
        self._node = node
        self._steps = itinerary(run.plan, node)
        self._attempts = Attempts(run, node)

    def run(self) -> None:
        try:
            with self._attempts:
                self._go()
        except Yielded:
            _LOG.info("%s: %s is left to the next driver", self._run.id, self._node.name)
        except Exception:  # noqa: BLE001 - the edge of a thread: a bug is logged, told, and never ends an operation in silence
            self._confess()
        finally:
            self._run.cordoning.discard(self._node.name)
            self._run.last_end = time.monotonic()
            self._run.woken.set()

    def _go(self) -> None:
        run = self._run
        operation = run.operation()
        stage = self._steps[operation.row(self._node.name).position].stage
        while True:
            row = operation.row(self._node.name)
            step = self._steps[row.position]
            if step.verb is not Verb.CORDON:
                run.cordoning.discard(self._node.name)
            if row.state in OVER or row.state is RowState.BLOCKED or step.stage != stage:
                return
            if step.verb is Verb.DRAIN:
                self._await_cordons()  # before its time begins to count
            if row.state is RowState.WAITING:
                if not self._pass_gate(operation, row, step):
                    return
                operation = self._begin(row, step) if step.verb is not Verb.CORDON else self._begin_cordon(row, step)
                row = operation.row(self._node.name)
                if row.state is not RowState.STARTED:
                    return
            elif not self._may_go_on(operation, row, step):
                return
            operation = self._attempts.make(row, step)

    def is_before_cordon(self, row: NodeRow) -> bool:
        """Whether its next step takes it from the scheduler."""
        return row.state not in OVER and self._steps[row.position].verb is Verb.CORDON

    def _await_cordons(self) -> None:
        """Whoever was let in together is cordoned before anybody is evicted: a moment, unless the API is slow."""
        while self._run.cordoning:
            if self._run.leaving() or self._run.giving_way.is_set():
                raise Yielded
            self._run.sleep(_MOMENT)

    def _may_go_on(self, operation: Operation, row: NodeRow, step: Step) -> bool:
        """A driver before us began this step, or so the record says: what the machine does not know has not begun."""
        run = self._run
        if found := run.ask_approval(operation):
            run.stop_for(self._node.name, found)
            return False
        return self._attempts.is_known(row) or self._pass_gate(operation, row, step)

    def _pass_gate(self, operation: Operation, row: NodeRow, step: Step) -> bool:
        return pass_gate(
            self._run, self._node, step, operation, lambda sentence: self._attempts.tell(row, step, sentence)
        )

    def _begin_cordon(self, row: NodeRow, step: Step) -> Operation:
        """Others may have gone away since this node was let in; without a place it rests, and is let in again."""
        run = self._run
        report = run.report(newer_than=time.monotonic())
        with run.placing:
            operation = run.operation()
            if report is None or lacks_place(run.plan, operation, self._node, report):
                return operation
            if waits := self._leaderless(operation, step, report):
                run.rest(self._node.name, waits)
                return operation
            return self._begin(row, step)

    def _leaderless(self, operation: Operation, step: Step, report: ClusterReport) -> str:
        """Which databases nobody could take over, were this node cordoned as well; "" where it stays at work."""
        run, seen = self._run, report.node(self._node.name)
        running = seen.kubelet.version.minor if seen and isinstance(seen.kubelet, ReportedVersion) else None
        if not is_emptied(run.plan, self._node, step.hop, running):
            return ""
        rules = run.plan.options.databases
        try:
            return nobody_left(run.crew.kube(), self._node.name, everybody_away(run.plan, operation, report), rules)
        except ClusterUnreadable as error:
            _LOG.info("%s: %s: %s", run.id, self._node.name, error)
            return "the cluster to be readable again"

    def _begin(self, row: NodeRow, step: Step) -> Operation:
        run = self._run

        def change(operation: Operation) -> Move | None:
            now_at = operation.row(row.node)
            if now_at.state is not RowState.WAITING or now_at.position != row.position:
                return None
            if not self._is_wanted(operation, now_at, step):
                return None
            return progress.begin(operation, now_at, step, run.now())

        return run.move(change, f"{self._attempts.id_of(row)}/started/{row.attempt}")

    def _is_wanted(self, operation: Operation, row: NodeRow, step: Step) -> bool:
        """Whether a step may still begin: a person may have asked to stop while the gate was looking."""
        if not needs_driver(operation):
            return False
        if is_in_hand(self._run.plan, self._node, row) or step.phase in GIVING_BACK:
            return True
        return operation.state is OperationState.RUNNING and operation.wish is Wish.NONE

    def _confess(self) -> None:
        """Log a bug with its traceback, and tell people only where to find it."""
        reference = secrets.token_hex(4)
        _LOG.exception("%s: %s: unexpected error, reference %s", self._run.id, self._node.name, reference)
        sentence = f"Something unexpected happened with {self._node.name}, reference {reference}."
        finding = self._attempts.finding(
            "internal-error", sentence, "Find the reference in the worker's log, then `retry`."
        )
        try:
            row = self._run.operation().row(self._node.name)
            if row.state is RowState.STARTED:
                self._attempts.block(row, finding)
            else:
                self._run.stop_for(self._node.name, (finding,))
        except (Yielded, LockkeeperError):
            return
