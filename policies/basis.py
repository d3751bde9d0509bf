"""What a plan starts from, as a report shows it: foreign changes are measured against it, before and during a run."""

from __future__ import annotations

from cluster.errors import Refused
from cluster.plan import Basis
from cluster.report import ClusterIdentity, ClusterReport, Unread
from cluster.versions import ReportedVersion
from policies.drift import running_version


def identity_of(report: ClusterReport) -> ClusterIdentity:
    """Raises Refused where it was not read: a plan is for one cluster."""
    if report.identity is None:
        reason = next((u.reason for u in report.unread if u.what == "cluster identity"), "it was not read")
        raise Refused(f"Which cluster `{report.cluster}` is cannot be told: {reason}")
    return report.identity


def basis_of(report: ClusterReport) -> Basis:
    """Every version that was read; what could not be read is not in it."""
    servers = ((s.node, running_version(s, report)) for s in report.api_servers)
    return Basis(
        api_servers=tuple((node, str(version)) for node, version in servers if version is not None),
        kubelets=tuple((n.name, str(n.kubelet)) for n in report.nodes if isinstance(n.kubelet, ReportedVersion)),
        declared="" if isinstance(report.declared, Unread) else str(report.declared),
        seen_at=report.read_at,
    )
