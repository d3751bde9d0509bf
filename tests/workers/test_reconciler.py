"""Who wakes what nobody drives: soon, but neither in a storm nor kept asleep by a record of somebody else."""

from __future__ import annotations

import pytest

from cluster.queues import Wakeups
from cluster.store import Store
from cluster.store.ledger import key
from tests.engine_fixture import NOW, approve, record
from tests.redis_fixture import redis_server, redis_url, store
from workers.reconciler import Pauses, reconcile

__all__ = ["redis_server", "redis_url", "store"]

OP = "op-1"


def taken(wakeups: Wakeups) -> int:
    """The wake-ups in the queue, which a worker takes; its driver dies at once."""
    waiting = len(wakeups.queue.get_job_ids())
    wakeups.queue.empty()  # type: ignore[no-untyped-call]
    return waiting


def test_an_operation_whose_driver_dies_at_once_is_not_woken_in_a_storm(store: Store, redis_url: str) -> None:
    """The first wake-up comes in the first round; twenty rounds in a row are not twenty drivers."""
    approve(store, record(), OP)
    wakeups, pauses = Wakeups.connect(redis_url), Pauses()
    woken = []
    for _ in range(20):
        reconcile(store, wakeups, NOW, pauses)
        woken.append(taken(wakeups))
    assert woken[0] == 1
    assert sum(woken) < 10


def test_a_driver_that_was_seen_makes_the_next_wake_up_prompt(store: Store, redis_url: str) -> None:
    """After a crash an operation stands still for its lease, and not for the pause of an earlier trouble."""
    approve(store, record(), OP)
    wakeups, pauses = Wakeups.connect(redis_url), Pauses()
    for _ in range(3):
        reconcile(store, wakeups, NOW, pauses)
        taken(wakeups)
    store.take_lease(OP, "driver", 60_000)
    reconcile(store, wakeups, NOW, pauses)
    store.drop_lease(OP, "driver")
    reconcile(store, wakeups, NOW, pauses)
    assert taken(wakeups) == 1


def test_a_record_that_cannot_be_read_keeps_no_other_operation_asleep(
    store: Store, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be of another release, or forged; the log says so once, and not at each round."""
    approve(store, record(), OP)
    store.client.hset(key("operation", "op-0"), mapping={"head": "{}", "nodes": "[]", "fence": "0", "cluster": "lab"})
    store.client.sadd(key("active"), "op-0")
    wakeups = Wakeups.connect(redis_url)
    for _ in range(3):
        reconcile(store, wakeups, NOW)
    assert taken(wakeups) == 1
    assert [r.message.partition(" is left out")[0] for r in caplog.records] == ["op-0"]


def test_a_driver_gives_way_to_other_work_and_not_to_a_report(redis_url: str) -> None:
    """What package sources offer can wait; who asked is told so, while machines in hand would stand still for it."""
    wakeups = Wakeups.connect(redis_url)
    wakeups.ask_for_offers("prod")
    assert not wakeups.anything_waits()
    wakeups.ask_for_survey("r-1")
    assert wakeups.anything_waits()
