"""What is to be read before an upgrade: the release notes of each minor on its way, and their urgent part."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.plan import Basis, PlanKind, PlanRecord
from cluster.versions import Minor, ReportedVersion
from policies.releases import release_of


@dataclass(frozen=True, slots=True)
class ReleaseNotes:
    """Where the notes of one minor are; "" where that is not known."""

    minor: str
    changelog: str = ""
    urgent: str = ""


def notes_of(record: PlanRecord) -> tuple[ReleaseNotes, ...]:
    """In the order of the hops, each minor that is new to the control plane once; what goes back brings none."""
    if record.plan.kind is not PlanKind.UPGRADE:
        return ()
    runs = _running(record.basis)
    minors = dict.fromkeys(
        h.target.minor for h in record.plan.hops if h.whole and (runs is None or h.target.minor > runs)
    )
    found = ((minor, release_of(minor)) for minor in minors)
    return tuple(ReleaseNotes(str(m), r.changelog if r else "", (r.urgent_notes or "") if r else "") for m, r in found)


def _running(basis: Basis) -> Minor | None:
    """The oldest minor that the control plane is at: one that was begun, or edited by hand, is still to be read of."""
    said = (ReportedVersion.read(text) for text in (*basis.api_server_of.values(), basis.declared))
    return min((v.version.minor for v in said if v is not None), default=None)


def unread_notes(record: PlanRecord, read: tuple[str, ...]) -> tuple[str, ...]:
    """The minors whose notes nobody confirmed to have read."""
    return tuple(n.minor for n in notes_of(record) if n.minor not in read)


def confirmed(notes_read: tuple[str, ...]) -> str:
    """What the event of an approval says of it; "" where nothing was confirmed."""
    return f" Read and confirmed: the release notes of {' and '.join(notes_read)}." if notes_read else ""


def facts_of(notes_read: tuple[str, ...]) -> dict[str, str]:
    """The same for programs."""
    return {"notes_read": ",".join(notes_read)} if notes_read else {}
