"""
A plan taken out, word for word: the document for a change ticket and the runbook, for each scenario of the lab.

After a wanted change: `python -m tests.bot.test_plan_export` writes the files anew; read the difference.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from bot import terminal
from bot.export_forms import ExportForm
from bot.plan_card import render_plan
from bot.plan_export import Document, export_plan, save_document, who_may_approve
from bot.plan_views import details_view
from cluster.errors import Refused
from cluster.findings import Finding, Severity, blockers
from cluster.plan import PlanRecord, PlanStatus
from cluster.procedure import DOING, itinerary
from policies.legs import ANY_NUMBER, legs
from policies.permanence import find_permanent
from tests.bot_fixture import NASTY
from tests.plan_scenarios import ON_PAPER, scenario_records
from tests.policies_fixture import NOW, SETTINGS, make_record

GOLDEN = Path(__file__).parent / "golden" / "export"
RECORDS = scenario_records()
FOR_PEOPLE = (ExportForm.MARKDOWN, ExportForm.RUNBOOK)


def export(record: PlanRecord, form: ExportForm) -> str:
    return export_plan(record, form, SETTINGS.approvals).text


def tell(name: str) -> str:
    return "\n".join(f"==== {form.upper()}\n\n{export(RECORDS[name], form)}" for form in FOR_PEOPLE)


@pytest.mark.parametrize("name", RECORDS)
def test_an_export_reads_word_for_word(name: str) -> None:
    """Both documents of it."""
    assert tell(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_scenario_of_the_lab_has_its_export() -> None:
    """And the one with a hand-edited control plane also its revert's."""
    assert set(RECORDS) == {*(s.name for s in ON_PAPER), "hand-edited-apiserver-revert"}
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(RECORDS)


@pytest.mark.parametrize("name", RECORDS)
def test_the_digest_can_be_worked_out_from_the_json_alone(name: str) -> None:
    """As docs/json.md says it: sorted keys, no spaces, UTF-8, SHA-256."""
    written = json.loads(export(RECORDS[name], ExportForm.JSON))
    plan = written["plan"]["plan"]
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == written["plan"]["digest"] == RECORDS[name].plan.digest
    assert TypeAdapter(PlanRecord).validate_python(written["plan"]) == RECORDS[name]


@pytest.mark.parametrize("name", RECORDS)
def test_a_runbook_has_every_step_of_every_machine(name: str) -> None:
    """As often as the engine takes it, the steps of machines that go side by side said once for all of them."""
    plan, text = RECORDS[name].plan, export(RECORDS[name], ExportForm.RUNBOOK)
    said = sum(len(leg.verbs) * (1 if leg.at_once == ANY_NUMBER else len(leg.nodes)) for leg in legs(plan))
    assert len(re.findall(r"^\*\*\d+\. ", text, re.MULTILINE)) == said
    for node in plan.nodes:
        for verb in {step.verb for step in itinerary(plan, node)}:
            assert DOING[verb].capitalize() in text
        assert f"`{node.name}`" in text


@pytest.mark.parametrize("name", RECORDS)
def test_what_cannot_be_undone_is_said_wherever_a_plan_is_shown(name: str) -> None:
    """On the card and in its modal, in text, in JSON and in both documents."""
    record = RECORDS[name]
    shown = [
        json.dumps(render_plan(record).blocks, ensure_ascii=False),
        json.dumps(details_view(record), ensure_ascii=False),
    ]
    shown += [terminal.render_plan(record), terminal.plan_json(record), *(export(record, form) for form in ExportForm)]
    assert find_permanent(record)
    for permanent in find_permanent(record):
        assert all(permanent.sentence in text for text in shown)


def test_a_document_says_so_where_nothing_is_for_good() -> None:
    """Silence could be a gap."""
    assert "Nothing that is known" in export(make_record("v1.34.9"), ExportForm.MARKDOWN)


@pytest.mark.parametrize("name", RECORDS)
def test_a_runbook_of_a_blocked_plan_says_so_before_its_first_command(name: str) -> None:
    """Somebody may have the file alone."""
    head, _, _ = export(RECORDS[name], ExportForm.RUNBOOK).partition("```")
    stops = blockers(RECORDS[name].findings)
    assert ("This plan is blocked" in head) is bool(stops)
    assert all(f"`{f.code}`" in head for f in stops)


def test_whoever_asked_for_a_plan_is_not_among_those_who_may_approve_it() -> None:
    """Whatever the configuration lists."""
    record = make_record(requester="grace")
    assert who_may_approve(record, SETTINGS.approvals) == ("members of the Slack group S0OPS but grace",)
    alone = SETTINGS.approvals.model_copy(update={"user_groups": ()})
    assert who_may_approve(record, alone) == ("nobody",)


def test_a_decided_plan_says_who_decided_and_why() -> None:
    """The document may be looked at long after."""
    made = make_record(status=PlanStatus.REJECTED, decided_by="grace", decided_at=NOW, reason="Not before the sale.")
    said = "Rejected by grace, 2026-11-23 12:00 UTC: Not before the sale."
    assert said in export(made, ExportForm.MARKDOWN)


def test_workers_that_are_left_out_are_named_with_the_reason() -> None:
    """A reader would else look for them in vain."""
    record = make_record()
    pool = record.plan.pools[1]
    plan = replace(
        record.plan, pools=(record.plan.pools[0], replace(pool, nodes=pool.nodes[1:], left_out=pool.nodes[:1]))
    )
    text = export(replace(record, plan=plan, left_out_for=(("w1", "node not ready"),)), ExportForm.MARKDOWN)
    assert "- `w1`: node not ready" in text
    assert "| `w1` | `worker, pool other` | `v1.34.7` | `left out` |" in text


@pytest.mark.parametrize("text", NASTY)
def test_no_text_of_a_cluster_becomes_a_mark_of_a_document(text: str) -> None:
    """No line of its own, no link, no HTML, and no cell too many."""
    found = Finding("some-code", Severity.WARNING, text, f"a {text} b", text)
    usual, bad = (
        make_record(findings=(replace(found, subject="x", sentence="a", remedy="b"),)),
        make_record(findings=(found,)),
    )
    lines, expected = (export(r, ExportForm.MARKDOWN).split("\n") for r in (bad, usual))
    assert len(lines) == len(expected)
    line = next(one for one in lines if one.startswith("- `some-code`"))
    outside = re.sub(r"`[^`]*`", "", line.replace("\\`", ""))
    assert not re.search(r"(?<!\\)[<>\[\]|]", outside)
    assert all(one.isprintable() for one in lines)


def test_a_document_is_written_into_a_file_or_refused_in_one_sentence(tmp_path: Path) -> None:
    """Which file, why, and what to do."""
    save_document(Document("p.md", "# Plan\n"), tmp_path / "p.md")
    assert (tmp_path / "p.md").read_text(encoding="utf-8") == "# Plan\n"
    with pytest.raises(Refused, match=r"cannot be written \(No such file or directory\): name another file with --to"):
        save_document(Document("p.md", "# Plan\n"), tmp_path / "nowhere" / "p.md")


def write() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name in RECORDS:
        (GOLDEN / f"{name}.txt").write_text(tell(name), encoding="utf-8")


if __name__ == "__main__":
    write()
