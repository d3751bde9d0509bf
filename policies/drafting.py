"""From a report, a survey and a target to a plan with all that stands beside it; or the refusal, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from cluster.errors import Refused
from cluster.findings import Findings, blockers, worst_first
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.options import Options
from cluster.plan import Basis, PlanKind, PlanRecord, UpgradePlan
from cluster.report import ClusterReport
from cluster.versions import Minor, Target
from policies.basis import basis_of
from policies.consents import acceptances
from policies.estimates import NO_PAST, estimate, tell_grounds
from policies.history import Past
from policies.hooks import check_webhooks
from policies.hops import minors_to_survey
from policies.left_out import BLOCKED, blocking_workers, named_workers, spare
from policies.order import tell_order
from policies.preflight import check_preflight
from policies.revert import beside_revert, plan_revert
from policies.rollback import check_rollback, plan_rollback
from policies.upgrade import base_of, check_way, lacking, plan_upgrade


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan that may be proposed, and what stands beside it."""

    plan: UpgradePlan
    findings: Findings
    basis: Basis
    estimate: tuple[int, int]
    left_out_for: tuple[tuple[str, str], ...] = ()
    blocked_workers: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    estimate_grounds: str = ""


def minors_of(report: ClusterReport, target: Target) -> tuple[Minor, ...]:
    """The minors whose offers the survey must ask for; raises Refused for a target that needs no survey to refuse."""
    return minors_to_survey(base_of(report), target)


def draft_upgrade(
    seen: Observation,
    cluster: Cluster,
    target: Target,
    *,
    options: Options,
    accepted: tuple[str, ...],
    without: tuple[str, ...] = (),
    now: datetime,
    past: Past = NO_PAST,
) -> Draft:
    """
    The plan to `target`, blocked or not; raises Refused where there is nothing to plan.

    `without` are workers to be left out; `blocked` among them stands for whoever blocks the plan now.
    """

    def drafted(left_out: frozenset[str]) -> Draft:
        made = plan_upgrade(
            seen, cluster, target, options=options, accepted=accepted, left_out=left_out, now=now, past=past
        )
        return Draft(
            made.plan,
            made.findings,
            basis_of(seen.report),
            estimate(made.plan, past),
            made.left_out_for,
            order=tell_order(made.plan, seen),
            estimate_grounds=tell_grounds(made.plan, past),
        )

    left_out = named_workers(seen.report, without)
    if BLOCKED in without:
        left_out |= lacking(seen, target)
    draft = drafted(left_out)
    blocked = blocking_workers(draft.plan, seen.report, seen.survey, draft.findings)
    if not blocked:
        return draft
    if BLOCKED in without:
        return drafted(left_out | set(blocked))
    try:
        others = drafted(left_out | set(blocked))
    except Refused:  # without them there would be nothing to do: the plan is of them
        return draft
    return draft if blockers(others.findings) else replace(draft, blocked_workers=blocked)


def add_findings(draft: Draft, found: Findings) -> Draft:
    """The draft with what was found beside its preflight; the warnings among it are approved with the others."""
    findings = worst_first((*draft.findings, *found))
    return replace(draft, plan=replace(draft.plan, accepted=acceptances(findings)), findings=findings)


def draft_revert(
    seen: Observation, cluster: Cluster, *, options: Options, accepted: tuple[str, ...] = (), past: Past = NO_PAST
) -> Draft | None:
    """The plan that puts hand-edited control planes back to the declared version; None where there are none."""
    made = plan_revert(seen, cluster, options=options, accepted=accepted)
    if made is None:
        return None
    plan, findings = made
    grounds = tell_grounds(plan, past)
    return Draft(plan, findings, basis_of(seen.report), estimate(plan, past), estimate_grounds=grounds)


def draft_rollback(
    seen: Observation,
    cluster: Cluster,
    names: tuple[str, ...],
    records: tuple[PlanRecord, ...],
    *,
    options: Options,
) -> Draft:
    """The plan that puts the kubelets of these workers back; raises Refused where there is nothing to go back to."""
    plan, findings = plan_rollback(seen, cluster, names, records, options=options)
    return Draft(plan, findings, basis_of(seen.report), estimate(plan), estimate_grounds=tell_grounds(plan))


def recheck(plan: UpgradePlan, seen: Observation, cluster: Cluster) -> Findings:
    """The blockers that stand against this plan now: preflight again, before its first step.

    What a worker lacks that has joined meanwhile stops nobody: it is reported, and not touched.
    """
    if plan.kind is PlanKind.ROLLBACK:
        return blockers(check_rollback(plan, seen, cluster))
    is_upgrade = plan.kind is PlanKind.UPGRADE
    planned = {n.name for n in plan.nodes}
    joined = {n.name for n in seen.report.nodes if is_upgrade and not n.control_plane and n.name not in planned}
    left_out = frozenset(n.name for n in plan.left_out) | joined
    found = check_preflight(
        seen,
        cluster,
        target=plan.target,
        minors=tuple(h.target.minor for h in plan.hops) if is_upgrade else (),
        accepted=plan.accepted,
        options=plan.options if is_upgrade else None,
        left_out=left_out,
    )
    if plan.kind is PlanKind.REVERT:
        found = beside_revert(found, seen.report, plan.nodes)
    way = (*check_way(plan, seen), *check_webhooks(plan, cluster))
    return blockers((*spare(found, left_out, seen.report, seen.survey), *way))
