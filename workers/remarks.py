"""What is noticed of a command in hand, and is no end of it: pure moves, each with the event that tells it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cluster.events import Happened
from cluster.operation import NodeRow, Operation
from cluster.procedure import DOING, Step
from workers.progress import Move, Teller, with_row


def stick(operation: Operation, row: NodeRow, step: Step, sentence: str, now: datetime) -> Move | None:
    """It runs for longer than is usual: told once, and a person is called, who may look at the machine."""
    if row.stuck:
        return None
    stuck = replace(row, stuck=sentence, stopped_at=now)
    told = f"{row.node} is stuck while {DOING[step.verb]}. {sentence}"
    return Move(with_row(operation, stuck), (Teller(operation, now).of_step(Happened.STEP_STUCK, told, row, step),))


def keep_silence(operation: Operation, row: NodeRow, step: Step, since: datetime | None, now: datetime) -> Move:
    """Its machine gives no answer as its driver leaves; or, with None, it does again."""
    said = f"{row.node} has given no answer since {since:%H:%M} UTC." if since else f"{row.node} answers again."
    told = Teller(operation, now).of_step(Happened.STEP_WAITED, said, row, step)
    return Move(with_row(operation, replace(row, silent_since=since)), (told,))
