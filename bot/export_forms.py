"""The forms in which a plan can be taken out."""

from __future__ import annotations

from enum import StrEnum


class ExportForm(StrEnum):
    """`json` for programs, `markdown` for a change ticket, `runbook` for somebody who types."""

    JSON = "json"
    MARKDOWN = "markdown"
    RUNBOOK = "runbook"
