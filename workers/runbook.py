"""The runbook: for each verb how its result is observed, brought about and verified; `PROCEDURES` is its contents."""

from __future__ import annotations

from workers.site import AttemptLost, Site, StepBlocked, StepDone, Yielded

__all__ = ["AttemptLost", "Site", "StepBlocked", "StepDone", "Yielded", "perform"]


def perform(site: Site) -> StepDone:
    """Bring one step about; called again with the same attempt it goes on where it was."""
    raise site.blocked(
        "step-unknown",
        f"There is no procedure for the step {site.step.verb} on {site.node.name}.",
        "Install the release that planned it.",
    )
