"""Nothing is ever removed from the store: whoever looks for the newest reads no more of it, and nothing large twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import islice

import pytest

from cluster.operation import OperationState, schedule
from cluster.plan import PlanKind, PlanRecord
from cluster.store import Store
from cluster.store.ledger import MOST, key
from cluster.store.operations import create_operation
from tests import scale_fixture as scale
from tests.engine_fixture import CLUSTER, NOW, plan, propose, record
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

MANY = 60  # more than a page of an index holds


def numbered(number: int, cluster: str = CLUSTER, kind: PlanKind = PlanKind.UPGRADE) -> PlanRecord:
    made, at = plan(), NOW + timedelta(hours=number)
    made = replace(made, kind=kind, identity=replace(made.identity, name=cluster))
    return record(made, plan_id=f"p-{number:03}", requested_at=at, request_id=f"r-{number}")


@pytest.fixture
def full(store: Store) -> Store:
    """Sixty plans and sixty runs of one cluster, after a single one of another, of which nothing has been read yet."""
    for number in range(MANY + 1):
        cluster = CLUSTER if number else "edge"
        made = propose(store, numbered(number, cluster, PlanKind.UPGRADE if number > 2 else PlanKind.REVERT))
        run = schedule(made, operation_id=f"op-{number:03}", approved_by="grace", now=made.requested_at)
        run = replace(run, state=OperationState.COMPLETED)
        store.commit(token=run.id, checks=[], effects=create_operation(run))
    return store


def spent(store: Store, command: str) -> int:
    """How often Redis did this, asked for it or in a script."""
    stats: dict[str, dict[str, int]] = store.client.info("commandstats")
    return stats.get(f"cmdstat_{command}", {}).get("calls", 0)


def test_a_list_gives_the_newest_and_reads_no_others(full: Store) -> None:
    """Of one cluster as of all; a record that nobody asked for is not fetched."""
    before = spent(full, "hget")
    assert [r.id for r in full.plans(CLUSTER, most=2)] == ["p-060", "p-059"]
    assert [r.id for r in full.plans("edge", most=2)] == ["p-000"]
    assert [o.id for o in full.ended(CLUSTER, 2)] == ["op-060", "op-059"]
    assert spent(full, "hget") - before == 5
    before = spent(full, "hkeys")  # of each run that is read whole
    assert [o.id for o in full.operations(CLUSTER, most=1)] == ["op-060"]
    assert [o.id for o in full.operations("edge", most=1)] == ["op-000"]
    assert spent(full, "hkeys") - before == 2
    assert len(full.plans()) == len(full.operations()) == MANY + 1 <= MOST


def test_the_plan_before_is_found_by_its_kind_however_long_ago_it_was_made(full: Store) -> None:
    """Neither plans of another kind nor those of another cluster are read on the way."""
    before = spent(full, "hget")
    found = full.plan_before(CLUSTER, PlanKind.REVERT, "r-2")
    assert found is not None
    assert found.id == "p-001"
    assert full.plan_before("edge", PlanKind.UPGRADE, "") is None
    assert spent(full, "hget") - before <= 2


def test_an_index_is_read_page_by_page_as_far_as_somebody_looks(full: Store) -> None:
    """And a run that begins in the middle of it hides none and repeats none."""
    before = spent(full, "zrevrange")
    ids = full.operation_ids(CLUSTER)
    first = list(islice(ids, 3))
    assert spent(full, "zrevrange") - before == 1
    late = schedule(numbered(99), operation_id="op-099", approved_by="grace", now=NOW + timedelta(hours=99))
    full.commit(token=late.id, checks=[], effects=create_operation(late))
    assert [*first, *ids] == [f"op-{number:03}" for number in range(MANY, 0, -1)]
    assert spent(full, "zrevrange") - before == 2


def test_a_survey_is_made_of_its_text_once_and_anew_when_another_one_was_kept(redis_url: str, store: Store) -> None:
    """Thousands of machines, for each report: who keeps the newer one does not matter."""
    older, newer = scale.survey(5), replace(scale.survey(5), read_at=NOW)
    assert store.survey("prod") is None
    store.save_survey(older)
    read = store.survey("prod")
    assert read == older
    assert store.survey("prod") is read
    other = Store.connect(redis_url)
    other.save_survey(newer)
    other.close()
    assert store.survey("prod") == newer != older
    store.client.delete(key("survey", "prod"))
    assert store.survey("prod") is None
