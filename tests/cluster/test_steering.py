"""What people, and the clock, may change of an operation that stands still."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.errors import Refused
from cluster.operation import NodeRow, Operation, OperationState, RowState, Wish
from cluster.steering import gone_on, resumed, wished
from tests.policies_fixture import NOW

WAITING = Operation(
    id="op-1",
    plan_id="p-1",
    digest="0" * 64,
    cluster="prod",
    state=OperationState.PARKED,
    created_at=NOW,
    approved_by="grace",
    rows=(NodeRow("w1", state=RowState.BLOCKED), NodeRow("w2")),
    reason="No window is open.",
    goes_on_at=NOW,
)


def test_what_was_parked_for_a_moment_goes_on_at_it():
    """What is blocked goes on waiting for a person."""
    going = gone_on(WAITING, NOW)
    assert (going.state, going.reason, going.goes_on_at) == (OperationState.RUNNING, "", None)
    assert going.rows == WAITING.rows


@pytest.mark.parametrize(
    "operation",
    [
        replace(WAITING, goes_on_at=NOW + timedelta(seconds=1)),
        replace(WAITING, goes_on_at=None),
        replace(WAITING, state=OperationState.RUNNING),
        replace(WAITING, state=OperationState.CANCELLED),
    ],
)
def test_nothing_else_goes_on_by_itself(operation):
    """Not before its moment, not what a person paused, not what was quicker than the clock."""
    with pytest.raises(Refused, match="does not go on by itself"):
        gone_on(operation, NOW)


def test_a_pause_outlasts_the_window():
    """Whoever pauses what waits for a window lets it go on themselves."""
    paused = wished(WAITING, Wish.PAUSE, "grace")
    assert (paused.state, paused.reason) == (OperationState.PARKED, "paused by grace")
    with pytest.raises(Refused):
        gone_on(paused, NOW + timedelta(days=1))
    assert resumed(paused).state is OperationState.RUNNING


@pytest.mark.parametrize("change", [resumed, lambda o: wished(o, Wish.CANCEL, "grace")])
def test_what_a_person_moves_has_no_moment_any_more(change):
    """It would go on by itself out of a later pause."""
    assert change(WAITING).goes_on_at is None
