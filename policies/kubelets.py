"""The kubelet on one machine: whether it runs what is installed, and would start as the target's."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.facts import MachineFacts
from cluster.findings import Finding, Severity
from cluster.report import Node
from cluster.versions import Minor, ReportedVersion
from policies.releases import read_releases

CGROUP_V2_ONLY = Minor(1, 35)  # from here on the kubelet refuses cgroup v1 by default
FLAGS_OF_KUBEADM = "/var/lib/kubelet/kubeadm-flags.env"
EXTRA_ARGS = "/etc/default/kubelet"


def check_kubelet(node: Node, facts: MachineFacts, last: Minor | None) -> Iterator[Finding]:
    """`last` is the newest minor that the plan brings; None where there is no plan."""
    unit = facts.kubelet_unit
    if unit is not None and not (unit.loaded and unit.active):
        sentence = f"The kubelet's service on {node.name} is {unit.state or 'not loaded'}."
        yield _stop("kubelet-not-running", node, sentence, "Look there with: journalctl -u kubelet")
    if facts.kubelet and isinstance(node.kubelet, ReportedVersion) and facts.kubelet.version != node.kubelet.version:
        sentence = f"{node.name} runs the kubelet {node.kubelet} while {facts.kubelet} is installed."
        yield _warn("installed-not-running", node, sentence, "The next restart of the kubelet changes its version.")
    if last is None:
        return
    if facts.cgroup == "v1" and last >= CGROUP_V2_ONLY:
        sentence = f"{node.name} uses cgroup v1, which the kubelet of {CGROUP_V2_ONLY} and later refuses by default."
        remedy = "Set failCgroupV1: false in the kubelet-config ConfigMap first, or move the host to cgroup v2."
        yield _warn("cgroup-v1", node, sentence, remedy)
    yield from _removed_flags(node, facts, last)


def _removed_flags(node: Node, facts: MachineFacts, last: Minor) -> Iterator[Finding]:
    """By file; one that kubeadm writes is cleaned by the kubeadm of some minors, so what they take out is none."""
    gone = {flag for r in read_releases() if r.minor <= last for flag in r.removed_kubelet_flags}
    before = node.kubelet.version.minor if isinstance(node.kubelet, ReportedVersion) else last
    cleaned = {flag for r in read_releases() if before < r.minor <= last for flag in r.cleans}
    files = {EXTRA_ARGS: facts.kubelet_extra_args, **dict(facts.kubelet_arguments)}
    for file, arguments in (*files.items(), (FLAGS_OF_KUBEADM, facts.kubelet_flags or "")):
        found = {word.partition("=")[0] for word in arguments.split()} & gone
        if file == FLAGS_OF_KUBEADM:
            found -= cleaned
        for flag in sorted(found):
            sentence = f"{file} on {node.name} sets {flag}, which the kubelet of {last} does not know."
            yield _stop("removed-flag", node, sentence, f"Take it out of {file}: the new kubelet would not start.")


def _stop(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, node.name, sentence, remedy)


def _warn(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, node.name, sentence, remedy)
