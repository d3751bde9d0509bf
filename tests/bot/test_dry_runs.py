"""`dry-run`: what the API server said of a plan's evictions, in the plan's thread, as text and as JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.blocks import BUDGET, text_size
from bot.dry_run_text import dry_run_text, render_dry_run
from bot.notifier import items_for
from cluster.dry_run import DryRun, Hindrance, Hold, NodeTrial
from cluster.events import Event, Happened
from tests.bot_desk import ADA, Desk, desk, quiet_desk
from tests.bot_fixture import CHANNEL, NASTY, NOW, WORKERS
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]

WEB = Hindrance(Hold.BUDGET, "demo/web", 2, ("demo/web-1", "demo/web-2"), "The disruption budget web needs 2")
SCRATCH = Hindrance(Hold.CONSENT, "delete-emptydir", 1, ("demo/scratch",), "emptyDir data would be lost")
MADE = DryRun(
    "p-1a2b3c4d",
    "prod",
    NOW,
    (
        NodeTrial("w-1", 3, 0, 2, (WEB,)),
        NodeTrial("w-2", 4, 1, 2, (WEB, SCRATCH)),
        NodeTrial("w-3", not_tried="It is no longer in the cluster."),
    ),
    in_place=1,
)


def test_a_verdict_asked_for_in_slack_appears_in_the_thread_of_its_plan(desk: Desk) -> None:
    """Asked for from any channel; the person alone is told where to look."""
    made = desk.propose()
    card = desk.card(made)
    desk.slack.say(ADA, "C0RANDOM", "/k8s dry-run p-1a2b3c4d")
    desk.told(ADA, "Trying every eviction of `p-1a2b3c4d`; none happens.")
    (request,) = desk.store.open_requests()
    assert (request.kind, request.target, request.person) == ("dry-run", made.id, "ada")
    facts = {"request": request.id}
    event = Event(Happened.DRY_RUN_FINISHED, desk.now(), "prod", "Tried.", plan_id=made.id, facts=facts)
    desk.store.answer_request(request.id, plan_ids=(made.id,), dry_run=MADE, event=event)

    def thread(_: object) -> str:
        return "\n".join(desk.slack.text(m) for m in desk.slack.thread(CHANNEL, card))

    said = desk.slack.wait_for(lambda it: thread(it) if "would leave now" in thread(it) else "")
    assert "7 pods of 3 nodes would leave now, 5 would not" in said
    assert "not the moment of the drain" in said
    assert "4 pods on w-1, w-2: the disruption budget demo/web lets nobody go now" in said


def test_it_is_a_line_of_the_plans_thread() -> None:
    """No card of its own, and no edit of the plan's."""
    event = Event(Happened.DRY_RUN_FINISHED, NOW, "prod", "Tried.", "p-1", facts={"request": "r-1"})
    assert [(i.id, i.thread_of) for i in items_for("1-0", event, CHANNEL)] == [("line:1-0", "plan:p-1")]


def test_a_terminal_lists_every_node_and_says_what_the_verdict_is_worth() -> None:
    """Numbers for each node, then what holds which pods, and what was not tried."""
    lines = dry_run_text(MADE).splitlines()
    assert lines[0].endswith("1 node could not be tried. This judges now, not the moment of the drain.")
    assert "Nothing was evicted." in lines[1]
    assert lines[2] == "not drained by this plan, or not any more: 1 machine"
    assert [line.split() for line in lines[5:7]] == [["w-1", "3", "2", "0", "2"], ["w-2", "4", "3", "1", "2"]]
    assert "not tried: w-3: It is no longer in the cluster." in lines
    assert lines[-1] == "w-2: 1 pod: a drain would stop for the consent delete-emptydir (demo/scratch)"


@pytest.mark.parametrize("text", NASTY)
def test_no_text_from_a_cluster_controls_what_is_shown(text: str) -> None:
    """Names and the server's words are data, on a terminal and in Slack; thousands of nodes fit into one message."""
    held = Hindrance(Hold.REFUSED, text, 1, (text,), text)
    nodes = tuple(NodeTrial(f"{text}{n}", hindrances=(replace(held, by=f"{n}{text}"),)) for n in range(200))
    made = replace(MADE, nodes=nodes, in_place=0)
    assert all(line.isprintable() for line in dry_run_text(made).split("\n"))
    message = render_dry_run(made)
    assert text_size(message.blocks) < BUDGET
    assert "188 more: lockkeeper dry-run" in str(message.blocks)


def test_a_clear_verdict_is_short() -> None:
    """Nothing is listed where nothing holds a pod."""
    made = replace(MADE, nodes=tuple(NodeTrial(n, 2, 0, 1) for n in WORKERS))
    assert made.is_clear
    assert "8 pods of 4 nodes would leave now, 0 would not" in render_dry_run(made).text
    assert "bullet" not in str(render_dry_run(made).blocks)
