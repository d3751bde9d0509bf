"""What one cluster told when it was last looked at closely: its machines, and who asks for deprecated APIs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from cluster.deprecation import DeprecatedUse
from cluster.facts import MachineFacts, Offer
from cluster.report import Unread
from cluster.versions import Minor


@dataclass(frozen=True, slots=True)
class SurveyedMachine:
    """One machine: its facts, or why there are none, and what its package source offers."""

    name: str
    facts: MachineFacts | Unread
    offers: tuple[Offer, ...] = ()

    def offer(self, minor: Minor) -> Offer | None:
        return next((o for o in self.offers if o.minor == minor), None)


@dataclass(frozen=True, slots=True)
class ApiUse:
    """Deprecated APIs that somebody asks for, as the API servers counted at `read_at` (UTC); `unread` did not tell."""

    read_at: datetime
    uses: tuple[DeprecatedUse, ...] = ()
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True)  # without slots: its machines are looked up by name, thousands of times
class Survey:
    """All machines of the inventory, read at `read_at` (UTC)."""

    cluster: str
    read_at: datetime
    machines: tuple[SurveyedMachine, ...] = ()
    apis: ApiUse | None = None  # None where nobody looked

    def machine(self, name: str) -> SurveyedMachine | None:
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, SurveyedMachine]:
        return {m.name: m for m in self.machines}

    def facts(self, name: str) -> MachineFacts | None:
        """The facts of one machine; None where it is not in the inventory or could not be read."""
        machine = self.machine(name)
        return machine.facts if machine and isinstance(machine.facts, MachineFacts) else None

    def age(self, now: datetime) -> timedelta:
        return now - self.read_at
