"""What came of a survey that somebody asked for, in a few lines: the whole of it is in the report."""

from __future__ import annotations

from bot.blocks import ROOM, Message, context, section
from bot.report_card import findings_within
from bot.text import code, count, escape, listing
from cluster.findings import Findings
from cluster.report import Unread
from cluster.survey import Survey

_REST = "a plan finds them too, and `lockkeeper plan` tells all"


def render_survey(survey: Survey, findings: Findings, command: str) -> Message:
    """To the person who asked alone."""
    silent = tuple(m.name for m in survey.machines if isinstance(m.facts, Unread))
    said = f"{count(len(survey.machines) - len(silent), 'machine')} of {code(survey.cluster)} told how they are"
    lost = f"; not read: {escape(listing(silent))}" if silent else ""
    foot = context(f"All that they told: `{command} versions {escape(survey.cluster, 60)}`")
    return Message(
        f"{said}{lost}.", (section(f"{said}{lost}."), *findings_within(findings, ROOM - 1000, rest=_REST), foot)
    )
