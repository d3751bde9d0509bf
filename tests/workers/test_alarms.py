"""Firing alerts keep a run from beginning another node; it goes on by itself when they are gone for a while."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.alerts import Alert
from cluster.errors import AlertsUnreadable
from cluster.events import Happened
from cluster.inventory import Alerts
from cluster.operation import OperationState
from cluster.plan import PlanKind
from cluster.procedure import Verb
from cluster.store import Store
from tests.engine_fixture import CLUSTER, event, plan, record, settings
from tests.engine_run import OP, SMALL, begin
from tests.engine_yard import Driving, Yard, wait_until
from tests.redis_fixture import redis_server, redis_url, store
from workers.site import Site

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

DOWN = Alert("KubeAPIDown", (("severity", "critical"),))


class Bell:
    """A monitoring with a memory; `alerts` fire, or it is away."""

    def __init__(self) -> None:
        self.alerts: tuple[Alert, ...] = ()
        self.away = False
        self.asked = threading.Semaphore(0)

    def __call__(self) -> tuple[Alert, ...]:
        self.asked.release()
        if self.away:
            raise AlertsUnreadable("Prometheus at http://127.0.0.1:9 cannot be reached (refused): check it.")
        return self.alerts

    def again(self) -> None:
        """Until it was asked, and that answer was taken up."""
        while self.asked.acquire(blocking=False):
            pass
        for _ in range(2):
            assert self.asked.acquire(timeout=30)


@pytest.fixture
def bell() -> Bell:
    return Bell()


def watched(tmp_path: Path, bell: Bell, kind: PlanKind = PlanKind.UPGRADE, **config: object) -> Yard:
    """A small cluster whose alerts are looked up all the time."""
    whole = settings()
    alerts = Alerts.model_validate({"prometheus": "http://127.0.0.1:9", "calm": 0, **config})
    place = whole.clusters[CLUSTER].model_copy(update={"alerts": alerts})
    waits = whole.waits.model_copy(update={"alerts": 0.02})
    whole = whole.model_copy(update={"clusters": {CLUSTER: place}, "waits": waits})
    made = SMALL if kind is PlanKind.UPGRADE else plan(("cp-1",), (), kind=kind)
    return Yard(record(made), tmp_path / "log", settings=whole, firing=bell)


def told(store: Store) -> list[str]:
    return [e.sentence for _, e in store.events(OP) if e.kind is Happened.STEP_WAITED]


def cordons(yard: Yard) -> list[str]:
    return [line[1] for line in yard.lines() if line[0] == "start" and line[2] == Verb.CORDON]


def test_a_node_in_hand_ends_and_the_next_one_waits_until_all_is_quiet(
    tmp_path: Path, store: Store, bell: Bell
) -> None:
    """The thread names the alert; the quiet is counted from the record, whoever drives."""
    yard = watched(tmp_path, bell, calm=2)

    def ring(_: Site) -> None:
        bell.alerts = (DOWN,)
        bell.again()

    yard.script("w-1", Verb.DRAIN, ring)
    first = begin(yard, store)
    wait_until(lambda: "KubeAPIDown" in store.operation(OP).reason)
    assert yard.verbs("w-1")[-1] == Verb.UNCORDON
    assert store.operation(OP).state is OperationState.RUNNING
    assert cordons(yard) == ["cp-1", "w-1"]
    bell.alerts = ()
    wait_until(lambda: store.operation(OP).quiet_since)
    first.end()
    quiet = store.operation(OP).quiet_since
    assert quiet is not None
    Driving(yard, store, OP).join()
    operation = store.operation(OP)
    assert (operation.state, operation.reason) == (OperationState.COMPLETED, "")
    begun = next(e.at for _, e in store.events(OP) if e.node == "w-2" and e.step.endswith("workers/set-source"))
    assert quiet + timedelta(seconds=2) <= begun
    said = [s for s in told(store) if "alert" in s.lower()]
    assert said[0].startswith("No further node is begun: The alert KubeAPIDown (critical) fires in prod. A run waits")
    assert said[1].startswith("No alert fires any more: it goes on at ")
    assert said[2:] == ["No alert has fired since: it goes on."]


def test_an_alert_that_comes_back_begins_the_quiet_anew(tmp_path: Path, store: Store, bell: Bell) -> None:
    """Else one that flaps would be gone for long enough by and by."""
    yard = watched(tmp_path, bell, calm=600)
    bell.alerts = (DOWN,)
    driving = begin(yard, store)
    wait_until(lambda: store.operation(OP).reason)
    bell.alerts = ()
    wait_until(lambda: store.operation(OP).quiet_since)
    bell.alerts = (DOWN,)
    wait_until(lambda: store.operation(OP).quiet_since is None)
    assert yard.started() == []
    driving.end()


def test_an_alert_of_the_node_in_hand_keeps_nobody(tmp_path: Path, store: Store, bell: Bell) -> None:
    """It is away by our own doing; as soon as it is back, its alert counts as all others."""
    yard = watched(tmp_path, bell)

    def ring(site: Site) -> None:
        bell.alerts = (Alert("KubeNodeNotReady", (("node", site.node.name),)),)
        bell.again()

    def quiet(_: Site) -> None:
        bell.alerts = ()
        bell.again()

    for name in ("w-1", "w-2"):
        yard.script(name, Verb.DRAIN, ring)
        yard.script(name, Verb.UNCORDON, quiet)
    begin(yard, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert told(store) == []


@pytest.mark.parametrize("unreachable", ["halt", "go-on"])
def test_an_unreachable_monitoring_is_said_and_waited_for_as_configured(
    tmp_path: Path, store: Store, bell: Bell, unreachable: str
) -> None:
    """Once; nothing begins meanwhile, or everything goes on."""
    yard = watched(tmp_path, bell, unreachable=unreachable)
    bell.away = True
    driving = begin(yard, store)
    if unreachable == "halt":
        wait_until(lambda: store.operation(OP).reason)
        bell.again()
        assert yard.started() == []
        bell.away = False
    driving.join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert sum("Whether an alert fires in prod is not known" in s for s in told(store)) == 1


def test_a_revert_is_never_kept_waiting(tmp_path: Path, store: Store, bell: Bell) -> None:
    """What was edited by hand may be the very cause of the alert."""
    yard = watched(tmp_path, bell, PlanKind.REVERT, calm=600)
    bell.alerts = (DOWN,)
    begin(yard, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED


def spare(store: Store, *alerts: str, minutes: int = 60) -> None:
    """As a person does at the thread."""
    said = replace(event(Happened.ALERT_SPARED, operation_id=OP), at=datetime.now(UTC))
    store.spare(OP, alerts, "grace", "known", minutes, said)


def test_a_run_goes_on_at_once_in_spite_of_an_alert_that_a_person_passes_over(
    tmp_path: Path, store: Store, bell: Bell
) -> None:
    """It goes on firing, and nobody waits for it to be gone for a while; whoever else fires halts it again."""
    yard = watched(tmp_path, bell, calm=600)
    bell.alerts = (DOWN,)
    other = Alert("KubeJobFailed", ())

    def ring(_: Site) -> None:
        bell.alerts = (DOWN, other)
        bell.again()

    yard.script("w-1", Verb.DRAIN, ring)
    driving = begin(yard, store)
    wait_until(lambda: store.operation(OP).halting == ("KubeAPIDown",))
    assert store.operation(OP).halted_at is not None
    spare(store, "KubeAPIDown")
    wait_until(lambda: store.operation(OP).halting == ("KubeJobFailed",))
    assert cordons(yard) == ["cp-1", "w-1"]
    bell.again()
    assert "KubeAPIDown" not in store.operation(OP).reason
    spare(store, "KubeJobFailed")
    driving.join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert [s.alert for s in store.operation(OP).spared] == ["KubeAPIDown", "KubeJobFailed"]


def test_an_alert_that_was_passed_over_counts_again_at_its_end(tmp_path: Path, store: Store, bell: Bell) -> None:
    """For ever is nothing that a person can choose."""
    yard = watched(tmp_path, bell)
    bell.alerts = (DOWN,)
    driving = begin(yard, store)
    wait_until(lambda: store.operation(OP).halting)
    driving.end()
    told, past = event(Happened.ALERT_SPARED, operation_id=OP), datetime.now(UTC) - timedelta(minutes=2)
    store.spare(OP, ("KubeAPIDown",), "grace", "known", 1, replace(told, at=past))
    again = Driving(yard, store, OP)
    wait_until(lambda: store.operation(OP).halting)
    assert yard.started() == []
    again.end()


def test_a_monitoring_that_was_taken_out_of_the_settings_keeps_nobody(tmp_path: Path, store: Store, bell: Bell) -> None:
    """And its alert is no reason any more in what `status` says."""
    yard = watched(tmp_path, bell)
    bell.alerts = (DOWN,)
    driving = begin(yard, store)
    wait_until(lambda: store.operation(OP).reason)
    driving.end()
    Driving(Yard(record(SMALL), tmp_path / "log"), store, OP).join()
    operation = store.operation(OP)
    assert (operation.state, operation.reason) == (OperationState.COMPLETED, "")
    assert told(store)[-1] == "No alerts are looked for any more: it goes on."
