"""What a plan is to bring about, and how its run ended, in the words of its first and its last event."""

from __future__ import annotations

from cluster.operation import Operation
from cluster.plan import PlanKind, UpgradePlan
from policies.wording import some_of


def tell_goal(plan: UpgradePlan) -> str:
    if plan.kind is PlanKind.ROLLBACK:
        return f"in {plan.cluster} the kubelet of {some_of(n.name for n in plan.nodes)} goes back to {plan.target}"
    return f"{plan.cluster} goes to {plan.target}"


def tell_end(plan: UpgradePlan) -> str:
    if plan.kind is PlanKind.ROLLBACK:
        return f"In {plan.cluster} the rollback to {plan.target} is over"
    return f"{plan.cluster} is at {plan.target}"


def tell_release(operation: Operation, person: str) -> str:
    """An end in the middle: nobody of ours takes back any more what stands there."""
    told = f"{person} released the lock of {operation.cluster} by hand."
    if cordoned := [r.node for r in operation.rows if r.cordoned_by_us]:
        told += f" Still cordoned by us: {some_of(cordoned)}; uncordon what is well."
    if surged := [place for r in operation.rows for place in r.surged]:
        told += f" Maybe still with a second replica of ours: {some_of(surged)}; scale back what is annotated so."
    return told
