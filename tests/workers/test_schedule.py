"""Who may go on: stages as barriers, the control plane one by one, workers within their pool's limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.findings import Finding, Severity
from cluster.operation import NodeRow, Operation, OperationState, RowState, Wish, schedule
from cluster.plan import PlanNode, PlanPool, Role, UpgradePlan
from cluster.procedure import Phase, Step, Verb, itinerary
from cluster.report import ClusterReport
from tests.engine_fixture import NODES, NOW, plan, record, report
from workers.absence import everybody_away
from workers.progress import block, cut_short, finish, try_again, with_row
from workers.run import is_usable
from workers.schedule import find_runnable, find_second_tries
from workers.site import StepDone

PLAN = plan()
REPORT = report(PLAN)


def operation(**places: NodeRow) -> Operation:
    """Running; rows by node name with `_` for `-`, the others wait at their first step."""
    made = schedule(record(PLAN), operation_id="op-1", approved_by="grace", now=NOW)
    rows = tuple(places.get(r.node.replace("-", "_"), r) for r in made.rows)
    return replace(made, state=OperationState.RUNNING, rows=rows)


def at(name: str, phase: Phase, verb: Verb | None = None, state: RowState = RowState.WAITING) -> NodeRow:
    """A row at a step of a phase; at its first one unless the verb is named."""
    node = PLAN.node(name)
    assert node is not None
    steps = itinerary(PLAN, node)
    position = next(n for n, s in enumerate(steps) if s.phase is phase and verb in {None, s.verb})
    return NodeRow(name, position, state=state)


def everybody_at(phase: Phase, **others: NodeRow) -> Operation:
    """Every node at the first step of a phase that it has, or beyond it."""
    rows = {}
    for node in PLAN.nodes:
        steps = itinerary(PLAN, node)
        reached = [n for n, s in enumerate(steps) if tuple(Phase).index(s.phase) >= tuple(Phase).index(phase)]
        rows[node.name.replace("-", "_")] = NodeRow(node.name, reached[0])
    return operation(**{**rows, **others})


def names(made: Operation, seen: ClusterReport | None = REPORT, of: UpgradePlan = PLAN, **more: object) -> list[str]:
    return [n.name for n in find_runnable(of, made, seen, now=NOW, **more).nodes]  # type: ignore[arg-type]


def changed(seen: ClusterReport, name: str, **changes: object) -> ClusterReport:
    nodes = tuple(replace(n, **changes) if n.name == name else n for n in seen.nodes)  # type: ignore[arg-type]
    return replace(seen, nodes=nodes)


def test_preparing_disturbs_nobody_and_goes_in_parallel() -> None:
    """All at once up to the limit, even with an unreadable cluster."""
    assert names(operation(), None) == list(NODES)
    assert len(names(operation(), max_parallel=3)) == 3


def test_nobody_enters_a_stage_before_everybody_has_left_the_one_before() -> None:
    """One node that still prepares holds the control plane back."""
    slow = at("w-4", Phase.PREPARE, Verb.FETCH)
    assert names(everybody_at(Phase.CONTROL_PLANE, w_4=slow)) == ["w-4"]


def test_the_first_control_plane_node_goes_first_and_alone() -> None:
    """kubeadm apply before any upgrade node."""
    assert names(everybody_at(Phase.CONTROL_PLANE)) == ["cp-1"]
    busy = at("cp-1", Phase.CONTROL_PLANE, Verb.APPLY, RowState.STARTED)
    assert names(everybody_at(Phase.CONTROL_PLANE, cp_1=busy)) == ["cp-1"]


def test_control_plane_kubelets_go_one_by_one() -> None:
    """One that is cordoned goes first, whoever did it; and nobody beside one that is not Ready."""
    made = everybody_at(Phase.CONTROL_PLANE_KUBELETS)
    assert names(made) == ["cp-1"]
    assert names(made, changed(REPORT, "cp-3", cordoned=True)) == ["cp-3"]
    behind = everybody_at(Phase.CONTROL_PLANE_KUBELETS, cp_3=at("cp-3", Phase.AFTER))
    assert names(behind, changed(REPORT, "cp-3", ready=False)) == []


@pytest.mark.parametrize("cordoned", [("cp-3",), ("cp-2", "cp-3"), ("cp-1", "cp-2", "cp-3")])
def test_no_cordon_of_somebody_else_keeps_the_control_planes_waiting(cordoned: tuple[str, ...]) -> None:
    """It stays after the upgrade, so that a place that it took would never be free again; one by one they go all."""
    seen, made, went = REPORT, everybody_at(Phase.CONTROL_PLANE_KUBELETS), []
    for name in cordoned:
        seen = changed(seen, name, cordoned=True)
    for _ in range(3):
        (name,) = names(made, seen)
        begun = with_row(made, at(name, Phase.CONTROL_PLANE_KUBELETS, Verb.DRAIN))
        assert names(begun, seen) == [name]
        made = with_row(made, at(name, Phase.AFTER))
        went.append(name)
    assert went == sorted(NODES[:3], key=lambda n: n not in cordoned)


@pytest.mark.parametrize(
    ("away", "expected"),
    [
        ((), ["w-1", "w-2"]),
        (("w-1",), ["w-1", "w-2"]),
        (("w-3",), ["w-3", "w-1"]),
        (("w-3", "w-4"), ["w-3", "w-4"]),
        (("w-2", "w-3", "w-4"), []),
    ],
)
def test_nodes_that_are_away_count_and_go_first(away: tuple[str, ...], expected: list[str]) -> None:
    """A window of two over four workers; a broken node takes a place that a healthy one then cannot have."""
    seen = REPORT
    for name in away:
        seen = changed(seen, name, ready=False)
    assert names(everybody_at(Phase.WORKERS), seen) == expected


def test_a_worker_that_is_left_out_counts_while_it_is_away() -> None:
    """It gets no turn of its own; once it is back, its place is free."""
    pool = PLAN.pools[1]
    left = replace(PLAN, pools=(PLAN.pools[0], replace(pool, nodes=pool.nodes[1:], left_out=pool.nodes[:1])))
    rows = tuple(r for r in everybody_at(Phase.WORKERS).rows if r.node != "w-1")
    made = replace(everybody_at(Phase.WORKERS), rows=rows)
    assert names(made, changed(REPORT, "w-1", ready=False), left) == ["w-2"]
    assert names(made, REPORT, left) == ["w-2", "w-3"]


def test_a_pool_that_is_full_says_who_fills_it() -> None:
    """The wait is told in words."""
    seen = changed(changed(changed(REPORT, "w-2", ready=False), "w-3", cordoned=True), "w-4", ready=False)
    turn = find_runnable(PLAN, everybody_at(Phase.WORKERS), seen, now=NOW)
    assert turn.nodes == ()
    assert "w-2, w-3, w-4 of the pool general" in turn.waits


def test_no_worker_starts_while_the_cluster_cannot_be_read() -> None:
    """Who is away is not known then; whoever is in hand goes on."""
    assert names(everybody_at(Phase.WORKERS), None) == []
    busy = at("w-2", Phase.WORKERS, Verb.DRAIN)
    assert names(everybody_at(Phase.WORKERS, w_2=busy), None) == ["w-2"]


def test_a_node_that_a_thread_is_about_to_begin_counts_already() -> None:
    """Else a slow gate would let a third one in."""
    assert names(everybody_at(Phase.WORKERS), held=frozenset({"w-3", "w-4"})) == ["w-3", "w-4"]


@pytest.mark.parametrize("wish", [Wish.PAUSE, Wish.CANCEL])
def test_after_a_wish_only_nodes_in_hand_go_on(wish: Wish) -> None:
    """Nobody new."""
    busy = at("w-2", Phase.WORKERS, Verb.DRAIN)
    made = replace(everybody_at(Phase.WORKERS, w_2=busy), wish=wish)
    assert names(made) == ["w-2"]


def test_nobody_new_starts_beside_a_blocked_node() -> None:
    """And the blocked one does not go on by itself."""
    stuck = at("w-1", Phase.WORKERS, Verb.DRAIN, RowState.BLOCKED)
    busy = at("w-2", Phase.WORKERS, Verb.DRAIN, RowState.STARTED)
    assert names(everybody_at(Phase.WORKERS, w_1=stuck, w_2=busy)) == ["w-2"]


BUDGETED = replace(PLAN, pools=(PLAN.pools[0], replace(PLAN.pools[1], failure_budget=1)))


def test_as_many_as_the_budget_of_a_pool_may_be_blocked_while_others_begin() -> None:
    """One that was given back takes no place, one that stopped in the middle does; beyond the budget nobody begins."""
    given_back = at("w-1", Phase.WORKERS, Verb.CORDON, RowState.BLOCKED)
    half_way = at("w-2", Phase.WORKERS, Verb.RESTART_KUBELET, RowState.BLOCKED)
    assert names(everybody_at(Phase.WORKERS, w_1=given_back), of=BUDGETED) == ["w-2", "w-3"]
    assert names(everybody_at(Phase.WORKERS, w_2=half_way), of=BUDGETED) == ["w-1"]
    assert names(everybody_at(Phase.WORKERS, w_1=given_back, w_2=half_way), of=BUDGETED) == []
    master = at("cp-2", Phase.CONTROL_PLANE_KUBELETS, Verb.CORDON, RowState.BLOCKED)
    assert names(everybody_at(Phase.CONTROL_PLANE_KUBELETS, cp_2=master), of=BUDGETED) == []


def test_a_place_that_only_a_person_can_free_is_no_wait() -> None:
    """Else the run would wait for ever for a node that is blocked, and nobody would be asked."""
    narrow = replace(PLAN, pools=(PLAN.pools[0], replace(PLAN.pools[1], failure_budget=1, max_unavailable=1)))
    half_way = everybody_at(Phase.WORKERS, w_2=at("w-2", Phase.WORKERS, Verb.VERIFY_NODE, RowState.BLOCKED))
    assert find_runnable(narrow, half_way, REPORT, now=NOW) == find_runnable(PLAN, half_way, REPORT, now=NOW)
    foreign = find_runnable(narrow, half_way, changed(REPORT, "w-4", ready=False), now=NOW)
    assert (foreign.nodes, foreign.waits[:30]) == ((), "w-2, w-4 of the pool general t")


def test_a_canary_that_failed_stops_its_pool_whatever_its_budget() -> None:
    """One that could not be drained is no failed canary: another one goes in its place."""
    pool = replace(PLAN.pools[1], failure_budget=4, canary=1, max_unavailable=4)
    made = replace(PLAN, pools=(PLAN.pools[0], pool))
    failed = at("w-1", Phase.WORKERS, Verb.VERIFY_NODE, RowState.BLOCKED)
    assert names(everybody_at(Phase.WORKERS, w_1=failed), of=made) == []
    given_back = at("w-1", Phase.WORKERS, Verb.CORDON, RowState.BLOCKED)
    assert names(everybody_at(Phase.WORKERS, w_1=given_back), of=made) == ["w-2"]


def test_whoever_could_not_be_drained_gets_one_second_try() -> None:
    """Only where nothing was done on it, only of a pool with a budget, and not while somebody asked to pause."""
    given_back = at("w-1", Phase.WORKERS, Verb.CORDON, RowState.BLOCKED)
    half_way = at("w-2", Phase.WORKERS, Verb.VERIFY_NODE, RowState.BLOCKED)
    made = everybody_at(Phase.WORKERS, w_1=given_back, w_2=half_way)
    assert find_second_tries(PLAN, made) == ()
    assert find_second_tries(BUDGETED, replace(made, wish=Wish.PAUSE)) == ()
    assert find_second_tries(BUDGETED, made) == ("w-1",)
    again = try_again(made, ("w-1",), NOW)
    assert (again.after.row("w-1").state, again.after.row("w-1").attempt) == (RowState.WAITING, 2)
    assert names(again.after, of=BUDGETED) == ["w-1"]
    stuck = with_row(again.after, replace(again.after.row("w-1"), state=RowState.BLOCKED))
    assert find_second_tries(BUDGETED, stuck) == ()
    done = replace(again.after.row("w-1"), state=RowState.STARTED, position=made.row("w-3").position + 9)
    assert not finish(PLAN, made, done, StepDone("done"), NOW).after.row("w-1").tried_again


def test_others_are_prepared_beside_a_few_that_could_not_be() -> None:
    """Nobody is disturbed by that; where many fail, the cause is not one machine's. The next stage waits for all."""
    stuck = {name: at(name, Phase.PREPARE, Verb.FETCH, RowState.BLOCKED) for name in ("w-1", "w-2", "w-3", "cp-3")}
    few = {name.replace("-", "_"): row for name, row in stuck.items() if name != "cp-3"}
    assert names(operation(**few)) == ["cp-1", "cp-2", "cp-3", "w-4"]
    assert names(operation(**few, cp_3=stuck["cp-3"])) == []
    assert names(everybody_at(Phase.CONTROL_PLANE, w_1=stuck["w-1"])) == []


def test_skipped_nodes_hold_nobody_up() -> None:
    """A node that left the cluster while preparing."""
    gone = replace(at("w-4", Phase.PREPARE), state=RowState.SKIPPED)
    assert names(everybody_at(Phase.CONTROL_PLANE, w_4=gone)) == ["cp-1"]


def test_cutting_short_leaves_those_in_hand_and_restores_the_touched() -> None:
    """Untouched nodes are skipped, blocked and waiting ones go on with their last step."""
    busy = at("w-1", Phase.WORKERS, Verb.DRAIN, RowState.STARTED)
    stuck = at("w-2", Phase.WORKERS, Verb.DRAIN, RowState.BLOCKED)
    made = replace(
        everybody_at(Phase.WORKERS, w_1=busy, w_2=stuck, w_4=NodeRow("w-4")), state=OperationState.CANCELLING
    )
    cut = cut_short(PLAN, made)
    assert cut.row("w-1") == busy
    assert _step(cut.row("w-2")).verb is Verb.UNHOLD
    assert _step(cut.row("w-3")).verb is Verb.UNHOLD
    assert cut.row("w-4").state is RowState.SKIPPED
    assert cut_short(PLAN, cut) == cut
    assert names(cut) == ["w-1"]


def test_attempts_count_on_within_a_stage_and_anew_in_the_next() -> None:
    """A drain that goes back to its cordon must never use an attempt id again."""
    made = everybody_at(Phase.WORKERS)
    row = replace(at("w-1", Phase.WORKERS, Verb.DRAIN, RowState.STARTED), attempt=3)
    made = replace(made, rows=tuple(row if r.node == "w-1" else r for r in made.rows))
    assert finish(PLAN, made, row, StepDone("done"), NOW).after.row("w-1").attempt == 3
    last = replace(at("w-1", Phase.WORKERS, Verb.UNCORDON, RowState.STARTED), attempt=3)
    assert finish(PLAN, made, last, StepDone("done"), NOW).after.row("w-1").attempt == 1


def test_a_node_that_was_given_back_goes_back_to_its_cordon() -> None:
    """Within the same stage; two facts are told."""
    row = at("cp-2", Phase.CONTROL_PLANE_KUBELETS, Verb.DRAIN, RowState.STARTED)
    made = everybody_at(Phase.CONTROL_PLANE_KUBELETS, cp_2=row)
    finding = Finding("drain-blocked", Severity.BLOCKER, "cp-2", "A budget forbids it.", "Lift it.")
    move = block(PLAN, made, row, finding, NOW, uncordoned=True)
    assert _step(move.after.row("cp-2")).verb is Verb.CORDON
    assert _step(move.after.row("cp-2")).phase is Phase.CONTROL_PLANE_KUBELETS
    assert len(move.events) == 2


def _step(row: NodeRow) -> Step:
    node = PLAN.node(row.node)
    assert node is not None
    return itinerary(PLAN, node)[row.position]


@pytest.mark.parametrize(
    ("age", "took", "usable"), [(14, 1, True), (16, 1, False), (31, 20, True), (59, 20, True), (61, 20, False)]
)
def test_a_report_that_takes_long_to_read_is_no_reason_to_stand_still(age, took, usable):
    """Its age counts from its begin: with a fixed limit a slow cluster would never have a usable one."""
    assert is_usable(age, took) is usable


def test_two_second_tries_find_one_place_between_them() -> None:
    """Both were given back undrained: with room for one, the other one's turn comes after it."""
    made = plan(max_unavailable=1)
    made = replace(made, pools=(made.pools[0], replace(made.pools[1], failure_budget=2)))
    steps = itinerary(made, made.pools[1].nodes[0])
    cordon = next(n for n, s in enumerate(steps) if s.verb is Verb.CORDON)
    begun = schedule(record(made), operation_id="op-1", approved_by="grace", now=NOW)
    workers = [n.name for n in made.pools[1].nodes]
    rows = tuple(
        replace(r, position=cordon, attempt=2)
        if r.node in workers[:2]
        else replace(r, position=len(itinerary(made, made.nodes[0])), state=RowState.FINISHED)
        for r in begun.rows
    )
    running = replace(begun, state=OperationState.RUNNING, rows=rows)
    assert [n.name for n in find_runnable(made, running, report(made), now=NOW).nodes] == workers[:1]


PACES = st.builds(
    PlanPool,
    name=st.just("general"),
    max_unavailable=st.integers(1, 6),
    nodes=st.integers(1, 14).map(lambda n: tuple(PlanNode(f"w-{i}", f"uid-w-{i}", Role.WORKER) for i in range(n))),
    canary=st.integers(0, 3),
    soak=st.sampled_from([0, 60]),
    ramp=st.booleans(),
    failure_budget=st.integers(0, 2),
)


def keeps_its_pace(pool: PlanPool, in_hand: int, back: list[datetime], now: datetime) -> bool:
    """Whether so many may be in hand, some of them new, while those are back."""
    canaries = len(back) >= pool.canary or in_hand + len(back) <= pool.canary
    soak = not 0 < pool.canary <= len(back) or now >= back[pool.canary - 1] + timedelta(seconds=pool.soak)
    ramp = not pool.ramp or in_hand <= len(back) + max(1, pool.canary)
    return canaries and soak and ramp


@given(pool=PACES, chance=st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_a_pool_keeps_its_limit_its_canaries_and_its_ramp_and_comes_to_its_end(pool: PlanPool, chance: Random) -> None:
    """
    Whoever ends or fails when: never more away than the limit, others only after the canaries' soak, waves that double.

    Whoever could not be drained gets its second try; at the end each is back, or a person has to choose.
    """
    made = plan((), ())
    made = replace(made, pools=(made.pools[0], pool))
    steps = itinerary(made, pool.nodes[0])
    begin = next(n for n, s in enumerate(steps) if s.phase is Phase.WORKERS)
    cordon, end = (next(n for n, s in enumerate(steps) if s.verb is v) for v in (Verb.CORDON, Verb.UNCORDON))
    scheduled = schedule(record(made), operation_id="op-1", approved_by="grace", now=NOW)
    rows = tuple(replace(r, position=begin) for r in scheduled.rows)
    now_at, seen, now = replace(scheduled, state=OperationState.RUNNING, rows=rows), report(made), NOW
    in_hand, back = set[str](), dict[str, datetime]()
    for _ in range(30 * len(rows)):
        turn = find_runnable(made, now_at, seen, now=now)
        new = [n.name for n in turn.nodes if n.name not in in_hand and n.name not in back]
        blocked = {r.node for r in now_at.rows if r.state is RowState.BLOCKED}
        assert len(in_hand) + len(new) <= pool.max_unavailable
        if fresh := [n for n in new if now_at.row(n).attempt == 1]:
            assert len(blocked) <= pool.failure_budget
            assert keeps_its_pace(pool, len(in_hand) + len(fresh), sorted(back.values()), now)
        in_hand |= set(new)
        if not in_hand and not turn.waits:
            again = find_second_tries(made, now_at)
            now_at = try_again(now_at, again, now).after
            if not again:
                assert len(back) + len(blocked) == len(rows) or len(blocked) > pool.failure_budget
                return
        now += timedelta(seconds=chance.choice([1, 31]))
        for name in sorted(in_hand):
            row, what = replace(now_at.row(name), position=cordon, state=RowState.STARTED), chance.random()
            now_at = with_row(now_at, row)
            if what < 0.4:
                row = replace(row, position=end)
                now_at, back[name] = finish(made, with_row(now_at, row), row, StepDone("done"), now).after, now
            elif what < 0.5:
                refused = Finding("drain-blocked", Severity.BLOCKER, name, "A budget forbids it.", "Lift it.")
                now_at = block(made, now_at, row, refused, now, uncordoned=True).after
        in_hand = {n for n in in_hand if now_at.row(n).state is RowState.STARTED}
        seen = replace(seen, nodes=tuple(replace(n, cordoned=n.name in in_hand) for n in seen.nodes))
    pytest.fail("it came to no end")


def test_whoever_rests_before_its_cordon_lets_the_next_one_in() -> None:
    """What it waits for stands in no row and no report: a database's other instance, for one."""
    seen = everybody_at(Phase.WORKERS)
    assert names(seen, resting=frozenset({"w-1"})) == ["w-2", "w-3"]
    again = replace(at("w-1", Phase.WORKERS, Verb.CORDON), attempt=2)
    assert names(everybody_at(Phase.WORKERS, w_1=again), resting=frozenset({"w-1"})) == ["w-2"]


def test_everybody_who_is_away_or_about_to_be_counts_for_a_database() -> None:
    """Of whichever pool, whoever is the cause."""
    seen = changed(changed(REPORT, "w-4", ready=False), "cp-2", cordoned=True)
    begun = at("w-1", Phase.WORKERS, Verb.CORDON, RowState.STARTED)
    assert everybody_away(PLAN, everybody_at(Phase.WORKERS, w_1=begun), seen) == {"w-1", "w-4", "cp-2"}
