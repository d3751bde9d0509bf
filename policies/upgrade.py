"""The plan of an upgrade: the hops to its target, who takes them, and what stands against that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from cluster.errors import Refused
from cluster.findings import Finding, Findings, worst_first
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.options import Options, Reboot
from cluster.plan import Hop, PlanKind, UpgradePlan
from cluster.report import ClusterReport
from cluster.survey import Survey
from cluster.versions import KubeVersion, ReportedVersion, Target
from policies.basis import identity_of
from policies.consents import acceptances
from policies.distributions import demand_kubeadm
from policies.drift import base_version, running_version, settled_version
from policies.estimates import estimate
from policies.flags import check_flags
from policies.history import Past
from policies.hooks import check_hooks
from policies.hops import chain, check_left_patch, resolve
from policies.jumps import check_jumps
from policies.lacking import workers_without
from policies.left_out import check_left_out, done_workers, reasons, spare, tell_left_behind
from policies.moves import put_stragglers_first, settle_moves
from policies.order import ordered_pools, own_workers
from policies.preflight import check_preflight
from policies.releases import PatchFirst, check_support, patch_first
from policies.simulation import simulate
from policies.windows import check_plan_fits
from policies.wording import some_of

NO_SNAPSHOT = "no-etcdctl"  # the finding whose acceptance is the consent to go on without a snapshot


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The plan, what was found about it, and each worker that it leaves out with the reason."""

    plan: UpgradePlan
    findings: Findings
    left_out_for: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Way:
    """Where it goes, by which hops, and without whom."""

    release: KubeVersion
    hops: tuple[Hop, ...]
    stragglers: tuple[str, ...]
    left_out: frozenset[str]
    done: frozenset[str]  # those of them that are at the target already
    findings: Findings


def plan_upgrade(
    seen: Observation,
    cluster: Cluster,
    target: Target,
    *,
    options: Options,
    accepted: tuple[str, ...],
    left_out: frozenset[str],
    now: datetime,
    past: Past,
) -> Upgrade:
    """The plan to `target` without those who are left out; raises Refused where there is nothing to plan."""
    report = seen.report
    identity, way = identity_of(report), _find_way(seen, target, options, left_out)
    pools = ordered_pools(seen, cluster, way.left_out)
    plan = UpgradePlan(
        kind=PlanKind.UPGRADE,
        identity=identity,
        hops=way.hops,
        pools=settle_moves(pools, way.hops, way.stragglers, report, options.workers),
        options=replace(options, without_snapshot=options.without_snapshot or NO_SNAPSHOT in accepted),
        last=own_workers(seen, pools),
        hooks=cluster.planned_hooks,
    )
    preflight = check_preflight(
        seen,
        cluster,
        target=way.release,
        minors=tuple(h.target.minor for h in way.hops),
        accepted=accepted,
        options=options,
        left_out=way.left_out,
    )
    findings = worst_first(
        (
            *spare(preflight, way.left_out, report, seen.survey),
            *way.findings,
            *check_way(plan, seen),
            *check_support(way.release, now.date()),
            *check_plan_fits(report.cluster, cluster, now, estimate(plan, past)),
        )
    )
    without = lacking(seen, target) if way.left_out else frozenset()
    why = reasons(preflight, way.left_out, lacking=without, done=way.done)
    return Upgrade(replace(plan, accepted=acceptances(findings)), findings, why)


def _find_way(seen: Observation, target: Target, options: Options, left_out: frozenset[str]) -> _Way:
    """Raises Refused for a target that cannot be reached, or where everything is there already."""
    report, base = seen.report, base_of(seen.report)
    strangers = {m.name for m in seen.survey.machines if report.node(m.name) is None}
    survey = _without(seen.survey, left_out | strangers)
    release = resolve(target, base, survey)
    if _is_everywhere(report, release, left_out):
        raise Refused(_nothing_to_do(report, release, left_out))
    if done := (done_workers(report, seen.survey, release) if options.reboot is Reboot.NEVER else frozenset()):
        left_out |= done
        survey = _without(seen.survey, left_out | strangers)
    hops, differing = chain(release, base, survey, _advice(report))
    hops, stragglers, told = put_stragglers_first(hops, report, survey)
    left_patch = check_left_patch(hops, base, survey) if settled_version(report) else ()
    return _Way(release, hops, stragglers, left_out, done, (*differing, *told, *left_patch))


def check_way(plan: UpgradePlan, seen: Observation) -> Iterator[Finding]:
    """What the plan itself would break on its way."""
    left_out = frozenset(n.name for n in plan.left_out)
    yield from tell_left_behind(simulate(plan, seen.report, seen.survey), left_out)
    yield from check_jumps(plan, seen.report, seen.survey)
    yield from check_flags(plan, seen.survey)
    yield from check_left_out(plan.pools, seen.report)
    yield from check_hooks(plan, seen.survey)


def lacking(seen: Observation, target: Target) -> frozenset[str]:
    """Workers for whose want of packages there could be no plan at all."""
    workers = frozenset(n.name for n in seen.report.worker_nodes)
    return frozenset(workers_without(target, base_of(seen.report), seen.survey, workers))


def base_of(report: ClusterReport) -> KubeVersion:
    """What its control plane runs; raises Refused where nobody tells, or kubeadm did not make it."""
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
