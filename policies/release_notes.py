"""What is to be read before an upgrade: the release notes of each minor on its way, and their urgent part."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.plan import PlanKind, UpgradePlan
from policies.releases import release_of


@dataclass(frozen=True, slots=True)
class ReleaseNotes:
    """Where the notes of one minor are; "" where that is not known."""

    minor: str
    changelog: str = ""
    urgent: str = ""


def notes_of(plan: UpgradePlan) -> tuple[ReleaseNotes, ...]:
    """In the order of the hops, each minor once; what goes back and a kubelet that catches up bring nothing new."""
    if plan.kind is not PlanKind.UPGRADE:
        return ()
    minors = dict.fromkeys(hop.target.minor for hop in plan.hops if hop.whole)
    found = ((minor, release_of(minor)) for minor in minors)
    return tuple(ReleaseNotes(str(m), r.changelog if r else "", (r.urgent_notes or "") if r else "") for m, r in found)


def unread_notes(plan: UpgradePlan, read: tuple[str, ...]) -> tuple[str, ...]:
    """The minors whose notes nobody confirmed to have read."""
    return tuple(n.minor for n in notes_of(plan) if n.minor not in read)


def confirmed(notes_read: tuple[str, ...]) -> str:
    """What the event of an approval says of it; "" where nothing was confirmed."""
    return f" Read and confirmed: the release notes of {' and '.join(notes_read)}." if notes_read else ""


def facts_of(notes_read: tuple[str, ...]) -> dict[str, str]:
    """The same for programs."""
    return {"notes_read": ",".join(notes_read)} if notes_read else {}
