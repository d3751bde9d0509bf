"""What a plan is to bring about, in the words of its first and its last event."""

from __future__ import annotations

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
