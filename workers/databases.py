"""Databases whose instances a drain moves: somebody is left to take over, and whoever leads is the last to leave."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from cluster.departures import is_finished, is_ready
from cluster.options import DatabaseRule
from policies.databases import Instance, instance_of
from policies.wording import some_of
from workers.drain_rules import PodFate
from workers.patience import ask_api
from workers.site import Api, Site

Raw = dict[str, Any]
_LATELY = {
    "resourceVersion": "0"
}  # what the API server remembers: servers before 1.31 read all pods from etcd otherwise
_SHARE, _LONGEST = 0.5, 300.0  # of a drain's time, and seconds: after that its budget alone says whether it may go


def nobody_left(kube: Api, node: str, away: Collection[str], rules: tuple[DatabaseRule, ...] = ()) -> str:
    """What the databases with an instance on a node wait for before it may be cordoned as well; "" for nothing."""
    waits = []
    for database in _databases(
        kube.items("/api/v1/pods", {"fieldSelector": f"spec.nodeName={node}", **_LATELY}), rules
    ):
        others = [p for p in instances(kube, database) if _node_of(p) != node]
        if others and not any(is_ready(p) and _node_of(p) not in {"", *away} for p in others):
            where = some_of(sorted({_node_of(p) or "no node" for p in others}))
            waits.append(f"another instance of the database {database.place} to be ready on a node at work ({where})")
    return "; ".join(waits)


def instances(kube: Api, database: Instance) -> tuple[Raw, ...]:
    """The pods of all instances of a database that have not ended."""
    path = f"/api/v1/namespaces/{database.namespace}/pods"
    found = kube.items(path, {"labelSelector": f"{database.operator.cluster}={database.name}", **_LATELY})
    return tuple(p for p in found if not is_finished(p) and database.is_joined_by(p["metadata"].get("labels") or {}))


class Leaders:
    """Who of a drain leads a database, and goes last."""

    def __init__(self) -> None:
        self._rivals: dict[str, bool] = {}  # uid → whether another instance could take over
        self._told: set[str] = set()

    def stay(self, site: Site, pod: PodFate, going: Iterable[PodFate]) -> bool:
        """
        Whether a pod is not asked to leave yet: while it leads, and pods are here that do not.

        Where its operator hands over as soon as the node is cordoned, it stays as long as it leads.
        """
        if pod.leads is None or site.elapsed(site.started_at) > min(_LONGEST, site.drain_seconds * _SHARE):
            return False
        if not pod.leads.operator.moves_on_cordon or not self._has_rivals(site, pod, pod.leads):
            return any(p.leads is None for p in going)
        if pod.uid not in self._told:
            self._told.add(pod.uid)
            site.tell(
                f"{pod.pod} leads the database {pod.leads.place}: it is waited for until "
                f"{pod.leads.operator.operator} has handed over, as {site.node.name} is cordoned."
            )
        return True

    def _has_rivals(self, site: Site, pod: PodFate, database: Instance) -> bool:
        if pod.uid not in self._rivals:
            found = ask_api(site, lambda: instances(site.kube(), database))
            self._rivals[pod.uid] = any(_node_of(p) not in {"", site.node.name} for p in found)
        return self._rivals[pod.uid]


def _databases(pods: Iterable[Raw], rules: tuple[DatabaseRule, ...]) -> Iterator[Instance]:
    """Each database with an instance among them, once."""
    seen: set[str] = set()
    for pod in pods:
        found = instance_of(pod["metadata"].get("namespace", ""), pod["metadata"].get("labels") or {}, rules)
        if found is not None and found.place not in seen and not is_finished(pod):
            seen.add(found.place)
            yield found


def _node_of(pod: Raw) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")
