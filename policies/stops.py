"""What of an operation waits for a person, since when, and until when it will."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cluster.operation import NodeRow, Operation, OperationState, RowState
from cluster.plan import UpgradePlan
from cluster.steering import is_held, tell_unwanted
from policies.wording import some_of

_NAMED = 5  # pods that a sentence names


@dataclass(frozen=True, slots=True)
class Stop:
    """One node that is blocked, held up or stuck; or the operation as a whole, where `node` is empty."""

    operation_id: str
    node: str
    since: datetime

    @property
    def key(self) -> str:
        """Another one for every stop, also of the same node."""
        return f"{self.operation_id}/{self.node}/{int(self.since.timestamp() * 1000)}"


def stops_of(operation: Operation) -> tuple[Stop, ...]:
    """In the order of the rows; nothing that waits for a known moment, and nothing that a person paused."""
    if operation.ended:
        return ()
    stopped = tuple(Stop(operation.id, r.node, r.stopped_at) for r in operation.rows if r.stopped_at and is_stopped(r))
    if operation.halted_at is not None and operation.halting:  # it goes on by itself, or in spite of them
        return (*stopped, Stop(operation.id, "", operation.halted_at))
    if stopped or not _waits(operation) or operation.stopped_at is None:
        return stopped
    return (Stop(operation.id, "", operation.stopped_at),)


def _waits(operation: Operation) -> bool:
    """Whether the operation stands still for a person, who did not stop it themselves."""
    if operation.state is OperationState.PARKED:
        return operation.goes_on_at is None and not operation.wished_by
    return operation.state is OperationState.BLOCKED


def is_stopped(row: NodeRow) -> bool:
    return row.state is RowState.BLOCKED or is_held(row) or is_stuck(row)


def is_stuck(row: NodeRow) -> bool:
    """Whether the command in hand runs for longer than is usual."""
    return row.state is RowState.STARTED and bool(row.stuck)


def drain_ends_at(plan: UpgradePlan, row: NodeRow) -> datetime | None:
    """When the drain in hand gives up; None where none is."""
    if row.state is not RowState.STARTED or row.started_at is None:
        return None
    return row.started_at + timedelta(seconds=plan.options.drain_timeout + row.extension)


def tell_held(plan: UpgradePlan, operation: Operation) -> Iterator[str]:
    """Each drain in hand that pods hold up: by what, since when, and until when it waits."""
    for row in operation.rows:
        if is_held(row) and row.stopped_at is not None:
            named = some_of((f"{h.pod} by {h.by}" for h in row.held), _NAMED)
            ends = drain_ends_at(plan, row)
            until = f"; it is given up at {ends:%Y-%m-%d %H:%M} UTC" if ends else ""
            if unwanted := tell_unwanted(operation, row):
                until = f"; it is given up, as {unwanted}"
            yield f"The drain of {row.node} is held up since {row.stopped_at:%Y-%m-%d %H:%M} UTC: {named}{until}."


def tell_stuck(operation: Operation) -> Iterator[str]:
    """Each command in hand that runs for longer than is usual."""
    for row in operation.rows:
        if is_stuck(row) and row.started_at is not None:
            yield f"{row.node} is stuck since {row.started_at:%Y-%m-%d %H:%M} UTC. {row.stuck} Look at the machine."


def is_due(told: tuple[datetime, ...], every: float, now: datetime) -> bool:
    """Whether people are to be reminded again, who were told at these moments."""
    return bool(told) and (now - max(told)).total_seconds() >= every
