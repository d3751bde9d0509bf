"""A run that is blocked by a budget goes on when the budget is lifted and a person says so."""

import pytest

from cluster.operation import OperationState, RowState
from lab.demo import play
from lab.rig import CHANNEL, rig
from lab.story import WAITING
from tests.office import Office

pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]


def test_a_budget_that_allows_nothing_stops_the_run_until_it_is_lifted_and_a_person_resumes():
    """Blocked with pod and budget named and the node given back; resumed, it completes with no step repeated."""
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
        office.world.lift_budget()
        assert office.type("U0ADA", "/k8s resume")
        office.until(lambda: office.store.operation(blocked.id).state is OperationState.COMPLETED, patience=120)
        assert {m["kubelet"] for m in office.world.snapshot().values()} == {"v1.35.4"}
        starts = [(r.machine, r.unit) for r in office.world.exec_log() if r.started]
        assert len(starts) == len(set(starts))
