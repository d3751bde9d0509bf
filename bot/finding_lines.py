"""Findings as lines of text, for a terminal and for a list in monospace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.text import clean
from cluster.findings import Finding, worst_first


def finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Worst first, each with its code and what to do about it."""
    for f in worst_first(findings):
        yield f"{f.severity.upper()} {clean(f.code)}: {clean(f.sentence, 700)}"
        if f.remedy:
            yield f"    {clean(f.remedy, 700)}"
