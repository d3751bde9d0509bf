"""What can be read of a cluster of which even the nodes may be unreadable: for people, and for no decision."""

from __future__ import annotations

from datetime import datetime

from cluster.errors import ClusterUnreadable
from cluster.inventory import Cluster
from cluster.kube import Kube
from cluster.observe import observe
from cluster.report import ClusterReport, Unread

_ALL_OF_IT = "the whole cluster"


def glance(name: str, cluster: Cluster, *, now: datetime, kube: Kube | None = None) -> ClusterReport:
    """The report as far as it goes, be it nothing; what is missing is said, and why."""
    try:
        report = observe(name, cluster, now=now, kube=kube, without_nodes=True)
    except ClusterUnreadable as error:  # there are no credentials to ask with
        return _nothing(name, now, str(error))
    if report.nodes_read or _tells_something(report):
        return report
    return _nothing(name, now, report.nodes_unread)  # one thing to know, and not a line for each question


def _nothing(name: str, now: datetime, reason: str) -> ClusterReport:
    declared = Unread("kubeadm-config", "as all of the cluster")
    return ClusterReport(name, None, now, declared=declared, unread=(Unread(_ALL_OF_IT, reason),), nodes_unread=reason)


def _tells_something(report: ClusterReport) -> bool:
    seen = (report.identity, report.api_versions, report.static_pods, report.add_ons, report.budgets)
    return report.has_kubeadm_config is not None or any(seen)
