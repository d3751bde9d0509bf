"""A step that fails blocks its node alone and says why; a new attempt goes on from there."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import UnknownThing
from cluster.events import Happened
from cluster.operation import OperationState, RowState
from cluster.procedure import Verb, itinerary
from cluster.store import Store
from tests.engine_fixture import CLUSTER, event, plan, record
from tests.engine_run import OP, begin, blocked, hold, kinds, small, yard
from tests.engine_yard import Driving, Yard, wait_until
from tests.redis_fixture import redis_server, redis_url, store
from workers.site import AttemptLost, Site, StepBlocked
from workers.watch import FRESH

__all__ = ["redis_server", "redis_url", "small", "store", "yard"]  # pytest finds fixtures by name in this module


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
