"""Read every version that one cluster shows over its API; what cannot be read is said, never left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import yaml

from cluster.errors import ClusterUnreadable, InvalidVersion, KubeDenied
from cluster.inventory import Cluster
from cluster.kube import Kube
from cluster.nodes import NODE_SHAPE, NODES, fold_nodes, parse_version
from cluster.pods import POD_SHAPE, PODS, SystemPods, read_pods
from cluster.report import (
    ApiServer,
    Budget,
    ClusterIdentity,
    ClusterReport,
    DaemonSet,
    Node,
    Unread,
)
from cluster.sieve import MALFORMED, Sieve, not_understood
from cluster.versions import KubeVersion, Minor, ReportedVersion

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/lockkeeper"
_NAMESPACE = "/api/v1/namespaces/kube-system"
_CONFIG = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
_NODES = "nodes"
_PARALLEL = 8
_ONE_READ = 5.0  # seconds: one API server that hangs must not hold the report up
_NOT_FOUND = 404
_OK = 200

T = TypeVar("T")


@dataclass
class _Reader:
    """Runs a reading and turns its failure into a value beside the report."""

    unread: list[Unread] = field(default_factory=list)

    def attempt(self, what: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except ClusterUnreadable as error:
            self.unread.append(Unread(what, str(error)))
        except MALFORMED as error:
            self.unread.append(Unread(what, not_understood(error)))
        return otherwise

    def sift(self, what: str, kind: str, read: Callable[[Sieve], tuple[T, ...]]) -> tuple[T, ...]:
        """A list of which single objects may be unread."""
        sieve = Sieve(kind)
        none: tuple[T, ...] = ()
        found = self.attempt(what, lambda: read(sieve), none)
        self.unread.extend(sieve.unread)
        return found


def observe(
    name: str, cluster: Cluster, *, now: datetime, kube: Kube | None = None, without_nodes: bool = False
) -> ClusterReport:
    """The whole report; raises ClusterUnreadable where not even the nodes can be listed.

    Nobody may act on less: `without_nodes` is for cluster.glance alone. A process that reads thousands of objects
    does well to call gc.collect() and gc.freeze() once, after its imports.
    """
    with ExitStack() as stack:
        kube = kube or stack.enter_context(Kube.connect(name, cluster))
        pool = stack.enter_context(ThreadPoolExecutor(_PARALLEL))
        reader = _Reader()
        servers = _Servers(kube, pool)
        read = partial(read_system_pods, kube, servers.ask)
        pods = pool.submit(reader.attempt, "pods of kube-system", read, SystemPods())
        lost_nodes = Sieve("Node", lambda _: True)
        nodes = pool.submit(_list_nodes, kube, lost_nodes, reader if without_nodes else None)
        identity = pool.submit(reader.attempt, "cluster identity", lambda: read_identity(kube), None)
        declared = pool.submit(_read_declared, kube)
        lease = pool.submit(reader.attempt, "Lease lockkeeper", lambda: _lease_holder(kube), "")
        budgets = pool.submit(reader.sift, "pod disruption budgets", "PodDisruptionBudget", partial(read_budgets, kube))
        daemons = pool.submit(reader.sift, "daemon sets", "DaemonSet", partial(read_daemon_sets, kube))
        listed, system, config = nodes.result(), pods.result(), declared.result()
        addresses = _addresses(listed or (), system.endpoints)
        nowhere = listed is None and not addresses
        if nowhere or (config.present is False and system.read and not system.endpoints):
            told: tuple[ApiServer, ...] = (_ask_address(kube),)
        else:
            told = servers.answers(addresses)
        said = [reading for reading in (config.version, *(s.version for s in told)) if isinstance(reading, Unread)]
        return ClusterReport(
            cluster=name,
            identity=identity.result(),
            read_at=now,
            api_servers=told,
            static_pods=system.static,
            nodes=listed or (),
            add_ons=system.add_ons,
            declared=config.version,
            has_kubeadm_config=config.present,
            image_repository=config.repository,
            budgets=budgets.result(),
            daemon_sets=daemons.result(),
            lease_holder=lease.result(),
            unread=(*reader.unread, *lost_nodes.unread, *system.unread, *said),
            nodes_unread="" if listed is not None else next(u.reason for u in reader.unread if u.what == _NODES),
        )


def _list_nodes(kube: Kube, sieve: Sieve, reader: _Reader | None) -> tuple[Node, ...] | None:
    """With a reader None where they cannot be listed, which it has then; else that is an error."""
    if reader is None:
        return read_nodes(kube, sieve)
    return reader.attempt(_NODES, partial(read_nodes, kube, sieve), None)


def read_system_pods(kube: Kube, on_server: Callable[[str, str], None] = lambda _node, _endpoint: None) -> SystemPods:
    """The pods of kube-system, folded; `on_server` as in read_pods. Raises ClusterUnreadable."""
    return read_pods(kube.items(PODS, shape=POD_SHAPE), on_server)


def read_nodes(kube: Kube, sieve: Sieve | None = None) -> tuple[Node, ...]:
    """Every node, control plane first; raises ClusterUnreadable."""
    return fold_nodes(kube.rows(NODES, shape=NODE_SHAPE), sieve or Sieve("Node"))


def read_identity(kube: Kube) -> ClusterIdentity:
    return ClusterIdentity(kube.name, kube.ca_hash, str(kube.get(_NAMESPACE)["metadata"]["uid"]))


def read_lease_holder(name: str, cluster: Cluster) -> str:
    """Who holds our Lease in this cluster ("installation/operation"), "" for nobody; raises ClusterUnreadable."""
    with Kube.connect(name, cluster) as kube:
        return _lease_holder(kube)


def _lease_holder(kube: Kube) -> str:
    try:
        lease = kube.get(LEASE, timeout=_ONE_READ)
    except KubeDenied as error:
        if error.status == _NOT_FOUND:
            return ""
        raise
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def read_budgets(kube: Kube, sieve: Sieve) -> tuple[Budget, ...]:
    """The disruption budgets that guard at least one pod."""
    found = (b for b in sieve.read(kube.items("/apis/policy/v1/poddisruptionbudgets"), _budget) if b.expected)
    return tuple(sorted(found, key=lambda b: (b.namespace, b.name)))


def _budget(item: Mapping[str, Any]) -> Budget:
    status, metadata = item.get("status") or {}, item["metadata"]
    numbers = (int(status.get(key) or 0) for key in ("disruptionsAllowed", "desiredHealthy", "expectedPods"))
    return Budget(str(metadata["namespace"]), str(metadata["name"]), *numbers)


def read_daemon_sets(kube: Kube, sieve: Sieve) -> tuple[DaemonSet, ...]:
    """The DaemonSets that want a pod somewhere: their own counts, so that no pod must be read."""
    found = (d for d in sieve.read(kube.items("/apis/apps/v1/daemonsets"), _daemon_set) if d.wanted)
    return tuple(sorted(found, key=lambda d: (d.namespace, d.name)))


def _daemon_set(item: Mapping[str, Any]) -> DaemonSet:
    status, metadata = item.get("status") or {}, item["metadata"]
    wanted, ready = (int(status.get(key) or 0) for key in ("desiredNumberScheduled", "numberReady"))
    spec = ((item.get("spec") or {}).get("template") or {}).get("spec") or {}
    images = tuple(str(c.get("image", "")) for c in spec.get("containers") or ())
    return DaemonSet(str(metadata["namespace"]), str(metadata["name"]), wanted, ready, images)


def _version(what: str, text: str) -> ReportedVersion | Unread:
    try:
        return parse_version(text)
    except InvalidVersion as error:
        return Unread(what, str(error))


def _addresses(nodes: tuple[Node, ...], endpoints: Mapping[str, str]) -> dict[str, str]:
    """Every control-plane node has an API server, also while its mirror pod is gone: then without an address."""
    return {n.name: "" for n in nodes if n.control_plane} | dict(endpoints)


@dataclass(frozen=True, slots=True)
class _Servers:
    """Asks each API server once, as soon as its address is known: thousands of pods may still be on their way."""

    kube: Kube
    pool: ThreadPoolExecutor
    asked: dict[tuple[str, str], Future[ApiServer]] = field(default_factory=dict)

    def ask(self, node: str, endpoint: str) -> None:
        if (node, endpoint) not in self.asked:
            self.asked[node, endpoint] = self.pool.submit(_ask, self.kube, node, endpoint)

    def answers(self, addresses: Mapping[str, str]) -> tuple[ApiServer, ...]:
        for node, endpoint in addresses.items():
            self.ask(node, endpoint)
        return tuple(self.asked[pair].result() for pair in addresses.items())


def _ask(kube: Kube, node: str, endpoint: str) -> ApiServer:
    """One API server at its own endpoint: through the balancer any one of them might answer."""
    what = f"API server on {node}"
    if not endpoint:
        return ApiServer(node, "", Unread(what, f"No mirror pod on {node} names its address: look at its kubelet."))
    try:
        with kube.at(endpoint) as server:
            return _answer_of(server, node, endpoint, what)
    except ClusterUnreadable as error:
        return ApiServer(node, endpoint, Unread(what, str(error)))


def _ask_address(kube: Kube) -> ApiServer:
    """Whoever answers at the cluster's address, where API servers are no pods of it: one that kubeadm did not make."""
    endpoint, what = kube.server.removeprefix("https://"), "API server at the cluster's address"
    try:
        return _answer_of(kube, "", endpoint, what)
    except ClusterUnreadable as error:
        return ApiServer("", endpoint, Unread(what, str(error)))


def _answer_of(server: Kube, node: str, endpoint: str, what: str) -> ApiServer:
    told = server.get("/version", timeout=_ONE_READ)
    ready, _ = server.text("/readyz", timeout=_ONE_READ)
    version = _version(what, str(told.get("gitVersion", "")))
    return ApiServer(node, endpoint, version, _emulation(version, told), ready == _OK)


def _emulation(version: ReportedVersion | Unread, told: Mapping[str, Any]) -> Minor | None:
    try:
        emulated = Minor.parse(f"{told['emulationMajor']}.{told['emulationMinor']}")
    except (KeyError, InvalidVersion):  # older than KEP-4330
        return None
    return None if isinstance(version, ReportedVersion) and version.version.minor == emulated else emulated


@dataclass(frozen=True, slots=True)
class _Declared:
    """What kubeadm-config declares; `present` is None where it could not be told whether there is one."""

    version: KubeVersion | Unread
    repository: str = ""
    present: bool | None = None


def _read_declared(kube: Kube) -> _Declared:
    present: bool | None = None
    try:
        data = kube.get(_CONFIG).get("data") or {}
        present = True
        declared = yaml.safe_load(data.get("ClusterConfiguration", ""))
        version = KubeVersion.parse(str(declared["kubernetesVersion"]))
    except ClusterUnreadable as error:
        missing = isinstance(error, KubeDenied) and error.status == _NOT_FOUND
        return _Declared(Unread("kubeadm-config", str(error)), present=False if missing else None)
    except (yaml.YAMLError, *MALFORMED, InvalidVersion) as error:
        reason = " ".join(str(error).split())
        unread = Unread("kubeadm-config", f"Its ClusterConfiguration names no version that we read ({reason}).")
        return _Declared(unread, present=present)
    return _Declared(version, str(declared.get("imageRepository") or ""), present)
