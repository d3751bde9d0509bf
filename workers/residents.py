"""The pods of the node that a step is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

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
