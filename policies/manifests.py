"""The manifests of the control plane's static pods on one machine: what is missing, strange, or edited by hand."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.drift import Drift
from cluster.facts import MachineFacts
from cluster.findings import Finding, Severity
from cluster.report import Node

_SHOWN = 3  # lines that a sentence carries


def check_manifests(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    if facts.control_plane != node.control_plane:
        found, known = ("a control plane", "a worker") if facts.control_plane else ("a worker", "a control plane")
        sentence = f"{node.name} looks like {found} on its disk and is {known} in the cluster."
        remedy = "kubeadm goes by /etc/kubernetes/manifests/kube-apiserver.yaml: bring that file and the label in line."
        yield Finding("role-differs", Severity.BLOCKER, node.name, sentence, remedy)
    if node.control_plane and facts.missing_manifests:
        sentence = f"{node.name} lacks the manifest of {', '.join(facts.missing_manifests)}."
        remedy = "Restore it from the newest /etc/kubernetes/tmp/kubeadm-backup-manifests-*."
        yield Finding("manifest-missing", Severity.BLOCKER, node.name, sentence, remedy)
    if facts.stray_manifests:
        sentence = f"{node.name} has other files among its manifests ({', '.join(facts.stray_manifests)[:200]})."
        remedy = "The kubelet runs every one of them: move copies out of /etc/kubernetes/manifests."
        yield Finding("stray-manifest", Severity.WARNING, node.name, sentence, remedy)
    yield from _drift(node, facts)


def _drift(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    patched = facts.patches.startswith("present")
    for drift in facts.drift or ():
        lines = _beside_the_version(drift)
        if not lines and drift.count == len(drift.lines):  # said by what compares versions
            continue
        shown = "; ".join(" ".join(line.split()) for line in lines[:_SHOWN])
        sentence = (
            f"The manifest of {drift.component} on {node.name} is not what kubeadm would write at the declared version "
            f"({shown[:300]})."
        )
        if patched:
            remedy = (
                "The patches folder may say all of this: kubeadm's comparison leaves patches out, its upgrade does not."
            )
        elif all(line.startswith("+") for line in lines):
            remedy = (
                "kubeadm-config asks for this and it was never applied: the upgrade brings it, so see that it is meant."
            )
        else:
            remedy = (
                "What was edited by hand is lost: put it into kubeadm-config (extraArgs, extraVolumes) or into patches."
            )
        severity = Severity.NOTE if patched else Severity.WARNING
        yield Finding("manifest-drift", severity, node.name, sentence, remedy)


def _beside_the_version(drift: Drift) -> tuple[str, ...]:
    """The lines without those of one image whose tag alone differs."""
    images = {line[1:].split("image:")[1].strip().rpartition(":")[0] for line in drift.lines if "image:" in line}
    return tuple(line for line in drift.lines if len(images) > 1 or "image:" not in line)
