"""How a cluster was made: kubeadm's are ours to upgrade; others get a report, and the name of what upgrades them."""

from __future__ import annotations

from pydantic import model_validator

from cluster.findings import Finding, Findings, Severity, demand_clear
from cluster.report import ClusterReport, Node, Unread
from cluster.versions import ReportedVersion
from policies.data_files import DataFile, Row

KUBEADM = "kubeadm"
UNKNOWN = "something else than kubeadm"
_SAME = "To update a component, use whatever was used to install it."


class Distribution(Row):
    """One way to make a cluster that is not kubeadm's, and the marks that it leaves on nodes and versions."""

    name: str
    version: str = ""
    labels: tuple[str, ...] = ()
    os_image: str = ""
    instead: str

    @model_validator(mode="after")
    def _has_a_mark(self) -> Distribution:
        if not (self.version or self.labels or self.os_image):
            raise ValueError(f"{self.name} has no mark: it would be recognised everywhere")
        return self


class Distributions(DataFile):
    """The whole file."""

    distributions: tuple[Distribution, ...]


def read_distributions() -> tuple[Distribution, ...]:
    return Distributions.read("distributions.yaml").distributions


def maker_of(report: ClusterReport) -> str:
    """`kubeadm`, the name of another distribution, or that it is something else."""
    if not isinstance(report.declared, Unread) or report.has_kubeadm_config:
        return KUBEADM
    if (found := _recognise(report)) is not None:
        return found.name
    # a cluster of kubeadm's may have lost its ConfigMap; its static pods tell what it is
    return UNKNOWN if report.has_kubeadm_config is False and not _has_static_pods(report) else KUBEADM


def unread_of(report: ClusterReport) -> tuple[Unread, ...]:
    """What could not be read; a kubeadm-config is not missing where there can be none."""
    is_kubeadm = maker_of(report) == KUBEADM
    return tuple(u for u in report.unread if is_kubeadm or u is not report.declared)


def check_distribution(report: ClusterReport) -> Findings:
    """The one blocker of a cluster that kubeadm did not make; nothing else of a plan is worth judging then."""
    maker = maker_of(report)
    if maker == KUBEADM:
        return ()
    found = next((d for d in read_distributions() if d.name == maker), None)
    sentence = (
        f"`{report.cluster}` was made by {maker}: lockkeeper reports what runs there, and upgrades clusters of kubeadm."
    )
    remedy = f"{_SAME} {found.instead}" if found else _SAME
    return (Finding("not-kubeadm", Severity.BLOCKER, report.cluster, sentence, remedy),)


def demand_kubeadm(report: ClusterReport) -> None:
    """Raise Refused, with the reason and what to use instead, for a cluster that kubeadm did not make."""
    demand_clear(check_distribution(report))


def _recognise(report: ClusterReport) -> Distribution | None:
    versions = [str(s.version) for s in report.api_servers if isinstance(s.version, ReportedVersion)]
    versions += {str(n.kubelet) for n in report.nodes}
    for known in read_distributions():
        by_version = known.version and any(known.version in version for version in versions)
        if by_version or any(_shows(node, known) for node in report.nodes):
            return known
    return None


def _shows(node: Node, known: Distribution) -> bool:
    labels = dict(node.labels)
    for mark in known.labels:
        key, _, value = mark.partition("=")
        if key in labels and value in {"", labels[key]}:
            return True
    return bool(known.os_image) and node.os_image.startswith(known.os_image)


def _has_static_pods(report: ClusterReport) -> bool:
    """True also where the pods could not be read: then nothing is known."""
    return bool(report.static_pods) or any(u.what == "pods of kube-system" for u in report.unread)
