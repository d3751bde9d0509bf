"""A control plane that is not what kubeadm-config declares: edited by hand, or left by an interrupted upgrade."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.findings import Finding, Findings, Severity
from cluster.report import ApiServer, ClusterReport, Unread
from cluster.versions import KubeVersion, ReportedVersion

_KUBEADM_MOVES_TOGETHER = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
_EVERY = (*_KUBEADM_MOVES_TOGETHER, "etcd")


def check_drift(report: ClusterReport, target: KubeVersion | None) -> Findings:
    """What differs from the declared version; a plan to the declared version itself finishes what was interrupted."""
    if isinstance(report.declared, Unread):
        remedy = "Bring the ConfigMap kubeadm-config back: kubeadm init phase upload-config kubeadm."
        found = Finding(
            "kubeadm-config-unread", Severity.BLOCKER, report.cluster, _ended(report.declared.reason), remedy
        )
        return (found,)
    edited = edited_nodes(report)
    found_edits = [_edited(node, report, report.declared) for node in edited]
    return (*found_edits, *_interrupted(report, report.declared, edited, target), *_missing(report))


def edited_nodes(report: ClusterReport) -> tuple[str, ...]:
    """Control-plane nodes where one component alone is ahead of the declared version.

    kubeadm moves all three together and takes a failed apply back; what an interrupted `upgrade node` leaves is
    *behind* the declared version.
    """
    declared = report.declared
    if isinstance(declared, Unread):
        return ()
    found = []
    for node in report.control_plane:
        versions = set(_versions(report, node.name).values())
        if declared in versions and len(versions) > 1 and min(versions) == declared:
            found.append(node.name)
    return tuple(found)


def _versions(report: ClusterReport, node: str) -> dict[str, KubeVersion]:
    """Component → version of the three that kubeadm moves together, by their mirror pods."""
    return {
        p.component: p.version.version
        for p in report.static_pods
        if p.node == node and p.component in _KUBEADM_MOVES_TOGETHER and p.version is not None
    }


def _edited(node: str, report: ClusterReport, declared: KubeVersion) -> Finding:
    ahead = {c: v for c, v in _versions(report, node).items() if v != declared}
    revert = "Approve and run the revert plan that was made beside this one; it puts them back to the declared version."
    if "kube-apiserver" in ahead:
        sentence = (
            f"The API server on {node} runs {ahead['kube-apiserver']} while kubeadm-config declares {declared}: its "
            "manifest was edited by hand. kubeadm reads the cluster version from this API server's /version alone, and "
            "would say that there is nothing to upgrade."
        )
        return Finding("hand-edited-apiserver", Severity.BLOCKER, node, sentence, revert)
    shown = ", ".join(f"{c} {v}" for c, v in sorted(ahead.items()))
    sentence = f"On {node} {shown} runs beside a control plane of {declared}: its manifest was edited by hand."
    return Finding("hand-edited-component", Severity.BLOCKER, node, sentence, revert)


def _interrupted(
    report: ClusterReport, declared: KubeVersion, edited: tuple[str, ...], target: KubeVersion | None
) -> Iterator[Finding]:
    for node in report.control_plane:
        if node.name in edited or not (versions := _versions(report, node.name)):
            continue
        oldest, newest = min(versions.values()), max(versions.values())
        if oldest < declared:
            weight = Severity.WARNING if target == declared else Severity.BLOCKER
            sentence = f"kubeadm-config declares {declared} while {node.name} still runs {oldest}: an upgrade was left."
            yield Finding(
                "kubeadm-config-ahead", weight, node.name, sentence, f"Finish it first: plan {declared}, and run that."
            )
        elif newest > declared:
            weight = Severity.WARNING if target == newest else Severity.BLOCKER
            sentence = (
                f"{node.name} runs {newest} while kubeadm-config declares {declared}: an apply ended before it could "
                "say so."
            )
            yield Finding(
                "kubeadm-config-behind", weight, node.name, sentence, f"Finish it first: plan {newest}, and run that."
            )


def _missing(report: ClusterReport) -> Iterator[Finding]:
    """A control plane without one of its pods; without any etcd pod the etcd is outside of the cluster."""
    with_etcd = any(p.component == "etcd" for p in report.static_pods)
    if any(u.what == "pods of kube-system" for u in report.unread):
        return
    for node in report.control_plane:
        here = {p.component for p in report.static_pods if p.node == node.name}
        for component in _EVERY if with_etcd else _KUBEADM_MOVES_TOGETHER:
            if component not in here:
                sentence = f"{node.name} shows no {component} pod."
                remedy = f"Look at /etc/kubernetes/manifests/{component}.yaml and at the kubelet there."
                yield Finding("static-pod-missing", Severity.BLOCKER, node.name, sentence, remedy)


def base_version(report: ClusterReport) -> KubeVersion | None:
    """The oldest version that the control plane truly is at: a hand-edited one counts as what is declared."""
    edited = edited_nodes(report)
    if edited and not isinstance(report.declared, Unread):
        others = [v for s in report.api_servers if s.node not in edited and (v := running_version(s, report))]
        return min((report.declared, *others))
    return min((v for s in report.api_servers if (v := running_version(s, report))), default=None)


def settled_version(report: ClusterReport) -> KubeVersion | None:
    """The version that all API servers run and kubeadm-config declares; None where there is no such one."""
    versions = {running_version(s, report) for s in report.api_servers} | {report.declared}
    only = versions.pop() if len(versions) == 1 else None
    return only if isinstance(only, KubeVersion) else None


def running_version(server: ApiServer, report: ClusterReport) -> KubeVersion | None:
    """What an API server says it is; while it does not answer, what its pod's image says."""
    if isinstance(server.version, ReportedVersion):
        return server.version.version
    return _versions(report, server.node).get("kube-apiserver")


def _ended(reason: str) -> str:
    return reason if reason.endswith((".", "!")) else f"{reason}."
