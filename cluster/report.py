"""Which version runs where, at one moment, each with where it was read; "could not be read" is a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from cluster.versions import KubeVersion, Minor, ReportedVersion

CORDON_OWNER = "lockkeeper.dev/cordoned-by"  # annotation on a node: the operation that cordoned it


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that could not be read: what, and why, in words."""

    what: str
    reason: str
    single: bool = False  # one object that is not as it should be, in a list that was read


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """What makes a cluster this one: two clusters never share it, even under one name."""

    name: str
    ca_hash: str  # SHA-256 of the CA certificate in DER, hex
    kube_system_uid: str


@dataclass(frozen=True, slots=True)
class ApiServer:
    """One API server, asked at its own endpoint and not through the balancer."""

    node: str  # "" for one that is no pod of the cluster: whoever answered at the cluster's address
    endpoint: str  # host:port
    version: ReportedVersion | Unread
    emulation: Minor | None = None  # KEP-4330: a newer binary that behaves like an older minor
    ready: bool = False  # its own /readyz


@dataclass(frozen=True, slots=True)
class StaticPod:
    """A control-plane component as its mirror pod shows it."""

    node: str
    component: str  # kube-apiserver, kube-controller-manager, kube-scheduler, etcd
    image: str
    tag: str  # "v1.34.7", "3.6.5-0"; "" when the image is named by digest only
    ready: bool
    config_hash: str

    @property
    def version(self) -> ReportedVersion | None:
        """The tag as a Kubernetes version; None for etcd and for images without a readable tag."""
        return None if self.component == "etcd" else ReportedVersion.of_tag(self.tag)


@dataclass(frozen=True, slots=True)
class Node:
    """One node as the API shows it."""

    name: str
    uid: str
    control_plane: bool
    kubelet: ReportedVersion | Unread
    ready: bool
    cordoned: bool
    cordoned_by: str = ""  # the operation named in our annotation; "" for a cordon that is not ours
    labels: tuple[tuple[str, str], ...] = ()
    address: str = ""
    os_image: str = ""
    kernel: str = ""
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class AddOn:
    """An image that runs in kube-system beside the control plane: kube-proxy, CoreDNS, the network, anything else."""

    name: str  # the workload or container name
    image: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """One pod disruption budget as its status shows it."""

    namespace: str
    name: str
    allowed: int  # how many of its pods may go now
    needed: int  # how many must stay healthy
    expected: int  # how many there are


@dataclass(frozen=True, slots=True)
class DaemonSet:
    """One DaemonSet as its status shows it."""

    namespace: str
    name: str
    wanted: int  # nodes that should run its pod
    ready: int  # nodes that run it, ready
    images: tuple[str, ...] = ()  # of its containers, in their order


@dataclass(frozen=True)  # without slots: its nodes are looked up by name, thousands of times
class ClusterReport:
    """Every version there is in one cluster, read at `read_at` (UTC)."""

    cluster: str
    identity: ClusterIdentity | None
    read_at: datetime
    api_servers: tuple[ApiServer, ...] = ()
    static_pods: tuple[StaticPod, ...] = ()
    nodes: tuple[Node, ...] = ()
    add_ons: tuple[AddOn, ...] = ()
    declared: KubeVersion | Unread = field(default_factory=lambda: Unread("kubeadm-config", "not asked"))
    has_kubeadm_config: bool | None = None  # whether that ConfigMap is there; None where it could not be told
    image_repository: str = ""
    budgets: tuple[Budget, ...] = ()
    daemon_sets: tuple[DaemonSet, ...] = ()
    unread: tuple[Unread, ...] = ()
    lease_holder: str = ""  # who holds our Lease object in this cluster ("installation/operation"), "" for nobody
    nodes_unread: str = ""  # why: without them it is for people to read, and nothing is decided by it

    def node(self, name: str) -> Node | None:
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {n.name: n for n in self.nodes}

    @property
    def nodes_read(self) -> bool:
        return not self.nodes_unread

    @property
    def control_plane(self) -> tuple[Node, ...]:
        return tuple(n for n in self.nodes if n.control_plane)

    @property
    def worker_nodes(self) -> tuple[Node, ...]:
        return tuple(n for n in self.nodes if not n.control_plane)

    @property
    def api_versions(self) -> tuple[KubeVersion, ...]:
        return known_versions(a.version for a in self.api_servers)

    @property
    def kubelet_versions(self) -> tuple[KubeVersion, ...]:
        return known_versions(n.kubelet for n in self.nodes)


def known_versions(readings: Iterable[ReportedVersion | Unread]) -> tuple[KubeVersion, ...]:
    return tuple(r.version for r in readings if isinstance(r, ReportedVersion))
