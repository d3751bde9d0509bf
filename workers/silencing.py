"""Silences of an Alertmanager, as we make them: of one node, with an end, and with a name that finds them again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from cluster.errors import AlertsUnreadable
from workers.monitoring import Monitoring, moment_of

_OURS = "lockkeeper"  # createdBy
_LASTING = frozenset({"active", "pending"})


@dataclass(frozen=True, slots=True)
class Silence:
    """One that lasts; `operation` and `node` are read from its comment, which also tells people what it is for."""

    id: str
    operation: str
    node: str
    begins: datetime
    ends: datetime


class Silencer(Protocol):
    """The Alertmanager of a cluster."""

    def silences(self, operation: str) -> tuple[Silence, ...]: ...

    def silence(self, wanted: Silence) -> None: ...

    def expire(self, silence: Silence) -> None: ...


class Alertmanager:
    """A silence without an id is made; one with an id gets its new end. All raise AlertsUnreadable."""

    def __init__(self, monitoring: Monitoring, node_label: str) -> None:
        self._monitoring = monitoring
        self._label = node_label

    def silences(self, operation: str) -> tuple[Silence, ...]:
        """Those of this operation that last, whichever driver made them."""
        answer = self._monitoring.ask("GET", "/api/v2/silences")
        if not isinstance(answer, list):
            raise AlertsUnreadable("The Alertmanager answered with something else than a list of silences.")
        return tuple(s for found in answer for s in self._read(found) if s.operation == operation)

    def silence(self, wanted: Silence) -> None:
        matcher = {"name": self._label, "value": wanted.node, "isRegex": False, "isEqual": True}
        body = {
            "matchers": [matcher],
            "startsAt": wanted.begins.isoformat(),
            "endsAt": wanted.ends.isoformat(),
            "createdBy": _OURS,
            "comment": f"{wanted.operation} upgrades {wanted.node}",
        }
        self._monitoring.ask("POST", "/api/v2/silences", body | ({"id": wanted.id} if wanted.id else {}))

    def expire(self, silence: Silence) -> None:
        self._monitoring.ask("DELETE", f"/api/v2/silence/{quote(silence.id, safe='')}")

    def _read(self, found: Any) -> Iterator[Silence]:
        """Only what bears our name; whatever else stands there belongs to other people."""
        if not isinstance(found, dict) or found.get("createdBy") != _OURS:
            return
        status, begins, ends = found.get("status"), moment_of(found.get("startsAt")), moment_of(found.get("endsAt"))
        operation, _, node = str(found.get("comment")).partition(" upgrades ")
        if isinstance(status, dict) and status.get("state") in _LASTING and begins and ends and node:
            yield Silence(str(found.get("id")), operation, node, begins, ends)
