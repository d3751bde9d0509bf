"""What people may ask of an operation, as pure changes of its record; what makes no sense is refused with a reason."""

from __future__ import annotations

from dataclasses import replace

from cluster.errors import Refused, UnknownThing
from cluster.operation import CUT_SHORT, NodeRow, Operation, OperationState, RowState, Wish

_S = OperationState


def wished(operation: Operation, wish: Wish, person: str) -> Operation:
    """The operation with a wish to pause or to cancel; its driver fulfils it after the nodes in hand."""
    _check_running(operation)
    if wish is operation.wish is not Wish.NONE:
        raise Refused(f"{operation.wished_by} asked for that already: {operation.id} finishes the nodes in hand first.")
    if operation.wish is Wish.CANCEL:
        raise Refused(f"{operation.id} is being cancelled, as {operation.wished_by} asked: that cannot be undone.")
    if wish is Wish.CANCEL:  # at once, so that a driver is woken even where it stood still
        return replace(operation, state=_S.CANCELLING, wish=wish, wished_by=person, reason="")
    if operation.state in {_S.PARKED, _S.BLOCKED}:
        raise Refused(f"{operation.id} stands still already ({operation.reason}): `resume` lets it go on.")
    return replace(operation, wish=wish, wished_by=person)


def resumed(operation: Operation) -> Operation:
    """The operation going on: no pause any more, and a new attempt of every blocked step."""
    _check_running(operation)
    if operation.wish is Wish.CANCEL and operation.state is not _S.BLOCKED:
        raise Refused(f"{operation.id} is being cancelled, as {operation.wished_by} asked: that cannot be undone.")
    if operation.state is _S.PARKED:
        rows = tuple(again(r) if r.state is RowState.BLOCKED else r for r in operation.rows)
        return replace(operation, rows=rows, state=_S.RUNNING, wish=Wish.NONE, wished_by="", reason="")
    if operation.state is _S.BLOCKED or any(r.state is RowState.BLOCKED for r in operation.rows):
        going = retried(operation, None)
        return going if going.wish is not Wish.PAUSE else replace(going, wish=Wish.NONE, wished_by="")
    if operation.wish is Wish.PAUSE:
        return replace(operation, wish=Wish.NONE, wished_by="")
    raise Refused(f"{operation.id} is {operation.state} already: there is nothing to resume.")


def retried(operation: Operation, node: str | None) -> Operation:
    """The operation with a new attempt of the blocked step of one node, or of every blocked one."""
    _check_running(operation)
    if node is not None and node not in {r.node for r in operation.rows}:
        raise UnknownThing(f"There is no node `{node[:60]}` in {operation.id}: look with `status`.")
    chosen = {r.node for r in operation.rows if r.state is RowState.BLOCKED and node in {None, r.node}}
    if not chosen and (node is not None or operation.state is not _S.BLOCKED):
        what = f"The step of {node} is not" if node else f"Nothing in {operation.id} is"
        raise Refused(f"{what} blocked: there is nothing to try again.")
    rows = tuple(again(r) if r.node in chosen else r for r in operation.rows)
    if operation.state is not _S.BLOCKED:
        return replace(operation, rows=rows)
    if operation.wish is Wish.CANCEL:
        return replace(operation, rows=rows, state=_S.CANCELLING, reason="")
    return replace(operation, rows=rows, state=_S.RUNNING, wish=Wish.NONE, wished_by="", reason="")


def again(row: NodeRow) -> NodeRow:
    """The row before a new attempt of its step."""
    note = CUT_SHORT if row.note == CUT_SHORT else ""
    return replace(row, attempt=row.attempt + 1, state=RowState.WAITING, note=note, finding=None, started_at=None)


def needs_driver(operation: Operation) -> bool:
    """Whether a driver could move it on; one that is parked or blocked waits for a person."""
    return operation.state in {_S.SCHEDULED, _S.RUNNING, _S.CANCELLING}


def _check_running(operation: Operation) -> None:
    if operation.ended:
        raise Refused(f"{operation.id} is {operation.state}: there is nothing to steer.")
