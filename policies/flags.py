"""Releases of kubeadm that fail on a kubeadm-flags.env without any flag, by data/releases.yaml."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.findings import Finding, Findings, Severity
from cluster.plan import PlanKind, PlanNode, Role, UpgradePlan
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
        kubeadm = hop.kubeadm.version  # of a revert the one that is installed, and not always the target's
        if runs and _needs_flags(kubeadm):
            sentence = (
                f"kubeadm {kubeadm} fails where /var/lib/kubelet/kubeadm-flags.env has no flag, as on {node.name}: its "
                "last phases would be missing."
            )
            remedy = 'Give that file one that changes nothing: KUBELET_KUBEADM_ARGS="--v=0"'
            if plan.kind is PlanKind.UPGRADE:
                remedy = f"Plan to a later patch of {kubeadm.minor}, which takes such a file, or give it a flag: --v=0"
            yield Finding("kubeadm-needs-flags", Severity.BLOCKER, node.name, sentence, remedy)


def _needs_flags(kubeadm: KubeVersion) -> bool:
    release = release_of(kubeadm.minor)
    return release is not None and kubeadm in release.needs_flags
