"""A run that is blocked by a budget goes on when people say so: with more time, and without the pod that held it up."""

import pytest

from bot.force_card import ALLOW
from bot.run_card import RETRY
from cluster.operation import OperationState, RowState
from lab.demo import play
from lab.rig import CHANNEL, rig
from lab.story import WAITING
from tests.office import Office

pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]


def test_a_budget_that_allows_nothing_stops_the_run_until_people_have_its_pod_deleted():
    """Blocked with pod and budget named and the node given back; one asks, another allows, and no step is repeated."""
    told = []
    with rig("pdb-blocked", speed=60, workers=1) as made:
        office = Office(made)
        assert play(made, "v1.35.4", None, told.append) == WAITING
        said = "\n".join(told)
        assert "demo/ledger" in said
        assert "PodDisruptionBudget" in said
        assert "WRONG" not in said
        (blocked,) = office.store.operations()
        assert blocked.state is OperationState.BLOCKED
        assert "demo/ledger" in blocked.reason
        stuck = [row.node for row in blocked.rows if row.state is RowState.BLOCKED]
        assert len(stuck) == 1
        assert not office.world.snapshot()[stuck[0]]["cordoned"]
        assert any("blocked" in office.slack.text(m).lower() for m in office.slack.messages(CHANNEL))
        run = office.store.message(f"run:{blocked.id}").ts

        def message_with(button):
            offering = [m["ts"] for m in office.slack.thread(CHANNEL, run) if button in str(m)]
            return offering[-1] if offering else None

        assert "5 more min" in office.type("U0ADA", f"/k8s extend {stuck[0]} 5")
        assert "new attempt" in office.click("U0ADA", office.until(lambda: message_with(RETRY)), RETRY)
        (hold,) = office.until(lambda: office.store.operation(blocked.id).row(stuck[0]).held)
        assert "an approver allows it" in office.type("U0ADA", f"/k8s force-delete {hold.pod}")
        card = office.until(lambda: message_with(ALLOW))
        assert "second person" in office.click("U0ADA", card, ALLOW)
        assert f"Allowed: {hold.pod}" in office.click("U0GRACE", card, ALLOW)
        office.until(lambda: office.store.operation(blocked.id).state is OperationState.COMPLETED, patience=120)
        assert {m["kubelet"] for m in office.world.snapshot().values()} == {"v1.35.4"}
        starts = [(r.machine, r.unit) for r in office.world.exec_log() if r.started]
        assert len(starts) == len(set(starts))
