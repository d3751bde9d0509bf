"""The legs of a plan in words, for the documents that tell its order."""

from __future__ import annotations

from bot.text import count
from cluster.procedure import Phase
from policies.legs import ANY_NUMBER, Leg

PHASES = {
    Phase.OPENING: "Before anything is changed",
    Phase.PREPARE: "Everything is made ready",
    Phase.CONTROL_PLANE: "The control plane moves",
    Phase.CONTROL_PLANE_KUBELETS: "The kubelets of the control plane move",
    Phase.WORKERS: "Workers move",
    Phase.AFTER: "Everything is tidied up",
    Phase.CLOSING: "When nothing is left to be done",
}


def say_at_once(leg: Leg) -> str:
    if leg.at_once == ANY_NUMBER:
        return "side by side" if len(leg.nodes) > 1 else "on one machine"
    return "one at a time" if leg.at_once == 1 else f"at most {count(leg.at_once, 'machine')} away at once"
