"""A person skips one worker: it is given back what was changed on it, the others go on, and the end names it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import LockkeeperError
from cluster.events import Happened
from cluster.findings import Finding, Severity
from cluster.operation import CUT_SHORT, Hold, NodeRow, Operation, OperationState, RowState, Wish, schedule
from cluster.plan import PlanNode
from cluster.procedure import Phase, Verb, itinerary
from cluster.steering import extended, skipped
from cluster.store import Store
from cluster.store.records import ROW
from policies.foreign import find_foreign_changes
from policies.gate import has_started
from policies.left_out import THERE
from tests.engine_fixture import NOW, approve, event, plan, record, report
from tests.engine_run import OP, blocked, small
from tests.engine_yard import Driving, Yard, wait_until
from tests.redis_fixture import redis_server, redis_url, store
from workers import progress
from workers.site import Site, StepDone

__all__ = ["redis_server", "redis_url", "small", "store"]  # pytest finds fixtures by name in this module

PLAN = plan(("cp-1",), ("w-1", "w-2"), max_unavailable=1, targets=("1.35.4", "1.36.2"))
STEPS = itinerary(PLAN, PlanNode("w-1", "", PLAN.nodes[1].role))
HOLD = Hold("shop/web-1", "uid-1", "the PodDisruptionBudget shop/web", "no disruption is allowed", NOW)
BLOCK = Finding("broken", Severity.BLOCKER, "w-1", "w-1 is broken.", "Mend it.")


def at(verb: Verb, phase: Phase = Phase.WORKERS, **changes: object) -> NodeRow:
    """w-1, blocked at a step of the first hop."""
    position = next(n for n, s in enumerate(STEPS) if s.verb is verb and s.phase is phase)
    return replace(NodeRow("w-1", position, state=RowState.BLOCKED, finding=BLOCK), **changes)  # type: ignore[arg-type]


def running(row: NodeRow, state: OperationState = OperationState.BLOCKED) -> Operation:
    made = schedule(record(PLAN), operation_id=OP, approved_by="grace", now=NOW)
    return replace(made, state=state, rows=tuple(row if r.node == row.node else r for r in made.rows))


@pytest.mark.parametrize(
    ("row", "verb"),
    [
        (at(Verb.HOLD, Phase.PREPARE), Verb.UNHOLD),
        (at(Verb.FETCH, Phase.PREPARE), Verb.UNHOLD),
        (at(Verb.UPGRADE_NODE), Verb.UNHOLD),
        (at(Verb.UPGRADE_NODE, cordoned_by_us=True), Verb.UNCORDON),
        (at(Verb.CORDON, state=RowState.WAITING), Verb.UNHOLD),
        (at(Verb.DRAIN, cordoned_by_us=True), Verb.UNCORDON),
        (at(Verb.DRAIN, cordoned_by_us=False), Verb.UNHOLD),
        (at(Verb.INSTALL_KUBELET, cordoned_by_us=True), Verb.UNHOLD),
        (at(Verb.SMOKE_TEST, cordoned_by_us=True), Verb.UNHOLD),
    ],
)
def test_a_skipped_worker_goes_on_with_what_restores_it(row: NodeRow, verb: Verb) -> None:
    """Its cordon only where its kubelet is untouched; then its package holds. The run goes on at once."""
    after = skipped(running(row), PLAN, "w-1", "ada")
    now_at = after.row("w-1")
    assert after.state is OperationState.RUNNING
    assert STEPS[now_at.position].verb is verb
    assert (now_at.state, now_at.skipped_by, now_at.finding) == (RowState.WAITING, "ada", None)


def test_a_worker_that_nothing_was_done_on_is_skipped_at_once() -> None:
    """That starts nothing: an approval that has expired meanwhile still does not let the run begin."""
    after = skipped(running(NodeRow("w-1"), OperationState.SCHEDULED), PLAN, "w-1", "ada")
    assert after.row("w-1").state is RowState.SKIPPED
    assert after.state is OperationState.SCHEDULED
    assert not has_started(after)


def test_holds_that_cannot_be_restored_end_with_a_second_skip() -> None:
    """There is nothing left that could be waited for."""
    row = at(Verb.UNHOLD, Phase.AFTER)
    assert skipped(running(row), PLAN, "w-1", "ada").row("w-1").state is RowState.SKIPPED


@pytest.mark.parametrize(
    ("row", "name", "words"),
    [
        (NodeRow("w-1"), "cp-1", "cp-1 is a control plane"),
        (NodeRow("w-1"), "w-9", "no node `w-9`"),
        (at(Verb.UNHOLD, Phase.AFTER, state=RowState.FINISHED), "w-1", "w-1 is finished already"),
        (at(Verb.DRAIN, state=RowState.STARTED), "w-1", "w-1 is in hand"),
        (at(Verb.RESTART_KUBELET, state=RowState.WAITING), "w-1", "w-1 is in hand"),
    ],
)
def test_what_cannot_be_skipped_is_said_in_one_sentence(row: NodeRow, name: str, words: str) -> None:
    """Control planes, strangers, and whoever is in the middle of its step."""
    with pytest.raises(LockkeeperError, match=words):
        skipped(running(row), PLAN, name, "ada")


def test_a_skipped_worker_is_no_foreign_change() -> None:
    """Its kubelet is not where its place on the way would have it."""
    after = skipped(running(at(Verb.FETCH, Phase.PREPARE)), PLAN, "w-1", "ada")
    assert find_foreign_changes(record(PLAN), after, report(PLAN)) == ()


def held(**changes: object) -> NodeRow:
    """w-1, whose drain is in hand and held up."""
    return at(Verb.DRAIN, state=RowState.STARTED, held=(HOLD,), cordoned_by_us=True, stopped_at=NOW, **changes)


def test_a_worker_whose_drain_is_held_up_is_skipped_by_its_drain() -> None:
    """Who asked is on its row; it is asked for once, and there is no more time to be given."""
    asked = skipped(running(held(), OperationState.RUNNING), PLAN, "w-1", "ada")
    assert asked.row("w-1") == held(skip_asked_by="ada")
    with pytest.raises(LockkeeperError, match="ada asked for that already"):
        skipped(asked, PLAN, "w-1", "grace")
    with pytest.raises(LockkeeperError, match="given up, as ada asked to go on without it"):
        extended(asked, PLAN, "w-1", 15)


def test_a_row_without_such_a_wish_is_written_and_read_as_before() -> None:
    """By either release."""
    text = ROW.dump_json(held()).decode()
    assert "skip_asked_by" not in text
    assert ROW.validate_json(text) == held()
    assert ROW.validate_json(ROW.dump_json(held(skip_asked_by="ada"))).skip_asked_by == "ada"


def test_a_skip_that_its_drain_did_not_see_in_time_is_not_lost() -> None:
    """However the drain ended: a node that is empty by then, and one that could not be emptied, are given back."""
    before = running(held(skip_asked_by="ada"), OperationState.RUNNING)
    row = before.row("w-1")
    emptied = progress.finish(PLAN, before, row, StepDone("w-1 is drained."), NOW).after.row("w-1")
    given_back = progress.block(PLAN, before, row, BLOCK, NOW, uncordoned=True).after.row("w-1")
    cordoned = progress.block(PLAN, before, row, BLOCK, NOW, uncordoned=False).after.row("w-1")
    theirs = replace(row, cordoned_by_us=False)
    left = progress.finish(PLAN, running(theirs), theirs, StepDone("w-1 is drained."), NOW).after.row("w-1")
    made = (emptied, given_back, cordoned, left)
    assert [STEPS[r.position].verb for r in made] == [Verb.UNCORDON, Verb.UNHOLD, Verb.UNCORDON, Verb.UNHOLD]
    assert {(r.state, r.skipped_by, r.skip_asked_by, r.note) for r in made} == {
        (RowState.WAITING, "ada", "", "skipped by ada")
    }


def waits_for_a_budget(site: Site) -> None:
    """As a drain does that a budget holds up: it looks whether anybody wants it still, and gives its node back."""
    site.hold((HOLD,))
    while not (why := site.unwanted()):
        site.wait(0.02)
    raise site.blocked("drain-given-up", f"The drain of {site.node.name} is given up, as {why}.", "")


def wait_until_held(store: Store) -> None:
    wait_until(lambda: store.operation(OP).row("w-1").held)


def test_a_drain_that_is_held_up_lets_go_of_a_worker_that_is_skipped(small: Yard, store: Store) -> None:
    """Uncordoned, and its holds restored; the others go on, and each part of it has its event."""
    small.script("w-1", Verb.DRAIN, waits_for_a_budget)
    approve(store, small.record, OP)
    driving = Driving(small, store, OP)
    wait_until_held(store)
    store.skip(OP, small.record.plan, "w-1", "ada", event(Happened.SKIP_ASKED, operation_id=OP))
    driving.join()
    operation = store.operation(OP)
    assert operation.state is OperationState.COMPLETED
    assert (operation.row("w-1").state, operation.row("w-2").state) == (RowState.SKIPPED, RowState.FINISHED)
    assert small.verbs("w-1")[-2:] == [Verb.UPGRADE_NODE, Verb.UNHOLD]
    assert not any(n.cordoned for n in small.report.nodes)
    told = [(e.kind, e.sentence) for _, e in store.events(OP) if e.node == "w-1" or e.kind is Happened.SKIP_ASKED]
    asked = [kind for kind, _ in told].index(Happened.SKIP_ASKED)
    assert [kind for kind, _ in told[asked:]] == [
        Happened.SKIP_ASKED,
        Happened.STEP_FAILED,
        Happened.NODE_UNCORDONED,
        Happened.STEP_STARTED,
        Happened.STEP_FINISHED,
        Happened.NODE_SKIPPED,
    ]
    assert told[asked + 1][1] == "The drain of w-1 is given up, as ada asked to go on without it."
    assert told[asked + 2][1] == "w-1 was uncordoned: its drain was given up, and its kubelet was not touched."
    assert "Not upgraded: w-1 (skipped by ada)." in store.events(OP)[-1][1].sentence


def test_a_driver_that_takes_over_finds_the_skip_on_record(small: Yard, store: Store) -> None:
    """The one before it was gone between the wish and its next look."""
    small.script("w-1", Verb.DRAIN, waits_for_a_budget, waits_for_a_budget)
    approve(store, small.record, OP)
    driving = Driving(small, store, OP)
    wait_until_held(store)
    driving.end()
    store.skip(OP, small.record.plan, "w-1", "ada", event(Happened.SKIP_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    operation = store.operation(OP)
    assert (operation.state, operation.row("w-1").state) == (OperationState.COMPLETED, RowState.SKIPPED)
    drains = [line for line in small.lines() if line[:3] == ["start", "w-1", Verb.DRAIN]]
    assert len({line[3] for line in drains}) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_driver_that_is_killed_after_it_gave_the_node_back_leaves_no_doubt(small: Yard, store: Store) -> None:
    """Nothing of that is on record but the wish: the next one gives up once more, and says it once."""

    def killed(site: Site) -> None:
        site.hold((HOLD,))
        while not site.unwanted():
            site.wait(0.02)
        small.give_back(site)
        raise SystemExit  # the thread ends here, as at a kill: no handler of ours sees it

    small.script("w-1", Verb.DRAIN, killed, waits_for_a_budget)
    approve(store, small.record, OP)
    driving = Driving(small, store, OP)
    wait_until_held(store)
    store.skip(OP, small.record.plan, "w-1", "ada", event(Happened.SKIP_ASKED, operation_id=OP))
    driving.join()
    assert store.operation(OP).row("w-1").state is RowState.SKIPPED
    assert not any(n.cordoned for n in small.report.nodes)
    told = [e.kind for _, e in store.events(OP) if e.node == "w-1"]
    assert [told.count(k) for k in (Happened.STEP_FAILED, Happened.NODE_UNCORDONED, Happened.NODE_SKIPPED)] == [1, 1, 1]


def test_a_cancel_does_not_wait_for_a_drain_that_is_held_up(small: Yard, store: Store) -> None:
    """The node is given back at once, and nobody is asked about it: not even for a moment it waits for a person."""
    small.script("w-1", Verb.DRAIN, waits_for_a_budget)
    approve(store, small.record, OP)
    driving = Driving(small, store, OP)
    wait_until_held(store)
    store.wish(OP, Wish.CANCEL, "ada", event(Happened.CANCEL_ASKED, operation_id=OP))
    driving.join()
    operation = store.operation(OP)
    assert operation.state is OperationState.CANCELLED
    assert (operation.row("w-1").state, operation.row("w-1").note) == (RowState.SKIPPED, CUT_SHORT)
    assert small.verbs("w-1")[-2:] == [Verb.UPGRADE_NODE, Verb.UNHOLD]
    assert not any(n.cordoned for n in small.report.nodes)
    assert "given up, as ada asked to cancel the run" in " ".join(e.sentence for _, e in store.events(OP))
    cancelling = running(held(), OperationState.CANCELLING)
    after = progress.block(PLAN, cancelling, held(), BLOCK, NOW, uncordoned=True).after.row("w-1")
    assert after.state is RowState.WAITING


def skip(small: Yard, store: Store) -> Operation:
    """Drive until it is blocked, skip w-1, and drive on to the end."""
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.BLOCKED
    store.skip(OP, small.record.plan, "w-1", "ada", event(Happened.SKIP_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    return store.operation(OP)


def test_a_fetch_that_failed_on_one_worker_stops_nobody_once_it_is_skipped(small: Yard, store: Store) -> None:
    """The others are upgraded, its holds are restored, and the end says who was not."""
    small.script("w-1", Verb.FETCH, blocked)
    approve(store, small.record, OP)
    operation = skip(small, store)
    assert operation.state is OperationState.COMPLETED
    assert (operation.row("w-1").state, operation.row("w-2").state) == (RowState.SKIPPED, RowState.FINISHED)
    assert small.verbs("w-1") == [Verb.HOLD, Verb.UNHOLD]
    told = [e for _, e in store.events(OP)]
    assert (told[-1].kind, "Not upgraded: w-1 (skipped by ada)." in told[-1].sentence) == (
        Happened.OPERATION_COMPLETED,
        True,
    )
    assert [e.person for e in told if e.kind is Happened.SKIP_ASKED] == ["ada"]
    assert [e.node for e in told if e.kind is Happened.NODE_SKIPPED] == ["w-1"]


def test_a_machine_that_stays_away_is_given_up_and_said(small: Yard, store: Store) -> None:
    """Nobody has to skip it twice."""
    small.script("w-1", Verb.HOLD, blocked)
    small.script("w-1", Verb.UNHOLD, blocked)
    approve(store, small.record, OP)
    operation = skip(small, store)
    assert operation.state is OperationState.COMPLETED
    assert operation.row("w-1").note == "skipped by ada, and its package holds could not be restored"


def test_a_worker_that_was_cordoned_and_not_changed_is_given_back_to_its_work(small: Yard, store: Store) -> None:
    """Its place in the pool is free for the next one."""

    def bug(site: Site) -> None:
        raise KeyError(site.node.name)

    small.script("w-1", Verb.DRAIN, bug)
    small.refuses_uncordon = True
    approve(store, small.record, OP)
    operation = skip(small, store)
    assert operation.state is OperationState.COMPLETED
    assert small.verbs("w-1")[-2:] == [Verb.UNCORDON, Verb.UNHOLD]
    assert not any(n.cordoned for n in small.report.nodes)


def test_a_worker_that_preflight_stops_the_run_for_can_be_skipped(small: Yard, store: Store) -> None:
    """Before any step; nothing at all is done on it."""
    small.preflight_findings = (BLOCK,)
    approve(store, small.record, OP)
    operation = skip(small, store)
    assert operation.state is OperationState.COMPLETED
    assert small.verbs("w-1") == []


def test_a_run_goes_around_a_worker_that_its_plan_leaves_out(tmp_path: Path, store: Store) -> None:
    """It is away the whole time and takes a place; it is no stranger, and the end names it."""
    made = plan(("cp-1",), ("w-1", "w-2"), max_unavailable=2)
    yard = Yard(record(made), tmp_path / "log")
    yard.record = record(made.leaving_out(frozenset({"w-1"})))
    yard.change_node("w-1", ready=False)
    approve(store, yard.record, OP)
    Driving(yard, store, OP).join()
    told = [e for _, e in store.events(OP)]
    assert store.operation(OP).state is OperationState.COMPLETED
    assert "Left out of the plan: w-1." in told[-1].sentence
    assert yard.verbs("w-1") == []
    assert Happened.NODE_JOINED not in [e.kind for e in told]


def test_the_end_tells_who_was_left_out_from_who_was_there_already() -> None:
    """Of hundreds that an earlier run brought to the target nobody has to wonder why they were left out."""
    made = plan(("cp-1",), ("w-1", "w-2", "w-3"), max_unavailable=3)
    spared = made.leaving_out(frozenset({"w-1", "w-2"}))
    kept = record(spared, left_out_for=(("w-1", THERE), ("w-2", "node not ready")))
    over = tuple(NodeRow(n.name, state=RowState.FINISHED) for n in spared.nodes)
    run = schedule(kept, operation_id=OP, approved_by="grace", now=NOW)
    ended = progress.settle(kept, replace(run, state=OperationState.RUNNING, rows=over), NOW)
    assert ended is not None
    said = "prod is at v1.35.4. Left out of the plan: w-2. Left alone, as there already: w-1."
    assert ended.events[-1].sentence == said
