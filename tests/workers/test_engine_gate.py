"""Where the gate says no, or nobody can see the cluster, no step is begun; what passes is waited for."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.events import Happened
from cluster.operation import OperationState, schedule
from cluster.plan import PlanKind
from cluster.procedure import Phase, Step, Verb, fingerprint
from cluster.queues import Wakeups
from cluster.store import Store
from tests.engine_fixture import MASTERS, NOW, approve, event, plan, record
from tests.engine_run import OP, begin, small, stop_with
from tests.engine_yard import Driving, Yard, wait_until
from tests.redis_fixture import redis_server, redis_url, store
from workers.passage import brings_it_back
from workers.reconciler import reconcile
from workers.site import Site
from workers.watch import FRESH

__all__ = ["redis_server", "redis_url", "small", "store"]  # pytest finds fixtures by name in this module


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


@pytest.mark.parametrize(
    ("kind", "verb", "servers", "attempt", "expected"),
    [
        (PlanKind.UPGRADE, Verb.APPLY, MASTERS[:1], 2, True),
        (PlanKind.REVERT, Verb.REVERT, MASTERS[:1], 2, True),
        (PlanKind.REVERT, Verb.REVERT, MASTERS, 2, False),
        (PlanKind.UPGRADE, Verb.APPLY, MASTERS[:1], 1, False),
        (PlanKind.UPGRADE, Verb.INSTALL_KUBEADM, MASTERS[:1], 2, False),
    ],
)
def test_an_outage_is_of_our_own_making_only_where_our_attempt_may_have_broken_the_only_api_server(
    kind: PlanKind, verb: Verb, servers: tuple[str, ...], attempt: int, *, expected: bool
) -> None:
    """A plan that puts one of three control planes back names that one alone, and the others answer for it."""
    made = record(plan(MASTERS[:1], (), kind=kind))
    made = replace(made, basis=replace(made.basis, api_servers=tuple((name, "v1.34.7") for name in servers)))
    begun = schedule(made, operation_id=OP, approved_by="grace", now=NOW)
    begun = replace(begun, rows=tuple(replace(row, attempt=attempt) for row in begun.rows))
    assert brings_it_back(made, begun, made.plan.nodes[0], Step(0, Phase.CONTROL_PLANE, verb)) is expected
