"""A rollback as people see it: asked for, shown and followed; and the hint to it where a new kubelet does not do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bot.commands import Rollback
from bot.export_forms import ExportForm
from bot.grammar import NotUnderstood, parse_command
from bot.plan_card import render_plan
from bot.plan_export import export_plan
from bot.run_card import render_run
from bot.run_thread import old_to_new, render_result
from bot.stop_card import render_stop
from bot.terminal import render_plan as render_on_terminal
from cluster.events import Event, Happened
from cluster.operation import NodeRow, Operation, OperationState, RowState, schedule
from cluster.plan import PlanKind, PlanRecord, UpgradePlan
from cluster.procedure import Verb, itinerary
from lab.slack.lint import lint_blocks
from policies.stops import stops_of
from tests.bot_desk import ADA, Desk, desk, quiet_desk
from tests.bot_fixture import CHANNEL, NOW, finding, operation, plan, record, settings
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]


def rollback() -> PlanRecord:
    whole = plan(PlanKind.ROLLBACK, ("1.33.9",))
    pool = whole.pools[1]
    return record(plan=replace(whole, pools=(replace(pool, nodes=pool.nodes[:1], left_out=pool.nodes[1:]),)))


def test_a_rollback_that_is_asked_for_is_a_kept_request(desk: Desk) -> None:
    """The last word is the cluster where one has that name."""
    desk.slack.say(ADA, CHANNEL, "/k8s rollback w-1 w-2 prod")
    desk.told(ADA, "Reading `prod` and its machines for a rollback of w-1, w-2. The plan will appear here.")
    (request,) = desk.store.open_requests()
    assert (request.kind, request.workers, request.cluster, request.person) == (
        "rollback",
        ("w-1", "w-2"),
        "prod",
        "ada",
    )


def test_a_rollback_names_its_workers() -> None:
    """Words in between may be commas."""
    assert parse_command("rollback w-1,w-2 w-3") == Rollback(("w-1", "w-2", "w-3"))
    with pytest.raises(NotUnderstood, match="rollback worker-3"):
        parse_command("rollback")


def test_every_form_of_the_plan_says_what_goes_back_and_names_nobody_else() -> None:
    """The others of the pool only count."""
    made = rollback()
    message = render_plan(made)
    assert lint_blocks(list(message.blocks), "message") == ()
    assert "Rollback plan: kubelets of prod back to v1.33.9" in message.text
    shown = [json.dumps(message.blocks), render_on_terminal(made)]
    shown += [export_plan(made, form, settings().approvals).text for form in (ExportForm.MARKDOWN, ExportForm.RUNBOOK)]
    assert all("w-1" in text and "w-2" not in text for text in shown)
    assert "--allow-downgrades kubelet='1.33.9-1.1' kubectl='1.33.9-1.1'" in shown[-1]
    assert "Everybody else: a rollback is of the workers that it was asked for." in shown[-2]


def test_its_run_ends_with_what_went_back() -> None:
    """And with no word of machines that stayed behind."""
    made = rollback()
    run = schedule(made, operation_id="op-1a2b3c4d", approved_by="grace", now=NOW)
    done = replace(
        run, state=OperationState.COMPLETED, rows=(NodeRow("w-1", 8, state=RowState.FINISHED),), ended_at=NOW
    )
    assert "Rolling kubelets of prod back to v1.33.9: 1 of 1 machine" in render_run(made, done, NOW).text
    ended = Event(Happened.OPERATION_COMPLETED, NOW, "prod", "Over.", operation_id=run.id)
    assert (
        "Completed: Rolling kubelets of prod back to v1.33.9, 1 of 1 machine" in render_result(ended, made, done).text
    )
    assert old_to_new(made, done) == [("kubelet w-1", "v1.34.7", "v1.33.9")]


@pytest.mark.parametrize(("verb", "told"), [(Verb.VERIFY_NODE, True), (Verb.SMOKE_TEST, True), (Verb.DRAIN, False)])
def test_a_stop_after_a_new_kubelet_says_how_it_goes_back(verb: Verb, *, told: bool) -> None:
    """Before it there is nothing to put back."""
    made = record()
    stopped = blocked_at(made.plan, verb)
    (stop,) = stops_of(stopped)
    text = render_stop(made, stopped, stop, None).text
    assert ("ask for `rollback w-1` when this run has ended" in text) is told


def blocked_at(of: UpgradePlan, verb: Verb) -> Operation:
    node = of.node("w-1")
    assert node is not None
    position = next(n for n, s in enumerate(itinerary(of, node)) if s.verb is verb)
    row = NodeRow("w-1", position, state=RowState.BLOCKED, finding=finding(), note="It is not well.", stopped_at=NOW)
    return operation(rows=(row,))
