"""The plan that puts the kubelets of workers back to what they ran before; a control plane has no such way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from cluster.errors import Refused
from cluster.findings import Finding, Findings, Severity, worst_first
from cluster.hooks import PER_RUN
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.options import DrainMode, Options, Reboot
from cluster.plan import Hop, PlanKind, PlanNode, PlanPool, PlanRecord, PlanStatus, UpgradePlan
from cluster.procedure import kubelet_moves
from cluster.report import ClusterReport, Unread
from cluster.survey import Survey
from cluster.versions import KubeVersion, Minor, PackageVersion, ReportedVersion
from policies.basis import identity_of
from policies.consents import acceptances
from policies.distributions import demand_kubeadm
from policies.drains import check_drains
from policies.hooks import check_hooks, check_webhooks
from policies.named import check_workers
from policies.pools import CONTROL_PLANE, form_pools
from policies.preflight import check_preflight
from policies.skew import check_way_back
from policies.wording import some_of

# What a kubelet that does not come up looks like: it is what a rollback mends. Flags are judged for a newer one.
_MENDED = frozenset(
    {
        "installed-not-running",
        "kubelet-newer",
        "kubelet-not-running",
        "kubelet-too-old",
        "kubelet-unread",
        "node-not-ready",
    }
)


def check_named(report: ClusterReport, names: Iterable[str]) -> None:
    """Raises Refused for a control plane, saying what there is instead, and for a name that there is not."""
    check_workers(
        report,
        names,
        "roll back",
        lambda _: (
            "Kubernetes supports no downgrade of one: what there is are the etcd snapshot of the run, the manifests "
            "that kubeadm kept under /etc/kubernetes/tmp, the old packages, and the way back to them for exactly this "
            f"cluster, `lockkeeper restore-runbook {report.cluster}`."
        ),
    )


def minors_before(names: tuple[str, ...], records: tuple[PlanRecord, ...]) -> tuple[Minor, ...]:
    """The minors that these workers may have run, by the plans that moved them: what their source must be asked for."""
    texts = (record.basis.kubelet_of.get(name, "") for record in records for name in names)
    seen = {v.version.minor for v in map(ReportedVersion.read, texts) if v is not None}
    hops = {hop.target.minor for record in records for hop in record.plan.hops}
    return tuple(sorted(seen | hops))


def plan_rollback(
    seen: Observation,
    cluster: Cluster,
    names: tuple[str, ...],
    records: tuple[PlanRecord, ...],
    *,
    options: Options,
) -> tuple[UpgradePlan, Findings]:
    """`records` are the cluster's latest plans, newest first; raises Refused where there is nothing to go back to."""
    report, survey = seen.report, seen.survey
    demand_kubeadm(report)
    check_named(report, names)
    before = {name: _kubelet_before(report, survey, name, records) for name in sorted(set(names))}
    if len(set(before.values())) > 1:
        told = ", ".join(f"{name} {version}" for name, version in before.items())
        raise Refused(f"Before their last upgrade these workers ran different kubelets ({told}): ask for each alone.")
    hop = _hop(next(iter(before.values())), survey, tuple(before))
    plan = UpgradePlan(
        kind=PlanKind.ROLLBACK,
        identity=identity_of(report),
        hops=(hop,),
        pools=_pools(report, cluster, frozenset(before)),
        options=replace(options, drain=DrainMode.ALWAYS, reboot=Reboot.NEVER),
        hooks=tuple(h for h in cluster.planned_hooks if h.moment not in PER_RUN),
    )
    findings = check_rollback(plan, seen, cluster)
    return replace(plan, accepted=acceptances(findings)), findings


def check_rollback(plan: UpgradePlan, seen: Observation, cluster: Cluster) -> Findings:
    """What stands against it now: the machines in question, what their drains meet, and the old kubelet itself."""
    mine = frozenset(n.name for n in plan.nodes)
    others = frozenset(n.name for n in seen.report.nodes) - mine
    minors = (plan.target.minor,)
    machines = check_preflight(seen, cluster, target=None, minors=minors, accepted=plan.accepted, left_out=others)
    drains = check_drains(seen, cluster, plan.options, minors, others)
    return worst_first(
        (
            *(f for f in machines if f.subject in mine and f.code not in _MENDED),
            *(f for f in drains if f.subject not in others | {CONTROL_PLANE}),
            *_old_kubelet(plan, seen),
            *check_hooks(plan, seen.survey),
            *check_webhooks(plan, cluster),
        )
    )


def _old_kubelet(plan: UpgradePlan, seen: Observation) -> Iterator[Finding]:
    target, package = plan.target, plan.hops[0].kubelet
    for node in plan.nodes:
        yield from check_way_back(target, node.name, seen.report)
        machine, facts = seen.survey.machine(node.name), seen.survey.facts(node.name)
        if machine is None or facts is None:  # has its own finding
            continue
        offer = machine.offer(target.minor)
        if offer is None or package not in offer.versions:
            sentence = f"The package source of {node.name} does not offer the kubelet {target} any more."
            remedy = "Let it offer that package again, or bring the node on to a version that works."
            yield Finding("kubelet-not-offered", Severity.BLOCKER, node.name, sentence, remedy)
    yield from _newer_config(plan, seen)


def _newer_config(plan: UpgradePlan, seen: Observation) -> Iterator[Finding]:
    """A warning for each worker with feature gates; one note for all others, since nothing is to be done there."""
    target, plain = plan.target, dict[Minor, list[str]]()
    for node in plan.nodes:
        facts = seen.survey.facts(node.name)
        if facts is None or facts.kubeadm is None or (minor := facts.kubeadm.version.minor) == target.minor:
            continue
        if gates := [f"{name}={value}" for name, value in facts.feature_gates or ()]:
            sentence = (
                f"{_written(minor, [node.name], target)}, but does not start with a feature gate that it does not know "
                f"({some_of(gates)})."
            )
            remedy = f"Look whether {target.minor} knows them all; take out of its config.yaml there what it does not."
            yield Finding("newer-kubelet-config", Severity.WARNING, node.name, sentence, remedy)
        else:
            plain.setdefault(minor, []).append(node.name)
    for minor, names in plain.items():
        yield Finding("newer-kubelet-config", Severity.NOTE, plan.cluster, f"{_written(minor, names, target)}.", "")


def _written(minor: Minor, names: list[str], target: KubeVersion) -> str:
    return (
        f"kubeadm of {minor} wrote the kubelet's configuration on {some_of(names)}; the kubelet {target} passes over "
        "settings that it does not know"
    )


def _kubelet_before(report: ClusterReport, survey: Survey, name: str, records: tuple[PlanRecord, ...]) -> KubeVersion:
    """What it ran before the plan that brought what is installed now; raises Refused where that is not known."""
    facts, seen = survey.facts(name), report.node(name)
    package = facts.package("kubelet") if facts else None
    if package is None:
        machine = survey.machine(name)
        why = machine.facts.reason if machine and isinstance(machine.facts, Unread) else "no package of that name"
        raise Refused(
            f"Which kubelet is installed on {name} could not be read ({why}): check with `lockkeeper doctor`."
        )
    for record in records:
        node = record.plan.node(name)
        if node is None or seen is None or node.uid != seen.uid or not _was_carried_out(record):
            continue
        if before := _before(record, node, package.version):
            return before
    raise Refused(
        f"No run on record brought the kubelet {package.version} to {name}, so what it ran before is not known: "
        "put the package back by hand, on the drained node."
    )


def _was_carried_out(record: PlanRecord) -> bool:
    return record.plan.kind is PlanKind.UPGRADE and record.status is PlanStatus.APPROVED


def _before(record: PlanRecord, node: PlanNode, installed: str) -> KubeVersion | None:
    """What this plan found or made on the node right before it installed that package; None where it did not."""
    first = ReportedVersion.read(record.basis.kubelet_of.get(node.name, ""))
    before = first.version if first else None
    for index, hop in enumerate(record.plan.hops):
        if not kubelet_moves(record.plan, node, index):
            continue
        if str(hop.kubelet) == installed and before != hop.target:
            return before
        before = hop.target
    return None


def _hop(target: KubeVersion, survey: Survey, names: tuple[str, ...]) -> Hop:
    """With the newest package of that release that all of them are offered."""
    machines = (survey.machine(name) for name in names)
    offers = [m.offer(target.minor) if m else None for m in machines]
    of_first = offers[0].versions if offers[0] else ()
    common = [p for p in of_first if p.version == target and all(o and p in o.versions for o in offers)]
    package = common[-1] if common else PackageVersion(target, "0")  # a finding says that none is offered
    return Hop(target, package, package, package)


def _pools(report: ClusterReport, cluster: Cluster, mine: frozenset[str]) -> tuple[PlanPool, ...]:
    """Their pools alone, in which all others count where they are away; at nobody's pace but their limit."""
    others = frozenset(n.name for n in report.nodes) - mine
    pools = form_pools(report, cluster, left_out=others)
    kept = (p for p in pools if p.name != CONTROL_PLANE and p.nodes)
    return tuple(replace(p, canary=0, soak=0, ramp=False, failure_budget=0) for p in kept)
