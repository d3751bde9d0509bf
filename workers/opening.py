"""How a driver begins: it greets what was left in the middle, claims the cluster, and lets the operation run."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from dataclasses import replace
from functools import partial

from cluster.errors import ClusterUnreadable, LockkeeperError, StoreUnavailable
from cluster.events import Happened
from cluster.findings import Finding, Findings, Severity
from cluster.operation import Operation, OperationState, RowState
from cluster.procedure import fingerprint
from cluster.steering import needs_driver
from policies.gate import has_started
from policies.goals import tell_goal
from policies.wording import count_of
from workers.claim import claim_of
from workers.progress import Move, Teller
from workers.run import Run

PREFLIGHTS = 3  # as many looks as the gate takes before it says no
_S = OperationState
_LOG = logging.getLogger(__name__)


class Opening:
    """The claim is made in a thread of its own: the API may be away for minutes by our own doing."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._claimed = threading.Event()
        self._writing = threading.Lock()  # while our name may be written into the cluster
        self._over = False
        self._told = False  # that the operation runs
        self.obstacle: Finding | None = None  # who else has the cluster, or why nothing may run at all
        self.in_time = False  # the approval has not expired: what is in hand need not wait for the cluster's witness

    @property
    def claimed(self) -> bool:
        """The cluster is certainly ours."""
        return self._claimed.is_set()

    def start(self) -> None:
        operation = self._run.operation()
        if operation.state is not _S.CANCELLING:  # a run that was never approved may at least be cancelled
            self.obstacle = next(iter(self._run.ask_approval(operation)), None)
        if self.obstacle is not None:
            return
        self.in_time = self._may_begin(operation) is None
        self._greet(operation)
        threading.Thread(target=self._claim, name="claim", daemon=True).start()

    def open(self, operation: Operation) -> bool:
        """From scheduled to running, once the cluster is ours; whether the operation was open before."""
        run = self._run
        was_open = operation.state is not _S.SCHEDULED
        if self._told or not self.claimed or operation.state is _S.CANCELLING:
            return was_open
        sentence = f"{run.id} started: {tell_goal(run.plan)}, {count_of(len(operation.rows), 'node')}."

        def change(now_at: Operation) -> Move | None:
            told = Teller(now_at, run.now()).event(Happened.OPERATION_STARTED, sentence)
            if now_at.state is not _S.SCHEDULED:  # said here if it went on from a block before its start
                return Move(now_at, (told,)) if needs_driver(now_at) else None
            return Move(replace(now_at, state=_S.RUNNING), (told,))

        run.move(change, f"{run.id}/opened")
        self._told = True
        run.woken.set()
        return was_open

    def end(self) -> bool:
        """The cluster is not claimed any more; False while it may be just now, as that mark would outlast the run."""
        if not self._writing.acquire(blocking=False):
            return False
        self._over = True
        self._writing.release()
        return True

    def read_rows(self) -> Finding | None:
        """Whether this release reads the rows as the one that wrote them: what they count are steps of its own."""
        run, ours = self._run, fingerprint(self._run.plan)

        def adopt(now_at: Operation) -> Move | None:
            fits = now_at.procedure == ours or has_started(now_at)
            return None if fits else Move(replace(now_at, procedure=ours), ())

        operation = run.move(adopt, run.new_token("procedure"))
        if operation.procedure == ours:
            return None
        sentence = f"{operation.id} was begun by another release of lockkeeper, whose steps were others."
        remedy = (
            "Run workers of that release until it has ended; or look at its nodes by hand, and `release` the cluster."
        )
        return Finding("other-release", Severity.BLOCKER, operation.id, sentence, remedy)

    def _greet(self, operation: Operation) -> None:
        """Say that another worker goes on, where something was left in the middle."""
        run = self._run
        in_hand = ", ".join(r.node for r in operation.rows if r.state is RowState.STARTED)
        if not in_hand:
            return
        sentence = f"A worker took over with {in_hand} in hand; what runs there goes on."
        told = Teller(operation, run.now()).event(Happened.DRIVER_TOOK_OVER, sentence, fence=str(run.lease.fence))
        run.move(lambda o: Move(o, (told,)), f"{run.id}/driver/{run.lease.fence}")

    def _claim(self) -> None:
        run = self._run
        deadline = time.monotonic() + run.waits.control_plane
        while not run.leaving():
            try:
                operation = run.crew.store.operation(run.id)
                self.obstacle = self._acquire(operation)
                if self.obstacle is None and not has_started(operation):
                    self.obstacle = self._preflight(operation)
            except StoreUnavailable:
                run.sleep(1.0)
            except ClusterUnreadable as error:
                if time.monotonic() > deadline:
                    self.obstacle = run.unreadable(str(error))
                    break
                run.sleep(min(1.0, run.waits.poll))
            except LockkeeperError as error:  # its own words say what is wrong, and that need not be the cluster
                self.obstacle = self._cannot_begin(str(error), "Mend that, then `resume`.")
                break
            except Exception:  # noqa: BLE001 - the edge of a thread: without its answer nothing would go on
                reference = secrets.token_hex(4)
                _LOG.exception("%s: the cluster could not be claimed, reference %s", run.id, reference)
                sentence = f"Something unexpected happened before {run.id} could begin, reference {reference}."
                self.obstacle = self._cannot_begin(sentence, "Find the reference in the worker's log, then `resume`.")
                break
            else:
                break
        if self.obstacle is None:
            self._claimed.set()
        run.woken.set()

    def _acquire(self, operation: Operation) -> Finding | None:
        with self._writing:
            if self._over:
                return self._cannot_begin(f"{operation.id} has ended.", "")
            return claim_of(self._run, operation).acquire(self._run.now(), partial(self._may_begin, operation))

    def _cannot_begin(self, sentence: str, remedy: str) -> Finding:
        return Finding("cannot-begin", Severity.BLOCKER, self._run.plan.cluster, sentence, remedy)

    def _preflight(self, operation: Operation) -> Finding | None:
        """Preflight on the live cluster and every machine; a blocker must hold several times, links do break."""
        found: Findings = ()
        plan = self._run.plan.leaving_out(frozenset(r.node for r in operation.rows if r.skipped_by))
        for _ in range(PREFLIGHTS):
            found = self._run.crew.preflight(plan)
            if not found:
                return None
            self._run.sleep(self._run.waits.poll)
        return found[0]

    def _may_begin(self, operation: Operation) -> Finding | None:
        """Whether the run may begin now; its rows are no witness that it has, since they stand in Redis."""
        if operation.state is _S.CANCELLING:
            return None
        return next(iter(self._run.ask_approval(operation, started=False)), None)
