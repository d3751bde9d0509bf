"""Container runtime and kernel of one machine against what the plan's newest kubelet needs, by data/runtimes.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, Field

from cluster.facts import MachineFacts
from cluster.findings import Finding, Severity
from cluster.report import Node
from cluster.runtime import Release, Runtime
from cluster.versions import Minor, ReportedVersion
from policies.data_files import DataFile, Facts, Row

NO_DOCKERSHIM = Minor(1, 24)
OLD_REGISTRY = "k8s.gcr.io/"
_CRI_DOCKERD = "cri-dockerd"


def _numbers(text: object) -> object:
    """`2.1.3` as numbers; validation says what is wrong with anything else."""
    return tuple(text.split(".")) if isinstance(text, str) else text


Numbers = Annotated[Release, BeforeValidator(_numbers)]
KernelLine = Annotated[tuple[int, int], BeforeValidator(_numbers)]


class Refusal(Row):
    """Older releases of the runtime cannot serve this kubelet."""

    since: Minor = Field(alias="from")
    below: Numbers
    reason: str


class Recommendation(Row):
    """Per minor of the runtime the first release that its makers recommend, the newest first."""

    since: Minor = Field(alias="from")
    releases: tuple[Numbers, ...]


class Containerd(Facts):
    """What is known of containerd."""

    refused: tuple[Refusal, ...]
    recommended: tuple[Recommendation, ...]
    sources: tuple[str, ...]
    verified_on: date


class CriO(Row):
    """Its minors have the numbers of those of Kubernetes that they are made for."""

    older_by: int  # minors that it may be behind its kubelet


class Kernels(Row):
    """The kernels of which kubeadm does not warn."""

    since: Minor = Field(alias="from")
    accepted: tuple[KernelLine, ...]
    and_from: KernelLine


class Runtimes(DataFile):
    """The whole file."""

    containerd: Containerd
    crio: CriO
    kernel: Kernels


def read_file() -> Runtimes:
    return Runtimes.read("runtimes.yaml")


def check_runtime(node: Node, facts: MachineFacts, last: Minor) -> Iterator[Finding]:
    """`last` is the newest minor that the plan brings to this node's kubelet."""
    runtime = facts.runtime or Runtime.of_node(node.runtime)
    if _is_dockershim(node, facts, last):
        sentence = (
            f"{node.name} runs its containers by dockershim, which is not in the kubelet of {NO_DOCKERSHIM} and later."
        )
        remedy = "Move the node to containerd first: https://kubernetes.io/docs/tasks/administer-cluster/migrating-from-dockershim/"
        yield Finding("dockershim", Severity.BLOCKER, node.name, sentence, remedy)
    elif runtime is not None and runtime.name == "containerd" and runtime.release is not None:
        yield from _containerd(node, runtime, runtime.release, last)
    elif runtime is not None and runtime.name == "cri-o" and runtime.release is not None:
        yield from _crio(node, runtime, runtime.release, last)
    if facts.sandbox_image.startswith(OLD_REGISTRY):
        sentence = (
            f"containerd on {node.name} takes {facts.sandbox_image} for every pod, from a registry that was given up."
        )
        remedy = (
            "Name registry.k8s.io/pause in /etc/containerd/config.toml: no pod starts once that image is lost there."
        )
        yield Finding("sandbox-image-old", Severity.WARNING, node.name, sentence, remedy)
    yield from _kernel(node, facts, last)


def _is_dockershim(node: Node, facts: MachineFacts, last: Minor) -> bool:
    """Docker below an older kubelet is dockershim, unless an adapter of its own stands between."""
    kubelet = node.kubelet.version.minor if isinstance(node.kubelet, ReportedVersion) else None
    settings = f"{facts.runtime_endpoint} {facts.kubelet_flags or ''} {facts.kubelet_extra_args}"
    old = kubelet is not None and kubelet < NO_DOCKERSHIM <= last
    return old and node.runtime.startswith("docker://") and _CRI_DOCKERD not in settings


def _containerd(node: Node, runtime: Runtime, release: Release, last: Minor) -> Iterator[Finding]:
    known = read_file().containerd
    refusals = [r for r in known.refused if r.since <= last and release < r.below]
    if refusals:
        worst = refusals[-1]
        sentence = f"{node.name} has {runtime}, which {worst.reason} ({last})."
        remedy = f"Upgrade containerd there to {_text(worst.below)} or later first."
        yield Finding("runtime-too-old", Severity.BLOCKER, node.name, sentence, remedy)
        return
    rows = [r for r in known.recommended if r.since <= last]
    if rows and not _is_recommended(release, rows[-1].releases):
        named = ", ".join(map(_text, rows[-1].releases))
        sentence = (
            f"{node.name} has {runtime}; containerd's makers recommend {named} or later patches for {rows[-1].since}."
        )
        remedy = f"Upgrade containerd there when you can; the kubelet tolerates it (as of {known.verified_on})."
        yield Finding("runtime-not-recommended", Severity.WARNING, node.name, sentence, remedy)


def _crio(node: Node, runtime: Runtime, release: Release, last: Minor) -> Iterator[Finding]:
    known = read_file().crio
    if Minor(*release[:2]).after(known.older_by) < last:
        sentence = (
            f"{node.name} has {runtime}, made for {Minor(*release[:2])}: CRI-O has a minor for each of Kubernetes, and "
            f"the plan goes to {last}."
        )
        remedy = f"Upgrade CRI-O there to {str(last)[1:]} before its kubelet, or with it (as of {known.verified_on})."
        yield Finding("runtime-not-recommended", Severity.WARNING, node.name, sentence, remedy)


def _is_recommended(release: Release, recommended: tuple[Release, ...]) -> bool:
    return release >= max(recommended) or any(release[:2] == first[:2] and release >= first for first in recommended)


def _kernel(node: Node, facts: MachineFacts, last: Minor) -> Iterator[Finding]:
    known, kernel = read_file().kernel, _line_of(facts.kernel or "")
    if kernel is None or last < known.since or kernel >= known.and_from or kernel in known.accepted:
        return
    accepted = ", ".join(f"{a}.{b}" for a, b in known.accepted)
    sentence = f"{node.name} runs the kernel {facts.kernel}; kubeadm knows {accepted} and {known.and_from[0]} or later."
    remedy = "Move the host to a kernel with long-term support; kubeadm goes on all the same."
    yield Finding("kernel-not-validated", Severity.WARNING, node.name, sentence, remedy)


def _line_of(kernel: str) -> tuple[int, int] | None:
    """(6, 1) of `6.1.0-37-amd64`."""
    major, _, rest = kernel.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None


def _text(release: Release) -> str:
    return ".".join(map(str, release))
