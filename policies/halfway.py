"""What an upgrade leaves that was not carried through: pools of two versions, a kube-proxy that stayed behind."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.findings import Finding, Findings, Severity
from cluster.inventory import Cluster
from cluster.pods import tag_of
from cluster.report import ClusterReport
from cluster.versions import KubeVersion, ReportedVersion
from policies.drift import running_version
from policies.pools import form_pools
from policies.skew import kube_proxies
from policies.wording import count_of, some_of


def check_halfway(report: ClusterReport, cluster: Cluster) -> Findings:
    """Each is allowed by the skew policy, and none is what anybody wants to keep."""
    return (*_pools(report, cluster), *_proxies(report), *_emulating(report))


def _pools(report: ClusterReport, cluster: Cluster) -> Iterator[Finding]:
    """Kubelets of several versions in one pool; the fewer ones are named."""
    for pool in form_pools(report, cluster):
        groups: dict[KubeVersion, list[str]] = {}
        for member in pool.nodes:
            node = report.node(member.name)
            if node is not None and isinstance(node.kubelet, ReportedVersion):
                groups.setdefault(node.kubelet.version, []).append(node.name)
        if len(groups) < 2:  # noqa: PLR2004 - one version is as it should be
            continue
        newest_first = sorted(groups.items(), reverse=True)
        first, *others = sorted(newest_first, key=lambda group: -len(group[1]))
        apart = "; ".join(f"{version} on {some_of(names)}" for version, names in others)
        sentence = f"The pool {pool.name} runs kubelets {first[0]} ({count_of(len(first[1]), 'node')}) and {apart}."
        remedy = f"Finish what was begun: plan {max(groups)}, which brings the others there."
        yield Finding("pool-versions-differ", Severity.WARNING, pool.name, sentence, remedy)


def _proxies(report: ClusterReport) -> Iterator[Finding]:
    """kubeadm moves kube-proxy with the last control plane: an older one beside them was left or pinned."""
    servers = {running_version(s, report) for s in report.api_servers}
    settled = servers.pop() if len(servers) == 1 else None
    if settled is None or settled != report.declared:
        return
    for add_on, _ in kube_proxies(report):
        seen = ReportedVersion.of_tag(tag_of(add_on.image))
        if seen is not None and seen.version < settled:
            sentence = (
                f"kube-proxy on {some_of(add_on.nodes)} runs {seen.version} although every API server runs {settled}, "
                "which kubeadm would have brought it to."
            )
            remedy = (
                f"Look with: kubectl -n kube-system rollout status daemonset {add_on.name}. A plan updates it again."
            )
            yield Finding("kube-proxy-behind", Severity.WARNING, report.cluster, sentence, remedy)


def _emulating(report: ClusterReport) -> Iterator[Finding]:
    for server in report.api_servers:
        if server.emulation is not None:
            where = server.node or report.cluster
            sentence = f"The API server on {where} is {server.version} and behaves like {server.emulation}."
            remedy = "Its flag --emulated-version holds it there: take it out once nothing has to go back."
            yield Finding("api-server-emulates", Severity.NOTE, where, sentence, remedy)
