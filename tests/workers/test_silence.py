"""A machine that dies in the middle of a command, and a command that hangs there: neither is waited for in silence."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from cluster.events import Happened
from cluster.operation import NodeRow, OperationState, RowState
from cluster.procedure import Verb
from cluster.settings import Waits
from cluster.store import Store
from cluster.store.records import ROW
from policies.stops import stops_of
from tests.engine_fixture import NOW
from tests.engine_run import OP, begin, hold, small
from tests.engine_yard import Driving, Yard, wait_until
from tests.redis_fixture import redis_server, redis_url, store
from tests.workers.runbook_fixture import Bench
from workers.runbook import Site, StepBlocked, StepDone, Yielded, perform
from workers.silence import Silence

__all__ = ["redis_server", "redis_url", "small", "store"]  # pytest finds fixtures by name in this module

FOREVER = 100_000  # calls that do not reach a machine, or looks at a command


def dying(bench: Bench, site: Site) -> Site:
    """The machine is off from the first look on at what was started on it."""

    def sleep(seconds: float) -> None:
        bench.w1.cuts = FOREVER
        bench.clock.sleep(seconds)

    bench.w1.looks = FOREVER
    return replace(site, sleep=sleep)


def test_a_machine_that_dies_in_the_middle_of_a_command_blocks_its_step_and_says_since_when() -> None:
    """After the time that a machine may take to boot, and not after that of a command; a retry attaches to it."""
    bench = Bench()
    bench.api.declared = "v1.35.4"
    began = bench.clock.now()
    with pytest.raises(StepBlocked) as blocked:
        perform(dying(bench, bench.site("w1", Verb.UPGRADE_NODE)))
    finding, waits = blocked.value.finding, Waits()
    passed = (bench.clock.now() - began).total_seconds()
    assert waits.reboot < passed < waits.reboot + 10 < waits.remote_step
    assert finding.code == "machine-unreachable"
    assert f"no answer since {began:%H:%M} UTC" in finding.sentence
    assert "attached to, and not started twice" in finding.remedy
    bench.w1.cuts = 0
    (running,) = bench.w1.attempts.values()
    running.looks = 3
    perform(bench.site("w1", Verb.UPGRADE_NODE, attempt=2))
    assert [attempt[-3:] for attempt, _ in bench.w1.started] == ["-a1"]
    assert any("An earlier attempt still runs" in line for line in bench.told)


def test_a_silence_that_outlasts_its_driver_is_counted_on_by_the_next_one() -> None:
    """Where many runs share a few workers each drives for seconds: a time of its own would never be over."""
    bench, kept = Bench(), list[datetime | None]()
    site = dying(bench, bench.site("w1", Verb.FETCH))
    began = bench.clock.now()

    def turn(silence: Silence) -> None:
        ends = bench.clock.now() + timedelta(seconds=600)
        perform(replace(site, silence=silence, stopping=lambda: bench.clock.now() > ends))

    with pytest.raises(Yielded):
        turn(Silence(None, kept.append))
    (since,) = kept
    assert since is not None
    assert (since - began).total_seconds() < 5
    with pytest.raises(Yielded):
        turn(Silence(since, kept.append))
    with pytest.raises(StepBlocked, match=f"no answer since {since:%H:%M} UTC"):
        turn(Silence(since, kept.append))
    assert kept == [since]
    assert len(bench.w1.started) == 1


def test_a_machine_that_answers_the_next_driver_is_silent_no_more() -> None:
    """The record says so: what it is silent for later begins anew."""
    bench, kept = Bench(), list[datetime | None]()
    site = replace(bench.site("w1", Verb.FETCH), silence=Silence(bench.clock.now(), kept.append))
    assert isinstance(perform(site), StepDone)
    assert kept == [None]


def test_a_command_that_hangs_is_said_once_by_the_name_that_it_has_on_its_machine() -> None:
    """Counted from the recorded start of its attempt, and nothing is killed."""
    bench, said = Bench(), list[str]()
    site = replace(bench.site("w1", Verb.FETCH), stick=said.append)
    bench.w1.looks = 2000
    assert isinstance(perform(site), StepDone)
    assert said == [f"Its command `lockkeeper-{site.attempt_id}` has not ended for more than 3600 s; it is not killed."]
    taken_over, said = bench.site("w1", Verb.FETCH, position=1), list[str]()
    bench.clock.sleep(3601)
    bench.w1.looks = 1
    perform(replace(taken_over, stick=said.append))
    assert len(said) == 1


def test_a_stuck_command_is_on_record_until_it_ends_whoever_drives(small: Yard, store: Store) -> None:
    """Told in one event, and a stop of its own since then; the end of its step ends it."""
    gate = threading.Event()

    def stuck(site: Site) -> None:
        site.stick("Its command `x` has not ended for more than 3600 s; it is not killed.")
        hold(gate)(site)

    small.script("w-1", Verb.UPGRADE_NODE, stuck, stuck)
    driving = begin(small, store)
    wait_until(lambda: store.operation(OP).row("w-1").stuck)
    driving.end()
    driving = Driving(small, store, OP)
    wait_until(lambda: len([line for line in small.lines() if line[:3] == ["start", "w-1", Verb.UPGRADE_NODE]]) == 2)
    (stop,) = stops_of(store.operation(OP))
    assert stop.node == "w-1"
    gate.set()
    driving.join()
    operation = store.operation(OP)
    assert (operation.state, operation.row("w-1").stuck, operation.row("w-1").stopped_at) == (
        OperationState.COMPLETED,
        "",
        None,
    )
    (told,) = (e.sentence for _, e in store.events(OP) if e.kind is Happened.STEP_STUCK)
    assert told.startswith("w-1 is stuck while running kubeadm upgrade node. Its command `x` has not ended")


def test_a_silence_is_on_record_from_one_driver_to_the_next(small: Yard, store: Store) -> None:
    """With its event, as each change has; the one that gets an answer says that."""
    found = list[datetime | None]()

    def silent(site: Site) -> None:
        site.silence.begin(NOW)
        try:
            hold(threading.Event())(site)
        finally:
            site.silence.leave()

    def answering(site: Site) -> None:
        found.append(site.silence.since)
        site.silence.end()

    small.script("w-1", Verb.UPGRADE_NODE, silent, answering)
    driving = begin(small, store)
    wait_until(lambda: ["start", "w-1", Verb.UPGRADE_NODE] in [line[:3] for line in small.lines()])
    driving.end()
    assert store.operation(OP).row("w-1").silent_since == NOW
    Driving(small, store, OP).join()
    assert found == [NOW]
    assert store.operation(OP).row("w-1").silent_since is None
    told = [e.sentence for _, e in store.events(OP) if e.kind is Happened.STEP_WAITED]
    assert told == ["w-1 has given no answer since 14:00 UTC.", "w-1 answers again."]


def test_a_row_that_is_neither_is_written_as_before() -> None:
    """By this release and by the one before."""
    row = NodeRow("w-1", 3, state=RowState.STARTED, started_at=NOW)
    assert not {"stuck", "silent_since"} & set(ROW.dump_python(row, mode="json"))
    kept = replace(row, stuck="x", silent_since=NOW)
    assert ROW.validate_json(ROW.dump_json(kept)) == kept
