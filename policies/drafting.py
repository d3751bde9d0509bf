"""From a report, a survey and a target to a plan with its findings; or the refusal, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from cluster.errors import Refused
from cluster.findings import Finding, Findings, blockers, worst_first
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.options import Options, Reboot
from cluster.plan import Basis, PlanKind, PlanRecord, UpgradePlan
from cluster.report import ClusterReport
from cluster.survey import Survey
from cluster.versions import KubeVersion, Minor, ReportedVersion, Target
from policies.basis import basis_of, identity_of
from policies.consents import acceptances
from policies.distributions import demand_kubeadm
from policies.drift import base_version, running_version, settled_version
from policies.estimates import NO_PAST, estimate, tell_grounds
from policies.flags import check_flags
from policies.history import Past
from policies.hooks import check_hooks, check_webhooks
from policies.hops import chain, check_left_patch, minors_to_survey, resolve
from policies.jumps import check_jumps
from policies.lacking import workers_without
from policies.left_out import (
    BLOCKED,
    blocking_workers,
    check_left_out,
    done_workers,
    named_workers,
    reasons,
    spare,
    tell_left_behind,
)
from policies.moves import put_stragglers_first, settle_moves
from policies.order import ordered_pools, own_workers, tell_order
from policies.preflight import check_preflight
from policies.releases import PatchFirst, check_support, patch_first
from policies.revert import beside_revert, plan_revert
from policies.rollback import check_rollback, plan_rollback
from policies.simulation import simulate
from policies.windows import check_plan_fits
from policies.wording import some_of

NO_SNAPSHOT = "no-etcdctl"  # the finding whose acceptance is the consent to go on without a snapshot


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
    return minors_to_survey(_base(report), target)


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
        return _draft(seen, cluster, target, options=options, accepted=accepted, left_out=left_out, now=now, past=past)

    left_out = named_workers(seen.report, without)
    if BLOCKED in without:
        left_out |= _lacking(seen, target)
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


def _draft(
    seen: Observation,
    cluster: Cluster,
    target: Target,
    *,
    options: Options,
    accepted: tuple[str, ...],
    left_out: frozenset[str],
    now: datetime,
    past: Past,
) -> Draft:
    report = seen.report
    strangers = {m.name for m in seen.survey.machines if report.node(m.name) is None}
    survey = _without(seen.survey, left_out | strangers)
    identity, base = identity_of(report), _base(report)
    release = resolve(target, base, survey)
    if _is_everywhere(report, release, left_out):
        raise Refused(_nothing_to_do(report, release, left_out))
    if done := (done_workers(report, seen.survey, release) if options.reboot is Reboot.NEVER else frozenset()):
        left_out |= done
        survey = _without(seen.survey, left_out | strangers)
    hops, differing = chain(release, base, survey, _advice(report))
    pools = ordered_pools(seen, cluster, left_out)
    hops, stragglers, told = put_stragglers_first(hops, report, survey)
    plan = UpgradePlan(
        kind=PlanKind.UPGRADE,
        identity=identity,
        hops=hops,
        pools=settle_moves(pools, hops, stragglers, report, options.workers),
        options=replace(options, without_snapshot=options.without_snapshot or NO_SNAPSHOT in accepted),
        last=own_workers(seen, pools),
        hooks=cluster.planned_hooks,
    )
    preflight = check_preflight(
        seen,
        cluster,
        target=release,
        minors=tuple(h.target.minor for h in hops),
        accepted=accepted,
        options=options,
        left_out=left_out,
    )
    findings = worst_first(
        (
            *spare(preflight, left_out, report, seen.survey),
            *differing,
            *told,
            *(check_left_patch(hops, base, survey) if settled_version(report) else ()),
            *_check_way(plan, seen),
            *check_support(release, now.date()),
            *check_plan_fits(report.cluster, cluster, now, estimate(plan, past)),
        )
    )
    plan = replace(plan, accepted=acceptances(findings))
    return Draft(
        plan,
        findings,
        basis_of(report),
        estimate(plan, past),
        reasons(preflight, left_out, lacking=_lacking(seen, target) if left_out else frozenset(), done=done),
        order=tell_order(plan, seen),
        estimate_grounds=tell_grounds(plan, past),
    )


def _lacking(seen: Observation, target: Target) -> frozenset[str]:
    """Workers for whose want of packages there could be no plan at all."""
    workers = frozenset(n.name for n in seen.report.worker_nodes)
    return frozenset(workers_without(target, _base(seen.report), seen.survey, workers))


def add_findings(draft: Draft, found: Findings) -> Draft:
    """The draft with what was found beside its preflight; the warnings among it are approved with the others."""
    findings = worst_first((*draft.findings, *found))
    return replace(draft, plan=replace(draft.plan, accepted=acceptances(findings)), findings=findings)


def _check_way(plan: UpgradePlan, seen: Observation) -> Iterator[Finding]:
    """What the plan itself would break on its way."""
    left_out = frozenset(n.name for n in plan.left_out)
    yield from tell_left_behind(simulate(plan, seen.report, seen.survey), left_out)
    yield from check_jumps(plan, seen.report, seen.survey)
    yield from check_flags(plan, seen.survey)
    yield from check_left_out(plan.pools, seen.report)
    yield from check_hooks(plan, seen.survey)


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
    way = (*_check_way(plan, seen), *check_webhooks(plan, cluster))
    return blockers((*spare(found, left_out, seen.report, seen.survey), *way))


def _base(report: ClusterReport) -> KubeVersion:
    demand_kubeadm(report)
    base = base_version(report)
    if base is None:
        reason = next((u.reason for u in report.unread), "no API server answered")
        raise Refused(f"No API server of `{report.cluster}` tells its version: {reason}")
    return base


def _advice(report: ClusterReport) -> PatchFirst | None:
    """Only for a control plane that runs one version: an upgrade that was left is finished first."""
    running = settled_version(report)
    stacked = any(p.component == "etcd" for p in report.static_pods)
    return patch_first(running, stacked_etcd=stacked) if running else None


def _is_everywhere(report: ClusterReport, release: KubeVersion, left_out: frozenset[str]) -> bool:
    servers = {running_version(s, report) for s in report.api_servers}
    nodes = (n for n in report.nodes if n.name not in left_out)
    kubelets = {n.kubelet.version if isinstance(n.kubelet, ReportedVersion) else None for n in nodes}
    return servers | kubelets == {release} and report.declared == release


def _nothing_to_do(report: ClusterReport, release: KubeVersion, left_out: frozenset[str]) -> str:
    but = f" but what is left out ({some_of(sorted(left_out))})" if left_out else ""
    return f"Nothing to do: every API server and kubelet of `{report.cluster}`{but} already runs {release}."


def _without(survey: Survey, left_out: frozenset[str]) -> Survey:
    """What is offered to a machine that is left out, or is no node, decides nothing."""
    if not left_out:
        return survey
    return replace(survey, machines=tuple(m for m in survey.machines if m.name not in left_out))
