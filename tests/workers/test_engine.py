"""The driver's promises, on a real Redis, with steps that have a memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cluster.errors import KubeDenied, UnknownThing
from cluster.events import Happened
from cluster.findings import Finding, Findings, Severity
from cluster.operation import Operation, OperationState, RowState, Wish
from cluster.plan import PlanKind, PlanNode
from cluster.procedure import Phase, Step, Verb, fingerprint, itinerary
from cluster.queues import Wakeups
from cluster.store import Store
from lab.redis import RedisServer
from tests.engine_fixture import CLUSTER, NODES, WORKERS, approve, event, plan, record
from tests.engine_yard import Driving, Yard, wait_until
from tests.redis_fixture import own_redis, redis_server, redis_url, store
from tests.workers.runbook_fixture import pod
from workers.engine import drive
from workers.reconciler import reconcile
from workers.remote import FencedByMachine
from workers.site import AttemptLost, Site, StepBlocked
from workers.watch import FRESH

__all__ = ["own_redis", "redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

OP = "op-1"
SMALL = plan(("cp-1",), ("w-1", "w-2"), max_unavailable=1)


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    """Three and four machines that do as they are told."""
    return Yard(record(), tmp_path / "log")


@pytest.fixture
def small(tmp_path: Path) -> Yard:
    """One and two machines, of which one worker may be away."""
    return Yard(record(SMALL), tmp_path / "log")


def begin(yard: Yard, store: Store) -> Driving:
    approve(store, yard.record, OP)
    return Driving(yard, store, OP)


def kinds(store: Store) -> list[Happened]:
    return [e.kind for _, e in store.events(OP)]


def blocked(site: Site) -> None:
    raise site.blocked("broken", f"{site.node.name} is broken.", "Mend it, then `retry`.")


def hold(gate: threading.Event) -> Callable[[Site], None]:
    """A step that goes on until the gate opens, and yields when asked to."""

    def wait(site: Site) -> None:
        while not gate.is_set():
            site.wait(0.02)

    return wait


def stop_with(code: str) -> Finding:
    return Finding(code, Severity.BLOCKER, "w-1", "Something is in the way.", "Clear it.")


def test_nodes_that_do_not_move_at_every_hop_wait_for_their_turn(tmp_path: Path, store: Store) -> None:
    """A straggler begins alone, the others go from hop to hop with the control plane, or with its last one."""
    whole = plan(targets=("1.34.7", "1.35.4", "1.36.2"))
    moves = dict.fromkeys(WORKERS, (2,)) | {"w-1": (0, 1, 2)}
    pools = tuple(replace(p, nodes=tuple(replace(n, moves=moves.get(n.name)) for n in p.nodes)) for p in whole.pools)
    made = replace(whole, hops=(replace(whole.hops[0], whole=False), *whole.hops[1:]), pools=pools)
    yard = Yard(record(made), tmp_path / "log")
    begin(yard, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    for node in made.nodes:
        assert yard.verbs(node.name) == [s.verb for s in itinerary(made, node)]
    restarts = {n: yard.verbs(n).count(Verb.RESTART_KUBELET) for n in NODES}
    assert restarts == {"cp-1": 2, "cp-2": 2, "cp-3": 2, "w-1": 3, "w-2": 1, "w-3": 1, "w-4": 1}


def test_every_node_takes_every_step_once_and_in_order(yard: Yard, store: Store) -> None:
    """From scheduled to completed: each itinerary whole, phases as barriers, lock and Lease gone."""
    begin(yard, store).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.COMPLETED
    for node in yard.record.plan.nodes:
        assert yard.verbs(node.name) == [s.verb for s in itinerary(yard.record.plan, node)]
    assert len(yard.started()) == len(set(yard.started()))
    assert yard.phases() == [p.value for p in Phase if p not in {Phase.OPENING, Phase.CLOSING}]  # no hooks
    assert store.lock_holder(CLUSTER) is None
    assert yard.lease is None
    assert kinds(store)[0] is Happened.PLAN_APPROVED
    assert kinds(store)[1] is Happened.OPERATION_STARTED
    assert kinds(store)[-1] is Happened.OPERATION_COMPLETED
    assert (
        kinds(store).count(Happened.STEP_STARTED) == kinds(store).count(Happened.STEP_FINISHED) == len(yard.started())
    )


def test_the_last_event_tells_old_against_new(small: Yard, store: Store) -> None:
    """Every node's kubelet, from a report that was read at the end."""
    begin(small, store).join()
    last = store.events(OP)[-1][1]
    assert {last.facts[n] for n in ("cp-1", "w-1", "w-2")} == {"v1.34.7 -> v1.35.4"}


def test_never_more_workers_are_away_than_the_pool_allows(yard: Yard, store: Store) -> None:
    """A window of two over four workers."""
    begin(yard, store).join()
    assert yard.most_away == 2


def test_two_hops_are_walked_one_after_the_other(tmp_path: Path, store: Store) -> None:
    """No step of the second hop before the last of the first."""
    two = Yard(record(plan(("cp-1",), ("w-1",), targets=("1.35.4", "1.36.2"))), tmp_path / "log")
    begin(two, store).join()
    hops = [e.step.split("/")[0] for _, e in store.events(OP) if e.kind is Happened.STEP_STARTED]
    assert hops == sorted(hops)
    assert set(hops) == {"0", "1"}


def test_a_revert_runs_on_the_control_plane_alone(tmp_path: Path, store: Store) -> None:
    """Workers have no row in it."""
    revert = Yard(record(plan(kind=PlanKind.REVERT)), tmp_path / "log")
    begin(revert, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert {line[1] for line in revert.lines()} == {"cp-1", "cp-2", "cp-3"}


def test_a_failed_step_blocks_after_the_others_in_hand_have_finished(yard: Yard, store: Store) -> None:
    """Nobody new starts beside it; the reason names the node; no driver stays."""
    yard.script("w-1", Verb.UPGRADE_NODE, blocked)
    begin(yard, store).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert "w-1 is broken" in operation.reason
    assert operation.row("w-1").state is RowState.BLOCKED
    assert yard.verbs("w-2")[-1] == Verb.UNCORDON
    assert Verb.SET_SOURCE not in yard.verbs("w-3") + yard.verbs("w-4")
    assert store.lease_owner(OP) is None
    assert store.lock_holder(CLUSTER) == OP


def test_retry_starts_a_new_attempt_and_goes_on_to_the_end(small: Yard, store: Store) -> None:
    """The attempt id is a new one; nothing that was done is done again."""
    small.script("w-1", Verb.INSTALL_KUBELET, blocked)
    begin(small, store).join()
    store.retry(OP, "w-1", "grace", event(Happened.RETRY_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    tried = [line[3] for line in small.lines() if line[:3] == ["start", "w-1", Verb.INSTALL_KUBELET]]
    assert len(tried) == len(set(tried)) == 2
    assert small.verbs("w-1").count(Verb.DRAIN) == 1


def test_a_failed_drain_that_gave_the_node_back_begins_again_with_its_cordon(small: Yard, store: Store) -> None:
    """Its event says so, and no attempt id comes twice."""

    def pdb(site: Site) -> None:
        small.change_node(site.node.name, cordoned=False)
        raise StepBlocked(site.blocked("drain-blocked", "A budget forbids it.", "Lift it.").finding, uncordoned=True)

    small.script("w-1", Verb.DRAIN, pdb)
    begin(small, store).join()
    row = store.operation(OP).row("w-1")
    assert (row.state, row.cordoned_by_us) == (RowState.BLOCKED, False)
    assert Happened.NODE_UNCORDONED in kinds(store)
    store.resume(OP, "grace", event(Happened.RESUME_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert small.verbs("w-1").count(Verb.CORDON) == 2
    assert len(small.started()) == len(set(small.started()))


def test_a_vanished_attempt_is_replaced_a_few_times_then_a_person_is_asked(small: Yard, store: Store) -> None:
    """Each replacement has its own id."""

    def lost(site: Site) -> None:
        raise AttemptLost("The machine was restarted.")

    small.script("w-1", Verb.UPGRADE_NODE, lost)
    small.script("w-2", Verb.UPGRADE_NODE, lost, lost, lost)
    begin(small, store).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    finding = operation.row("w-2").finding
    assert finding is not None
    assert finding.code == "attempt-lost"
    assert small.verbs("w-1").count(Verb.UPGRADE_NODE) == 1
    assert len(small.started()) == len(set(small.started()))


def test_attempts_that_vanish_are_counted_whoever_drives(small: Yard, store: Store) -> None:
    """A driver that gives way to others after its turn would otherwise begin to count anew, and so on for ever."""

    def lost(site: Site) -> None:
        raise AttemptLost("The machine was restarted.")

    small.script("w-1", Verb.UPGRADE_NODE, lost, lost, hold(threading.Event()))
    driving = begin(small, store)
    wait_until(lambda: store.operation(OP).row("w-1").lost == 2)
    driving.end()
    small.scripts["w-1", Verb.UPGRADE_NODE] = [lost]
    Driving(small, store, OP).join()
    row = store.operation(OP).row("w-1")
    assert (row.state, row.finding and row.finding.code) == (RowState.BLOCKED, "attempt-lost")
    store.retry(OP, "w-1", "grace", event(Happened.RETRY_ASKED, operation_id=OP))
    assert store.operation(OP).row("w-1").lost == 0


def test_a_bug_in_a_step_blocks_its_node_and_tells_only_a_reference(small: Yard, store: Store) -> None:
    """No traceback and no message of the exception reaches the record."""

    def bug(site: Site) -> None:
        raise KeyError("secret-detail")

    small.script("w-1", Verb.DRAIN, bug)
    begin(small, store).join()
    finding = store.operation(OP).row("w-1").finding
    assert finding is not None
    assert finding.code == "internal-error"
    assert "secret-detail" not in finding.sentence + finding.remedy


def test_what_a_step_says_of_itself_blocks_its_node(small: Yard, store: Store) -> None:
    """A deliberate error without a code of its own; its words are for people."""

    def give_up(site: Site) -> None:
        raise UnknownThing(f"{site.node.name} has no such thing.")

    small.script("w-1", Verb.DRAIN, give_up)
    begin(small, store).join()
    finding = store.operation(OP).row("w-1").finding
    assert finding is not None
    assert (finding.code, finding.sentence) == ("step-failed", "w-1 has no such thing.")


def test_pause_finishes_the_nodes_in_hand_and_resume_goes_on(small: Yard, store: Store) -> None:
    """The node in hand is uncordoned first; the next one waits."""
    gate = threading.Event()
    small.script("w-1", Verb.DRAIN, hold(gate))
    driving = begin(small, store)
    wait_until(lambda: Verb.CORDON in small.verbs("w-1"))
    store.wish(OP, Wish.PAUSE, "grace", event(Happened.PAUSE_ASKED, operation_id=OP))
    gate.set()
    driving.join()
    operation = store.operation(OP)
    assert (operation.state, operation.reason) == (OperationState.PARKED, "paused by grace")
    assert small.verbs("w-1")[-1] == Verb.UNCORDON
    assert Verb.CORDON not in small.verbs("w-2")
    store.resume(OP, "grace", event(Happened.RESUME_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_cancel_finishes_the_nodes_in_hand_and_restores_the_touched_ones(small: Yard, store: Store) -> None:
    """Every touched node is unheld; the cluster is free; upgraded and left nodes are told apart."""
    gate = threading.Event()
    small.script("w-1", Verb.DRAIN, hold(gate))
    driving = begin(small, store)
    wait_until(lambda: Verb.CORDON in small.verbs("w-1"))
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    gate.set()
    driving.join()
    operation = store.operation(OP)
    assert operation.state is OperationState.CANCELLED
    assert [small.verbs(n)[-1] for n in ("cp-1", "w-1", "w-2")] == [Verb.UNHOLD] * 3
    assert small.verbs("w-1")[-2] == Verb.UNCORDON
    assert Verb.CORDON not in small.verbs("w-2")
    assert operation.row("w-2").state is RowState.SKIPPED
    assert store.lock_holder(CLUSTER) is None
    assert small.lease is None
    assert kinds(store).count(Happened.OPERATION_CANCELLING) == 1
    assert kinds(store)[-1] is Happened.OPERATION_CANCELLED


def test_a_blocked_operation_can_be_cancelled(small: Yard, store: Store) -> None:
    """The broken node is left as it is, its holds are restored."""
    small.script("w-1", Verb.RESTART_KUBELET, blocked)
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.CANCELLED
    assert small.verbs("w-1")[-1] == Verb.UNHOLD
    assert Verb.UNCORDON not in small.verbs("w-1")


def test_an_operation_that_was_never_begun_is_cancelled_without_a_step(small: Yard, store: Store) -> None:
    """Untouched nodes are skipped, and named in the event of it: there is no state without one."""
    approve(store, small.record, OP)
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.CANCELLED
    assert small.lines() == []
    (told,) = (e for _, e in store.events(OP) if e.kind is Happened.NODE_SKIPPED)
    assert told.facts["nodes"] == "cp-1, w-1, w-2"


@pytest.mark.parametrize(
    ("code", "state"), [("foreign-change", OperationState.PARKED), ("approval-not-genuine", OperationState.BLOCKED)]
)
def test_a_no_of_the_gate_stops_before_the_step(small: Yard, store: Store, code: str, state: OperationState) -> None:
    """Parked or blocked by its code; after it is cleared, resume goes on."""
    small.findings = lambda _o, step, _n: (stop_with(code),) if step.verb is Verb.APPLY else ()
    begin(small, store).join()
    operation = store.operation(OP)
    assert operation.state is state
    assert "Something is in the way." in operation.reason
    assert Verb.APPLY not in small.verbs("cp-1")
    small.findings = lambda _o, _s, _n: ()
    store.resume(OP, "grace", event(Happened.RESUME_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_a_closed_window_parks_until_it_opens_and_the_reconciler_goes_on(
    small: Yard, store: Store, redis_url: str
) -> None:
    """Nobody has to be awake; before that moment nothing wakes it."""
    small.findings = lambda _o, step, _n: (stop_with("window-closed"),) if step.verb is Verb.CORDON else ()
    begin(small, store).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.PARKED
    assert operation.goes_on_at is not None
    wakeups = Wakeups.connect(redis_url)
    reconcile(store, wakeups, operation.goes_on_at - timedelta(seconds=1))
    assert store.operation(OP).state is OperationState.PARKED
    reconcile(store, wakeups, operation.goes_on_at)
    going = store.operation(OP)
    assert (going.state, going.goes_on_at, going.reason) == (OperationState.RUNNING, None, "")
    small.findings = lambda _o, _s, _n: ()
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_a_run_of_another_release_is_not_misread(small: Yard, store: Store) -> None:
    """Its rows count steps that this release may not have: it stops before anything is touched, and says so."""
    begun = approve(store, small.record)
    rows = (replace(begun.rows[0], position=3), *begun.rows[1:])
    store.move(begun, replace(begun, procedure="0ld0ld00", rows=rows), fence=None, events=(), token="older")
    Driving(small, store, OP).join()
    operation = store.operation(OP)
    assert (operation.state, small.started()) == (OperationState.BLOCKED, [])
    assert "begun by another release of lockkeeper" in operation.reason  # other-release


def test_a_run_that_another_release_scheduled_and_nobody_began_is_ours(small: Yard, store: Store) -> None:
    """While a new release is rolled out, an older bot may approve what a newer worker carries out."""
    begun = approve(store, small.record)
    store.move(begun, replace(begun, procedure="0ld0ld00"), fence=None, events=(), token="older")
    Driving(small, store, OP).join()
    operation = store.operation(OP)
    assert (operation.state, operation.procedure) == (OperationState.COMPLETED, fingerprint(small.record.plan))


def test_a_passing_no_of_the_gate_is_asked_again(small: Yard, store: Store) -> None:
    """One look at a cluster between two states stops nothing."""
    answers = [(stop_with("foreign-change"),)]
    small.findings = lambda _o, step, _n: answers.pop() if step.verb is Verb.PLAN and answers else ()
    begin(small, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_an_unreadable_cluster_is_waited_for_and_told_once(small: Yard, store: Store) -> None:
    """No step starts meanwhile, and none is blocked by it."""

    def leave(site: Site) -> None:
        small.away = True
        time.sleep(FRESH * 1.5)  # until no report from before counts as live

    small.script("cp-1", Verb.VERIFY_CONTROL_PLANE, leave)
    driving = begin(small, store)
    wait_until(lambda: any(e.kind is Happened.STEP_WAITED for _, e in store.events(OP)))
    assert Verb.CORDON not in small.verbs("cp-1")
    small.away = False
    driving.join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert len([e for _, e in store.events(OP) if "readable" in e.sentence]) == 1


def test_an_unreadable_cluster_blocks_after_its_deadline(small: Yard, store: Store) -> None:
    """The reason says what could not be read."""
    small.settings = small.settings.model_copy(
        update={"waits": small.settings.waits.model_copy(update={"control_plane": 0.3})}
    )
    small.away = True
    begin(small, store).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert "could not be read" in operation.reason
    assert small.lines() == []


def test_the_only_api_server_is_mended_by_the_attempt_that_follows_the_one_that_broke_it(
    small: Yard, store: Store
) -> None:
    """Its manifest may have been moved away when the machine went down: to wait for the API alone would be for ever."""

    def break_off(site: Site) -> None:
        small.away = True
        time.sleep(FRESH * 1.5)  # until no report from before counts as live
        raise AttemptLost("The machine was restarted.")

    def mend(_: Site) -> None:
        small.away = False

    small.settings = small.settings.model_copy(
        update={"waits": small.settings.waits.model_copy(update={"control_plane": 0.3})}
    )
    small.script("cp-1", Verb.APPLY, break_off, mend)
    begin(small, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert [line[0] for line in small.lines() if line[1:3] == ["cp-1", Verb.APPLY]] == ["start", "start", "end"]


def test_a_cluster_of_another_installation_is_not_touched(small: Yard, store: Store) -> None:
    """Its Lease stays, no step starts, the finding names the holder."""
    small.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "other/op-9"}}
    begin(small, store).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert "other/op-9" in operation.reason
    assert small.lines() == []
    assert small.lease["spec"]["holderIdentity"] == "other/op-9"


def test_what_another_installation_blocks_can_still_be_cancelled(small: Yard, store: Store) -> None:
    """Nothing was begun, so nothing has to be restored; the other's Lease stays."""
    small.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "other/op-9"}}
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.CANCELLED
    assert small.lease["spec"]["holderIdentity"] == "other/op-9"


def test_a_mark_of_our_own_without_a_record_stops_and_asks(small: Yard, store: Store) -> None:
    """A Redis that lost its data must not be taken for a fresh one."""
    small.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "lockkeeper/op-9"}}
    begin(small, store).join()
    stops = [e for _, e in store.events(OP) if e.kind is Happened.OPERATION_BLOCKED]
    assert [e.facts["codes"] for e in stops] == ["traces-without-record"]


def test_a_mark_of_an_ended_operation_of_ours_is_taken_over(small: Yard, store: Store) -> None:
    """A crash between the last move and the Lease's end must not lock the cluster for ever."""
    begin(small, store).join()
    small.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "lockkeeper/op-1"}}
    again = replace(record(SMALL, plan_id="p-2"))
    approve(store, again, "op-2")
    Driving(Yard(again, small.log.with_name("log2")), store, "op-2").join()
    assert store.operation("op-2").state is OperationState.COMPLETED


def test_a_node_that_left_is_skipped_and_one_that_joined_is_only_told(yard: Yard, store: Store) -> None:
    """The rest goes on."""
    nodes = {n.name: n for n in yard.report.nodes}
    joined = replace(nodes.pop("w-4"), name="w-9", uid="uid-w-9")
    yard.set_nodes(*nodes.values(), joined)
    begin(yard, store).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.COMPLETED
    assert operation.row("w-4").state is RowState.SKIPPED
    assert kinds(store).count(Happened.NODE_SKIPPED) == 1
    assert kinds(store).count(Happened.NODE_JOINED) == 1
    assert {line[1] for line in yard.lines()} <= set(NODES)


def test_a_cordon_of_somebody_else_takes_a_place_and_the_wait_is_told(small: Yard, store: Store) -> None:
    """With one place and a foreign cordon on it, only that node moves; the other waits until it is free."""
    small.change_node("w-2", cordoned=True)
    uncordoned = threading.Event()
    small.script("w-2", Verb.UNCORDON, lambda _: uncordoned.set())
    original = small.change_node

    def stays(name: str, **changes: object) -> None:
        if name == "w-2" and changes.get("cordoned") is False:
            return
        original(name, **changes)

    small.change_node = stays  # type: ignore[method-assign]
    driving = begin(small, store)
    wait_until(lambda: any("Waiting for w-2" in e.sentence for _, e in store.events(OP)))
    assert Verb.CORDON not in small.verbs("w-1")
    original("w-2", cordoned=False)
    driving.join()
    assert uncordoned.is_set()
    assert store.operation(OP).state is OperationState.COMPLETED


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


def test_state_and_events_agree_for_every_worker(yard: Yard, store: Store) -> None:
    """No state without its event: each finished node has exactly one."""
    begin(yard, store).join()
    finished = [e.node for _, e in store.events(OP) if e.kind is Happened.NODE_FINISHED]
    assert sorted(finished) == sorted(NODES)
    assert set(WORKERS) <= set(finished)


def test_one_of_two_blocked_nodes_can_be_tried_again_at_the_first_step_of_a_stage(yard: Yard, store: Store) -> None:
    """Beside a node that stays blocked nobody new starts; one that had begun is not new."""
    yard.script("w-1", Verb.SET_SOURCE, blocked)
    yard.script("w-2", Verb.SET_SOURCE, blocked)
    begin(yard, store).join()
    store.retry(OP, "w-1", "grace", event(Happened.RETRY_ASKED, operation_id=OP))
    Driving(yard, store, OP).join()
    operation = store.operation(OP)
    assert (operation.state, operation.row("w-2").state) == (OperationState.BLOCKED, RowState.BLOCKED)
    assert yard.verbs("w-1")[-1] == Verb.UNCORDON


def test_a_cancelled_node_whose_holds_were_restored_late_is_not_told_as_upgraded(small: Yard, store: Store) -> None:
    """Neither a block nor a reboot while its holds are restored turns it into a node that is done."""

    def lost(site: Site) -> None:
        raise AttemptLost("The machine was restarted.")

    small.script("cp-1", Verb.PLAN, blocked)
    small.script("w-1", Verb.UNHOLD, blocked)
    small.script("w-2", Verb.UNHOLD, lost)
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.BLOCKED
    store.retry(OP, "w-1", "grace", event(Happened.RETRY_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    operation = store.operation(OP)
    assert operation.state is OperationState.CANCELLED
    assert {r.state for r in operation.rows} == {RowState.SKIPPED}
    assert Happened.NODE_FINISHED not in kinds(store)


def test_a_cancelled_node_that_is_cordoned_and_unchanged_is_given_back(small: Yard, store: Store) -> None:
    """A drain that ended in a bug could not uncordon; nothing on the machine was touched."""

    def bug(site: Site) -> None:
        raise KeyError(site.node.name)

    small.script("w-1", Verb.DRAIN, bug)
    small.refuses_uncordon = True
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    operation = store.operation(OP)
    assert (operation.state, operation.row("w-1").state) == (OperationState.CANCELLED, RowState.SKIPPED)
    assert small.verbs("w-1")[-2:] == [Verb.UNCORDON, Verb.UNHOLD]
    assert not any(n.cordoned for n in small.report.nodes)


def test_a_node_that_stays_cordoned_after_a_cancel_is_named(small: Yard, store: Store) -> None:
    """It stopped in the middle of its kubelet: nobody wants work on it unasked."""
    small.script("w-1", Verb.VERIFY_NODE, blocked)
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    _, last = store.events(OP)[-1]
    assert last.kind is Happened.OPERATION_CANCELLED
    assert "Still cordoned by us, since it stopped in the middle: w-1" in last.sentence


def test_holds_are_restored_also_where_holding_itself_was_blocked(small: Yard, store: Store) -> None:
    """The first step may have had its effect although its end was never seen."""
    small.script("w-1", Verb.HOLD, blocked)
    begin(small, store).join()
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    Driving(small, store, OP).join()
    assert store.operation(OP).state is OperationState.CANCELLED
    assert small.verbs("w-1") == [Verb.UNHOLD]


def test_resume_lifts_a_pause_also_where_a_node_is_blocked(small: Yard, store: Store) -> None:
    """One word of a person is enough, while another node is still in hand."""
    approve(store, small.record, OP)
    operation = store.operation(OP)
    rows = (replace(operation.rows[0], state=RowState.BLOCKED), *operation.rows[1:])
    paused = replace(operation, rows=rows, state=OperationState.RUNNING, wish=Wish.PAUSE, wished_by="ada")
    store.move(operation, paused, fence=None, events=(), token="t-1")
    resumed = store.resume(OP, "grace", event(Happened.RESUME_ASKED, operation_id=OP))
    assert (resumed.wish, resumed.rows[0].state) == (Wish.NONE, RowState.WAITING)


def test_a_window_is_cordoned_before_its_first_eviction(yard: Yard, store: Store) -> None:
    """What is evicted from one worker must not land on the next one; a cordon that takes long is waited for."""
    pools = (yard.record.plan.pools[0], replace(yard.record.plan.pools[1], max_unavailable=3))
    yard = Yard(record(replace(yard.record.plan, pools=pools)), yard.log)
    yard.script("w-2", Verb.CORDON, lambda site: site.wait(1.0))
    begin(yard, store).join()
    told = [
        (what, node) for what, node, verb, *_ in yard.lines() if (what, verb) in {("end", "cordon"), ("start", "drain")}
    ]
    first_drain = next(n for n, (what, node) in enumerate(told) if what == "start" and node.startswith("w"))
    assert {node for what, node in told[:first_drain] if node.startswith("w")} == {"w-1", "w-2", "w-3"}
    steps = [(e.kind, e.step, e.node) for _, e in store.events(OP)]
    cordoned = steps.index((Happened.STEP_FINISHED, "0/workers/cordon", "w-2"))
    drains = [
        n for n, (kind, step, _) in enumerate(steps) if (kind, step) == (Happened.STEP_STARTED, "0/workers/drain")
    ]
    assert min(drains) > cordoned  # no drain's time counts before it may begin


@pytest.mark.parametrize("verb", [Verb.SET_SOURCE, Verb.INSTALL_KUBEADM, Verb.UPGRADE_NODE])
def test_a_worker_that_stops_before_its_drain_works_on_meanwhile(small: Yard, store: Store, verb: Verb) -> None:
    """It is uncordoned, as its kubelet is untouched; the next attempt begins with its cordon."""
    small.script("w-1", verb, blocked)
    begin(small, store).join()
    operation = store.operation(OP)
    row = operation.row("w-1")
    assert (operation.state, row.state, row.cordoned_by_us) == (OperationState.BLOCKED, RowState.BLOCKED, False)
    assert itinerary(small.record.plan, small.record.plan.nodes[1])[row.position].verb is Verb.CORDON
    assert not any(n.cordoned for n in small.report.nodes)
    assert Happened.NODE_UNCORDONED in kinds(store)


def test_somebody_is_left_to_take_over_a_database_whatever_the_window_lets_in(yard: Yard, store: Store) -> None:
    """Its other node waits until the first one is back; a third one goes in its place, and the wait is told."""
    pools = (yard.record.plan.pools[0], replace(yard.record.plan.pools[1], max_unavailable=2))
    labels = {"cnpg.io/podRole": "instance", "cnpg.io/cluster": "main"}
    pods = [pod(f"main-{n}", f"w-{n}", kind="Cluster") for n in (1, 2)]
    for made in pods:
        made["metadata"]["labels"] = labels
    yard = Yard(record(replace(yard.record.plan, pools=pools)), yard.log, pods=pods)
    for name in ("w-1", "w-2"):  # whichever is let in first
        yard.script(name, Verb.DRAIN, lambda _: wait_until(lambda: Verb.UNCORDON in yard.verbs("w-4")))
    begin(yard, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    ended = [(node, verb) for what, node, verb, *_ in yard.lines() if what == "end"]
    first, second = sorted(("w-1", "w-2"), key=lambda name: ended.index((name, Verb.CORDON)))
    assert ended.index((second, Verb.CORDON)) > ended.index((first, Verb.UNCORDON))
    assert ended.index(("w-3", Verb.CORDON)) < ended.index((first, Verb.UNCORDON))


def test_what_a_database_waits_for_is_told_where_nobody_else_can_go_on(yard: Yard, store: Store) -> None:
    """An instance that is not ready may come back by itself; until then its run can be paused or cancelled."""
    pods = [pod("main-1", "w-1", kind="Cluster"), pod("main-2", "elsewhere", kind="Cluster")]
    for made in pods:
        made["metadata"]["labels"] = {"cnpg.io/podRole": "instance", "cnpg.io/cluster": "main"}
    pods[1]["status"]["conditions"] = []
    yard.pods = pods
    driving = begin(yard, store)
    wait_until(lambda: any("another instance of the database demo/main" in e.sentence for _, e in store.events(OP)))
    assert Verb.CORDON not in yard.verbs("w-1")
    pods[1]["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    driving.join()
    assert store.operation(OP).state is OperationState.COMPLETED


def test_a_second_replica_that_a_drain_left_behind_is_taken_back_at_the_end_at_the_latest(
    small: Yard, store: Store
) -> None:
    """It is on record before it is there, and no run ends before its record was gone through."""
    path = "/apis/apps/v1/namespaces/demo/deployments/web"
    small.script("w-1", Verb.DRAIN, lambda site: site.record_surge(("demo/web",)))
    begin(small, store).join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert store.operation(OP).row("w-1").surged == ("demo/web",)
    assert small.asked.count(path) == 1
    assert [e.sentence for _, e in store.events(OP) if "replica" in e.sentence] == [
        "demo/web gets a second replica before the drain of w-1."
    ]


def _away_at_the_cordon(yard: Yard) -> Callable[[Operation, Step, PlanNode], Findings]:
    """A gate that lets w-1 to its cordon in the moment in which w-2 goes away."""
    gone: list[str] = []

    def judge(_operation: Operation, step: Step, node: PlanNode) -> Findings:
        if (node.name, step.verb, gone) == ("w-1", Verb.CORDON, []):
            gone.append("w-2")
            yard.change_node("w-2", ready=False)
        return ()

    return judge


def test_a_node_that_went_away_meanwhile_takes_the_place_before_the_next_cordon(small: Yard, store: Store) -> None:
    """A node may be let in before another one goes away; the limit holds at the cordon itself, and the wait is told."""
    small.findings = _away_at_the_cordon(small)
    driving = begin(small, store)
    wait_until(lambda: any("Waiting for w-2" in e.sentence for _, e in store.events(OP)))
    assert Verb.CORDON not in small.verbs("w-1")
    small.change_node("w-2", ready=True)
    driving.join()
    assert store.operation(OP).state is OperationState.COMPLETED
    assert small.most_away == 1


def test_a_node_that_waits_for_a_place_is_cut_short_by_a_cancel(small: Yard, store: Store) -> None:
    """Nothing of its work was disturbed, and the one that is away may never come back."""
    small.findings = _away_at_the_cordon(small)
    driving = begin(small, store)
    wait_until(lambda: any("Waiting for w-2" in e.sentence for _, e in store.events(OP)))
    store.wish(OP, Wish.CANCEL, "grace", event(Happened.CANCEL_ASKED, operation_id=OP))
    driving.join()
    assert store.operation(OP).state is OperationState.CANCELLED
    assert small.verbs("w-1")[-1] == Verb.UNHOLD


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


def test_a_bug_while_the_cluster_is_claimed_stops_the_operation_with_a_reason(small: Yard, store: Store) -> None:
    """Its thread must not die in silence: nothing would start, and nobody would know."""

    def bug() -> object:
        raise KeyError("x")

    approve(store, small.record, OP)
    crew = replace(small.crew(store), kube=bug)  # type: ignore[arg-type]
    drive(crew, OP)
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert "Something unexpected happened before op-1 could begin, reference " in operation.reason
    assert store.lease_owner(OP) is None


def test_what_else_refuses_to_begin_is_told_in_its_own_words(small: Yard, store: Store) -> None:
    """Not as if the cluster could not be read: somebody would look in the wrong place."""

    def unknown() -> object:
        raise UnknownThing("There is no cluster `prod`: name one of `lab`.")

    approve(store, small.record, OP)
    drive(replace(small.crew(store), kube=unknown), OP)  # type: ignore[arg-type]
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert operation.reason == "There is no cluster `prod`: name one of `lab`. Mend that, then `resume`."
    assert [e.facts for _, e in store.events(OP)][-1] == {"codes": "cannot-begin"}


def test_a_mark_that_may_not_be_taken_away_blocks_the_end_with_a_reason(small: Yard, store: Store) -> None:
    """The right to delete our Lease was taken meanwhile: nobody asks for ever in silence."""
    crew = small.crew(store)
    api = crew.kube()

    def forbid(path: str, body: object = None, query: object = None) -> object:
        raise KubeDenied("leases is forbidden", status=403, body={})

    api.delete = forbid  # type: ignore[method-assign, assignment]
    approve(store, small.record, OP)
    drive(replace(crew, kube=lambda: api), OP)
    operation = store.operation(OP)
    assert operation.state is OperationState.BLOCKED
    assert "forbidden" in operation.reason


def test_the_others_follow_a_canary_after_its_soak_whoever_drives(tmp_path: Path, store: Store) -> None:
    """The thread says once until when; the second driver counts from the same end as the first one did."""
    pools = (SMALL.pools[0], replace(SMALL.pools[1], canary=1, soak=2, max_unavailable=2))
    yard = Yard(record(replace(SMALL, pools=pools)), tmp_path / "log")
    first = begin(yard, store)

    def said() -> list[str]:
        return [e.sentence for _, e in store.events(OP) if "how its canaries do" in e.sentence]

    wait_until(lambda: bool(said()))
    first.end()
    Driving(yard, store, OP).join()
    back = store.operation(OP).row("w-1").back_at
    assert back is not None
    assert len(said()) == 1
    assert f"(w-1), until {back + timedelta(seconds=2):%Y-%m-%d %H:%M:%S} UTC." in said()[0]
    cordoned = next(
        e.at
        for _, e in store.events(OP)
        if e.kind is Happened.STEP_STARTED and e.step.endswith("cordon") and e.node == "w-2"
    )
    assert cordoned >= back + timedelta(seconds=2)
    assert store.operation(OP).state is OperationState.COMPLETED


def test_whoever_cannot_be_drained_is_tried_again_when_the_others_are_through(tmp_path: Path, store: Store) -> None:
    """Within the failure budget nobody waits for it; only after its second try a person is asked, for it alone."""
    whole = plan()
    pools = (whole.pools[0], replace(whole.pools[1], failure_budget=2))
    yard = Yard(record(replace(whole, pools=pools)), tmp_path / "log")

    def refuse(site: Site) -> None:
        yard.change_node(site.node.name, cordoned=False, cordoned_by="")
        raise site.blocked("drain-blocked", f"A budget keeps {site.node.name}.", "Lift it.", uncordoned=True)

    yard.script("w-1", Verb.DRAIN, refuse)
    yard.script("w-2", Verb.DRAIN, refuse, refuse)
    begin(yard, store).join()
    operation = store.operation(OP)
    assert (operation.state, operation.reason) == (OperationState.BLOCKED, "A budget keeps w-2.")
    assert [r.node for r in operation.rows if r.state is RowState.BLOCKED] == ["w-2"]
    told = [e.sentence for _, e in store.events(OP) if e.kind is Happened.RETRY_ASKED]
    assert told == ["The others are through: w-1, w-2 are tried once more."]
    ends = [line[1] for line in yard.lines() if line[0] == "end" and line[2] == Verb.UNCORDON]
    assert ends[-1] == "w-1"
    assert yard.most_away == 2
