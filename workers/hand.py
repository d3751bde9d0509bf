"""One node in hand: a thread that carries it step by step to the end of its stage."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import cast

from cluster.errors import ClusterUnreadable, LockkeeperError, MachineUnreachable, StoreUnavailable
from cluster.events import Happened
from cluster.findings import Finding, Findings, Severity, blockers
from cluster.force import ForceRequest
from cluster.operation import Hold, NodeRow, Operation, OperationState, RowState, Wish, attempt_id
from cluster.plan import PlanNode
from cluster.procedure import DOING, Phase, Step, Verb, is_whole, itinerary
from cluster.report import ClusterReport
from cluster.steering import OVER, is_in_hand, needs_driver
from cluster.versions import ReportedVersion
from policies.drained import is_emptied
from workers import crashpoints, progress
from workers.databases import nobody_left
from workers.node_script.attempts import AttemptState
from workers.progress import Move
from workers.remote import FencedByMachine
from workers.run import Run
from workers.schedule import everybody_away, lacks_place
from workers.site import AttemptLost, RemoteNode, Site, StepBlocked, Yielded
from workers.watch import FRESH

MAX_LOSSES = 3  # attempts of one step that may vanish before a person is asked
_WAITS = {  # the gate's answers that may pass by themselves, up to the deadline; and what is said meanwhile
    "cluster-unreadable": "The cluster's API does not answer; waiting for it.",
    "peer-not-ready": "Another control plane is not ready; waiting for it.",
}
_MOMENT = 0.05  # seconds between two looks whether the others are cordoned
_LOOKS = 3  # reports that must agree before a gate's no counts: the cluster may just be between two states
# they watch for a time that would begin anew with each driver
_UNBROKEN = frozenset({Verb.VERIFY_CONTROL_PLANE, Verb.VERIFY_NODE})
_UNASKED = cast("RemoteNode", None)  # where the API alone is asked
_LOG = logging.getLogger(__name__)


class Hand(threading.Thread):
    """Ends at the end of the stage, when the node is blocked, when the gate says no, or when the driver leaves."""

    def __init__(self, run: Run, node: PlanNode) -> None:
        super().__init__(name=f"hand-{node.name}", daemon=True)
        self._run = run
        self._node = node
        self._steps = itinerary(run.plan, node)
        self._index = run.plan.nodes.index(node)
        self._login = ExitStack()
        self._machine: RemoteNode | None = None

    def run(self) -> None:
        try:
            with self._login:
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
            if row.state is RowState.WAITING:
                if not self._pass_gate(operation, step):
                    return
                operation = self._begin(row, step) if step.verb is not Verb.CORDON else self._begin_cordon(row, step)
                row = operation.row(self._node.name)
                if row.state is not RowState.STARTED:
                    return
            elif not self._may_go_on(operation, row, step):
                return
            if step.verb is Verb.DRAIN:
                self._await_cordons()
            operation = self._attempt(row, step)

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
        try:
            known = self._log_in().poll(self._attempt_id(row), 0).state is not AttemptState.ABSENT
        except LockkeeperError as error:  # out of reach it can start nothing either
            _LOG.info("%s: %s", run.id, error)
            known = False
        return known or self._pass_gate(operation, step)

    def _pass_gate(self, operation: Operation, step: Step) -> bool:
        """Ask the gate; a no must hold for several fresh reports, an unreadable cluster for the whole deadline."""
        run = self._run
        if operation.state is OperationState.CANCELLING and step.phase is Phase.AFTER:
            if found := self._judge(operation, step, None):  # giving back what we changed needs no readable cluster
                run.stop_for(self._node.name, found)
            return not found
        deadline = time.monotonic() + run.waits.control_plane
        newer_than, looks, told = time.monotonic() - FRESH, 0, False
        while True:
            run.wait_for_lease()
            if run.giving_way.is_set():
                raise Yielded
            found = self._ask_gate(run.operation(), step, newer_than)
            if not found:
                return True
            passing = all(f.code in _WAITS for f in found)
            looks += 0 if passing else 1
            if looks >= _LOOKS or (passing and time.monotonic() > deadline):
                run.stop_for(self._node.name, found)
                return False
            if passing and not told:
                told = True
                self._tell(operation.row(self._node.name), step, _WAITS[found[0].code])
            run.sleep(min(run.waits.poll, 1.0))
            newer_than = time.monotonic()

    def _ask_gate(self, operation: Operation, step: Step, newer_than: float) -> Findings:
        run = self._run
        report = run.report(newer_than=newer_than)
        if run.leaving():
            raise Yielded
        # right after our own change of the control plane the API may be away: the step's own check waits for it
        if report is None and step.verb is not Verb.VERIFY_CONTROL_PLANE:
            return (run.unreadable(),)
        return self._judge(operation, step, report)

    def _judge(self, operation: Operation, step: Step, report: ClusterReport | None) -> Findings:
        run = self._run
        return blockers(
            run.crew.check_gate(
                record=run.record,
                approval=run.approval,
                operation=operation,
                report=report,
                step=step,
                node=self._node,
                settings=run.crew.settings,
                now=run.now(),
            )
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
        try:
            return nobody_left(run.crew.kube(), self._node.name, everybody_away(run.plan, operation, report))
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

        return run.move(change, f"{self._attempt_id(row)}/started/{row.attempt}")

    def _attempt(self, row: NodeRow, step: Step) -> Operation:
        run = self._run
        try:
            run.wait_for_lease()
            done = run.crew.perform(self._site(row, step, self._log_in()))
        except StepBlocked as error:
            return self._block(row, error.finding, uncordoned=error.uncordoned)
        except AttemptLost as error:
            return self._lose(row, step, str(error))
        except FencedByMachine as error:
            return self._rise_above(error.seen)
        except MachineUnreachable as error:
            return self._block(row, self._finding("machine-unreachable", str(error), "Bring it back, then `retry`."))
        except LockkeeperError as error:
            return self._block(row, self._finding("step-failed", str(error), "Mend that, then `retry`."))
        crashpoints.reach("before-record", step.verb, row.node)
        after = self._record(row, "done", lambda o, r: progress.finish(run.plan, o, r, done, run.now()))
        crashpoints.reach("after-record", step.verb, row.node)
        _LOG.info("%s: %s: %s", run.id, self._attempt_id(row), done.sentence)
        return after

    def _log_in(self) -> RemoteNode:
        """Once for the whole stage, as a login takes longer than many a step; one that broke is renewed by itself."""
        if self._machine is None:
            self._machine = self._login.enter_context(self._run.crew.machine(self._node.name))
        return self._machine

    def _record(self, row: NodeRow, what: str, change: Callable[[Operation, NodeRow], Move]) -> Operation:
        """Record what became of the attempt in hand; nothing if somebody moved the row on meanwhile."""

        def checked(operation: Operation) -> Move | None:
            now_at = operation.row(row.node)
            in_hand = (now_at.state, now_at.position, now_at.attempt) == (RowState.STARTED, row.position, row.attempt)
            return change(operation, now_at) if in_hand else None

        return self._run.move(checked, f"{self._attempt_id(row)}/{what}")

    def _block(self, row: NodeRow, finding: Finding, *, uncordoned: bool = False) -> Operation:
        run = self._run
        _LOG.warning("%s: %s blocked: %s", run.id, self._attempt_id(row), finding.sentence)
        uncordoned = uncordoned or self._give_back(row)
        return self._record(
            row,
            "blocked",
            lambda o, r: progress.block(run.plan, o, r, finding, run.now(), uncordoned=uncordoned),
        )

    def _give_back(self, row: NodeRow) -> bool:
        """Whoever stops before its kubelet is touched works on while people look at it; whether it does."""
        if not row.cordoned_by_us or not is_whole(self._steps, row.position):
            return False
        try:
            self._run.crew.uncordon(self._site(row, self._steps[row.position], None))
        except LockkeeperError as error:
            _LOG.warning("%s: %s stays cordoned: %s", self._run.id, row.node, error)
            return False
        return True

    def _lose(self, row: NodeRow, step: Step, sentence: str) -> Operation:
        run = self._run
        key = f"{row.node}/{row.position}"
        run.losses[key] = run.losses.get(key, 0) + 1
        if run.losses[key] >= MAX_LOSSES:
            text = f"{DOING[step.verb]} on {row.node} vanished {MAX_LOSSES} times: {sentence}"
            return self._block(row, self._finding("attempt-lost", text, "Look at the machine, then `retry`."))
        return self._record(row, "lost", lambda o, r: progress.lose(o, r, step, sentence, run.now()))

    def _tell(self, row: NodeRow, step: Step, sentence: str) -> None:
        run = self._run
        mark = hashlib.sha256(sentence.encode()).hexdigest()[:12]

        def change(operation: Operation) -> Move | None:
            return progress.note(operation, operation.row(row.node), step, sentence, run.now())

        run.move(change, f"{self._attempt_id(row)}/told/{mark}")

    def _hold(self, row: NodeRow, holds: tuple[Hold, ...]) -> None:
        run = self._run
        what = f"held/{run.now().timestamp()}"
        self._record(row, what, lambda o, r: progress.hold(run.plan, o, r, holds, run.now()))

    def _end_force(self, request: ForceRequest, outcome: str) -> None:
        run = self._run
        sentence = f"The deletion {request.id} of {request.pod}: {outcome}."
        told = progress.Teller(run.operation(), run.now()).event(Happened.FORCE_ENDED, sentence, force=request.id)
        run.crew.store.end_force(request, outcome, replace(told, node=request.node))

    def _is_wanted(self, operation: Operation, row: NodeRow, step: Step) -> bool:
        """Whether a step may still begin: a person may have asked to stop while the gate was looking."""
        if not needs_driver(operation):
            return False
        if is_in_hand(self._run.plan, self._node, row) or step.phase is Phase.AFTER:
            return True
        return operation.state is OperationState.RUNNING and operation.wish is Wish.NONE

    def _rise_above(self, seen: int) -> Operation:
        while True:
            try:
                self._run.lease.rise_above(seen)
            except StoreUnavailable as error:
                if self._run.leaving():
                    raise Yielded from error
                self._run.sleep(1.0)
            else:
                return self._run.operation()

    def _site(self, row: NodeRow, step: Step, machine: RemoteNode | None) -> Site:
        run = self._run
        return Site(
            settings=run.crew.settings,
            cluster=run.plan.cluster,
            plan=run.plan,
            node=self._node,
            step=step,
            operation_id=run.id,
            attempt_id=self._attempt_id(row),
            attempt=row.attempt,
            fence=run.lease.fence,
            started_at=row.started_at or run.now(),
            machine=crashpoints.watched_machine(machine) if machine else _UNASKED,
            kube=lambda: crashpoints.watched_api(run.crew.kube(), step.verb, row.node),
            endpoints=run.endpoints,
            inspect=lambda: run.crew.inspect(run.plan),
            tell=lambda sentence: self._tell(row, step, sentence),
            stopping=lambda: run.leaving() or (run.giving_way.is_set() and step.verb not in _UNBROKEN),
            may_start=run.may_start,
            now=run.now,
            sleep=run.sleep,
            attachments=run.crew.attachments,
            held=row.held,
            as_found=row.as_found,
            hold=lambda holds: self._hold(row, holds),
            forced=lambda: run.crew.store.forces(run.id),
            end_force=self._end_force,
            extension=lambda: run.operation().row(row.node).extension,
        )

    def _attempt_id(self, row: NodeRow) -> str:
        return attempt_id(self._run.id, self._index, row.position, row.attempt)

    def _finding(self, code: str, sentence: str, remedy: str) -> Finding:
        return Finding(code, Severity.BLOCKER, self._node.name, sentence, remedy)

    def _confess(self) -> None:
        """Log a bug with its traceback, and tell people only where to find it."""
        reference = secrets.token_hex(4)
        _LOG.exception("%s: %s: unexpected error, reference %s", self._run.id, self._node.name, reference)
        sentence = f"Something unexpected happened with {self._node.name}, reference {reference}."
        finding = self._finding("internal-error", sentence, "Find the reference in the worker's log, then `retry`.")
        try:
            row = self._run.operation().row(self._node.name)
            if row.state is RowState.STARTED:
                self._block(row, finding)
            else:
                self._run.stop_for(self._node.name, (finding,))
        except (Yielded, LockkeeperError):
            return
