"""The attempts of one node's steps: each is performed where it belongs, and what became of it is recorded."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from typing import Self, cast

from cluster.errors import LockkeeperError, MachineUnreachable, StoreUnavailable
from cluster.events import Happened
from cluster.findings import Finding, Severity
from cluster.force import ForceRequest
from cluster.operation import Hold, NodeRow, Operation, OperationState, RowState, attempt_id
from cluster.plan import PlanNode
from cluster.procedure import DOING, Step, Verb, is_whole, itinerary
from cluster.steering import tell_unwanted
from workers import crashpoints, progress, remarks
from workers.node_script.attempts import AttemptState
from workers.progress import Move
from workers.remote import FencedByMachine
from workers.run import Run
from workers.silence import Silence
from workers.site import AttemptLost, RemoteNode, Site, StepBlocked, Yielded

MAX_LOSSES = 3  # attempts of one step that may vanish before a person is asked
# they watch for a time that would begin anew with each driver
_UNBROKEN = frozenset({Verb.VERIFY_CONTROL_PLANE, Verb.VERIFY_NODE})
_UNASKED = cast("RemoteNode", None)  # where the API alone is asked
_LOG = logging.getLogger(__name__)


class Attempts:
    """Of one node, for as long as it is in hand; its machine is logged in to once."""

    def __init__(self, run: Run, node: PlanNode) -> None:
        self._run = run
        self._node = node
        self._steps = itinerary(run.plan, node)
        self._index = run.plan.nodes.index(node)
        self._login = ExitStack()
        self._machine: RemoteNode | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._login.close()

    def id_of(self, row: NodeRow) -> str:
        return attempt_id(self._run.id, self._index, row.position, row.attempt)

    def is_known(self, row: NodeRow) -> bool:
        """Whether the machine knows the attempt in hand; out of reach it can start nothing either."""
        try:
            return self._log_in().poll(self.id_of(row), 0).state is not AttemptState.ABSENT
        except LockkeeperError as error:
            _LOG.info("%s: %s", self._run.id, error)
            return False

    def make(self, row: NodeRow, step: Step) -> Operation:
        """Perform a step that is recorded as begun, and record its end."""
        run = self._run
        try:
            run.wait_for_lease()
            done = run.crew.perform(self._site(row, step, self._log_in()))
        except StepBlocked as error:
            return self.block(row, error.finding, uncordoned=error.uncordoned)
        except AttemptLost as error:
            return self._lose(row, step, str(error))
        except FencedByMachine as error:
            return self._rise_above(error.seen)
        except MachineUnreachable as error:
            return self.block(row, self.finding("machine-unreachable", str(error), "Bring it back, then `retry`."))
        except LockkeeperError as error:
            return self.block(row, self.finding("step-failed", str(error), "Mend that, then `retry`."))
        crashpoints.reach("before-record", step.verb, row.node)
        after = self._record(row, "done", lambda o, r: progress.finish(run.plan, o, r, done, run.now()))
        crashpoints.reach("after-record", step.verb, row.node)
        _LOG.info("%s: %s: %s", run.id, self.id_of(row), done.sentence)
        return after

    def _record(self, row: NodeRow, what: str, change: Callable[[Operation, NodeRow], Move | None]) -> Operation:
        """Record what became of the attempt in hand; nothing if somebody moved the row on meanwhile."""

        def checked(operation: Operation) -> Move | None:
            now_at = operation.row(row.node)
            in_hand = (now_at.state, now_at.position, now_at.attempt) == (RowState.STARTED, row.position, row.attempt)
            return change(operation, now_at) if in_hand else None

        return self._run.move(checked, f"{self.id_of(row)}/{what}")

    def block(self, row: NodeRow, finding: Finding, *, uncordoned: bool = False) -> Operation:
        """A person must choose; the node is given back where that can be."""
        run = self._run
        _LOG.warning("%s: %s blocked: %s", run.id, self.id_of(row), finding.sentence)
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
        if row.lost + 1 >= MAX_LOSSES:
            text = f"{DOING[step.verb]} on {row.node} vanished {MAX_LOSSES} times: {sentence}"
            return self.block(row, self.finding("attempt-lost", text, "Look at the machine, then `retry`."))
        return self._record(row, "lost", lambda o, r: progress.lose(o, r, step, sentence, run.now()))

    def tell(self, row: NodeRow, step: Step, sentence: str) -> None:
        """An expected wait or a fact, once."""
        run = self._run
        mark = hashlib.sha256(sentence.encode()).hexdigest()[:12]

        def change(operation: Operation) -> Move | None:
            return progress.note(operation, operation.row(row.node), step, sentence, run.now())

        run.move(change, f"{self.id_of(row)}/told/{mark}")

    def _hold(self, row: NodeRow, holds: tuple[Hold, ...]) -> None:
        run = self._run
        what = f"held/{run.now().timestamp()}"
        self._record(row, what, lambda o, r: progress.hold(run.plan, o, r, holds, run.now()))

    def _unwanted(self, row: NodeRow) -> str:
        operation = self._run.operation()
        return tell_unwanted(operation, operation.row(row.node))

    def _stick(self, row: NodeRow, step: Step, sentence: str) -> None:
        self._record(row, "stuck", lambda o, r: remarks.stick(o, r, step, sentence, self._run.now()))

    def _keep_silence(self, row: NodeRow, step: Step, since: datetime | None) -> None:
        run = self._run
        what = f"silent/{run.now().timestamp()}"
        self._record(row, what, lambda o, r: remarks.keep_silence(o, r, step, since, run.now()))

    def _surge(self, row: NodeRow, step: Step, places: tuple[str, ...]) -> None:
        run = self._run
        what = f"surged/{run.now().timestamp()}"
        self._record(row, what, lambda o, r: progress.surge(o, r, step, places, run.now()))

    def _end_force(self, request: ForceRequest, outcome: str) -> None:
        run = self._run
        sentence = f"The deletion {request.id} of {request.pod}: {outcome}."
        told = progress.Teller(run.operation(), run.now()).event(Happened.FORCE_ENDED, sentence, force=request.id)
        run.crew.store.end_force(request, outcome, replace(told, node=request.node))

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
            attempt_id=self.id_of(row),
            attempt=row.attempt,
            fence=run.lease.fence,
            started_at=row.started_at or run.now(),
            machine=crashpoints.watched_machine(machine, step.verb) if machine else _UNASKED,
            kube=lambda: crashpoints.watched_api(run.crew.kube(), step.verb, row.node),
            endpoints=run.endpoints,
            inspect=lambda: run.crew.inspect(run.plan),
            tell=lambda sentence: self.tell(row, step, sentence),
            stopping=lambda: run.leaving() or (run.giving_way.is_set() and step.verb not in _UNBROKEN),
            may_start=run.may_start,
            now=run.now,
            sleep=run.sleep,
            attachments=run.crew.attachments,
            held=row.held,
            as_found=row.as_found,
            surged=row.surged,
            record_surge=lambda places: self._surge(row, step, places),
            hold=lambda holds: self._hold(row, holds),
            forced=lambda: run.crew.store.forces(run.id),
            end_force=self._end_force,
            ends_as=lambda: "cancelled" if run.operation().state is OperationState.CANCELLING else "completed",
            extension=lambda: run.operation().row(row.node).extension,
            unwanted=lambda: self._unwanted(row),
            stick=lambda sentence: self._stick(row, step, sentence),
            silence=Silence(row.silent_since, lambda since: self._keep_silence(row, step, since)),
        )

    def finding(self, code: str, sentence: str, remedy: str) -> Finding:
        return Finding(code, Severity.BLOCKER, self._node.name, sentence, remedy)

    def _log_in(self) -> RemoteNode:
        """Once for the whole stage, as a login takes longer than many a step; one that broke is renewed by itself."""
        if self._machine is None:
            self._machine = self._login.enter_context(self._run.crew.machine(self._node.name))
        return self._machine
