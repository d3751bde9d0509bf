"""What a plan does to machines and pods, as its options say, for whoever approves it."""

from __future__ import annotations

from collections.abc import Iterator

from bot.text import count
from cluster.options import DrainMode, Reboot
from cluster.plan import PlanKind, PlanPool, UpgradePlan
from policies.pod_rules import tell_rules


def option_sentences(plan: UpgradePlan) -> Iterator[str]:
    """Of how nodes are drained; nothing of a plan that drains nobody, or drains them as every plan does."""
    if plan.kind is PlanKind.REVERT:
        return
    if plan.options.surge:
        yield "Deployments of one replica get a second one while their pod is moved."
    if rules := "; ".join(tell_rules(plan.options)):
        yield f"In each drain {rules}."


def drain_sentences(plan: UpgradePlan) -> Iterator[str]:
    """The same with when and for how long nodes are drained, and what the drains may delete."""
    options = plan.options
    if plan.kind is PlanKind.REVERT:
        return
    yield f"Nodes are drained {drained_when(plan)}, each within {options.drain_timeout} s."
    yield f"Data in emptyDir volumes {may(yes=options.delete_emptydir)}."
    yield f"Pods that no controller owns {may(yes=options.delete_unmanaged)}."
    yield from option_sentences(plan)


def at_once(pool: PlanPool) -> str:
    return f"{count(len(pool.nodes), 'machine')}, at most {pool.max_unavailable} away at once"


def drained_when(plan: UpgradePlan) -> str:
    if plan.options.drain is DrainMode.ALWAYS:
        return "always"
    return "for another minor only" if plan.options.reboot is Reboot.NEVER else "for another minor or a reboot only"


def may(*, yes: bool) -> str:
    return "may be deleted" if yes else "may not be deleted"
