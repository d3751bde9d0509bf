"""A plan as a file: for programs, for a change ticket, or for somebody who would type all of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bot.export_forms import ExportForm
from bot.plan_page import write_page
from bot.runbook_page import write_runbook
from bot.terminal import as_json
from cluster.errors import Refused
from cluster.plan import PlanRecord
from cluster.settings import Approvals
from policies.legs import Leg, legs
from policies.permanence import Permanent, find_permanent
from policies.release_notes import ReleaseNotes, notes_of

_SUFFIXES = {ExportForm.JSON: ".json", ExportForm.MARKDOWN: ".md", ExportForm.RUNBOOK: "-runbook.md"}


@dataclass(frozen=True, slots=True)
class Document:
    """A plan in one of its forms."""

    name: str  # of the file
    text: str


def export_plan(record: PlanRecord, form: ExportForm, approvals: Approvals) -> Document:
    """Raises Refused for a runbook of a plan with a node's name that no shell should see."""
    name = f"{record.id}{_SUFFIXES[form]}"
    match form:
        case ExportForm.JSON:
            return Document(name, export_json(record, approvals) + "\n")
        case ExportForm.MARKDOWN:
            return Document(name, write_page(record, who_may_approve(record, approvals)))
        case ExportForm.RUNBOOK:
            return Document(name, write_runbook(record))


def export_json(record: PlanRecord, approvals: Approvals) -> str:
    """Its digest is the SHA-256 of `plan.plan` in there: docs/json.md says how to work it out again."""
    return as_json(
        "export",
        plan=_plain(PlanRecord, record),
        legs=_plain(tuple[Leg, ...], legs(record.plan)),
        permanent=_plain(tuple[Permanent, ...], find_permanent(record)),
        release_notes=_plain(tuple[ReleaseNotes, ...], notes_of(record)),
        may_approve=who_may_approve(record, approvals),
    )


def _plain(shape: Any, value: object) -> Any:
    return TypeAdapter(shape).dump_python(value, mode="json")


def who_may_approve(record: PlanRecord, approvals: Approvals) -> tuple[str, ...]:
    """People by name, Slack's groups by id; whoever asked for the plan may not, in either."""
    people = tuple(name for name in approvals.approvers if name != record.requester)
    groups = tuple(f"members of the Slack group {group} but {record.requester}" for group in approvals.user_groups)
    return (*people, *groups) or ("nobody",)


def save_document(document: Document, file: Path) -> None:
    """Raises Refused where it cannot be written."""
    try:
        file.write_text(document.text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{file} cannot be written ({error.strerror}): name another file with --to.") from error
