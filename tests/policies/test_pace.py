"""How fast a pool goes: canaries, their soak, and waves that double; said in words, counted in the estimate."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import TypeAdapter

from cluster.inventory import Pool
from cluster.plan import PlanPool, UpgradePlan
from policies.estimates import WORKER, estimate
from policies.pace import Back, Trail, check_pace, count_waves, tell_pace
from tests.policies_fixture import NOW, draft, make_cluster

PLAIN = PlanPool("web", 10, ())
SOAKING = replace(PLAIN, canary=2, soak=900)


def trail(back, in_hand=0, ago=0):
    """So many are back, the last of them `ago` seconds ago."""
    at = NOW - timedelta(seconds=ago)
    return Trail(tuple(Back(f"w{n}", at - timedelta(hours=back - n)) for n in range(1, back + 1)), in_hand)


@pytest.mark.parametrize(
    ("pool", "back", "in_hand", "room"),
    [
        (PLAIN, 0, 0, None),
        (replace(PLAIN, canary=2), 0, 0, 2),
        (replace(PLAIN, canary=2), 1, 1, 0),
        (replace(PLAIN, canary=2), 2, 0, None),
        (replace(PLAIN, ramp=True), 0, 0, 1),
        (replace(PLAIN, ramp=True), 0, 1, 0),
        (replace(PLAIN, ramp=True), 1, 0, 2),
        (replace(PLAIN, ramp=True), 2, 0, 1),
        (replace(PLAIN, ramp=True), 3, 3, 1),
        (replace(PLAIN, ramp=True), 7, 0, 8),
        (replace(PLAIN, ramp=True), 15, 0, None),
        (replace(PLAIN, ramp=True, max_unavailable=1), 0, 0, None),
        (replace(PLAIN, ramp=True, canary=3), 0, 0, 3),
        (replace(PLAIN, ramp=True, canary=3), 3, 0, 6),
        (replace(PLAIN, ramp=True, canary=3), 9, 0, None),
    ],
)
def test_a_wave_begins_when_the_one_before_ended_well(pool, back, in_hand, room):
    """1, 2, 4, 8 …; canaries are the first wave, and from the limit on the window slides."""
    assert check_pace(pool, trail(back, in_hand), frozenset(), NOW).room == room


def test_the_others_follow_when_the_soak_is_over():
    """It is counted from the recorded end of the last canary, so a new driver waits no longer than the old one."""
    pace = check_pace(SOAKING, trail(2, ago=899), frozenset(), NOW)
    assert pace.room == 0
    assert pace.waits == "the pool web to see how its canaries do (w1, w2), until 2026-11-23 12:00:01 UTC"
    assert check_pace(SOAKING, trail(2, ago=900), frozenset(), NOW).room is None
    assert check_pace(SOAKING, Trail((Back("w1", None), Back("w2", None)), 0), frozenset(), NOW).room is None


def test_one_that_was_tried_once_more_beside_the_canaries_shortens_no_soak():
    """A third one is back together with the second canary: the others wait all the same."""
    at = NOW - timedelta(seconds=60)
    three = Trail((Back("w1", at), Back("w2", at), Back("w3", at)), 0)
    assert check_pace(SOAKING, three, frozenset(), NOW).room == 0
    assert check_pace(SOAKING, three, frozenset(), at + timedelta(seconds=900)).room is None


def test_nobody_follows_a_canary_that_is_ill_after_its_soak():
    """Once others have followed, it counts as everybody else."""
    pace = check_pace(SOAKING, trail(2, ago=901), frozenset({"w2"}), NOW)
    assert (pace.room, pace.waits[:36]) == (0, "w2 of the pool web to be Ready and u")
    assert check_pace(SOAKING, trail(2, 1, ago=901), frozenset({"w2"}), NOW).room is None


@pytest.mark.parametrize(
    ("pool", "moving", "waves"),
    [
        (PLAIN, 25, 3),
        (replace(PLAIN, canary=1), 21, 3),
        (replace(PLAIN, canary=12), 12, 2),
        (replace(PLAIN, ramp=True), 15, 4),
        (replace(PLAIN, ramp=True), 26, 6),
        (replace(PLAIN, ramp=True, canary=3), 9, 2),
        (replace(PLAIN, ramp=True, canary=3), 2, 1),
    ],
)
def test_waves_are_counted_for_the_estimate(pool, moving, waves):
    """As often as a worker's time passes."""
    assert count_waves(pool, moving) == waves


def test_a_pace_is_said_in_words():
    """Nothing where only the limit holds a pool back."""
    assert tell_pace(PLAIN) == ""
    assert tell_pace(replace(PLAIN, canary=1, soak=5400)) == "1 canary, then 1 h 30 min of waiting"
    whole = replace(SOAKING, ramp=True)
    waves = "waves of 4, 8, 16 … up to 10, each when the one before ended well"
    assert tell_pace(whole) == f"2 canaries, then 15 min of waiting, then {waves}"


def test_a_failed_canary_lets_nobody_in():
    """Whatever the pool's budget says."""
    assert check_pace(SOAKING, replace(trail(1), failed=1), frozenset(), NOW).room == 0
    assert check_pace(SOAKING, replace(trail(3, ago=901), failed=1), frozenset(), NOW).room is None


def test_a_plan_has_the_pace_of_its_pools_in_its_digest_and_its_order():
    """Whoever approves the digest approves it; a plan without one has the digest that it always had."""
    cluster = make_cluster(pools={"web": {"selector": "role!=db", "canary": 1, "soak": "10m", "failure_budget": 3}})
    made = draft(cluster=cluster)
    web = made.plan.pools[1]
    assert (web.name, web.canary, web.soak, web.ramp) == ("web", 1, 600, False)
    assert "The pool web is not taken at once: 1 canary, then 10 min of waiting." in made.order
    tried = "whoever could not be drained is tried once more when the others are through"
    assert f"Of the pool web up to 3 may be blocked while others go on; {tried}." in made.order
    plain = replace(made.plan, pools=(made.plan.pools[0], replace(web, canary=0, soak=0, failure_budget=0)))
    assert plain.digest != made.plan.digest
    assert not re.search("canary|failure", TypeAdapter(UpgradePlan).dump_json(plain).decode())
    assert estimate(made.plan)[0] - estimate(plain)[0] == 600 + WORKER[0] * (2 - len(web.nodes))


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), (60, 60)])
def test_a_soak_may_be_written_with_its_unit(written, seconds):
    """Without one it is in seconds, as all times."""
    assert Pool(selector="a=b", canary=1, soak=written).soak == seconds


@pytest.mark.parametrize("wrong", [{"soak": 60}, {"canary": 1, "soak": "soon"}, {"canary": 1, "soak": "200h"}])
def test_a_soak_that_says_nothing_is_refused(wrong):
    """Without a canary nobody is watched, and a week is the longest."""
    with pytest.raises(ValueError, match=r"canary|whole seconds|604800"):
        Pool(selector="a=b", **wrong)
