"""Kubelets that skip a minor: what kubeadm of a minor between would have mended on the machine, and now does not."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.findings import Finding, Findings, Severity
from cluster.plan import PlanNode, Role, UpgradePlan
from cluster.procedure import kubelet_moves
from cluster.report import ClusterReport
from cluster.survey import Survey
from cluster.versions import Minor, ReportedVersion
from policies.releases import read_releases


def check_jumps(plan: UpgradePlan, report: ClusterReport, survey: Survey) -> Findings:
    """Flags in kubeadm-flags.env that only the kubeadm of a skipped minor takes out; the new kubelet refuses them."""
    workers = (n for n in plan.nodes if n.role is Role.WORKER)  # kubeadm runs on a control plane at every minor
    return tuple(f for node in workers for f in _of_node(plan, node, report, survey))


def _of_node(plan: UpgradePlan, node: PlanNode, report: ClusterReport, survey: Survey) -> Iterator[Finding]:
    seen, facts = report.node(node.name), survey.facts(node.name)
    if seen is None or not isinstance(seen.kubelet, ReportedVersion) or facts is None or not facts.kubelet_flags:
        return
    flags = {word.partition("=")[0] for word in facts.kubelet_flags.split()}
    stops = [plan.hops[i].target.minor for i in range(len(plan.hops)) if kubelet_moves(plan, node, i)]
    for flag, minor in _left(flags, seen.kubelet.version.minor, stops):
        sentence = (
            f"{node.name} skips {minor}, whose kubeadm alone takes {flag} out of kubeadm-flags.env; the kubelet after "
            "that does not know it, and would not start."
        )
        remedy = f"Take it out of /var/lib/kubelet/kubeadm-flags.env on {node.name}, or let workers move at every hop."
        yield Finding("clean-up-skipped", Severity.BLOCKER, node.name, sentence, remedy)


def _left(flags: set[str], kubelet: Minor, stops: list[Minor]) -> Iterator[tuple[str, Minor]]:
    """Each flag that stays because the minor that cleans it lies between two stops."""
    on_the_way = {kubelet, *stops}
    for release in read_releases():
        if kubelet < release.minor < max(on_the_way) and release.minor not in on_the_way:
            yield from ((flag, release.minor) for flag in release.cleans if flag in flags)
