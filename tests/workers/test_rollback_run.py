"""A rollback carried out by the engine: the way of its workers alone, whatever fires, and no name but theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.alerts import Alert
from cluster.events import Happened
from cluster.inventory import Alerts
from cluster.operation import OperationState
from cluster.plan import PlanKind, UpgradePlan
from cluster.procedure import Verb
from cluster.report import CORDON_OWNER
from cluster.steering import skipped
from cluster.store import Store
from cluster.versions import ReportedVersion
from tests.engine_fixture import CLUSTER, NOW, approve, plan, record, report, settings
from tests.engine_yard import Driving, Yard
from tests.redis_fixture import redis_server, redis_url, store
from tests.workers.runbook_fixture import Bench
from workers import progress
from workers.runbook import perform
from workers.site import Site

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

OP = "op-1"
WAY = [
    Verb.HOLD,
    Verb.FETCH,
    Verb.CORDON,
    Verb.DRAIN,
    Verb.ROLL_BACK_KUBELET,
    Verb.VERIFY_NODE,
    Verb.SMOKE_TEST,
    Verb.UNCORDON,
    Verb.UNHOLD,
]


def way_back() -> UpgradePlan:
    """Of w-1, in a cluster of one control plane and two workers."""
    whole = plan(("cp-1",), ("w-1", "w-2"), max_unavailable=1, kind=PlanKind.ROLLBACK, targets=("1.34.7",))
    pool = whole.pools[1]
    return replace(whole, pools=(replace(pool, nodes=pool.nodes[:1], left_out=pool.nodes[1:]),))


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """All of it upgraded, and an alert that fires."""
    whole = settings(("cp-1", "w-1", "w-2"))
    alerts = Alerts.model_validate({"prometheus": "http://127.0.0.1:9", "calm": 600})
    place = whole.clusters[CLUSTER].model_copy(update={"alerts": alerts})
    made = Yard(record(way_back()), tmp_path / "log", firing=lambda: (Alert("KubeNodeNotReady", ()),))
    made.settings = whole.model_copy(update={"clusters": {CLUSTER: place}})
    upgraded = report(plan(("cp-1",), ("w-1", "w-2")))
    new = ReportedVersion.parse("v1.35.4")
    made.set_nodes(*(replace(n, kubelet=new, ready=n.name != "w-1") for n in upgraded.nodes))
    return made


def test_only_its_workers_are_touched_and_no_alert_keeps_them(yard: Yard, store: Store) -> None:
    """A node that is not Ready is why it goes back; the others are neither new nor left behind."""
    approve(store, yard.record, OP)
    Driving(yard, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert {line[1] for line in yard.lines()} == {"w-1"}
    assert yard.verbs("w-1") == WAY
    told = {e.kind: e.sentence for _, e in store.events(OP)}
    assert told[Happened.OPERATION_STARTED] == (
        "op-1 started: in prod the kubelet of w-1 goes back to v1.34.7, 1 node."
    )
    assert told[Happened.OPERATION_COMPLETED] == "In prod the rollback to v1.34.7 is over."
    assert Happened.NODE_JOINED not in told


def test_one_that_does_not_come_back_is_blocked_and_can_be_given_up(yard: Yard, store: Store) -> None:
    """With the same choices as in an upgrade; it stays cordoned, and the end says so."""

    def fail(site: Site) -> None:
        raise site.blocked("node-not-healthy", "w-1 is not well.", "Correct that.")

    yard.script("w-1", Verb.VERIFY_NODE, fail)
    approve(store, yard.record, OP)
    Driving(yard, store, OP).join()
    stopped = store.operation(OP)
    assert (stopped.state, stopped.row("w-1").cordoned_by_us) == (OperationState.BLOCKED, True)
    given_up = skipped(stopped, yard.record.plan, "w-1", "grace")
    (row,) = given_up.rows
    ended = replace(row, state=row.state.SKIPPED)
    made = progress.settle(yard.record, replace(given_up, rows=(ended,)), NOW)
    assert made is not None
    assert made.events[-1].sentence == (
        "In prod the rollback to v1.34.7 is over. Not rolled back: w-1 (skipped by grace). "
        "Still cordoned by us, since it stopped in the middle: w-1; uncordon it when well."
    )


@pytest.mark.parametrize(
    ("owner", "says", "lifted"),
    [
        ("op-of-the-upgrade", "was cordoned by op-of-the-upgrade before; when it is well it is uncordoned", True),
        ("", "was cordoned by somebody else before; it will stay cordoned afterwards", False),
    ],
)
def test_what_is_said_of_a_cordon_at_the_begin_is_what_becomes_of_it(owner: str, says: str, lifted: bool) -> None:  # noqa: FBT001
    """What an ended run of ours left is lifted, what a person set is kept."""
    bench = Bench("1.34.7", kind=PlanKind.ROLLBACK)
    node = bench.api.nodes["w1"]
    node["spec"]["unschedulable"] = True
    node["metadata"]["annotations"] = {CORDON_OWNER: owner} if owner else {}
    assert perform(bench.site("w1", Verb.CORDON)).sentence == f"w1 {says}."
    perform(bench.site("w1", Verb.UNCORDON))
    assert bool(node["spec"].get("unschedulable")) is not lifted
