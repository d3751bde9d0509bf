"""What earlier runs say of how long the next one takes: in whatever order they are told, whatever one machine did."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.events import Event, Happened
from cluster.options import DrainMode, Options
from cluster.plan import PlanKind, PlanNode, PlanPool, Role
from cluster.procedure import itinerary
from policies.estimates import APPLY, NO_PAST, PREPARE, WORKER, estimate, tell_grounds
from policies.history import FEWEST, Part, Past, PastRun, learn
from tests.policies_fixture import NOW, draft, make_record

RECORD = make_record()
MANY = tuple(PlanNode(f"w{n}", f"uid-w{n}", Role.WORKER) for n in range(1, 13))


def record_of(workers, **options):
    """Our usual plan with so many workers."""
    plan = replace(RECORD.plan, options=Options(**options))
    pools = (plan.pools[0], PlanPool("workers", 1, MANY[:workers]))
    return replace(RECORD, plan=replace(plan, pools=pools))


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def event(kind, seconds, node="", step=""):
    return Event(kind, at(seconds), "prod", "x", node=node, step=step)


def walk(record, lasts, start=0.0):
    """A run in which each step of a node lasts as long as `lasts` says by node; whole nodes one after the other."""
    events, clock = [], start
    for node in record.plan.nodes:
        for step in itinerary(record.plan, node):
            place = f"{step.hop}/{step.phase}/{step.verb}"
            events.append(event(Happened.STEP_STARTED, clock, node.name, place))
            clock += lasts(node.name, step)
            events.append(event(Happened.STEP_FINISHED, clock, node.name, place))
    return tuple(events)


def even(_node, _step):
    return 10.0


def test_a_cluster_without_a_past_is_judged_by_documented_figures():
    """As it always was, and it says so."""
    assert learn(()) == Past() == NO_PAST
    assert estimate(RECORD.plan, NO_PAST) == estimate(RECORD.plan)
    assert tell_grounds(RECORD.plan) == draft().estimate_grounds == "from documented figures"


def test_workers_are_timed_from_their_cordon_to_their_return():
    """Ten steps of ten seconds, of which the cordon is the first."""
    run = PastRun(record_of(12), walk(record_of(12), even))
    past = learn([run])
    assert past.times == {Part.WORKER: (100, 100)}
    assert past.counts == {Part.WORKER: 12}
    assert (
        tell_grounds(RECORD.plan, past) == "from 12 earlier workers of this cluster, the rest from documented figures"
    )
    plain, known = estimate(record_of(3).plan), estimate(record_of(3).plan, past)
    assert (plain[0] - known[0], plain[1] - known[1]) == (3 * (WORKER[0] - 100), 3 * (WORKER[1] - 100))


def test_every_part_is_learnt_once_it_was_done_often_enough():
    """Five runs of three control planes: then nothing is left that needs a documented figure."""
    runs = [PastRun(RECORD, walk(RECORD, even, n * 100_000)) for n in range(FEWEST)]
    past = learn(runs)
    assert past.counts == {
        Part.PREPARE: 5,
        Part.APPLY: 5,
        Part.UPGRADE_NODE: 10,
        Part.CONTROL_PLANE_KUBELET: 15,
        Part.WORKER: 10,
    }
    assert tell_grounds(RECORD.plan, past) == (
        "from 10 earlier workers, 15 earlier kubelets of control planes, 5 earlier first control planes, "
        "10 earlier further control planes and 5 earlier preparations of this cluster"
    )
    fewer = learn(runs[:-1])
    assert {Part.APPLY, Part.PREPARE}.isdisjoint(fewer.times)


def test_reverts_are_a_past_of_their_own():
    """They say nothing of upgrades, nor these of them."""
    nodes = (PlanNode("cp1", "uid-cp1", Role.FIRST_CONTROL_PLANE),)
    plan = replace(RECORD.plan, kind=PlanKind.REVERT, pools=(PlanPool("control-plane", 1, nodes),))
    record = replace(RECORD, plan=plan)
    past = learn([PastRun(record, walk(record, even))] * FEWEST)
    assert past.times == {Part.REVERT: (30, 30)}
    assert estimate(plan, past) == (30, 30)
    assert tell_grounds(plan, past) == "from 5 earlier reverts of this cluster"
    assert tell_grounds(RECORD.plan, past) == "from documented figures"


DRAIN = "0/workers/drain"


@pytest.mark.parametrize(
    "disturbed",
    [
        event(Happened.STEP_FAILED, 1, "w1", DRAIN),
        event(Happened.STEP_STARTED, 10_000_000, "w1", DRAIN),  # by a clock that is ahead
        None,  # no end
    ],
)
def test_a_lap_that_was_no_whole_one_says_nothing(disturbed):
    """Whoever failed waited for a person; whoever was skipped has no end; and nothing is ever negative."""
    record = record_of(12)
    events = walk(record, even)
    if disturbed is None:
        events = tuple(e for e in events if not (e.node == "w1" and e.step.endswith("uncordon")))
    elif disturbed.kind is Happened.STEP_STARTED:
        events = tuple(e for e in events if not (e.node == "w1" and e.kind is Happened.STEP_STARTED))
        events = tuple(replace(e, at=NOW) if e.node == "w1" and e.step.endswith("uncordon") else e for e in events)
        events = (*(e for e in events if e.node != "w1" or e.step.endswith("uncordon")), disturbed)
    else:
        events = (*events, disturbed)
    assert learn([PastRun(record, events)]).counts == {Part.WORKER: 11}


@pytest.mark.parametrize("kind", [Happened.OPERATION_PARKED, Happened.OPERATION_BLOCKED])
def test_a_run_that_stood_still_says_nothing_of_whoever_was_in_hand(kind):
    """The night that a pause lasted is not how long a worker takes; the others count."""
    record = record_of(12)
    events = walk(record, even)
    inside = next(e.at for e in events if e.node == "w3" and e.step == DRAIN) + timedelta(seconds=1)
    halted = (*events, Event(kind, inside, "prod", "x"))
    assert learn([PastRun(record, halted)]).counts == {Part.WORKER: 11}


@pytest.mark.parametrize(
    ("mode", "before", "counted"),
    [
        (DrainMode.ALWAYS, "v1.35.1", 12),
        (DrainMode.MINOR_ONLY, "v1.35.1", 0),
        (DrainMode.MINOR_ONLY, "v1.34.7", 12),
        (DrainMode.MINOR_ONLY, "not read", 0),
    ],
)
def test_a_restart_in_place_says_nothing_of_a_drain(mode, before, counted):
    """A patch that drained nobody would make the next minor look quick."""
    record = record_of(12, drain=mode)
    kubelets = tuple((n.name, before) for n in MANY)
    record = replace(record, basis=replace(record.basis, kubelets=kubelets))
    assert learn([PastRun(record, walk(record, even))]).counts.get(Part.WORKER, 0) == counted


def test_one_machine_that_took_a_day_moves_nothing():
    """The longest lap is never what others are judged by."""
    record = record_of(12)

    def one_slow(node, step):
        return 86_400.0 if (node, step.verb) == ("w5", "drain") else even(node, step)

    assert learn([PastRun(record, walk(record, one_slow))]).times == {Part.WORKER: (100, 100)}


def test_only_the_newest_laps_count():
    """Machines change: what a cluster did two hundred laps ago says less than what it did last."""
    record = record_of(12)
    slow = PastRun(record, walk(record, lambda *_: 100.0))
    quick = PastRun(record, walk(record, even))
    assert learn([*[quick] * 17, slow]).counts == {
        Part.WORKER: 200,
        Part.CONTROL_PLANE_KUBELET: 54,
        Part.UPGRADE_NODE: 36,
        Part.APPLY: 18,
        Part.PREPARE: 18,
    }
    assert learn([*[quick] * 17, slow]).times[Part.WORKER] == (100, 100)


@given(st.lists(st.floats(0, 5_000), min_size=12, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_events_is_nobodys_concern_and_a_range_is_one(times, chance):
    """Shuffled, the same; from at least a second to no more than the longest lap, and the shorter end is the first."""
    record = record_of(12)
    lasts = dict(zip((n.name for n in MANY), times, strict=True))
    events = walk(record, lambda node, _: lasts.get(node, 1.0))
    shuffled = list(events)
    chance.shuffle(shuffled)
    past = learn([PastRun(record, events)])
    assert past == learn([PastRun(record, tuple(shuffled))])
    low, high = past.times[Part.WORKER]
    assert 1 <= low <= high <= max(1, 10 * max(times) + 1)
    whole = estimate(record.plan, past)
    assert 0 < whole[0] <= whole[1]
    assert whole[0] >= PREPARE[0] + APPLY[0] + 12 * low


@given(st.lists(st.sampled_from(["", "0/workers/drain", "9/workers/drain", "x/y/z", "0/workers/dance"]), max_size=20))
def test_events_that_no_release_of_ours_wrote_are_passed_over(steps):
    """A record is data, too."""
    events = tuple(event(Happened.STEP_STARTED, n, node, s) for n, s in enumerate(steps) for node in ("w1", "zz"))
    assert learn([PastRun(record_of(2), events)]) == NO_PAST
