"""All pods of a cluster, folded into workloads while they stream by: 150,000 whole pods would be gigabytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from cluster import excerpts
from cluster.departures import (
    claim_of,
    controller_of,
    daemon_set_of,
    has_local_storage,
    is_finished,
    is_ours,
    is_static,
)
from cluster.errors import ClusterUnreadable
from cluster.labels import Labels, read_selector
from cluster.pages import Shape
from cluster.placements import read_amounts, read_choice, read_placement, read_requests, read_taints
from cluster.report import Unread
from cluster.workloads import Amounts, Guard, NodeChoice, NodeRoom, Placement, Workload, Workloads

_EXAMPLES = 5  # malformed objects that are named
# Labels that each pod has for itself: they would make a workload of every one of them.
_OF_ONE_POD = frozenset(
    {
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-completion-index",
        "controller-uid",
    }
)
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError)

Raw = Mapping[str, Any]
Kind = tuple[str, str, str, Labels, tuple[str, ...], Amounts, Placement, bool]  # the fields of a Workload, in order
T = TypeVar("T")


class Lists(Protocol):
    """What a tally needs of cluster.kube.Kube."""

    def items(self, path: str, *, shape: Shape | None = None) -> Iterator[dict[str, Any]]: ...


def read_workloads(kube: Lists) -> Workloads:
    """One pass over budgets, volumes, nodes and then pods, which are judged by the former."""
    tally = Tally()
    for what, path, shape, add in (
        ("pod disruption budgets", "/apis/policy/v1/poddisruptionbudgets", None, tally.add_budget),
        ("persistent volumes", "/api/v1/persistentvolumes", excerpts.VOLUMES, tally.add_volume),
        ("room on nodes", "/api/v1/nodes", excerpts.NODES, tally.add_node),
        ("pods of all namespaces", "/api/v1/pods", excerpts.PODS, tally.add_pod),
    ):
        try:
            tally.take(kube.items(path, shape=shape), add)
        except ClusterUnreadable as error:
            tally.unread.append(Unread(what, str(error)))
    return tally.result()


@dataclass(slots=True)
class _Count:
    nodes: dict[str, int] = field(default_factory=dict)
    running: int = 0
    waiting: int = 0


@dataclass(slots=True)
class Tally:
    """Takes raw objects one by one and keeps of each only what a plan is judged by."""

    unread: list[Unread] = field(default_factory=list)
    malformed: int = 0
    examples: list[str] = field(default_factory=list)
    guards: dict[tuple[str, Any], list[Guard]] = field(default_factory=dict)  # by namespace and anchor
    volumes: dict[tuple[str, str], NodeChoice] = field(default_factory=dict)  # by the claim that is bound to it
    rooms: dict[str, NodeRoom] = field(default_factory=dict)
    used: dict[str, dict[str, int]] = field(default_factory=dict)
    counts: dict[Kind, _Count] = field(default_factory=dict)
    daemon_sets: set[tuple[str, str]] = field(default_factory=set)
    shared: dict[Any, Any] = field(default_factory=dict)  # equal values are kept once

    def take(self, items: Iterable[Raw], add: Callable[[Raw], None]) -> None:
        for item in items:
            try:
                add(item)
            except _MALFORMED as error:
                self.malformed += 1
                if len(self.examples) < _EXAMPLES:
                    self.examples.append(f"{_name(item)} ({type(error).__name__}: {error})"[:200])

    def add_budget(self, raw: Raw) -> None:
        metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
        demand = next((f"{k}: {spec[k]}" for k in ("maxUnavailable", "minAvailable") if spec.get(k) is not None), "")
        guard = Guard(
            namespace=str(metadata["namespace"]),
            name=str(metadata["name"]),
            selector=read_selector(spec.get("selector")),
            demand=demand,
            allowed=int(status.get("disruptionsAllowed") or 0),
            healthy=int(status.get("currentHealthy") or 0),
            needed=int(status.get("desiredHealthy") or 0),
            expected=int(status.get("expectedPods") or 0),
            lets_unhealthy_go=spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow",
            lag=_lag(metadata, status),
        )
        anchor = guard.selector.anchor if guard.selector is not None else None
        self.guards.setdefault((guard.namespace, anchor), []).append(guard)

    def add_volume(self, raw: Raw) -> None:
        spec = raw["spec"]
        claim, choice = spec.get("claimRef"), read_choice((spec.get("nodeAffinity") or {}).get("required"))
        if claim and choice:
            self.volumes[str(claim["namespace"]), str(claim["name"])] = self._keep(choice)

    def add_node(self, raw: Raw) -> None:
        name = sys.intern(str(raw["metadata"]["name"]))
        allocatable, taints = read_amounts(raw["status"]["allocatable"]), read_taints(raw.get("spec") or {})
        self.rooms[name] = NodeRoom(name, self._keep(allocatable), taints=self._keep(taints))

    def add_pod(self, raw: Raw) -> None:
        if is_finished(raw):
            return
        node, requests = sys.intern(str(raw["spec"].get("nodeName") or "")), read_requests(raw["spec"])
        kind = None if _stays(raw) else self._kind(raw, self._keep(requests))
        if kind is None:
            self._note_daemon_set(raw)
        if node:  # nothing of a pod is counted before all of it was understood
            used = self.used.setdefault(node, {})
            for resource, amount in requests:
                used[resource] = used.get(resource, 0) + amount
        if kind is None:
            return
        count = self.counts.setdefault(kind, _Count())
        if not node:
            count.waiting += 1
            return
        count.nodes[node] = count.nodes.get(node, 0) + 1
        count.running += (raw.get("status") or {}).get("phase") != "Pending"

    def result(self) -> Workloads:
        groups = (
            Workload(*kind, nodes=tuple(sorted(c.nodes.items())), running=c.running, waiting=c.waiting)
            for kind, c in self.counts.items()
        )
        rooms = (
            NodeRoom(r.name, r.allocatable, tuple(sorted(self.used.get(r.name, {}).items())), r.taints)
            for r in self.rooms.values()
        )
        return Workloads(
            groups=tuple(sorted(groups, key=lambda g: (g.namespace, g.name, g.kind, g.labels, g.nodes))),
            guards=tuple(sorted((g for some in self.guards.values() for g in some), key=lambda g: g.place)),
            nodes=tuple(sorted(rooms, key=lambda r: r.name)),
            daemon_sets=tuple(sorted(self.daemon_sets)),
            malformed=self.malformed,
            examples=tuple(self.examples),
            unread=tuple(self.unread),
        )

    def _note_daemon_set(self, raw: Raw) -> None:
        name = daemon_set_of(raw)
        if name and "deletionTimestamp" not in raw["metadata"]:
            self.daemon_sets.add((sys.intern(raw["metadata"]["namespace"]), sys.intern(name)))

    def _kind(self, raw: Raw, requests: Amounts) -> Kind:
        metadata = raw["metadata"]
        namespace, labels = sys.intern(metadata["namespace"]), metadata.get("labels") or {}
        owner, name = _owner(raw)
        budgets = tuple(sorted(self._budgets(namespace, labels)))
        kept = tuple(sorted((k, str(v)) for k, v in labels.items() if k not in _OF_ONE_POD))
        placement = read_placement(raw, tuple(self._reachable(raw)))
        emptydir = has_local_storage(raw)
        return namespace, owner, name, self._keep(kept), budgets, requests, self._keep(placement), emptydir

    def _budgets(self, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
        for anchor in (None, *labels.items()):
            for guard in self.guards.get((namespace, anchor), ()):
                if guard.selector is not None and guard.selector.selects(labels):
                    yield guard.name

    def _reachable(self, raw: Raw) -> Iterator[NodeChoice]:
        for volume in raw["spec"].get("volumes") or ():
            claim = claim_of(raw, volume)
            if claim and (choice := self.volumes.get((raw["metadata"]["namespace"], claim))):
                yield choice

    def _keep(self, value: T) -> T:
        kept: T = self.shared.setdefault(value, value)
        return kept


def _stays(raw: Raw) -> bool:
    """Whether no drain would evict it; what goes already, or is ours, needs no judgement either."""
    return bool(daemon_set_of(raw)) or is_static(raw) or is_ours(raw) or "deletionTimestamp" in raw["metadata"]


def _owner(raw: Raw) -> tuple[str, str]:
    """Kind and name of the controller; of a Deployment's pod the Deployment, "" and the pod's own for none."""
    metadata, owner = raw["metadata"], controller_of(raw)
    if owner is None:
        return "", str(metadata["name"])
    kind, name = sys.intern(str(owner["kind"])), str(owner["name"])
    suffix = f"-{(metadata.get('labels') or {}).get('pod-template-hash')}"
    if kind == "ReplicaSet" and name.endswith(suffix):
        return "Deployment", sys.intern(name.removesuffix(suffix))
    return kind, sys.intern(name)


def _lag(metadata: Raw, status: Raw) -> str:
    """Why the status of a budget is not that of its spec."""
    failed = (c for c in status.get("conditions") or () if c.get("reason") == "SyncFailed")
    if (condition := next(failed, None)) is not None:
        return str(condition.get("message") or "its controller failed")
    if int(status.get("observedGeneration") or 0) < int(metadata.get("generation") or 0):
        return "its controller has not looked at its last change yet"
    return ""


def _name(item: Any) -> str:
    metadata = item.get("metadata") if isinstance(item, Mapping) else None
    if not isinstance(metadata, Mapping):
        return "something without a name"
    return "/".join(str(metadata[k]) for k in ("namespace", "name") if k in metadata) or "something without a name"
