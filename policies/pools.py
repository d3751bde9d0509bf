"""Nodes in the order in which they are upgraded, in pools that each move under one limit."""

from __future__ import annotations

import re

from cluster.plan import PlanNode, PlanPool, Role
from cluster.report import ClusterReport, Node
from cluster.settings import Cluster
from policies.selectors import matches

CONTROL_PLANE = "control-plane"
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
    left_out: frozenset[str] = frozenset(),
) -> tuple[PlanPool, ...]:
    """
    The control plane one at a time, then each pool of the configuration, then whoever is in none of them.

    The worker nodes named in `last` come after the others of their pool; those of `left_out` stay members of theirs.
    """
    first = first_control_plane(report)
    masters = tuple(
        PlanNode(n.name, n.uid, Role.FIRST_CONTROL_PLANE if n.name == first else Role.CONTROL_PLANE)
        for n in sorted(report.control_plane, key=lambda n: by_name(n.name))
    )
    pools = [PlanPool(CONTROL_PLANE, 1, masters)] if masters else []
    left = sorted(report.worker_nodes, key=lambda n: (n.name in last, by_name(n.name)))
    for name, pool in cluster.pools.items():
        chosen = [matches(pool.selector, n.labels) for n in left]
        members = [n for n, is_member in zip(left, chosen, strict=True) if is_member]
        left = [n for n, is_member in zip(left, chosen, strict=True) if not is_member]
        if members:
            pools.append(_pool(name, pool.limit(len(members)), members, left_out))
    if left:
        pools.append(_pool(OTHER, 1, left, left_out))
    return tuple(pools)


def _pool(name: str, limit: int, members: list[Node], left_out: frozenset[str]) -> PlanPool:
    workers = tuple(PlanNode(n.name, n.uid, Role.WORKER) for n in members)
    stay = tuple(w for w in workers if w.name in left_out)
    return PlanPool(name, limit, tuple(w for w in workers if w.name not in left_out), stay)
