"""The machines of the configuration against the nodes of the cluster, both ways."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.findings import Finding, Findings, Severity
from cluster.inventory import Cluster
from cluster.report import ClusterReport


def check_inventory(report: ClusterReport, cluster: Cluster) -> Findings:
    """Nodes that no machine is named for, and machines that are no node."""
    return (*_nodes_without_machine(report, cluster), *_machines_without_node(report, cluster))


def _nodes_without_machine(report: ClusterReport, cluster: Cluster) -> Iterator[Finding]:
    for node in report.nodes:
        if node.name not in cluster.machines:
            sentence = f"{node.name} has no machine in the inventory: it could not be upgraded."
            remedy = f"Add clusters.{report.cluster}.machines.{node.name} to lockkeeper.yaml."
            yield Finding("machine-missing", Severity.BLOCKER, node.name, sentence, remedy)


def _machines_without_node(report: ClusterReport, cluster: Cluster) -> Iterator[Finding]:
    known = {n.name for n in report.nodes}
    for name in cluster.machines:
        if name not in known:
            sentence = f"The machine {name} of the inventory is no node of this cluster; it is not touched."
            yield Finding("machine-without-node", Severity.NOTE, name, sentence, "Take it out of lockkeeper.yaml.")
