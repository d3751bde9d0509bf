"""One driver at a time, whichever it is, and whatever happens to Redis meanwhile."""

from __future__ import annotations

import os
import threading

from cluster.events import Happened
from cluster.operation import OperationState, RowState
from cluster.procedure import Verb
from cluster.store import Store
from lab.redis import RedisServer
from tests.engine_fixture import CLUSTER, approve, event
from tests.engine_run import OP, begin, hold, kinds, small
from tests.engine_yard import Driving, Yard, wait_until
from tests.redis_fixture import own_redis, redis_server, redis_url, store
from workers.engine import drive
from workers.remote import FencedByMachine
from workers.site import Site

__all__ = ["own_redis", "redis_server", "redis_url", "small", "store"]  # pytest finds fixtures by name in this module


def test_a_second_driver_does_nothing_while_the_first_one_drives(small: Yard, store: Store) -> None:
    """Doubled wake-ups are harmless."""
    gate = threading.Event()
    small.script("cp-1", Verb.APPLY, hold(gate))
    driving = begin(small, store)
    wait_until(lambda: Verb.PLAN in small.verbs("cp-1"))
    for _ in range(3):
        Driving(small, store, OP).join()
    gate.set()
    driving.join()
    assert len(small.started()) == len(set(small.started()))
    assert Happened.DRIVER_TOOK_OVER not in kinds(store)


def test_a_hand_over_leaves_the_attempt_to_the_next_driver(small: Yard, store: Store) -> None:
    """Asked to leave, it leaves at the next poll; the next one attaches to the same attempt."""
    gate = threading.Event()
    small.script("cp-1", Verb.APPLY, hold(gate), hold(gate))
    driving = begin(small, store)
    wait_until(lambda: any(line[:3] == ["start", "cp-1", Verb.APPLY] for line in small.lines()))
    driving.end()
    assert store.lease_owner(OP) is None
    row = store.operation(OP).row("cp-1")
    gate.set()
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    starts = [s for s in small.started() if s == f"op-1-n0-s{row.position}-a{row.attempt}"]
    assert len(starts) == 2
    assert kinds(store).count(Happened.DRIVER_TOOK_OVER) == 1


def test_a_machine_that_knows_a_higher_fence_makes_us_rise_above_it(small: Yard, store: Store) -> None:
    """Redis forgot its counter; the lease is ours, so a higher fence is taken and the step goes on."""
    fences = []

    def refuse(site: Site) -> None:
        fences.append(site.fence)
        raise FencedByMachine("The machine has seen fence 40.", seen=40)

    small.script("w-1", Verb.FETCH, refuse, lambda site: fences.append(site.fence))
    begin(small, store).join()
    assert fences[0] < 40 < fences[1]
    assert store.operation(OP).state is OperationState.COMPLETED


def test_a_released_operation_is_left_at_once(small: Yard, store: Store) -> None:
    """The driver is fenced off; nothing new starts."""
    gate = threading.Event()
    small.script("cp-1", Verb.APPLY, hold(gate))
    driving = begin(small, store)
    wait_until(lambda: Verb.PLAN in small.verbs("cp-1"))
    wait_until(lambda: store.operation(OP).row("cp-1").state is RowState.STARTED)
    store.release(CLUSTER, OP, "grace", event(Happened.LOCK_RELEASED, operation_id=OP))
    gate.set()
    driving.join()
    assert Verb.VERIFY_CONTROL_PLANE not in small.verbs("cp-1")
    assert store.operation(OP).state is OperationState.CANCELLED


def test_a_redis_restart_in_the_middle_costs_nothing_but_time(small: Yard, own_redis: RedisServer) -> None:
    """The step in hand goes on, its end is recorded when Redis is back, no step comes twice."""
    store = Store.connect(own_redis.url)
    down = threading.Event()

    def outlive(site: Site) -> None:
        own_redis.kill()
        down.set()

    small.script("cp-1", Verb.APPLY, outlive)
    driving = begin(small, store)
    assert down.wait(60)
    wait_until(lambda: Verb.APPLY in small.verbs("cp-1"))
    assert Verb.VERIFY_CONTROL_PLANE not in small.verbs("cp-1")
    own_redis.restart()
    driving.join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert len(small.started()) == len(set(small.started()))
    assert kinds(store).count(Happened.STEP_FINISHED) == len(small.started())
    store.close()


def test_what_a_power_cut_tore_off_the_file_of_redis_is_recorded_again(small: Yard, own_redis: RedisServer) -> None:
    """The last writes are gone, whichever they were: no command gets a second attempt id by that."""
    store = Store.connect(own_redis.url)

    def tear(site: Site) -> None:
        own_redis.kill()
        file = max(own_redis.directory.rglob("*.aof"), key=lambda path: path.stat().st_mtime)
        os.truncate(file, file.stat().st_size - 100)
        own_redis.restart()

    small.script("cp-1", Verb.APPLY, tear)
    begin(small, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert all(row.state is RowState.FINISHED and row.attempt == 1 for row in store.operation(OP).rows)
    finished = [(e.node, e.step) for _, e in store.events(OP) if e.kind is Happened.STEP_FINISHED]
    assert len(finished) == len(set(finished))
    store.close()


def test_an_emptied_redis_stops_the_driver(small: Yard, own_redis: RedisServer) -> None:
    """Without its record nothing new starts."""
    store = Store.connect(own_redis.url)

    def wipe(site: Site) -> None:
        store.client.flushall()

    small.script("cp-1", Verb.APPLY, wipe)
    driving = begin(small, store)
    driving.thread.join(60)
    assert not driving.thread.is_alive()
    assert Verb.VERIFY_CONTROL_PLANE not in small.verbs("cp-1")
    store.close()


def test_a_driver_gives_way_to_work_that_waits(small: Yard, store: Store) -> None:
    """After its turn, when work waits that no worker is free for."""
    gate = threading.Event()
    small.script("cp-1", Verb.APPLY, hold(gate), hold(gate))
    small.others_wait = True
    approve(store, small.record, OP)
    drive(small.crew(store), OP, turn=0.2)
    assert store.operation(OP).state in {OperationState.RUNNING, OperationState.SCHEDULED}
    assert store.lease_owner(OP) is None
    small.others_wait = False
    gate.set()
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_giving_way_again_and_again_does_not_keep_a_node_from_being_verified(small: Yard, store: Store) -> None:
    """Its stability is watched for longer than a turn lasts; a new driver would begin to watch anew each time."""
    watched = threading.Event()

    def watch(site: Site) -> None:
        for _ in range(30):
            site.wait(0.05)
        watched.set()

    small.script("cp-1", Verb.VERIFY_NODE, *[watch] * 100)
    small.others_wait = True
    approve(store, small.record, OP)
    for _ in range(60):
        drive(small.crew(store), OP, turn=0.2)
        if watched.is_set():
            break
    assert watched.is_set()
