"""Nodes in the order in which they are upgraded, in pools that each move under one limit."""

from __future__ import annotations

import re
from dataclasses import replace

from cluster.inventory import Cluster
from cluster.plan import PlanNode, PlanPool, Role
from cluster.report import ClusterReport, Node
from cluster.selectors import matches

CONTROL_PLANE = "control-plane"
_ZONE = "topology.kubernetes.io/zone"
OTHER = "other"  # worker nodes that no pool's selector matches


def by_name(name: str) -> tuple[tuple[str, int], ...]:
    """A sort key with w2 before w10."""
    parts = re.findall(r"(\D*)(\d*)", name)
    return tuple((text, int(digits or -1)) for text, digits in parts)


def first_control_plane(report: ClusterReport) -> str:
    """Where kubeadm's `apply` and etcd's snapshot run: the first by name; "" for a cluster without one."""
    return min((n.name for n in report.control_plane), key=by_name, default="")


def form_pools(
    report: ClusterReport,
    cluster: Cluster,
    *,
    last: frozenset[str] = frozenset(),
    own: frozenset[str] = frozenset(),
    left_out: frozenset[str] = frozenset(),
) -> tuple[PlanPool, ...]:
    """
    The control plane one at a time, then each pool of the configuration, then whoever is in none of them.

    Worker nodes take turns by zone; those named in `last` come after the others of their pool, and those of `own` after
    these. Those of `left_out` stay members of their pools.
    """
    first = first_control_plane(report)
    masters = tuple(
        PlanNode(n.name, n.uid, Role.FIRST_CONTROL_PLANE if n.name == first else Role.CONTROL_PLANE)
        for n in sorted(report.control_plane, key=lambda n: by_name(n.name))
    )
    pools = [PlanPool(CONTROL_PLANE, 1, masters)] if masters else []
    left = sorted(report.worker_nodes, key=lambda n: by_name(n.name))
    for name, pool in cluster.pools.items():
        chosen = [matches(pool.selector, n.labels) for n in left]
        members = [n for n, is_member in zip(left, chosen, strict=True) if is_member]
        left = [n for n, is_member in zip(left, chosen, strict=True) if not is_member]
        if members:
            ordered = _in_turn(members, last - own, own)
            formed = _pool(name, pool.limit(len(members)), ordered, left_out)
            paced = replace(formed, canary=pool.canary, soak=pool.soak, ramp=pool.ramp)
            pools.append(replace(paced, failure_budget=pool.failure_budget))
    if left:
        pools.append(_pool(OTHER, 1, _in_turn(left, last - own, own), left_out))
    return tuple(pools)


def zone_of(node: Node) -> str:
    """The failure domain that the node says it is in; "" for none."""
    return dict(node.labels).get(_ZONE, "")


def _in_turn(nodes: list[Node], *later: frozenset[str]) -> list[Node]:
    """Nodes that are sorted by name with their zones in turn; each group of `later` after all before it."""
    held_back = frozenset().union(*later)
    ordered = _spread([n for n in nodes if n.name not in held_back])
    for group in later:
        ordered += _spread([n for n in nodes if n.name in group])
    return ordered


def _spread(nodes: list[Node]) -> list[Node]:
    """Each zone's nodes at even distances, so that a small zone is never taken in one go."""
    zones: dict[str, list[Node]] = {}
    for node in nodes:
        zones.setdefault(zone_of(node), []).append(node)
    places = [((at + 0.5) / len(some), node) for some in zones.values() for at, node in enumerate(some)]
    return [node for _, node in sorted(places, key=lambda place: place[0])]


def _pool(name: str, limit: int, members: list[Node], left_out: frozenset[str]) -> PlanPool:
    workers = tuple(PlanNode(n.name, n.uid, Role.WORKER) for n in members)
    stay = tuple(w for w in workers if w.name in left_out)
    return PlanPool(name, limit, tuple(w for w in workers if w.name not in left_out), stay)
