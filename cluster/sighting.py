"""What was seen of a cluster last, as far as a plan that waits for its approval is held against it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cluster.plan import Basis
from cluster.report import ClusterIdentity


@dataclass(frozen=True, slots=True)
class SeenNode:
    """One node: whether it is still the one of the plan."""

    name: str
    uid: str
    control_plane: bool


@dataclass(frozen=True)  # without slots: its nodes are looked up by name, thousands of times
class Sighting:
    """Who is there and what runs; an identity without a CA was read by other credentials than a worker's."""

    cluster: str
    identity: ClusterIdentity | None
    nodes: tuple[SeenNode, ...]
    basis: Basis

    def node(self, name: str) -> SeenNode | None:
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, SeenNode]:
        return {n.name: n for n in self.nodes}
