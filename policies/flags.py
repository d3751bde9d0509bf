"""Releases of kubeadm that fail on a kubeadm-flags.env without any flag, by data/releases.yaml."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.findings import Finding, Findings, Severity
from cluster.plan import PlanNode, Role, UpgradePlan
from cluster.procedure import kubelet_moves
from cluster.survey import Survey
from cluster.versions import KubeVersion
from policies.releases import release_of


def check_flags(plan: UpgradePlan, survey: Survey) -> Findings:
    """The machines on which kubeadm of a hop would end with an error, after its static pods were replaced."""
    return tuple(f for node in plan.nodes for f in _of_node(plan, node, survey))


def _of_node(plan: UpgradePlan, node: PlanNode, survey: Survey) -> Iterator[Finding]:
    facts = survey.facts(node.name)
    if facts is None or facts.kubelet_flags != "":
        return
    for position, hop in enumerate(plan.hops):
        runs = hop.whole if node.role is not Role.WORKER else kubelet_moves(plan, node, position)
        if runs and _needs_flags(hop.target):
            sentence = (
                f"kubeadm {hop.target} fails where /var/lib/kubelet/kubeadm-flags.env has no flag, as on {node.name}: "
                "its last phases would be missing."
            )
            remedy = f"Plan to a later patch of {hop.target.minor}, which takes such a file."
            yield Finding("kubeadm-needs-flags", Severity.BLOCKER, node.name, sentence, remedy)


def _needs_flags(target: KubeVersion) -> bool:
    release = release_of(target.minor)
    return release is not None and target in release.needs_flags
