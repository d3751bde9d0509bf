"""What a run as a whole waits for, in its record: told once, and for a place that others take only for so long."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cluster.events import Happened
from cluster.findings import Finding, Severity
from cluster.operation import Operation
from workers.progress import Move, Teller


def keep(operation: Operation, what: str, now: datetime, *, is_crowded: bool) -> Move | None:
    """The record with this wait; None where it says so already."""
    since = (operation.waits_since or now) if is_crowded else None
    if (operation.waits_for, operation.waits_since) == (what, since):
        return None
    told = Teller(operation, now).event(Happened.STEP_WAITED, f"Waiting for {what}.")
    after = replace(operation, waits_for=what, waits_since=since)
    return Move(after, (told,) if operation.waits_for != what else ())


def has_lasted(operation: Operation, longest: float, now: datetime) -> bool:
    """Whether nobody has found a place for so many seconds."""
    since = operation.waits_since
    return since is not None and (now - since).total_seconds() > longest


def no_place(operation: Operation, what: str) -> Finding:
    since = f"{operation.waits_since:%H:%M} UTC" if operation.waits_since else "now"
    sentence = f"{operation.id} has waited since {since} for {what}: nothing of ours brings that about."
    remedy = "Uncordon what is cordoned there, or bring it back, then `resume`; or `cancel` the run."
    return Finding("no-place", Severity.BLOCKER, operation.cluster, sentence, remedy)
