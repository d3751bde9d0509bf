"""What a plan does to pods that others leave alone, said to whoever approves it."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.plan import PlanKind, UpgradePlan
from policies.pod_rules import tell_rules


def option_sentences(plan: UpgradePlan) -> Iterator[str]:
    """Of how nodes are drained; nothing of a plan that drains nobody, or drains them as every plan does."""
    if plan.kind is PlanKind.REVERT:
        return
    if plan.options.surge:
        yield "Deployments of one replica get a second one while their pod is moved."
    if rules := "; ".join(tell_rules(plan.options)):
        yield f"In each drain {rules}."
