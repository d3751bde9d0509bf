"""The pods of the node that a step is about, and the DaemonSets that some of them are of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cluster.errors import KubeDenied
from workers.patience import NOT_FOUND
from workers.site import Site

Raw = dict[str, Any]
_PODS = "/api/v1/pods"


def pods_on(site: Site) -> Iterable[Raw]:
    """Every pod that is bound to the step's node; the API server picks them."""
    return site.kube().items(_PODS, {"fieldSelector": f"spec.nodeName={site.node.name}"})


def pods_lately_on(site: Site) -> Iterable[Raw]:
    """
    The same from what the API server remembers, a moment old: for looks that are taken again and again.

    Without that, servers before 1.31 read every pod of the cluster from etcd to find those of one node.
    """
    return site.kube().items(_PODS, {"fieldSelector": f"spec.nodeName={site.node.name}", "resourceVersion": "0"})


class DaemonSets:
    """Which of them there are, each asked for once; `get` reads an object by its path."""

    def __init__(self, get: Callable[[str], Raw]) -> None:
        self._get = get
        self._known: dict[tuple[str, str], bool] = {}

    def exists(self, namespace: str, name: str) -> bool:
        if (namespace, name) not in self._known:
            self._known[namespace, name] = self._ask(f"/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}")
        return self._known[namespace, name]

    def _ask(self, path: str) -> bool:
        try:
            self._get(path)
        except KubeDenied as error:
            if error.status != NOT_FOUND:
                raise
            return False
        return True
