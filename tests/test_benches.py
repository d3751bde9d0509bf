"""The stand-ins of the benches still stand in: one of them is only run by hand, and takes hours to tell."""

from __future__ import annotations

from dataclasses import replace

from cluster.events import Happened
from tests.bench_flat import has_grown
from tests.bench_upgrade import batches, bound, without_overhead
from tests.gauge import Sample
from tests.same_steps import by_scripts, differences


def test_scripted_machines_come_to_the_end_of_their_ways() -> None:
    """Every stage in its order, and each machine finished."""
    ways, stages = by_scripts(2)
    assert stages == ("0/prepare", "0/control-plane", "0/control-plane-kubelets", "0/workers", "0/after")
    assert [way[-1].split()[0] for way in ways] == [Happened.NODE_FINISHED] * len(ways)
    assert list(differences(ways, ways)) == []


def test_machines_that_go_another_way_are_told_apart() -> None:
    """By their first different event."""
    way = ("step-started 0/prepare/hold 1", "step-finished 0/prepare/hold 1")
    other = (way[0], "step-failed 0/prepare/hold 1")
    (found,) = differences((way, way), (way, other))
    assert found.startswith("machine 2 differs at its event 2")


def test_no_schedule_is_shorter_than_its_bound() -> None:
    """Nor are batches shorter than a window that slides."""
    work = [9.0, 1.0, 1.0, 1.0, 5.0, 5.0]
    assert bound(work, 2) == 11.0
    assert bound(work, 2) <= without_overhead(work, 2) <= batches(work, 2) == 9.0 + 1.0 + 5.0


def test_memory_that_grows_with_the_run_is_not_called_flat() -> None:
    """Threads in hand take and give back; what is left of a run is the measure. Redis has a limit of its own."""
    begin, middle, end = Sample(97, 500, 2), Sample(180, 800, 20), Sample(160, 580, 30)
    assert not has_grown([begin, middle, end])
    assert has_grown([begin, middle, replace(end, blocks=700)])
    assert has_grown([begin, middle, replace(end, redis=51)])
