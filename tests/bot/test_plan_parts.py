"""Parts of a plan beside its steps: what changed since the one before, and the notes to be read."""

from __future__ import annotations

import json

import pytest

from bot import terminal
from bot.export_forms import ExportForm
from bot.plan_card import APPROVE, render_plan
from bot.plan_changes import changes_lines
from bot.plan_export import export_plan
from bot.plan_notes import notes_view, ticked
from bot.plan_views import details_view
from cluster.difference import Change, Difference, Part
from cluster.plan import PlanKind, PlanStatus
from lab.slack.lint import lint_blocks, lint_view
from tests.bot_fixture import NASTY, NOW, plan, record, settings

PAGE = "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1.35.md"
CHANGES = (
    Change(Part.HOPS, "", "v1.35.3", "v1.35.4"),
    Change(Part.MACHINE, "w-5", "", "worker, pool general"),
    Change(Part.MACHINE, "w-9", "worker, pool general", ""),
    *(Change(Part.VERSION, f"kubelet of w-{n}", "v1.34.6", "v1.34.7") for n in range(6)),
    Change(Part.FINDING, "node-not-ready w-1", "", "blocker"),
)


def changed(*changes):
    return record(difference=Difference("p-00000000", changes))


def test_a_card_tells_in_a_few_words_what_changed_since_the_plan_before():
    """A line for each part; thousands of machines are counted, not listed."""
    said = json.dumps(render_plan(changed(*CHANGES)).blocks, ensure_ascii=False)
    assert "What changed since p-00000000" in said
    assert "Hops: v1.35.3 → v1.35.4" in said
    assert "Machines: new w-5 (worker, pool general); gone w-9" in said
    assert "Findings: new node-not-ready w-1 (blocker)" in said
    assert "kubelet of w-0 v1.34.6 → v1.34.7" in said
    assert "kubelet of w-5" not in said


def test_a_terminal_tells_every_change():
    """And JSON has them all, too."""
    text = terminal.render_plan(changed(*CHANGES))
    assert all(f"version kubelet of w-{n}" in text for n in range(6))
    assert len(json.loads(terminal.plan_json(changed(*CHANGES)))["plan"]["difference"]["changes"]) == len(CHANGES)


def test_a_plan_that_is_the_same_again_says_so_and_a_first_one_says_nothing():
    """Nobody looks for a difference that there is not."""
    assert changes_lines(changed()) == ["", "Nothing changed since p-00000000"]
    assert "Nothing changed since p-00000000" in str(render_plan(changed()).blocks)
    assert changes_lines(record()) == []


@pytest.mark.parametrize("text", NASTY)
def test_names_from_a_cluster_stay_text(text):
    """Whatever they are made of, Slack takes the card and the modals."""
    made = changed(*(Change(part, text, text, text * 2) for part in Part))
    assert lint_blocks(list(render_plan(made).blocks), "message") == ()
    assert lint_view(details_view(made)) == ()


def test_a_void_plan_says_what_changed_and_has_no_button():
    """It can only be planned anew."""
    reason = "The API server on cp-1 is v1.35.0, and was v1.34.7 when the plan was made."
    blocks = str(render_plan(record(status=PlanStatus.VOID, reason=reason, decided_at=NOW)).blocks)
    assert reason in blocks
    assert APPROVE not in blocks


def test_a_card_and_a_terminal_link_the_notes_of_each_hop():
    """Their urgent part by itself, where it is known."""
    blocks = str(render_plan(record(plan=plan(targets=("1.35.4", "1.36.2")))).blocks)
    text = terminal.render_plan(record())
    for page in (PAGE, f"{PAGE}#urgent-upgrade-notes"):
        assert f"'url': '{page}'" in blocks
        assert f"v1.35: {page}" in text
    assert "v1.36: " in blocks
    assert json.loads(terminal.plan_json(record()))["notes"] == [
        {"minor": "v1.35", "changelog": PAGE, "urgent": f"{PAGE}#urgent-upgrade-notes"}
    ]


def test_a_plan_that_brings_no_new_release_has_nothing_to_read():
    """As the revert."""
    made = record(plan=plan(PlanKind.REVERT))
    assert "To be read before" not in str(render_plan(made).blocks)
    assert "To be read before" not in terminal.render_plan(made)


def test_the_modal_has_a_box_for_each_minor_and_tells_which_are_ticked():
    """Slack itself refuses it while one is not."""
    made = record(plan=plan(targets=("1.35.4", "1.36.2")))
    view = notes_view(made, made.token)
    assert lint_view(view) == ()
    boxes = [b["block_id"] for b in view["blocks"] if b["type"] == "input"]
    assert boxes == ["notes:v1.35", "notes:v1.36"]
    state = {
        boxes[0]: {"read": {"selected_options": [{"value": "v1.35"}]}},
        boxes[1]: {"read": {"selected_options": []}},
    }
    assert ticked(state) == ("v1.35",)
    assert ticked({}) == ()


def test_a_minor_that_is_not_known_is_named_without_a_link():
    """It must be read all the same."""
    unknown = plan(targets=("1.99.1",))
    assert "v1.99: its release notes; where they are is not known here" in terminal.render_plan(record(plan=unknown))
    assert lint_view(notes_view(record(plan=unknown), "x")) == ()


def test_an_estimate_says_what_it_rests_on():
    """On the card, on a terminal and in the document; a plan of before that was written down has only its times."""
    made = record(estimate_grounds="from 42 earlier workers of this cluster")
    said = "from 42 earlier workers of this cluster"
    assert f"Between 25 min and 40 min, {said}." in str(render_plan(made).blocks)
    assert f"estimate: 25 min to 40 min, {said}\n" in terminal.render_plan(made)
    assert f"between 25 min and 40 min, {said}" in export_plan(made, ExportForm.MARKDOWN, settings().approvals).text
    assert "Between 25 min and 40 min." in str(render_plan(record()).blocks)
