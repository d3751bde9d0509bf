"""The gate before a step: a no must hold for several fresh reports, and what may pass by itself is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable

from cluster.findings import Findings, blockers
from cluster.operation import Operation, OperationState
from cluster.plan import PlanNode, PlanRecord, Role
from cluster.procedure import GIVING_BACK, Step, Verb
from cluster.report import ClusterReport
from workers.run import Run
from workers.site import Yielded
from workers.watch import FRESH

_WAITS = {  # the gate's answers that may pass by themselves, up to the deadline; and what is said meanwhile
    "cluster-unreadable": "The cluster's API does not answer; waiting for it.",
    "peer-not-ready": "Another control plane is not ready; waiting for it.",
}
_REPLACES = frozenset({Verb.APPLY, Verb.REVERT})  # the static pods of the first control plane
_LOOKS = 3  # reports that must agree before a gate's no counts: the cluster may just be between two states


def pass_gate(run: Run, node: PlanNode, step: Step, operation: Operation, tell: Callable[[str], None]) -> bool:
    """Whether the step may begin, an unreadable cluster being waited for up to its deadline; the run learns of a no."""
    if operation.state is OperationState.CANCELLING and step.phase in GIVING_BACK:
        if found := _judge(run, node, step, operation, None):  # giving back what we changed needs no readable cluster
            run.stop_for(node.name, found)
        return not found
    deadline = time.monotonic() + run.waits.control_plane
    newer_than, looks, told = time.monotonic() - FRESH, 0, False
    while True:
        run.wait_for_lease()
        if run.giving_way.is_set():
            raise Yielded
        found = _ask(run, node, step, newer_than)
        if not found:
            return True
        passing = all(f.code in _WAITS for f in found)
        looks += 0 if passing else 1
        if looks >= _LOOKS or (passing and time.monotonic() > deadline):
            run.stop_for(node.name, found)
            return False
        if passing and not told:
            told = True
            tell(_WAITS[found[0].code])
        run.sleep(min(run.waits.poll, 1.0))
        newer_than = time.monotonic()


def _ask(run: Run, node: PlanNode, step: Step, newer_than: float) -> Findings:
    operation, report = run.operation(), run.report(newer_than=newer_than)
    if run.leaving():
        raise Yielded
    # right after our own change of the control plane the API may be away: the step's own check waits for it
    expected = step.verb is Verb.VERIFY_CONTROL_PLANE or brings_it_back(run.record, operation, node, step)
    if report is None and not expected:
        return (run.unreadable(),)
    return _judge(run, node, step, operation, report)


def brings_it_back(record: PlanRecord, operation: Operation, node: PlanNode, step: Step) -> bool:
    """Whether a new attempt has to mend what one before it left of the only API server: waiting alone would not."""
    masters = {n.name for n in record.plan.nodes if n.role is not Role.WORKER}
    masters |= set(record.basis.api_server_of)  # the plan of a revert has those alone that were edited
    return masters == {node.name} and step.verb in _REPLACES and operation.row(node.name).attempt > 1


def _judge(run: Run, node: PlanNode, step: Step, operation: Operation, report: ClusterReport | None) -> Findings:
    return blockers(
        run.crew.check_gate(
            record=run.record,
            approval=run.approval,
            operation=operation,
            report=report,
            step=step,
            node=node,
            settings=run.crew.settings,
            now=run.now(),
        )
    )
