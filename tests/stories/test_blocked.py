"""A run that is blocked by a budget goes on when people say so: the budget lifted, or the pod that held it up gone."""

import pytest

from bot.force_card import ALLOW
from bot.run_card import RETRY
from cluster.operation import OperationState, RowState
from lab.configuration import CHANNEL
from lab.demo import play
from lab.rig import rig
from lab.story import WAITING
from tests.office import Office

pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]


def stop_at_the_budget(made):
    """Play the story until it stops, with pod and budget named and the node given back; the run and that node."""
    told = []
    office = Office(made)
    assert play(made, "v1.35.4", None, told.append) == WAITING
    said = "\n".join(told)
    assert "demo/ledger" in said
    assert "PodDisruptionBudget" in said
    assert "WRONG" not in said
    (blocked,) = office.store.operations()
    assert blocked.state is OperationState.BLOCKED
    assert "demo/ledger" in blocked.reason
    ((stuck, code),) = ((r.node, r.finding.code) for r in blocked.rows if r.state is RowState.BLOCKED)
    assert code == "drain-blocked"
    assert not office.world.snapshot()[stuck]["cordoned"]
    assert any("blocked" in office.slack.text(m).lower() for m in office.slack.messages(CHANNEL))
    return office, blocked, stuck


def completes(office, blocked):
    """The run comes to its end, and no step is repeated."""
    office.until(lambda: office.store.operation(blocked.id).state is OperationState.COMPLETED, patience=120)
    assert {m["kubelet"] for m in office.world.snapshot().values()} == {"v1.35.4"}
    starts = [(r.machine, r.unit) for r in office.world.exec_log() if r.started]
    assert len(starts) == len(set(starts))
    return True


def test_a_budget_that_allows_nothing_stops_the_run_until_it_is_lifted_and_a_person_resumes():
    """Resumed, it completes."""
    with rig("pdb-blocked", speed=60, workers=1) as made:
        office, blocked, _ = stop_at_the_budget(made)
        office.world.lift_budget()
        assert office.type("U0ADA", "/k8s resume")
        assert completes(office, blocked)


def test_a_budget_that_allows_nothing_stops_the_run_until_people_have_its_pod_deleted():
    """With more time for the drain; one asks, another allows."""
    with rig("pdb-blocked", speed=60, workers=1) as made:
        office, blocked, stuck = stop_at_the_budget(made)
        run = office.store.message(f"run:{blocked.id}").ts

        def message_with(button):
            offering = [m["ts"] for m in office.slack.thread(CHANNEL, run) if button in str(m)]
            return offering[-1] if offering else None

        assert "5 more min" in office.type("U0ADA", f"/k8s extend {stuck} 5")
        assert "new attempt" in office.click("U0ADA", office.until(lambda: message_with(RETRY)), RETRY)
        (hold,) = office.until(lambda: office.store.operation(blocked.id).row(stuck).held)
        assert "an approver allows it" in office.type("U0ADA", f"/k8s force-delete {hold.pod}")
        card = office.until(lambda: message_with(ALLOW))
        assert "second person" in office.click("U0ADA", card, ALLOW)
        assert f"Allowed: {hold.pod}" in office.click("U0GRACE", card, ALLOW)
        assert completes(office, blocked)
