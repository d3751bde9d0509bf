"""Whom a plan drains, from where its nodes are now, or were at planning; and what a trial of that comes to."""

from __future__ import annotations

from cluster.dry_run import DryRun
from cluster.errors import Refused
from cluster.options import DrainMode, Options
from cluster.plan import PlanNode, PlanRecord, PlanStatus, UpgradePlan
from cluster.procedure import Verb, itinerary, kubelet_moves, reboots
from cluster.versions import KubeVersion, Minor, ReportedVersion
from policies.wording import count_of, some_of

_LIVING = frozenset({PlanStatus.PROPOSED, PlanStatus.APPROVED})


def check_living(record: PlanRecord) -> None:
    """Raises Refused for a plan that nobody will carry out."""
    if record.status not in _LIVING:
        raise Refused(
            f"The plan {record.id} is {record.status}, so that none of its drains will come: plan anew first."
        )


def drains(plan: UpgradePlan, node: PlanNode, kubelet: KubeVersion | None, position: int = 0) -> bool:
    """
    Whether a step of this node's way empties it, from `position` on; a kubelet that was not read is always emptied.

    One that runs its target already is drained like all others, since its step is carried out like theirs.
    """
    for step in itinerary(plan, node)[position:]:
        if step.verb is not Verb.DRAIN:
            continue
        if is_emptied(plan, node, step.hop, kubelet.minor if kubelet else None):
            return True
        kubelet = plan.hops[step.hop].target
    return False


def is_emptied(plan: UpgradePlan, node: PlanNode, hop: int, running: Minor | None) -> bool:
    """Whether this move of its kubelet empties the node first; one that was not read is always emptied."""
    return reboots(plan, node, hop) or not is_in_place(plan.options, running, plan.hops[hop].target.minor)


def is_in_place(options: Options, running: Minor | None, target: Minor) -> bool:
    """Whether a kubelet is restarted under its pods: for a mere patch, where only minors drain."""
    return options.drain is DrainMode.MINOR_ONLY and running == target


def is_drained(record: PlanRecord, node: PlanNode, hop: int) -> bool:
    """Whether this move of its kubelet empties the node first, as it stood at planning; yes where that was not read."""
    return is_emptied(record.plan, node, hop, minor_before(record, node, hop))


def minor_before(record: PlanRecord, node: PlanNode, hop: int) -> Minor | None:
    """What its kubelet runs right before this hop, from what it ran at planning; None where that was not read."""
    if moved := [record.plan.hops[i].target.minor for i in range(hop) if kubelet_moves(record.plan, node, i)]:
        return moved[-1]
    first = ReportedVersion.read(record.basis.kubelet_of.get(node.name, ""))
    return first.version.minor if first else None


def tell_dry_run(made: DryRun) -> str:
    """One sentence, which says what such a verdict is worth."""
    said = (
        f"{count_of(made.leaving, 'pod')} of {count_of(len(made.nodes), 'node')} would leave now, {made.held} would not"
    )
    missed = sum(bool(n.not_tried) for n in made.nodes)
    lost = f"; {count_of(missed, 'node')} could not be tried" if missed else ""
    if made.unread:
        lost += f"; not every pod was understood ({some_of(u.what for u in made.unread)})"
    return f"Dry run of {made.plan_id}: {said}{lost}. This judges now, not the moment of the drain."
