"""What a policy answers: findings with a stable code, never a bool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cluster.errors import Refused


class Severity(StrEnum):
    """How much a finding weighs: a blocker forbids, a warning is shown before approval, a note informs."""

    BLOCKER = "blocker"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an operator should know; `code` has its own heading in docs/findings.md."""

    code: str
    severity: Severity
    subject: str
    sentence: str
    remedy: str


Findings = tuple[Finding, ...]


def blockers(findings: Iterable[Finding]) -> Findings:
    return tuple(f for f in findings if f.severity is Severity.BLOCKER)


def demand_clear(findings: Iterable[Finding]) -> None:
    """Raises Refused, in the words of the first blocker, where there is one."""
    if stops := blockers(findings):
        raise Refused(f"{stops[0].sentence} {stops[0].remedy}".strip(), stops)


def worst_first(findings: Iterable[Finding]) -> Findings:
    """Each once; those that weigh the same and are about the same stay in the order in which they came."""
    order = (Severity.BLOCKER, Severity.WARNING, Severity.NOTE)
    return tuple(sorted(dict.fromkeys(findings), key=lambda f: (order.index(f.severity), f.code, f.subject)))
