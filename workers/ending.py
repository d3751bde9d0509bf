"""How a driver comes to rest: the operation has ended, or waits for a person."""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from dataclasses import replace

from cluster.errors import ClusterUnreadable, LockkeeperError, RecordUnreadable, StaleMove
from cluster.findings import Finding, Findings, Severity
from cluster.operation import Operation, OperationState, RowState, Wish
from cluster.steering import OVER, needs_driver
from policies.windows import GO_ON_BY_THEMSELVES, next_opening
from workers import arrivals, progress
from workers.claim import claim_of
from workers.crew import Crew
from workers.patience import passing
from workers.progress import Move
from workers.run import Run
from workers.site import Yielded
from workers.surge import take_back

PARKING = frozenset({"foreign-change", "freeze", "window-closed"})  # the gate's codes that park; others block
_S = OperationState
_LOG = logging.getLogger(__name__)


def settle(run: Run, operation: Operation) -> bool:
    """No node can go on: the end, a block or a pause; False when it is only a wait."""
    if all(r.state in OVER for r in operation.rows):
        return _close(run, operation)
    if any(r.state is RowState.BLOCKED for r in operation.rows):
        _block(run, operation)
        return True
    if operation.wish is Wish.PAUSE:
        park(run, operation)
        return True
    return False


def park(run: Run, operation: Operation) -> None:
    """Paused by a person."""
    reason = f"paused by {operation.wished_by}"

    def change(now_at: Operation) -> Move | None:
        if now_at.wish is not Wish.PAUSE or not needs_driver(now_at):
            return None
        return progress.stop(now_at, _S.PARKED, reason, run.now())

    run.move(change, run.new_token("parked"))


def stop(run: Run, operation: Operation, findings: Findings) -> None:
    """The gate or another installation forbids to go on."""
    parks = operation.state is _S.RUNNING and {f.code for f in findings} <= PARKING
    state = _S.PARKED if parks else _S.BLOCKED
    reason = " ".join(f"{f.sentence} {f.remedy}".strip() for f in findings)
    by_itself = parks and {f.code for f in findings} <= GO_ON_BY_THEMSELVES
    opening = next_opening(run.crew.settings.clusters[operation.cluster], run.now()) if by_itself else None

    def change(now_at: Operation) -> Move | None:
        # a person may have cancelled it meanwhile, which nothing parks: the next look is at what it is now
        if not needs_driver(now_at) or (parks and now_at.state is not operation.state):
            return None
        made = progress.stop(now_at, state, reason, run.now(), goes_on_at=opening)
        codes = ", ".join(dict.fromkeys(f.code for f in findings))
        return Move(made.after, tuple(replace(e, facts={"codes": codes}) for e in made.events))

    _LOG.warning("%s: %s: %s", run.id, state, reason)
    run.move(change, run.new_token("stopped"))


def confess(run: Run) -> None:
    """A bug of ours stops the run with a reason: the next driver would come upon it again, and so on in silence."""
    reference = secrets.token_hex(4)
    _LOG.exception("%s: unexpected error, reference %s", run.id, reference)
    sentence = f"Something unexpected happened while {run.id} was driven, reference {reference}."
    remedy = "Find the reference in the worker's log, then `resume`."
    finding = Finding("internal-error", Severity.BLOCKER, run.id, sentence, remedy)
    with suppress(LockkeeperError, Yielded):  # nothing can be recorded now: the next driver tries to
        stop(run, run.operation(), (finding,))


def give_up(crew: Crew, operation: Operation, error: RecordUnreadable) -> None:
    """What no driver of this release can begin with, unless somebody else drives it just now."""
    if crew.store.lease_owner(operation.id) is not None:
        return
    reason = f"{error} If it is lost, look at the nodes by hand, and `release` the cluster."
    made = progress.stop(operation, _S.BLOCKED, reason, crew.now())
    _LOG.error("%s: blocked: %s", operation.id, reason)
    with suppress(StaleMove):  # a person, or another worker, was quicker
        crew.store.move(
            operation, made.after, fence=None, events=made.events, token=f"{operation.id}/given-up/{crew.now()}"
        )


def _block(run: Run, operation: Operation) -> None:
    def change(now_at: Operation) -> Move | None:
        return progress.settle(run.record, now_at, run.now()) if now_at.state is operation.state else None

    run.move(change, run.new_token("blocked"))


def _close(run: Run, operation: Operation) -> bool:
    """Take our name from the cluster, then end: the other order could leave it there for ever."""
    try:
        if surged := dict.fromkeys(place for row in operation.rows for place in row.surged):
            take_back(run.crew.kube(), run.id, surged)
        claim_of(run, operation).release()
    except ClusterUnreadable as error:
        if any(r.position for r in operation.rows):
            if not passing(error):  # a right that was taken from us: a person must choose, asking again cannot help
                stop(run, operation, (run.unreadable(str(error)),))
                return True
            _LOG.info("%s: our Lease is still there: %s", run.id, error)
            run.sleep(min(1.0, run.waits.poll))
            return False
    report = run.report(newer_than=run.last_end) if any(r.position for r in operation.rows) else None
    facts = arrivals.old_to_new(run.record, report)

    def change(now_at: Operation) -> Move | None:
        made = progress.settle(run.record, now_at, run.now())
        if made is None or not made.after.ended:
            return None
        return Move(made.after, tuple(replace(e, facts=facts) for e in made.events))

    run.move(change, f"{run.id}/ended")
    return True
