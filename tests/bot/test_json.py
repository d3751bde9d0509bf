"""What `-o json` writes is what docs/json.md says, field by field."""

from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter
from typer.main import get_command

from bot import terminal
from bot.freshness import freshness_json
from bot.plan_export import export_json
from cluster.dry_run import DryRun, NodeTrial
from cluster.events import Event, Happened
from cluster.force import ForceRequest
from cluster.report import ClusterReport
from lockkeeper import app
from policies.fleet import FleetLine, line_of
from policies.staleness import judge_freshness
from policies.support import Support
from tests.bot_fixture import NOW, finding, operation, overview, record, report, settings
from tests.json_page import KINDS, PAGE, make_page

WRITTEN = {
    "report": terminal.report_json(overview()),
    "fleet": terminal.fleet_json([line_of("prod", overview())]),
    "plan": terminal.plan_json(record()),
    "export": export_json(record(), settings().approvals),
    "dry-run": terminal.dry_run_json(DryRun("p-1a2b3c4d", "prod", NOW, (NodeTrial("w-1", 3),))),
    "operation": terminal.operation_json(operation()),
    "force": terminal.force_json(ForceRequest("f-1", "op-1", "prod", "w-1", "a/b", "uid", "the API", "ada", NOW)),
    "events": terminal.events_json([Event(Happened.STEP_STARTED, NOW, "prod", "x")]),
    "findings": terminal.findings_json([finding()]),
    "data": freshness_json(judge_freshness(NOW.date())),
}


def test_the_page_is_what_the_code_says():
    """A field that was added, renamed or explained anew stands on the page."""
    wanted = make_page()
    assert PAGE.read_text(encoding="utf-8") == wanted, "write it anew with: python -m tests.json_page"


def test_every_verb_that_writes_it_is_on_the_page():
    """By its name, under what it writes; `release` stands in the page's own words."""
    verbs = get_command(app).commands
    writing = {name for name, verb in verbs.items() if "output" in {option.name for option in verb.params}}
    listed = {word.strip() for said, _ in KINDS.values() for word in said.removeprefix("lockkeeper").split(",")}
    assert writing - {word.split(" ")[0] for word in listed} == {"release"}


def test_every_kind_is_on_the_page():
    """None is left out."""
    assert set(KINDS) == set(WRITTEN)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_the_parts_that_the_page_lists(kind):
    """In that order, after its schema."""
    assert list(json.loads(WRITTEN[kind])) == ["schema", "kind", *KINDS[kind][1]]


def test_what_was_written_can_be_read_again():
    """A program that knows the types gets the same values back, unread parts included."""
    written = json.loads(WRITTEN["report"])
    assert TypeAdapter(ClusterReport).validate_python(written["report"]) == report()
    assert TypeAdapter(Support).validate_python(written["support"]) == overview().support
    (line,) = json.loads(WRITTEN["fleet"])["fleet"]
    assert TypeAdapter(FleetLine).validate_python(line) == line_of("prod", overview())
