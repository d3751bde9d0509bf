"""The periodic report to a channel (`digest` in the settings): what was seen of clusters, and what changed since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What counts of one cluster, as named texts; a later one is held against it."""

    cluster: str
    facts: tuple[tuple[str, str], ...] = ()  # "API servers" → "v1.34.7"
    findings: tuple[tuple[str, str, str], ...] = ()  # code, subject, sentence
    surveyed: tuple[tuple[str, str, str], ...] = ()  # those that only a survey tells: they stay until one tells else


@dataclass(frozen=True, slots=True)
class Bulletin:
    """One issue: told once per period, by whichever bot sends."""

    period: str  # the day on which it is due, "2026-11-25"
    at: datetime
    since: str  # the period of the one before; "" for the first, which says everything in short
    news: tuple[tuple[str, tuple[str, ...]], ...]  # cluster → what changed there, in sentences
    quiet: int  # clusters in which nothing changed
    snapshots: tuple[Snapshot, ...]
