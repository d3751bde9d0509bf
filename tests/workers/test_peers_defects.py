"""What other upgraders of nodes got wrong, by reading their code and their issues: each once, as a test of ours."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from cluster.events import Happened
from cluster.findings import Finding, Severity
from cluster.inventory import Defaults
from cluster.operation import OperationState, RowState, schedule
from cluster.options import Options
from cluster.procedure import Verb
from cluster.store import Decision, Store
from cluster.store.ledger import key
from tests.engine_fixture import CLUSTER, NOW, approval, event, plan, propose, record
from tests.engine_run import OP, begin, blocked
from tests.engine_yard import Yard, wait_until
from tests.redis_fixture import redis_server, redis_url, store
from tests.workers.runbook_fixture import COMPONENTS, Bench, denied, node, pod, static_pod
from workers.runbook import StepBlocked, perform

__all__ = ["redis_server", "redis_url", "store"]

FULL = denied(429, "The disruption budget strict needs 1 healthy pods and has 1 currently", cause="DisruptionBudget")


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """One control plane and two workers, of which one may be away."""
    return Yard(record(plan(("cp-1",), ("w-1", "w-2"), max_unavailable=1)), tmp_path / "log")


def drained(bench: Bench) -> None:
    for verb in (Verb.CORDON, Verb.DRAIN):
        perform(bench.site("w1", verb))


def is_cordoned(bench: Bench, name: str = "w1") -> bool:
    return bool(bench.api.nodes[name]["spec"].get("unschedulable"))


def test_a_cordon_of_a_human_is_not_removed_by_a_success() -> None:
    """Two peers uncordon whatever they upgraded, also what somebody had cordoned for a reason of their own."""
    bench = Bench()
    bench.api.nodes["w1"]["spec"]["unschedulable"] = True
    drained(bench)
    perform(bench.site("w1", Verb.UNCORDON))
    assert is_cordoned(bench)


def test_a_cordon_of_a_human_is_not_removed_by_a_failure() -> None:
    """A peer gives back every node that it touched, those that a human had cordoned among them."""
    bench = Bench(options=Options(drain_timeout=60))
    bench.api.nodes["w1"]["spec"]["unschedulable"] = True
    bench.api.pods["a"] = pod("a", "w1")
    bench.api.always = {"/eviction": FULL}
    with pytest.raises(StepBlocked):
        drained(bench)
    assert is_cordoned(bench)


def test_a_failed_drain_does_not_leave_its_node_cordoned() -> None:
    """In two peers the error comes before the line that would have uncordoned."""
    bench = Bench(options=Options(drain_timeout=60))
    bench.api.pods["a"] = pod("a", "w1")
    bench.api.always = {"/eviction": FULL}
    with pytest.raises(StepBlocked):
        drained(bench)
    assert not is_cordoned(bench)


def test_a_first_refusal_of_a_budget_does_not_abort_the_batch() -> None:
    """The other pods leave meanwhile, and the refused one is asked again until its time is over."""
    bench = Bench()
    bench.api.pods |= {name: pod(name, "w1") for name in ("a", "b", "c")}
    bench.api.answers = [("POST", "/pods/a/eviction", FULL)] * 3
    drained(bench)
    assert not {"a", "b", "c"} & set(bench.api.pods)


def test_one_node_that_cannot_be_drained_takes_no_other_one_back(yard: Yard, store: Store) -> None:
    """A peer uncordons the whole batch at the first refusal; here the others are finished as they were begun."""
    made = plan(("cp-1",), ("w-1", "w-2"), max_unavailable=2)
    yard = Yard(record(made), yard.log)
    yard.script("w-1", Verb.DRAIN, blocked, blocked)
    begin(yard, store).join()
    operation = store.operation(OP)
    assert (operation.state, operation.row("w-1").state) == (OperationState.BLOCKED, RowState.BLOCKED)
    assert yard.verbs("w-2")[-1] in {Verb.UNCORDON, Verb.UNHOLD}
    assert yard.verbs("w-2").count(Verb.UNCORDON) == 1


def test_a_step_that_fails_is_not_tried_for_ever(yard: Yard, store: Store) -> None:
    """A peer tries each minute anew, evicting and giving back; here one failure waits for a person."""
    yard.script("w-1", Verb.INSTALL_KUBELET, *[blocked] * 50)
    begin(yard, store).join()
    assert store.operation(OP).state is OperationState.BLOCKED
    assert sum(line[:3] == ["start", "w-1", Verb.INSTALL_KUBELET] for line in yard.lines()) == 1


def test_a_drain_does_not_wait_for_ever_by_default() -> None:
    """A peer's time-out is 0 unless somebody sets it, and means none; here it has an end, and 0 is refused."""
    assert 0 < Options().drain_timeout < 3600
    with pytest.raises(ValidationError):
        Defaults(drain_timeout=0)


def test_a_run_does_not_go_on_past_its_window(yard: Yard, store: Store) -> None:
    """A peer looks at its window only while nothing is in hand; here each node asks before it begins."""
    closed = threading.Event()
    found = Finding("window-closed", Severity.BLOCKER, CLUSTER, "The window is closed.", "Wait.")
    yard.script("w-1", Verb.DRAIN, lambda _: closed.set())
    yard.findings = lambda _o, _s, n: (found,) if closed.is_set() and n.name == "w-2" else ()
    begin(yard, store).join()
    assert store.operation(OP).state is OperationState.PARKED
    assert yard.verbs("w-1").count(Verb.UNCORDON) == 1
    assert Verb.CORDON not in yard.verbs("w-2")


def test_a_lock_does_not_expire_on_a_stuck_node(yard: Yard, store: Store) -> None:
    """A peer's lock has a time to live: it ran out on a node that hung, and the next node was taken, and the next."""
    yard.script("w-1", Verb.DRAIN, blocked, blocked)
    begin(yard, store).join()
    assert store.client.ttl(key("lock", CLUSTER)) == -1
    other = propose(store, record(plan(("cp-1",), ("w-1",)), plan_id="p-2"))
    operation = schedule(other, operation_id="op-2", approved_by="grace", now=NOW)
    told = event(Happened.PLAN_APPROVED, plan_id="p-2")
    assert store.approve(other, approval(other, "op-2"), operation, told, NOW).decision is Decision.CLUSTER_LOCKED


def test_a_holder_that_is_gone_does_not_hold_the_lock_for_ever(yard: Yard, store: Store) -> None:
    """The other defect of such locks, a ghost holder: a driver's own hold does run out, and the next one goes on."""
    gate = threading.Event()
    yard.script("w-1", Verb.DRAIN, lambda _: gate.wait(30))
    driving = begin(yard, store)
    wait_until(lambda: store.lease_owner(OP) is not None)
    assert 0 < store.client.pttl(key("lease", OP)) <= 6000
    gate.set()
    driving.join()


def test_pods_that_still_terminate_are_not_taken_for_gone() -> None:
    """In a peer nobody calls the function that looks, and the kubelet is stopped under them."""
    bench = Bench(options=Options(drain_timeout=60))
    bench.api.pods["a"] = pod("a", "w1")
    bench.api.slow_to_end = {"a"}
    with pytest.raises(StepBlocked, match="demo/a is being deleted"):
        drained(bench)


def test_volumes_that_stay_attached_are_no_reason_to_go_on() -> None:
    """A peer's time-out of the detachment is a line in its log."""
    bench = Bench(options=Options(drain_timeout=60))
    source = {"persistentVolumeName": "pv-1"}
    bench.api.attachments = [{"spec": {"nodeName": "w1", "source": source}, "status": {"attached": True}}]
    with pytest.raises(StepBlocked, match="pv-1"):
        drained(bench)


def test_a_node_that_does_not_get_well_stops_the_run(yard: Yard, store: Store) -> None:
    """A peer goes on after its validation timed out; here nobody else is drained beside a node that is not well."""
    yard.script("w-1", Verb.VERIFY_NODE, blocked)
    begin(yard, store).join()
    assert store.operation(OP).state is OperationState.BLOCKED
    assert Verb.CORDON not in yard.verbs("w-2")


def test_health_is_looked_at_and_not_slept_for() -> None:
    """A peer sleeps 30 s and calls that healthy; here a kubelet that stays down blocks, however long one waits."""
    bench = Bench()
    bench.api.nodes["w1"] = node("w1", "v1.35.4")
    bench.api.nodes["w1"]["status"]["conditions"] = []
    with pytest.raises(StepBlocked, match="it is not Ready"):
        perform(bench.site("w1", Verb.VERIFY_NODE))


@pytest.mark.parametrize(("tag", "whole"), [("v1.35.4", True), ("v1.34.7", False), ("", False)])
def test_a_registry_with_a_port_does_not_hide_a_tag(tag: str, *, whole: bool) -> None:
    """A peer splits an image at its first colon, and takes the registry's port for a version."""
    bench = Bench()
    for name in ("cp1", "cp2"):
        for component in COMPONENTS:
            made = static_pod(component, name, tag)
            made["spec"]["containers"] = [{"image": f"mirror:5000/{component}{tag and f':{tag}'}"}]
            bench.api.pods[f"{component}-{name}"] = made
        bench.api.versions[f"{name}:6443"] = "v1.35.4"
    bench.api.declared = "v1.35.4"
    site = bench.site("cp1", Verb.VERIFY_CONTROL_PLANE)
    if whole:
        assert perform(site).facts == {"api-server": "v1.35.4"}
    else:
        with pytest.raises(StepBlocked, match=f"kube-apiserver{tag and f':{tag}'} and not v1.35.4"):
            perform(site)
