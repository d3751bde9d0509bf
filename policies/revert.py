"""The plan that puts hand-edited control planes back to the version that kubeadm-config declares."""

from __future__ import annotations

from dataclasses import replace

from cluster.errors import InvalidVersion
from cluster.findings import Finding, Findings, Severity, worst_first
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.options import Options, Reboot
from cluster.plan import Hop, PlanKind, PlanNode, PlanPool, Role, UpgradePlan
from cluster.report import ClusterReport, Unread
from cluster.survey import Survey
from cluster.versions import KubeVersion, PackageVersion
from policies.basis import identity_of
from policies.consents import acceptances
from policies.drift import edited_nodes
from policies.flags import check_flags
from policies.pools import CONTROL_PLANE, by_name
from policies.preflight import check_preflight


def plan_revert(
    seen: Observation, cluster: Cluster, *, options: Options, accepted: tuple[str, ...]
) -> tuple[UpgradePlan, Findings] | None:
    """None where nothing was edited, or where it is not known what is declared."""
    report, survey = seen.report, seen.survey
    edited, declared = edited_nodes(report), report.declared
    if not edited or isinstance(declared, Unread):
        return None
    nodes = tuple(
        PlanNode(n.name, n.uid, Role.CONTROL_PLANE)
        for n in sorted(report.control_plane, key=lambda n: by_name(n.name))
        if n.name in edited
    )
    nodes = (replace(nodes[0], role=Role.FIRST_CONTROL_PLANE), *nodes[1:])
    hop, found = _installed_hop(declared, nodes, survey)
    options = replace(options, reboot=Reboot.NEVER, pod_rules=(), databases=(), surge=False)  # it drains nobody
    pools = (PlanPool(CONTROL_PLANE, 1, nodes),)
    plan = UpgradePlan(PlanKind.REVERT, identity_of(report), (hop,), pools, options)
    preflight = check_preflight(seen, cluster, target=declared, accepted=accepted)
    findings = worst_first(
        (
            *beside_revert(preflight, report, nodes),
            *(_as_note(f) for f in preflight if f.code.startswith("hand-edited-")),
            *found,
            *check_flags(plan, survey),
            _images(declared),
        )
    )
    return replace(plan, accepted=acceptances(findings)), findings


def beside_revert(found: Findings, report: ClusterReport, nodes: tuple[PlanNode, ...]) -> Findings:
    """What concerns the reverted nodes, without what the revert itself is the remedy of."""
    mended = ("hand-edited-", "api-servers-apart", "kubelet-", "kube-proxy-", "controller-")
    mine = {n.name for n in nodes} | {report.cluster}
    return tuple(f for f in found if f.subject in mine and not f.code.startswith(mended))


def _installed_hop(
    declared: KubeVersion, nodes: tuple[PlanNode, ...], survey: Survey
) -> tuple[Hop, tuple[Finding, ...]]:
    """The declared version with the packages that are installed: a revert installs nothing."""
    found: list[Finding] = []
    installed: list[PackageVersion] = []
    for node in nodes:
        facts = survey.facts(node.name)
        package = facts.package("kubeadm") if facts else None
        version = _package_version(package.version) if package else None
        if version is not None:
            installed.append(version)
        if facts is not None and (version is None or version.version.minor != declared.minor):
            sentence = (
                f"kubeadm on {node.name} is {version or 'missing'}; putting back {declared} needs one of its minor."
            )
            remedy = f"Install kubeadm of {declared.minor} there, and plan again."
            found.append(Finding("kubeadm-of-another-minor", Severity.BLOCKER, node.name, sentence, remedy))
    package_version = installed[0] if installed else PackageVersion(declared, "0")
    return Hop(declared, package_version, package_version, package_version), tuple(found)


def _images(declared: KubeVersion) -> Finding:
    """Nobody is asked for them, which is said."""
    sentence = f"Whether the images of {declared} can be had was not asked: they ran on these control planes before."
    remedy = "kubeadm fetches what is missing before it changes anything, and stops where it cannot."
    return Finding("images-not-checked", Severity.NOTE, str(declared), sentence, remedy)


def _package_version(text: str) -> PackageVersion | None:
    try:
        return PackageVersion.parse(text)
    except InvalidVersion:
        return None


def _as_note(finding: Finding) -> Finding:
    return replace(finding, severity=Severity.NOTE, remedy="This plan puts it back.")
