"""What people and accidents have made of the lab's clusters, by name: each a state of machines and of the cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.ailments import lose_one, lose_sight, sicken
from lab.crowd import crowd
from lab.distributions import make_otherwise
from lab.eras import configure_early, keep_settings
from lab.neglect import forget_add_ons, neglect
from lab.obstacles import obstruct, strand
from lab.versions_apart import break_skew, declare_ahead, interrupt, let_straggle, pile_up, scatter

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
    "crowded": State(cluster=crowd),
    "obstructed": State(strand, obstruct),
    "neglected": State(neglect, forget_add_ons),
    "skewed": State(let_straggle, scatter),
    "interrupted": State(interrupt, declare_ahead),
    "out-of-skew": State(break_skew, pile_up),
    "ailing-etcd": State(sicken, lose_one),
    "external-etcd": State(lose_sight),
    "bygone": State(configure_early),
    "newest": State(cluster=keep_settings),
    "other-distribution": State(make_otherwise),
}
