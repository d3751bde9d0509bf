"""The pods of the node that a step is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workers.site import Site

Raw = dict[str, Any]


def pods_on(site: Site) -> Iterable[Raw]:
    """Every pod that is bound to the step's node; the API server picks them."""
    return site.kube().items("/api/v1/pods", {"fieldSelector": f"spec.nodeName={site.node.name}"})
