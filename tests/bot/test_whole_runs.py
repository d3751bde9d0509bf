"""A whole run of real worker processes, told by bots of which there are two, or which Slack does not hear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cluster.events import Event, Happened
from cluster.operation import schedule
from cluster.store import Store
from lab.redis import RedisServer
from tests.bot_desk import Desk, quiet_desk
from tests.bot_fixture import CHANNEL
from tests.engine_fixture import CLUSTER, approval, record
from tests.engine_plant import OP, Plant, plant_on
from tests.engine_worker import SMALL
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["quiet_desk", "redis_server", "redis_url", "store"]


@pytest.fixture
def plant(redis_server: RedisServer, store: Store, tmp_path: Path) -> Iterator[Plant]:
    with plant_on(redis_server, tmp_path, store) as made:
        yield made


def approve(place: Desk) -> None:
    now = place.now()
    made = record(SMALL, requested_at=now, expires_at=now + timedelta(hours=1))
    place.store.propose(made, Event(Happened.PLAN_PROPOSED, now, CLUSTER, "A plan.", made.id))
    told = Event(Happened.PLAN_APPROVED, now, CLUSTER, "Approved.", made.id, OP)
    operation = schedule(made, operation_id=OP, approved_by="grace", now=now)
    place.store.approve(made, approval(made, OP), operation, told, now)


def told(place: Desk) -> Counter[str]:
    """Every message of the channel by its text."""
    return Counter(place.slack.text(m) for m in place.slack.messages(CHANNEL))


def is_told(place: Desk) -> bool:
    """The result as a message of its own, the last line of the thread, the card; and nothing is left to send."""
    whole = "\n".join(told(place))
    words = ("COMPLETED: PROD RUNS V1.35.4", "prod is at v1.35.4.", "UPGRADING PROD TO V1.35.4: 2 OF 2 MACHINES")
    return all(w in whole for w in words) and not place.store.outbox_pending()


def test_two_bots_and_four_workers_make_one_run_and_tell_it_once(quiet_desk: Desk, plant: Plant) -> None:
    """One driver at a time, each command started once, each message there once."""
    quiet_desk.start_bot()
    quiet_desk.start_bot()
    for _ in range(4):
        plant.worker()
    approve(quiet_desk)
    plant.wait_for_end()
    plant.check_history()
    quiet_desk.slack.wait_for(lambda _: is_told(quiet_desk))
    assert set(told(quiet_desk).values()) == {1}
    assert Happened.DRIVER_TOOK_OVER not in [e.kind for _, e in plant.store.events(OP)]


def test_a_run_needs_no_slack_from_its_approval_to_its_end(quiet_desk: Desk, plant: Plant) -> None:
    """Everything is told afterwards, once: the card as it is now, and the result as a message of its own."""
    quiet_desk.start_bot()
    quiet_desk.slack.outage()
    approve(quiet_desk)
    plant.worker()
    plant.wait_for_end()
    plant.check_history()
    assert told(quiet_desk) == Counter()
    quiet_desk.slack.outage(False)
    quiet_desk.offset += timedelta(minutes=1)  # whatever pause the sender makes is over
    quiet_desk.slack.wait_for(lambda _: is_told(quiet_desk))
    assert set(told(quiet_desk).values()) == {1}
