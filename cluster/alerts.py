"""What a monitoring says of a cluster: its firing alerts, as Prometheus or an Alertmanager tell them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that fires now, neither silenced nor inhibited where that is known."""

    name: str
    labels: tuple[tuple[str, str], ...]
    since: datetime | None = None
    summary: str = ""
