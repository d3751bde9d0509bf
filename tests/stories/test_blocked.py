"""A run that is blocked by a budget goes on when the budget is lifted and a person says so."""

import pytest

from cluster.operation import OperationState, RowState
from lab.rig import CHANNEL, rig
from tests.office import Office

pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]


def test_a_lifted_budget_and_a_resume_bring_the_run_to_its_end():
    """Blocked with pod and budget named and the node given back; resumed, it completes with no step repeated."""
    with rig("pdb-blocked", speed=60, workers=1) as made:
        office = Office(made)
        record, ts = office.plan()
        office.click("U0GRACE", ts, "plan_approve")
        run = office.until(lambda: next((o for o in office.store.operations() if o.plan_id == record.id), None))
        blocked = office.until(
            lambda: (o := office.store.operation(run.id)).state is OperationState.BLOCKED and o, patience=120
        )
        assert "demo/ledger" in blocked.reason
        stuck = [row.node for row in blocked.rows if row.state is RowState.BLOCKED]
        assert len(stuck) == 1
        assert not office.world.snapshot()[stuck[0]]["cordoned"]
        office.until(lambda: any("blocked" in office.slack.text(m).lower() for m in office.slack.messages(CHANNEL)))
        office.world.lift_budget()
        assert office.type("U0ADA", "/k8s resume")
        office.until(lambda: office.store.operation(run.id).state is OperationState.COMPLETED, patience=120)
        assert {m["kubelet"] for m in office.world.snapshot().values()} == {"v1.35.4"}
        starts = [(r.machine, r.unit) for r in office.world.exec_log() if r.started]
        assert len(starts) == len(set(starts))
