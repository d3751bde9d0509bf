"""The driver of one operation: it makes progress until the operation is done, waits for a person, or must hand over."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from cluster.errors import LockkeeperError, RecordUnreadable
from cluster.events import Happened
from cluster.findings import Findings
from cluster.operation import Operation, OperationState, Wish
from cluster.plan import PlanNode
from cluster.report import ClusterReport
from cluster.steering import OVER, is_in_hand, needs_driver
from workers import arrivals, ending, progress, standstill
from workers.alarms import Alarms
from workers.crew import Crew
from workers.hand import Hand
from workers.hush import Hush
from workers.opening import Opening
from workers.progress import Move, Teller
from workers.run import Run
from workers.schedule import find_runnable, find_second_tries
from workers.site import Yielded

TICK = 0.2  # seconds between two looks at the record: how soon a person's wish or a hand-over is noticed
HAND_OVER = 0.8  # seconds that nodes in hand get to stop at a poll; their remote commands go on anyway
TURN = 10.0  # seconds before a driver gives way to work that no worker is free for
_WAITED = 0.3  # of a turn that such work must have waited
_S = OperationState
_LOG = logging.getLogger(__name__)


def drive(crew: Crew, operation_id: str, *, stop: threading.Event | None = None, turn: float = TURN) -> None:
    """Re-entrant, and harmless when another driver is at work or nothing is to be done."""
    operation = crew.store.operation(operation_id)
    if not needs_driver(operation):
        return
    try:
        record, approval = crew.store.plan(operation.plan_id), crew.store.approval(operation_id)
    except RecordUnreadable as error:  # nobody could drive it, and it would be tried for ever
        ending.give_up(crew, operation, error)
        return
    run = Run(crew, record, approval, operation)
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
    except LockkeeperError:  # its own words say what is wrong; the job ends with them
        raise
    except Exception:  # noqa: BLE001 - the edge of a driver: a bug is logged and told, and does not come again in silence
        ending.confess(run)
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
        self._opening = Opening(run)
        self._alarms = Alarms(run)
        self._hush = Hush(run)
        self._cutting = False  # it is said that the operation is being cancelled

    def work(self) -> None:
        run = self._run
        if (misread := self._opening.read_rows()) is not None:
            self._stop(run.operation(), (misread,))
            return
        self._opening.start()
        self._alarms.start()
        self._hush.start(run.operation())
        try:
            while not run.leaving():
                if self._gives_way():
                    run.giving_way.set()
                self._hands = {name: hand for name, hand in self._hands.items() if hand.is_alive()}
                if run.giving_way.is_set() and not self._hands:
                    return
                operation = run.operation()
                self._hush.want(operation)
                if not self._look(operation):
                    return
                run.woken.wait(TICK)
                run.woken.clear()
        finally:
            self._alarms.close()
            self._hush.close()
            self._hand_over()

    def _look(self, operation: Operation) -> bool:
        """One round; False when there is nothing more for a driver to do."""
        run = self._run
        if not needs_driver(operation):
            return bool(self._hands)
        if operation.state is _S.CANCELLING:
            operation = self._cut_short(operation)
        over = all(r.state in OVER for r in operation.rows)
        if self._opening.obstacle is not None and not over:
            return self._stop(operation, (self._opening.obstacle,))
        if operation.state is _S.SCHEDULED and operation.wish is Wish.PAUSE:
            ending.park(run, operation)
            return False
        if not self._opening.open(operation) or (over and not self._opening.end()):
            return True
        report = run.newest_report()
        if report is not None:
            operation = arrivals.note_arrivals(run, operation, report, busy=frozenset(self._hands))
        if not self._hands and (stops := run.take_stops()):
            return self._stop(operation, stops)
        return self._advance(operation, report)

    def _advance(self, operation: Operation, report: ClusterReport | None) -> bool:
        run = self._run
        resting = run.resting()
        held, rest = frozenset(self._hands), frozenset(resting)
        turn = find_runnable(run.plan, operation, report, now=run.now(), held=held, resting=rest)
        if not run.has_stops() and not run.giving_way.is_set():  # after a no of the gate whoever is in hand rests first
            self._start(
                operation, [n for n in self._alarms.allowed(operation, turn.nodes) if self._may_begin(operation, n)]
            )
        if self._hands:
            return True
        kept = () if operation.wish is Wish.PAUSE else resting.values()  # whoever rests has begun nothing
        waits = turn.waits or "; ".join(dict.fromkeys(kept))
        if not turn.nodes and not waits and not self._try_again(operation) and ending.settle(run, operation):
            return False
        # what a database lacks is as little ours to bring about as a place that somebody else takes
        is_crowded = turn.is_crowded or bool(resting and not turn.waits)
        return self._wait(operation, waits, report, is_crowded=is_crowded)

    def _try_again(self, operation: Operation) -> bool:
        """Nobody else can go on: whoever could not be drained gets a second attempt before a person is asked."""
        run = self._run
        if not find_second_tries(run.plan, operation):
            return False

        def change(now_at: Operation) -> Move | None:
            nodes = find_second_tries(run.plan, now_at)
            return progress.try_again(now_at, nodes, run.now()) if nodes else None

        run.move(change, run.new_token("again"))
        return True

    def _stop(self, operation: Operation, findings: Findings) -> bool:
        ending.stop(self._run, operation, findings)
        return False

    def _wait(self, operation: Operation, what: str, report: ClusterReport | None, *, is_crowded: bool = False) -> bool:
        """Nobody can go on, for a reason that may pass; it is said once. What we cannot mend has a deadline."""
        run = self._run
        if report is not None:
            self._blind_since = None
        elif not run.watch.reason:  # not read yet at all
            return True
        else:
            self._blind_since = self._blind_since or time.monotonic()
            if time.monotonic() - self._blind_since > run.waits.control_plane:
                return self._stop(operation, (run.unreadable(),))
            what = "the cluster to be readable again"
        if what and run.report_is_current():
            return self._say_wait(operation, what, is_crowded=is_crowded and report is not None)
        return True

    def _may_begin(self, operation: Operation, node: PlanNode) -> bool:
        """Whoever is in hand goes on at once; a new node only when the cluster is certainly ours."""
        if node.name in self._hands or not self._run.may_start():
            return False
        in_hand = self._opening.in_time and is_in_hand(self._run.plan, node, operation.row(node.name))
        return self._opening.claimed or in_hand

    def _start(self, operation: Operation, nodes: Iterable[PlanNode]) -> None:
        """Together: none of them drains before all are cordoned, or what it evicts would land on the next one."""
        begun = {n.name: Hand(self._run, n) for n in nodes}
        self._run.cordoning |= {name for name, hand in begun.items() if hand.is_before_cordon(operation.row(name))}
        self._hands |= begun
        for hand in begun.values():
            hand.start()

    def _cut_short(self, operation: Operation) -> Operation:
        run = self._run
        sentence = f"Cancelling, as {operation.wished_by} asked: the nodes in hand are finished, holds restored."
        told = Teller(operation, run.now()).event(Happened.OPERATION_CANCELLING, sentence)

        def change(now_at: Operation) -> Move | None:
            return progress.cut(run.plan, now_at, run.now()) if now_at.state is _S.CANCELLING else None

        if not self._cutting:
            run.move(lambda o: Move(o, (told,)) if o.state is _S.CANCELLING else None, f"{run.id}/cancelling")
            self._cutting = True
        return run.move(change, run.new_token("cut"))

    def _say_wait(self, operation: Operation, what: str, *, is_crowded: bool) -> bool:
        """Once, whoever drives; for a place not for ever, as whoever takes it may not know that anybody waits."""
        run = self._run
        if is_crowded and standstill.has_lasted(operation, run.waits.place, run.now()):
            return self._stop(operation, (standstill.no_place(operation, what),))

        def change(now_at: Operation) -> Move | None:
            return standstill.keep(now_at, what, run.now(), is_crowded=is_crowded)

        if change(operation) is not None:
            run.move(change, run.new_token("waits"))
        return True

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
