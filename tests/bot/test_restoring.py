"""A restore runbook is written with whatever can still be asked: the cluster, the record, or one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.restoring import make_runbook
from cluster.errors import ClusterUnreadable, Refused, StoreUnavailable
from cluster.etcd import EtcdSeat, read_seats
from cluster.events import Event, Happened
from cluster.inventory import Cluster
from policies.restoring import write_seats
from tests.engine_fixture import CLUSTER, NOW, settings

PODS = Path(__file__).parents[1] / "recordings" / "etcd" / "ha-pods.stdout"
SEATS = read_seats(json.loads(PODS.read_text(encoding="utf-8"))["items"])


class Record:
    """Two runs of the cluster, the newest first, with what each of them told."""

    def __init__(self) -> None:
        self.away = False
        self.told = {
            "op-2": [
                self.snapshot("op-2", "/a"),
                Event(Happened.NODE_FINISHED, NOW, CLUSTER, ""),
                self.snapshot("op-2", "/b"),
            ],
            "op-1": [self.snapshot("op-1", "/old")],
        }

    @staticmethod
    def snapshot(operation_id: str, stored: str) -> Event:
        facts = {"snapshot-path": "/here", "stored-path": stored, "etcd-members": write_seats(SEATS[:1])}
        return Event(Happened.STEP_FINISHED, NOW, CLUSTER, "", operation_id=operation_id, node="cp1", facts=facts)

    def operation_ids(self, cluster: str) -> tuple[str, ...]:
        assert cluster == CLUSTER
        if self.away:
            raise StoreUnavailable("Redis is away.")
        return tuple(self.told)

    def events(self, operation_id: str) -> list[tuple[str, Event]]:
        return [(str(number), event) for number, event in enumerate(self.told[operation_id])]


def answers(_: str, __: Cluster) -> tuple[EtcdSeat, ...]:
    return SEATS


def is_silent(_: str, __: Cluster) -> tuple[EtcdSeat, ...]:
    raise ClusterUnreadable("The API is away.")


def test_the_newest_snapshot_and_the_members_of_now_make_the_runbook():
    """A run of several hops takes one before each: the last of them."""
    made = make_runbook(settings(), Record(), None, find=answers)
    assert "--output etcd.db /b\n" in made.text
    assert "--name cp3 " in made.text
    assert made.unasked == ()


def test_a_cluster_that_is_gone_is_restored_as_it_was_when_the_snapshot_was_taken():
    """That is when a runbook is needed most; what was not asked is said."""
    made = make_runbook(settings(), Record(), CLUSTER, find=is_silent)
    assert "--name cp1 " in made.text
    assert "--name cp3 " not in made.text
    assert made.unasked == ("The API is away. The members are those of the last snapshot.",)


def test_without_the_record_the_cluster_alone_is_asked():
    """And people are told where runbooks lie that need neither."""
    record = Record()
    record.away = True
    made = make_runbook(settings(), record, None, find=answers)
    assert "Bring one of your own" in made.text
    assert made.unasked == ("Redis is away. Look into the store of snapshots: beside each lies its own runbook.",)
    with pytest.raises(Refused, match="No member of etcd is known"):
        make_runbook(settings(), record, None, find=is_silent)


def test_a_cluster_whose_runs_took_no_snapshot_has_a_runbook_all_the_same():
    """For a snapshot that people took themselves."""
    record = Record()
    record.told = {"op-1": []}
    assert "Bring one of your own" in make_runbook(settings(), record, None, find=answers).text
