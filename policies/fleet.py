"""Many clusters on one page: one line each, the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cluster.findings import Severity
from cluster.report import Unread
from cluster.versions import KubeVersion
from policies.overview import Overview


class Standing(StrEnum):
    """How a cluster stands; the worst one comes first."""

    UNREADABLE = "unreadable"
    BLOCKED = "blockers"
    ENDED = "out of support"
    WARNED = "warnings"
    BEHIND = "patches behind"
    UNCHECKED = "not surveyed"
    FINE = "fine"


_TELLING = {  # the finding that is told where several things make it stand as it does
    Standing.ENDED: ("release-ended",),
    Standing.BEHIND: ("patches-behind", "source-behind"),
    Standing.UNCHECKED: ("not-surveyed",),
}


@dataclass(frozen=True, slots=True)
class FleetLine:
    """One cluster in one line."""

    cluster: str
    standing: Standing
    maker: str  # "kubeadm", another distribution, "" where nothing could be read
    nodes: int
    api_servers: tuple[KubeVersion, ...]  # newest first
    kubelets: tuple[KubeVersion, ...]
    note: str  # the one thing to know, in words
    read_at: datetime | None


def line_of(cluster: str, seen: Overview | Unread) -> FleetLine:
    if isinstance(seen, Unread):
        return FleetLine(cluster, Standing.UNREADABLE, "", 0, (), (), seen.reason, None)
    report, standing = seen.report, _standing(seen)
    return FleetLine(
        cluster=cluster,
        standing=standing,
        maker=seen.maker,
        nodes=len(report.nodes),
        api_servers=tuple(sorted(set(report.api_versions), reverse=True)),
        kubelets=tuple(sorted(set(report.kubelet_versions), reverse=True)),
        note=_note(seen, standing),
        read_at=report.read_at,
    )


def worst_clusters_first(lines: Iterable[FleetLine]) -> tuple[FleetLine, ...]:
    order = list(Standing)
    return tuple(sorted(lines, key=lambda one: (order.index(one.standing), one.cluster)))


def _standing(seen: Overview) -> Standing:
    if not seen.report.nodes_read:
        return Standing.UNREADABLE
    severities = {f.severity for f in seen.findings if f.code != "release-ended"}
    if Severity.BLOCKER in severities:
        return Standing.BLOCKED
    if seen.support.is_out:
        return Standing.ENDED
    if Severity.WARNING in severities or seen.unread:
        return Standing.WARNED
    told = {f.code for f in seen.findings}  # of another distribution's patches nothing is said
    return next((s for s in (Standing.BEHIND, Standing.UNCHECKED) if told.intersection(_TELLING[s])), Standing.FINE)


def _note(seen: Overview, standing: Standing) -> str:
    """The first finding that makes it stand as it does; for a fine one, until when it gets fixes."""
    if standing is Standing.FINE:
        ends = min((m.end for m in seen.support.running if m.end), default=None)
        return f"gets fixes until {ends}" if ends else ""
    if standing is Standing.UNREADABLE:
        return seen.report.nodes_unread
    wanted = _TELLING.get(standing)
    found = next((f for f in seen.findings if wanted is None or f.code in wanted), None)
    if found is not None and (standing is not Standing.WARNED or found.severity is Severity.WARNING):
        return found.sentence
    unread = seen.unread[0]
    return f"{unread.what} could not be read: {unread.reason}"
