"""What runs where, line by line: grouped by version and role, so that a cluster of any size is a short table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bot.text import NOTHING, count, listing
from cluster.report import ApiServer, ClusterReport, Node, StaticPod, Unread
from policies.add_ons import UNKNOWN, Recognised, recognise, repository_of, version_of
from policies.distributions import KUBEADM
from policies.overview import Overview

_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
NODE_HEAD = ("NODE", "ROLE", "STATE", "KUBELET", "CONTAINER RUNTIME", "OPERATING SYSTEM", "KERNEL")
_FEW = 4  # nodes of a group that are named; of the largest group more of them are only counted


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report: what, in which version, on which nodes."""

    what: str
    version: str
    where: tuple[str, ...]
    number: int = 0  # of nodes, where their names are not known
    is_usual: bool = False  # the largest group of its kind: the others are the outliers

    @property
    def place(self) -> str:
        if not self.where:
            return count(self.number, "node") if self.number else NOTHING
        if len(self.where) == 1:
            return self.where[0]
        if self.is_usual and len(self.where) > _FEW:
            return count(len(self.where), "node")
        return f"{len(self.where)}: {listing(self.where, _FEW)}"


def overview_rows(seen: Overview) -> tuple[Row, ...]:
    """Everything that has a version; "not read" is a version of its own."""
    report = seen.report
    declared = ("kubeadm-config", _reading(report.declared), "")
    return (
        *grouped((_server_name(a), _server_version(a), a.node or a.endpoint) for a in report.api_servers),
        *grouped(_components(report)),
        *_outside_etcd(seen),
        *grouped(
            (_kubelet_name(n), _reading(n.kubelet), n.name) for n in (*report.control_plane, *report.worker_nodes)
        ),
        *(grouped((declared,)) if seen.maker == KUBEADM else ()),
        *(_add_on(a) for a in recognise(report)),
        *grouped(("container runtime", n.runtime, n.name) for n in report.nodes if n.runtime),
        *grouped(("operating system", n.os_image, n.name) for n in report.nodes if n.os_image),
        *grouped(("kernel", n.kernel, n.name) for n in report.nodes if n.kernel),
    )


def node_lines(report: ClusterReport) -> Iterator[tuple[str, ...]]:
    """One line a node, below NODE_HEAD."""
    for node in (*report.control_plane, *report.worker_nodes):
        state = ", ".join(_states(node)) or "Ready"
        told = (cell or NOTHING for cell in (node.runtime, node.os_image, node.kernel))
        yield node.name, _role(node), state, _reading(node.kubelet), *told


def image_lines(report: ClusterReport) -> Iterator[tuple[str, str, str, str]]:
    """Node, workload, image and tag of everything in kube-system, as the classic listing has it."""
    pods = ((p.node, p.component, p.image) for p in report.static_pods)
    add_ons = ((node, a.name, a.image) for a in report.add_ons for node in a.nodes)
    for node, workload, image in sorted((*pods, *add_ons)):
        yield node, workload, repository_of(image), version_of(image)


def count_images(report: ClusterReport) -> int:
    """How many lines that would be."""
    return len(report.static_pods) + sum(len(a.nodes) for a in report.add_ons)


def grouped(readings: Iterable[tuple[str, str, str]]) -> Iterator[Row]:
    """One line for each version of a thing; of what, which version and where."""
    groups: dict[tuple[str, str], list[str]] = {}
    for what, version, where in readings:
        groups.setdefault((what, version), []).append(where)
    usual: dict[str, int] = {}
    for (what, _), names in groups.items():
        usual[what] = max(usual.get(what, 0), len(names))
    for (what, version), names in groups.items():
        yield Row(what, version, tuple(n for n in names if n), is_usual=len(names) == usual[what])


def _components(report: ClusterReport) -> Iterator[tuple[str, str, str]]:
    """An API server's image has a line of its own only where it is not what the server says it is."""
    said = {a.node: str(a.version) for a in report.api_servers}
    for pod in sorted(report.static_pods, key=lambda p: (_order(p), p.component)):
        if pod.component != "kube-apiserver" or str(pod.version) != said.get(pod.node):
            yield pod.component, _tag(pod), pod.node


def _outside_etcd(seen: Overview) -> Iterator[Row]:
    report = seen.report
    if seen.maker == KUBEADM and report.static_pods and not any(p.component == "etcd" for p in report.static_pods):
        yield Row("etcd", "outside of the cluster", ())


def _add_on(found: Recognised) -> Row:
    at_home = found.workload if found.namespace == "kube-system" else f"{found.namespace}/{found.workload}"
    named = found.title == UNKNOWN or found.title.lower() != at_home.lower()
    what = f"{found.title} ({at_home})" if named else found.title
    return Row(what, found.version, found.nodes, found.count, is_usual=True)


def _reading(value: object) -> str:
    return f"not read: {value.reason}" if isinstance(value, Unread) else str(value)


def _tag(pod: StaticPod) -> str:
    return (pod.tag or "image without a tag") + ("" if pod.ready else ", not ready")


def _order(pod: StaticPod) -> int:
    return _COMPONENTS.index(pod.component) if pod.component in _COMPONENTS else len(_COMPONENTS)


def _server_name(server: ApiServer) -> str:
    return "API server" if server.ready else "API server, not ready"


def _server_version(server: ApiServer) -> str:
    return _reading(server.version) + (f", behaves like {server.emulation}" if server.emulation else "")


def _kubelet_name(node: Node) -> str:
    return ", ".join((f"kubelet ({_role(node)})", *_states(node)))


def _role(node: Node) -> str:
    return "control plane" if node.control_plane else "worker"


def _states(node: Node) -> tuple[str, ...]:
    """What is unusual of it."""
    states = (("not Ready", not node.ready), ("cordoned", node.cordoned))
    return tuple(word for word, holds in states if holds)
