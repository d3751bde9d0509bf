"""The command line says the same as the cards: text for people, JSON with a schema for programs."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from bot import terminal
from bot.plan_card import node_rows, render_plan
from bot.plan_views import details_view
from cluster.events import Event, Happened
from cluster.facts import MachineFacts
from cluster.findings import Severity
from cluster.operation import Hold, NodeRow, OperationState, RowState
from cluster.options import DrainMode, Options
from cluster.plan import PlanKind
from cluster.procedure import Verb, itinerary
from cluster.report import Unread
from cluster.survey import Survey, SurveyedMachine
from lockkeeper import app
from tests.bot_fixture import NASTY, NOW, WORKERS, finding, operation, overview, plan, record, report


def survey(reason: str = "refused") -> Survey:
    facts = MachineFacts(protocol=1, time=NOW, boot_id="b", fence=0, control_plane=False)
    return Survey("prod", NOW, (SurveyedMachine("w-1", facts), SurveyedMachine("w-2", Unread("w-2", reason))))


def test_a_report_says_every_version_and_what_could_not_be_read():
    """Grouped by version, and honest."""
    said = terminal.render_report(overview(survey=survey()))
    assert "API server" in said
    assert "v1.34.7" in said
    assert "not read: the add-on list: timed out after 10 s" in said
    assert "not read: refused" in said


def test_a_plan_says_how_to_decide_on_it():
    """By somebody else, or not at all."""
    assert "approves it with: lockkeeper approve p-1a2b3c4d" in terminal.render_plan(record())
    blocked = terminal.render_plan(record(findings=(finding(Severity.BLOCKER),)))
    assert "cannot be approved" in blocked
    assert "BLOCKER some-code" in blocked


def test_a_plan_says_what_whoever_approves_it_consents_to():
    """How many may be away, how nodes are drained, and what that may delete: all of it is in the digest."""
    said = terminal.render_plan(record())
    assert "pool general: 4 machines, at most 2 away at once" in said
    assert "pool general: 4 machines, at most 2 away at once" in str(details_view(record()))
    assert "drains: Nodes are drained always, each within 900 s." in said
    assert "drains: Data in emptyDir volumes may not be deleted." in said
    options = Options(drain=DrainMode.MINOR_ONLY, drain_timeout=60, delete_emptydir=True, delete_unmanaged=True)
    bold = terminal.render_plan(record(plan=replace(plan(), options=options)))
    assert "drains: Nodes are drained for another minor only, each within 60 s." in bold
    assert "drains: Data in emptyDir volumes may be deleted." in bold
    assert "drains: Pods that no controller owns may be deleted." in bold
    assert "drained" not in terminal.render_plan(record(plan=replace(plan(), kind=PlanKind.REVERT)))


def test_a_plan_that_single_workers_block_says_how_to_go_on_without_them():
    """Both commands can be typed as they stand; of very many workers the word for them is typed."""
    stop = (finding(Severity.BLOCKER),)
    made = record(findings=stop, blocked_workers=("w-1", "w-2"))
    assert "2 workers: lockkeeper plan v1.35.4 prod --without w-1 --without w-2" in terminal.render_plan(made)
    assert "`plan v1.35.4 prod without w-1 w-2`" in str(render_plan(made).blocks)
    many = record(findings=stop, blocked_workers=tuple(f"w-{n}" for n in range(21)))
    assert "21 workers: lockkeeper plan v1.35.4 prod --without blocked" in terminal.render_plan(many)
    assert "`plan v1.35.4 prod without blocked`" in str(render_plan(many).blocks)
    unlike = replace(made, asked=("reboot-never",))
    assert "--without w-2 --accept reboot-never" in terminal.render_plan(unlike)
    assert "without w-1 w-2 accept reboot-never`" in str(render_plan(unlike).blocks)


def test_a_plan_names_whom_it_leaves_out_and_why():
    """On the card, in the table and in text."""
    whole = plan()
    pool = replace(whole.pools[1], nodes=whole.pools[1].nodes[1:], left_out=whole.pools[1].nodes[:1])
    made = record(plan=replace(whole, pools=(whole.pools[0], pool)), left_out_for=((WORKERS[0], "node not ready"),))
    said = f"{WORKERS[0]} (node not ready)"
    assert f"left out: {said}" in terminal.render_plan(made)
    assert said in str(render_plan(made).blocks)
    assert f"left out: {said}" in str(details_view(made))
    assert "left out: nobody" in str(details_view(record()))
    assert (WORKERS[0], "worker, pool general", "v1.34.7", "left out") in node_rows(made)


def test_an_operation_says_each_machine():
    """What it does, and what stopped it."""
    rows = tuple(NodeRow(n, position=5, state=RowState.BLOCKED, finding=finding()) for n in WORKERS[:1])
    said = terminal.render_operation(replace(operation(OperationState.BLOCKED), rows=rows), record())
    assert "blocked, 0 of 1 machine" in said
    assert "WARNING some-code" in said


def test_an_operation_says_who_holds_up_a_drain_and_until_when():
    """Whoever has only a terminal has to choose in time as well."""
    hold = Hold("shop/web-1", "uid-1", "the PodDisruptionBudget shop/web", "no disruption is allowed", NOW)
    steps = itinerary(plan(), plan().node(WORKERS[0]))
    at = next(n for n, step in enumerate(steps) if step.verb is Verb.DRAIN)
    row = NodeRow(WORKERS[0], at, state=RowState.STARTED, started_at=NOW, stopped_at=NOW, held=(hold,), extension=300)
    said = terminal.render_operation(operation(rows=(row,)), record())
    assert (
        f"The drain of {WORKERS[0]} is held up since 2026-10-14 14:00 UTC: shop/web-1 by the PodDisruptionBudget "
        "shop/web; it is given up at 2026-10-14 14:20 UTC."
    ) in said


@pytest.mark.parametrize("text", NASTY)
def test_no_text_from_a_cluster_controls_the_terminal(text):
    """Escape sequences and bidi marks do not get through."""
    found = (finding(text=text),)
    event = Event(Happened.STEP_FAILED, NOW, "prod", text, node=text)
    said = [
        terminal.render_report(overview(report(text, (text, "b", "c", "d")), survey=survey(text)), images=True),
        terminal.render_plan(record(findings=found, requester=text, reason=text)),
        terminal.render_operation(operation(reason=text), record()),
        terminal.render_events([event]),
        terminal.render_findings(found),
    ]
    assert all(line.isprintable() for part in said for line in part.split("\n"))


def test_every_noun_has_a_json_form_with_its_schema():
    """Versions are texts in it, and a program can see when a form changes."""
    forms = {
        "report": terminal.report_json(overview(survey=survey())),
        "plan": terminal.plan_json(record()),
        "operation": terminal.operation_json(operation()),
        "events": terminal.events_json([Event(Happened.STEP_STARTED, NOW, "prod", "x")]),
        "findings": terminal.findings_json([finding()]),
    }
    for kind, text in forms.items():
        read = json.loads(text)
        assert (read["schema"], read["kind"]) == (terminal.SCHEMA, kind)
        assert read[kind]
    assert json.loads(forms["plan"])["plan"]["plan"]["hops"][0]["target"] == "v1.35.4"


@pytest.mark.parametrize("verb", [(), ("plan",), ("config", "check")])
def test_each_verb_tells_what_it_takes_by_the_short_option_too(verb):
    """As people try it first."""
    said = CliRunner().invoke(app, [*verb, "-h"])
    assert said.exit_code == 0
    assert "Show this message and exit" in said.output


def verbs_of(command, *words):
    yield words
    for name, verb in getattr(command, "commands", {}).items():
        yield from verbs_of(verb, *words, name)


@pytest.mark.parametrize("verb", [*verbs_of(get_command(app))], ids=lambda words: " ".join(("lockkeeper", *words)))
def test_help_names_what_is_to_be_typed_and_gives_switches_nothing_to_type(verb):
    """`--key FILE`, `--yes`: nowhere a type of the program's own."""
    said = CliRunner().invoke(app, [*verb, "--help"]).output
    assert not set(re.findall(r"<(\w+)", said)) & {"bool", "str", "int", "float", "path", "list"}
