"""What people, and the clock, may change of an operation that stands still."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.errors import Refused, UnknownThing
from cluster.operation import NodeRow, Operation, OperationState, RowState, Wish
from cluster.procedure import Verb, itinerary
from cluster.steering import MOST_SPARED, extended, gone_on, resumed, retried, skipped, spared, wished
from tests import bot_fixture
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


def test_a_pause_outlasts_the_answer_to_a_block():
    """Whoever retries one node, or goes on without it, does not let the others go on that somebody paused."""
    made = bot_fixture.plan()
    rows = (NodeRow("w-1", state=RowState.BLOCKED), NodeRow("w-2"))
    blocked = replace(WAITING, state=OperationState.BLOCKED, rows=rows, goes_on_at=None)
    blocked = replace(blocked, wish=Wish.PAUSE, wished_by="ada")
    for going in (retried(blocked, "w-1"), skipped(blocked, made, "w-1", "grace")):
        assert (going.state, going.wish, going.wished_by) == (OperationState.RUNNING, Wish.PAUSE, "ada")
    going = resumed(blocked)
    assert (going.state, going.wish, going.wished_by) == (OperationState.RUNNING, Wish.NONE, "")
    assert retried(replace(blocked, wish=Wish.NONE), "w-1").wished_by == ""


@pytest.mark.parametrize("change", [resumed, lambda o: wished(o, Wish.CANCEL, "grace")])
def test_what_a_person_moves_has_no_moment_any_more(change):
    """It would go on by itself out of a later pause."""
    assert change(WAITING).goes_on_at is None


PLAN = bot_fixture.plan()
AT = {s.verb: n for n, s in enumerate(itinerary(PLAN, PLAN.node("w-1")))}


def draining(**changes):
    """A run whose w-1 is drained, or is where `changes` say."""
    row = replace(NodeRow("w-1", AT[Verb.DRAIN], state=RowState.STARTED, started_at=NOW), **changes)
    made = bot_fixture.operation()
    return replace(made, rows=tuple(row if r.node == "w-1" else r for r in made.rows))


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"state": RowState.BLOCKED},
        {"state": RowState.BLOCKED, "position": AT[Verb.CORDON], "attempt": 2},  # given back by a drain that failed
        {"state": RowState.WAITING, "position": AT[Verb.CORDON], "attempt": 2},  # about to be tried again
    ],
)
def test_a_drain_in_hand_or_blocked_can_be_extended_and_nothing_else_moves(where):
    """Patience is changed, and neither what is done nor in which order."""
    before = draining(**where)
    after = extended(extended(before, PLAN, "w-1", 20), PLAN, "w-1", 10)
    assert after == draining(extension=1800, **where)


@pytest.mark.parametrize(
    ("where", "minutes", "words"),
    [
        ({"position": 0, "state": RowState.WAITING}, 10, "neither in hand nor blocked"),
        ({"position": AT[Verb.INSTALL_KUBELET]}, 10, "neither in hand nor blocked"),
        ({"position": AT[Verb.INSTALL_KUBELET], "state": RowState.BLOCKED}, 10, "neither in hand nor blocked"),
        ({"state": RowState.FINISHED}, 10, "neither in hand nor blocked"),
        ({}, 0, "at least one"),
        ({}, -5, "at least one"),
        ({}, 1441, "24 hours"),
        ({"extension": 86_400}, 1, "has 1440 minutes of them"),
    ],
)
def test_nothing_else_is_extended_and_no_drain_for_ever(where, minutes, words):
    """A day beside the plan's own time is the most."""
    with pytest.raises(Refused, match=words):
        extended(draining(**where), PLAN, "w-1", minutes)


def test_only_a_node_of_the_run_is_extended():
    """A slip of the finger is told as one."""
    with pytest.raises(UnknownThing, match="w-9"):
        extended(draining(), PLAN, "w-9", 10)


HALTED = replace(WAITING, state=OperationState.RUNNING, reason="Two alerts fire.", halted_by=("A", "B"), halted_at=NOW)


def test_an_alert_is_passed_over_by_name_until_a_moment():
    """The others keep it; with the last of them it goes on at once, and the first one again has a new end."""
    first = spared(HALTED, ("A",), "grace", " known ", 5, NOW)
    assert (first.halting, first.reason) == (("B",), HALTED.reason)
    both = spared(first, ("B",), "ada", "that too", 60, NOW)
    assert (both.halting, both.reason, both.halted_at) == ((), "", None)
    assert [(s.alert, s.by, s.reason, s.until - NOW) for s in both.spared] == [
        ("A", "grace", "known", timedelta(minutes=5)),
        ("B", "ada", "that too", timedelta(minutes=60)),
    ]
    later = NOW + timedelta(minutes=6)
    again = spared(replace(both, halted_by=("A",), reason="It fires."), ("A",), "ada", "still", 5, later)
    assert [(s.alert, s.by) for s in again.spared] == [("B", "ada"), ("A", "ada")]


@pytest.mark.parametrize(
    ("operation", "alerts", "reason", "minutes", "words"),
    [
        (HALTED, ("C",), "known", 5, "`C` does not keep op-1 waiting; those that do: A, B"),
        (HALTED, (), "known", 5, "does not keep"),
        (HALTED, ("A",), " ", 5, "Say why"),
        (HALTED, ("A",), "known", 0, "for 1 to 1440 minutes"),
        (HALTED, ("A",), "known", MOST_SPARED // 60 + 1, "for 1 to 1440 minutes"),
        (replace(HALTED, state=OperationState.BLOCKED), ("A",), "known", 5, "does not keep"),
        (replace(HALTED, state=OperationState.COMPLETED), ("A",), "known", 5, "nothing to steer"),
    ],
)
def test_what_makes_no_sense_of_an_alert_is_refused(operation, alerts, reason, minutes, words):
    """Only what keeps it now, with a reason, and never for ever."""
    with pytest.raises(Refused, match=words):
        spared(operation, alerts, "grace", reason, minutes, NOW)
