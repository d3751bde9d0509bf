"""Alerts of nodes in hand are silenced, each with an end; nothing is silent that nobody has in hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.errors import AlertsUnreadable
from cluster.inventory import Alerts
from cluster.operation import OperationState
from cluster.procedure import Verb
from cluster.store import Store
from tests.engine_fixture import approve, record, settings
from tests.engine_run import OP, SMALL
from tests.engine_yard import Driving, Yard, wait_until
from tests.monitoring_fixture import LabMonitoring, lab_monitoring
from tests.redis_fixture import redis_server, redis_url, store
from workers.hush import LASTS, pause_of
from workers.monitoring import Monitoring
from workers.silencing import Alertmanager, Silence
from workers.site import Site

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

NOW = datetime.now(UTC)


@pytest.fixture
def lab() -> Iterator[LabMonitoring]:
    with lab_monitoring() as made:
        yield made


def alertmanager(lab: LabMonitoring) -> Alertmanager:
    return Alertmanager(Monitoring(Alerts(alertmanager=lab.url, silence=True)), "node")


@pytest.fixture
def yard(tmp_path: Path, lab: LabMonitoring) -> Yard:
    """One and two machines; their alerts are silenced in the lab's Alertmanager."""
    whole = settings()
    waits = whole.waits.model_copy(update={"alerts": 0.01})
    return Yard(
        record(SMALL),
        tmp_path / "log",
        settings=whole.model_copy(update={"waits": waits}),
        silencer=alertmanager(lab),
    )


def until_silent(lab: LabMonitoring, names: list[str]) -> None:
    wait_until(lambda: [n for n in ("cp-1", "w-1", "w-2") if lab.silent(n)] == names, f"not only {names} are silent")


def test_each_node_is_silent_while_it_is_in_hand_and_not_longer(yard: Yard, store: Store, lab: LabMonitoring) -> None:
    """Alone, with an end, and a comment that names the run; at the end nothing is left."""
    seen: list[str] = []

    def look(site: Site) -> None:
        until_silent(lab, [site.node.name])
        (found,) = lab.silent(site.node.name)
        assert found["matchers"] == [{"name": "node", "value": site.node.name, "isRegex": False, "isEqual": True}]
        assert (found["createdBy"], found["comment"]) == ("lockkeeper", f"op-1 upgrades {site.node.name}")
        assert datetime.fromisoformat(found["endsAt"]) <= datetime.now(UTC) + LASTS
        seen.append(site.node.name)

    for name in ("cp-1", "w-1", "w-2"):
        yard.script(name, Verb.DRAIN, look)
    approve(store, yard.record, OP)
    Driving(yard, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert seen == ["cp-1", "w-1", "w-2"]
    until_silent(lab, [])


def test_the_next_driver_goes_on_with_the_silence_that_it_finds(yard: Yard, store: Store, lab: LabMonitoring) -> None:
    """One that hands over leaves it; it is renewed before it ends, and never made a second time."""
    gate, held = threading.Event(), threading.Event()

    def hold(site: Site) -> None:
        held.set()
        while not gate.is_set():
            site.wait(0.02)

    yard.script("w-1", Verb.DRAIN, hold, hold)
    approve(store, yard.record, OP)
    first = Driving(yard, store, OP)
    assert held.wait(30)
    until_silent(lab, ["w-1"])
    first.end()
    (found,) = lab.silent("w-1")
    soon = datetime.now(UTC) + LASTS / 3
    lab.silences[found["id"]]["endsAt"] = soon.isoformat()
    second = Driving(yard, store, OP)
    wait_until(lambda: datetime.fromisoformat(lab.silences[found["id"]]["endsAt"]) > soon, "it was not renewed")
    assert [s["id"] for s in lab.silent("w-1")] == [found["id"]]
    gate.set()
    second.join()
    until_silent(lab, [])


def test_a_node_that_is_blocked_is_heard_again(yard: Yard, store: Store, lab: LabMonitoring) -> None:
    """A person has to look at it now."""

    def stop(site: Site) -> None:
        until_silent(lab, ["w-1"])
        raise site.blocked("broken", "w-1 is broken.", "Mend it, then `retry`.")

    yard.script("w-1", Verb.VERIFY_NODE, stop)
    approve(store, yard.record, OP)
    Driving(yard, store, OP).join()
    assert store.operation(OP).state is OperationState.BLOCKED
    until_silent(lab, [])


def test_a_run_goes_on_where_nothing_can_be_silenced_and_says_it_once(
    yard: Yard, store: Store, lab: LabMonitoring
) -> None:
    """Whoever is called out knows why."""
    lab.status = 403
    approve(store, yard.record, OP)
    Driving(yard, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    told = [e.sentence for _, e in store.events(OP) if "may ring" in e.sentence]
    assert len(told) == 1
    assert "answered with 403" in told[0]


@pytest.mark.parametrize(("alerts", "pause"), [(0.01, 0.04), (15, 60), (75, 150), (3600, 150)])
def test_no_silence_ends_before_it_is_renewed(alerts: float, pause: float) -> None:
    """However seldom somebody has the alerts looked at: it is renewed in its second half, with time to spare."""
    assert pause_of(alerts) == pytest.approx(pause)
    assert timedelta(seconds=2 * pause) <= LASTS / 2


def test_only_our_own_silences_of_this_run_are_touched(lab: LabMonitoring) -> None:
    """Those of other people, of other runs, and those that are over, are not even seen."""
    ours = alertmanager(lab)
    ours.silence(Silence("", OP, "w-1", NOW, NOW + LASTS))
    ours.silence(Silence("", "op-2", "w-1", NOW, NOW + LASTS))
    name = next(iter(lab.silences))
    lab.silences["theirs"] = lab.silences[name] | {"id": "theirs", "createdBy": "ada"}
    lab.silences["over"] = lab.silences[name] | {"id": "over", "status": {"state": "expired"}}
    (found,) = ours.silences(OP)
    assert (found.node, found.begins, found.ends) == ("w-1", NOW, NOW + LASTS)
    ours.expire(found)
    assert ours.silences(OP) == ()
    with pytest.raises(AlertsUnreadable, match="answered with 400"):
        ours.silence(Silence("", OP, "w-1", NOW, NOW - timedelta(hours=1)))


def test_silences_need_an_alertmanager() -> None:
    """Prometheus knows none."""
    with pytest.raises(ValueError, match="needs an `alertmanager`"):
        Alerts.model_validate({"prometheus": "http://127.0.0.1:9", "silence": True})
