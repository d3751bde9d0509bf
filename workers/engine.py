"""The driver of one operation: it makes progress until the operation is done, waits for a person, or must hand over."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

from cluster.errors import ClusterUnreadable, LockkeeperError, StoreUnavailable
from cluster.events import Happened
from cluster.findings import Finding, Findings
from cluster.operation import Operation, OperationState, RowState, Wish
from cluster.plan import PlanNode
from cluster.report import ClusterReport
from cluster.steering import needs_driver
from workers import arrivals, progress
from workers.claim import Claim
from workers.crew import Crew
from workers.hand import Hand
from workers.progress import Move, Teller
from workers.run import Run
from workers.schedule import OVER, find_runnable, is_in_hand
from workers.site import Yielded

TICK = 0.2  # seconds between two looks at the record: how soon a person's wish or a hand-over is noticed
HAND_OVER = 0.8  # seconds that nodes in hand get to stop at a poll; their remote commands go on anyway
TURN = 10.0  # seconds before a driver gives way to work that no worker is free for
_WAITED = 0.3  # of a turn that such work must have waited
PARKING = frozenset({"foreign-change", "freeze", "window-closed"})  # the gate's codes that park; others block
_S = OperationState
_LOG = logging.getLogger(__name__)


def drive(crew: Crew, operation_id: str, *, stop: threading.Event | None = None, turn: float = TURN) -> None:
    """Re-entrant, and harmless when another driver is at work or nothing is to be done."""
    operation = crew.store.operation(operation_id)
    if not needs_driver(operation):
        return
    record = crew.store.plan(operation.plan_id)
    run = Run(crew, record, crew.store.approval(operation_id), operation)
    if stop is not None:
        run.stop = stop
    if (seen := _highest_fence(crew, operation)) >= operation.fence:
        crew.store.seed_fence(operation.cluster, seen)
    if not run.lease.take():
        return
    _LOG.info("%s: driving with fence %d", operation_id, run.lease.fence)
    run.watch.start()
    try:
        Driver(run, turn).work()
    except Yielded:
        _LOG.info("%s: left to the next driver", operation_id)
    finally:
        run.lease.drop()
        run.watch.close()


def _highest_fence(crew: Crew, operation: Operation) -> int:
    """The highest fence that any machine has shown; ours must grow above it, or they refuse us."""
    survey = crew.store.survey(operation.cluster)
    facts = (survey.facts(m.name) for m in survey.machines) if survey else ()
    return max((f.fence for f in facts if f is not None), default=0)


class Driver:
    """The loop: people's wishes first, then the end, then whoever may go on."""

    def __init__(self, run: Run, turn: float) -> None:
        self._run = run
        self._turn = turn
        self._hands: dict[str, Hand] = {}
        self._began = time.monotonic()
        self._others_since: float | None = None
        self._blind_since: float | None = None
        self._claimed = threading.Event()
        self._obstacle: Finding | None = None
        self._cutting = False  # it is said that the operation is being cancelled
        self._opened = False  # it is said that the operation runs

    def work(self) -> None:
        run = self._run
        self._greet(run.operation())
        threading.Thread(target=self._claim, name="claim", daemon=True).start()
        try:
            while not run.leaving() and not self._gives_way():
                self._hands = {name: hand for name, hand in self._hands.items() if hand.is_alive()}
                if not self._look(run.operation()):
                    return
                run.woken.wait(TICK)
                run.woken.clear()
        finally:
            self._hand_over()

    def _look(self, operation: Operation) -> bool:
        """One round; False when there is nothing more for a driver to do."""
        run = self._run
        if not needs_driver(operation):
            return bool(self._hands)
        if self._obstacle is not None:
            return self._stop(_S.BLOCKED, (self._obstacle,))
        if not self._opened and not self._open(operation):
            return needs_driver(run.operation())
        report = run.newest_report()
        if operation.state is _S.CANCELLING:
            operation = self._cut_short(operation)
        if report is not None:
            operation = arrivals.note_arrivals(run, operation, report, busy=frozenset(self._hands))
        if not self._hands and (stops := run.take_stops()):
            return self._stop(_state_for(operation, stops), stops)
        return self._advance(operation, report)

    def _advance(self, operation: Operation, report: ClusterReport | None) -> bool:
        run = self._run
        turn = find_runnable(run.plan, operation, report, held=frozenset(self._hands))
        if not run.has_stops():  # after a no of the gate whoever is in hand comes to rest first
            for node in turn.nodes:
                if self._may_begin(operation, node):
                    self._start(node)
        if self._hands:
            return True
        if not turn.nodes and self._settle(operation):
            return False
        return self._wait(operation, turn.waits, report)

    def _wait(self, operation: Operation, what: str, report: ClusterReport | None) -> bool:
        """Nobody can go on, for a reason that may pass; it is said once. An unreadable cluster has a deadline."""
        run = self._run
        if report is not None:
            self._blind_since = None
        elif not run.watch.reason:  # not read yet at all
            return True
        else:
            self._blind_since = self._blind_since or time.monotonic()
            if time.monotonic() - self._blind_since > run.waits.control_plane:
                return self._stop(_S.BLOCKED, (run.unreadable(),))
            what = "the cluster to be readable again"
        if what:
            self._say_wait(operation, what)
        return True

    def _may_begin(self, operation: Operation, node: PlanNode) -> bool:
        """Whoever is in hand goes on at once; a new node only when the cluster is certainly ours."""
        if node.name in self._hands or not self._run.may_start():
            return False
        return self._claimed.is_set() or is_in_hand(self._run.plan, node, operation.row(node.name))

    def _start(self, node: PlanNode) -> None:
        self._hands[node.name] = Hand(self._run, node)
        self._hands[node.name].start()

    def _greet(self, operation: Operation) -> None:
        """Say that another worker goes on, where something was left in the middle."""
        run = self._run
        if operation.state is _S.SCHEDULED or not any(r.state is RowState.STARTED for r in operation.rows):
            return
        teller = Teller(operation, run.now())
        in_hand = ", ".join(r.node for r in operation.rows if r.state is RowState.STARTED)
        sentence = f"A worker took over with {in_hand} in hand; what runs there goes on."
        told = teller.event(Happened.DRIVER_TOOK_OVER, sentence, fence=str(run.lease.fence))
        run.move(lambda o: Move(o, (told,)), f"{run.id}/driver/{run.lease.fence}")

    def _claim(self) -> None:
        """Write our name into the cluster; tried until the deadline, since its API may be away by our own doing."""
        run = self._run
        deadline = time.monotonic() + run.waits.control_plane
        while not run.leaving():
            try:
                operation = run.crew.store.operation(run.id)
                self._obstacle = self._claim_of(operation).acquire(run.now())
            except StoreUnavailable:
                run.sleep(1.0)
            except ClusterUnreadable as error:
                if time.monotonic() > deadline:
                    self._obstacle = run.unreadable(str(error))
                    break
                run.sleep(min(1.0, run.waits.poll))
            else:
                break
        if self._obstacle is None:
            self._claimed.set()
        run.woken.set()

    def _claim_of(self, operation: Operation) -> Claim:
        crew = self._run.crew
        return Claim(crew.settings.installation, operation, crew.kube, crew.store)

    def _open(self, operation: Operation) -> bool:
        """From scheduled to running, once the cluster is ours; whether the operation is open."""
        run = self._run
        if operation.state is _S.SCHEDULED and operation.wish is Wish.PAUSE:
            return self._park(operation)
        if not self._claimed.is_set():
            return operation.state is not _S.SCHEDULED
        count = len(operation.rows)
        sentence = f"{run.id} started: {operation.cluster} goes to {run.plan.target}, {count} nodes."

        def change(now_at: Operation) -> Move | None:
            told = Teller(now_at, run.now()).event(Happened.OPERATION_STARTED, sentence)
            if now_at.state is not _S.SCHEDULED:  # said here if it went on from a block before its start
                return Move(now_at, (told,)) if needs_driver(now_at) else None
            return Move(replace(now_at, state=_S.RUNNING), (told,))

        if operation.state is not _S.CANCELLING:
            run.move(change, f"{run.id}/opened")
        self._opened = True
        run.woken.set()
        return operation.state is not _S.SCHEDULED

    def _cut_short(self, operation: Operation) -> Operation:
        run = self._run
        sentence = f"Cancelling, as {operation.wished_by} asked: the nodes in hand are finished, holds restored."
        told = Teller(operation, run.now()).event(Happened.OPERATION_CANCELLING, sentence)

        def change(now_at: Operation) -> Move | None:
            after = progress.cut_short(run.plan, now_at)
            return None if now_at.state is not _S.CANCELLING or after == now_at else Move(after, ())

        if not self._cutting:
            run.move(lambda o: Move(o, (told,)) if o.state is _S.CANCELLING else None, f"{run.id}/cancelling")
            self._cutting = True
        return run.move(change, _token(run, "cut"))

    def _settle(self, operation: Operation) -> bool:
        """No node can go on: the end, a block or a pause; False when it is only a wait."""
        run = self._run
        if all(r.state in OVER for r in operation.rows):
            return self._close(operation)
        if any(r.state is RowState.BLOCKED for r in operation.rows):
            run.move(
                lambda o: progress.settle(run.plan, o, run.now()) if o.state is operation.state else None,
                _token(run, "blocked"),
            )
            return True
        if operation.wish is Wish.PAUSE:
            return not self._park(operation)
        return False

    def _close(self, operation: Operation) -> bool:
        """Take our name from the cluster, then end: the other order could leave it there for ever."""
        run = self._run
        try:
            self._claim_of(operation).release()
        except ClusterUnreadable as error:
            _LOG.info("%s: our Lease is still there: %s", run.id, error)
            run.sleep(min(1.0, run.waits.poll))
            return False
        report = run.report(newer_than=run.last_end)
        facts = arrivals.old_to_new(run.record, report)

        def change(now_at: Operation) -> Move | None:
            made = progress.settle(run.plan, now_at, run.now())
            if made is None or not made.after.ended:
                return None
            return Move(made.after, tuple(replace(e, facts=facts) for e in made.events))

        run.move(change, f"{run.id}/ended")
        return True

    def _park(self, operation: Operation) -> bool:
        """Paused by a person. Always False: a driver has nothing more to do."""
        run = self._run
        reason = f"paused by {operation.wished_by}"

        def change(now_at: Operation) -> Move | None:
            if now_at.wish is not Wish.PAUSE or not needs_driver(now_at):
                return None
            return progress.stop(now_at, _S.PARKED, reason, run.now())

        run.move(change, _token(run, "parked"))
        return False

    def _stop(self, state: OperationState, findings: Findings) -> bool:
        """The gate or another installation forbids to go on. Always False."""
        run = self._run
        reason = " ".join(f"{f.sentence} {f.remedy}".strip() for f in findings)

        def change(now_at: Operation) -> Move | None:
            if not needs_driver(now_at):
                return None
            made = progress.stop(now_at, state, reason, run.now())
            codes = ", ".join(dict.fromkeys(f.code for f in findings))
            return Move(made.after, tuple(replace(e, facts={"codes": codes}) for e in made.events))

        _LOG.warning("%s: %s: %s", run.id, state, reason)
        run.move(change, _token(run, "stopped"))
        return False

    def _say_wait(self, operation: Operation, what: str) -> None:
        run = self._run
        told = Teller(operation, run.now()).event(Happened.STEP_WAITED, f"Waiting for {what}.")
        run.move(lambda o: Move(o, (told,)), f"{run.id}/waits/{run.lease.fence}/{what}"[:200])

    def _gives_way(self) -> bool:
        """Whether other work has waited long enough for a worker."""
        moment = time.monotonic()
        if moment - self._began < self._turn:
            return False
        try:
            waits = self._run.crew.others_wait()
        except LockkeeperError:
            waits = False
        if not waits:
            self._others_since = None
            return False
        self._others_since = self._others_since or moment
        return moment - self._others_since > self._turn * _WAITED

    def _hand_over(self) -> None:
        """Stop at the next poll; whoever does not is left behind, and may start nothing any more."""
        self._run.stop.set()
        deadline = time.monotonic() + HAND_OVER
        for hand in self._hands.values():
            hand.join(max(0.0, deadline - time.monotonic()))


def _state_for(operation: Operation, findings: Findings) -> OperationState:
    parks = operation.state is _S.RUNNING and {f.code for f in findings} <= PARKING
    return _S.PARKED if parks else _S.BLOCKED


def _token(run: Run, what: str) -> str:
    """For moves that may come again: told apart by their moment."""
    return f"{run.id}/{what}/{run.lease.fence}/{time.monotonic_ns()}"
