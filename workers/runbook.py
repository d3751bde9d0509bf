"""The runbook: how each verb is observed, brought about and verified; `PROCEDURES` is its table of contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cluster.errors import KubeDenied
from cluster.procedure import HOOKS, Verb
from workers.control_plane import await_control_plane, verified_control_plane
from workers.cordon import cordon, lift_cordon, observe_cordon, observe_uncordon
from workers.drain import drain, observe_drain, verify_drain
from workers.hooks import run_hooks
from workers.kubeadm import MACHINE_STEPS
from workers.patience import api_refused
from workers.reboot import observe_reboot, reboot
from workers.remote import FencedByMachine
from workers.site import AttemptLost, Site, StepBlocked, StepDone, Yielded
from workers.smoke import run_smoke_pod
from workers.verify import await_node, verified_node

__all__ = [
    "PROCEDURES",
    "AttemptLost",
    "FencedByMachine",
    "Procedure",
    "Site",
    "StepBlocked",
    "StepDone",
    "Yielded",
    "perform",
]


@dataclass(frozen=True, slots=True)
class Procedure:
    """One verb: `observe` tells that it is done already (or None), `act` brings it about, `verify` looks again."""

    observe: Callable[[Site], StepDone | None]
    act: Callable[[Site], object]
    verify: Callable[[Site], StepDone | None]


def _unseen(site: Site) -> None:
    """Only doing it tells: a check, or a pod that has to run now."""


PROCEDURES: Mapping[Verb, Procedure] = MappingProxyType(
    {verb: Procedure(step.observe, step.act, _unseen) for verb, step in MACHINE_STEPS.items()}
    | {verb: Procedure(_unseen, run_hooks, _unseen) for verb in HOOKS}
    | {
        Verb.VERIFY_CONTROL_PLANE: Procedure(_unseen, await_control_plane, verified_control_plane),
        Verb.CORDON: Procedure(observe_cordon, cordon, observe_cordon),
        Verb.DRAIN: Procedure(observe_drain, drain, verify_drain),
        Verb.REBOOT: Procedure(observe_reboot, reboot, _unseen),
        Verb.VERIFY_NODE: Procedure(_unseen, await_node, verified_node),
        Verb.SMOKE_TEST: Procedure(_unseen, run_smoke_pod, _unseen),
        Verb.UNCORDON: Procedure(observe_uncordon, lift_cordon, observe_uncordon),
    }
)


def perform(site: Site) -> StepDone:
    """Bring one step about; called again with the same attempt it goes on where it was.

    Raises StepBlocked, AttemptLost, Fenced or Yielded.
    """
    procedure = PROCEDURES[site.step.verb]
    try:
        if (seen := procedure.observe(site)) is not None:
            return seen
        acted = procedure.act(site)
        verified = procedure.verify(site)
    except KubeDenied as error:
        raise api_refused(site, error) from error
    if isinstance(acted, StepDone):  # it looked for itself, as the node script does before it ends with 0
        return acted
    if verified is None:
        raise site.blocked(
            "step-undone",
            f"The step {site.step.verb} on {site.node.name} was carried out, and its result was undone at once.",
            "Find out who or what did that, then `retry`.",
        )
    return verified
