"""What people and accidents have made of the lab's clusters, by name: each a state of machines and of the cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.obstacles import obstruct

if TYPE_CHECKING:
    from lab.machines import Machine
    from lab.site import Site


def _leave(machine: Machine) -> None:
    """As kubeadm left it."""


async def _leave_all(site: Site) -> None:
    """As it settled."""


@dataclass(frozen=True, slots=True)
class State:
    """What differs from a sound cluster."""

    machine: Callable[[Machine], None] = _leave  # each one, before its kubelet comes up
    cluster: Callable[[Site], Awaitable[None]] = _leave_all  # once its pods run


STATES: Mapping[str, State] = {
    "": State(),
    "obstructed": State(cluster=obstruct),
}
