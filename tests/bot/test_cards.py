"""Every card, in every state and with the worst names, is one that Slack takes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.blocks import BUDGET, Message, step_down
from bot.plan_card import APPROVE, render_plan
from bot.plan_views import details_view, reject_view
from bot.report_card import render_listing, render_report
from bot.run_card import CANCEL, PAUSE, RESUME, RETRY, SKIP, render_run
from bot.run_thread import SIGNS, is_told, old_to_new, render_line, render_result
from bot.terminal import render_plan as render_on_terminal
from cluster.events import Event, Happened
from cluster.findings import Finding, Severity
from cluster.hooks import Moment, PlanHook
from cluster.operation import NodeRow, Operation, OperationState, RowState, Wish
from cluster.options import Options, PodRule, Reboot, Treatment
from cluster.plan import Basis, PlanKind, PlanNode, PlanPool, PlanRecord, PlanStatus, Role
from cluster.procedure import Verb, itinerary
from lab.slack.lint import lint_blocks
from tests.bot_fixture import CONTROL_PLANES, NASTY, NOW, WORKERS, finding, operation, overview, plan, record, report


def check(message: Message) -> None:
    """What Slack would refuse, in this form and in every plainer one."""
    form: Message | None = message
    steps = 0
    while form is not None:
        assert lint_blocks(list(form.blocks), "message") == ()
        assert form.text.strip()
        assert len(json.dumps(form.blocks, ensure_ascii=False)) < 60_000
        assert sum(len(t) for t in texts(form.blocks)) < BUDGET
        form, steps = step_down(form), steps + 1
    assert steps <= 4


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [t for v in value.values() for t in texts(v)]
    return [t for v in value for t in texts(v)] if isinstance(value, list | tuple) else []


def buttons(message: Message) -> list[str]:
    return [e["action_id"] for b in message.blocks if b["type"] == "actions" for e in b["elements"]]


def nasty_event(kind: Happened, text: str) -> Event:
    return Event(
        kind, NOW, "prod", text or "x", "p-1a2b3c4d", "op-1a2b3c4d", text, "0/workers/drain", facts={"a": text}
    )


@pytest.mark.parametrize("text", NASTY)
def test_a_report_with_any_text_in_it_is_taken(text):
    """Names of nodes, versions and reasons are whatever a cluster says."""
    whole = report(text or "prod", (text, *CONTROL_PLANES, *WORKERS))
    check(render_report(overview(whole)))
    check(render_report(overview(whole, (finding(text=text), finding(Severity.BLOCKER, text)))))
    for part in render_listing(overview(whole)):
        check(part)


def test_a_report_of_many_machines_still_fits():
    """Versions are grouped, so that five thousand nodes make a short table."""
    names = tuple(f"node-{n}" for n in range(5000))
    message = render_report(overview(report("prod", names), tuple(finding() for _ in range(99))))
    check(message)
    assert "prod: API servers v1.34.7, 5000 kubelets v1.34.7." in message.text


def long_names(number: int) -> tuple[str, ...]:
    """Names as long as Kubernetes allows."""
    return tuple(f"node-{n}.".ljust(253, "x") for n in range(number))


def wide_plan(names: tuple[str, ...]) -> PlanRecord:
    """Five pools of such machines, with as much to say of each as there may be."""
    masters = tuple(PlanNode(n, n, Role.CONTROL_PLANE) for n in names[:3])
    workers = tuple(PlanNode(n, n, Role.WORKER) for n in names[3:])
    pools = tuple(PlanPool(f"pool-{n}".ljust(63, "p"), 2, workers[n::5]) for n in range(5))
    before = tuple((n, "v1.34.7") for n in names)
    return record(
        plan=replace(
            plan(),
            pools=(PlanPool("control-plane", 1, masters), *pools),
            options=Options(reboot=Reboot.ALWAYS, pod_rules=long_rules(30), surge=True),
            hooks=tuple(PlanHook(moment, f"{n}".ljust(63, "h"), 300) for moment in Moment for n in range(9)),
        ),
        findings=tuple(wordy_finding(n) for n in range(20)),
        basis=Basis(before[:3], before, "v1.34.7", NOW),
    )


def long_rules(number: int) -> tuple[PodRule, ...]:
    return tuple(PodRule(f"k{n}=".ljust(126, "v"), Treatment.FINISH, "n" * 63) for n in range(number))


def wordy_finding(number: int) -> Finding:
    return replace(finding(text="z" * 500), code=f"code-{number}", remedy="y" * 500)


@pytest.mark.parametrize("number", [40, 400, 5000])
def test_a_card_of_long_names_and_much_to_say_keeps_its_form(number):
    """A card over the budget would lose all but its first sentence and its buttons, and be approved unseen."""
    names = long_names(number)
    made = wide_plan(names)
    check(render_plan(made))
    assert any(b["type"] == "table" for b in render_plan(made).blocks)
    assert lint_blocks(details_view(made)["blocks"], "modal") == ()
    rows = tuple(NodeRow(n, 2, state=RowState.BLOCKED, finding=wordy_finding(i)) for i, n in enumerate(names[:30]))
    rows += tuple(NodeRow(n, i % 5, note="n" * 300) for i, n in enumerate(names[30:]))
    run = operation(OperationState.BLOCKED, rows=rows, reason="r" * 900)
    check(render_run(made, run, NOW))
    event = Event(Happened.OPERATION_BLOCKED, NOW, "prod", "s" * 2000, made.id, run.id, names[0])
    check(render_result(event, made, run))
    check(render_result(replace(event, kind=Happened.OPERATION_COMPLETED), made, run))


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("status", list(PlanStatus))
def test_a_plan_card_with_any_text_in_it_is_taken(text, status):
    """In every state of the plan."""
    made = record(findings=(finding(text=text),), requester=text, status=status, decided_by=text, reason=text)
    check(render_plan(made))
    assert lint_blocks(details_view(made)["blocks"], "modal") == ()


def test_a_plan_of_many_machines_still_fits():
    """Beyond forty machines the card shows groups, and the modal stays within its hundred blocks."""
    nodes = tuple(PlanNode(f"node-{n}", f"uid-{n}", Role.WORKER) for n in range(3000))
    big = replace(plan(), pools=(*plan().pools, PlanPool("big", 10, nodes)))
    made = record(plan=big, findings=tuple(finding() for _ in range(300)))
    check(render_plan(made))
    assert lint_blocks(details_view(made)["blocks"], "modal") == ()


@pytest.mark.parametrize(
    ("moves", "said"),
    [
        ((None, None), "away at once: "),
        (((2,), (2,)), "away at once, only at v1.36.2: "),
        (((1,), (2,)), "away at once, each at the hops where its kubelet must move: "),
        (((0, 1, 2), None), "away at once: "),
    ],
)
def test_a_plan_card_says_which_machines_move_when(moves, said):
    """A straggler before any hop, by name; workers that do not move at every hop, with the hops that they take."""
    whole = plan(targets=("1.34.7", "1.35.4", "1.36.2"))
    nodes = tuple(PlanNode(f"w-{n}", f"uid-{n}", Role.WORKER, m) for n, m in enumerate(moves))
    pools = (whole.pools[0], PlanPool("web", 1, nodes))
    made = record(plan=replace(whole, hops=(replace(whole.hops[0], whole=False), *whole.hops[1:]), pools=pools))
    shown = texts(render_plan(made).blocks)
    assert [t for t in shown if t.startswith("Pool web")] == [f"Pool web, at most 1 machine {said}"]
    assert any(t.startswith("Before any hop, to the version that the control plane runs") for t in shown)
    assert {": 2 hops, one minor at a time.", " (v1.34.7)"} <= set(shown)
    assert any(t.startswith("At each hop first: packages held") for t in shown)
    assert any(t.startswith("First: packages held") for t in texts(render_plan(record()).blocks))
    check(render_plan(made))
    assert "v1.34.7 (some)" in json.dumps(details_view(made))
    assert "v1.34.7 (packages 1.34.7-1.1, some kubelets only)" in render_on_terminal(made)


def test_only_a_proposed_plan_without_blockers_can_be_approved():
    """A blocked or a decided plan has no Approve button."""
    assert APPROVE in buttons(render_plan(record()))
    assert APPROVE in buttons(render_plan(record(findings=(finding(),))))
    blocked = render_plan(record(findings=(finding(Severity.BLOCKER),)))
    assert APPROVE not in buttons(blocked)
    assert "lockkeeper approve" not in json.dumps(blocked.blocks)
    for status in set(PlanStatus) - {PlanStatus.PROPOSED}:
        assert APPROVE not in buttons(render_plan(record(status=status, decided_by="grace", decided_at=NOW)))


@pytest.mark.parametrize(
    ("code", "begins"), [("some-code", "at once"), ("window-closed", "by itself"), ("freeze", "by")]
)
def test_whoever_approves_is_asked_with_the_moment_at_which_it_begins(code, begins):
    """Not at once where the cluster is closed, as the plan was told when it was made."""
    asked = json.dumps(render_plan(record(findings=(replace(finding(Severity.NOTE), code=code),))).blocks)
    assert f"The work starts {begins}" in asked


def test_a_revert_plan_says_that_nothing_is_drained():
    """It is another thing than an upgrade, and its card says so."""
    message = render_plan(record(plan=plan(PlanKind.REVERT)))
    check(message)
    assert "Revert plan" in message.text
    assert "nothing is drained" in json.dumps(message.blocks)


def test_buttons_carry_the_plan_and_its_digest():
    """What they carry is checked against the record when they come back."""
    made = record()
    values = {e["value"] for b in render_plan(made).blocks if b["type"] == "actions" for e in b["elements"]}
    assert values == {f"{made.id}:{made.digest[:8]}"}
    assert reject_view(made.token)["private_metadata"] == made.token
    assert lint_blocks(reject_view(made.token)["blocks"], "modal") == ()


def at_verb(verb: Verb, node: str, state: RowState = RowState.STARTED, **changes: object) -> NodeRow:
    made = plan()
    steps = itinerary(made, made.node(node))  # type: ignore[arg-type]
    position = next(n for n, s in enumerate(steps) if s.verb is verb)
    return replace(NodeRow(node, position=position, state=state), **changes)  # type: ignore[arg-type]


def with_rows(made: Operation, *rows: NodeRow) -> Operation:
    named = {r.node: r for r in rows}
    return replace(made, rows=tuple(named.get(r.node, r) for r in made.rows))


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("state", list(OperationState))
def test_a_run_card_with_any_text_in_it_is_taken(text, state):
    """Notes, reasons and findings are whatever a machine says."""
    blocked = at_verb(Verb.DRAIN, "w-1", RowState.BLOCKED, finding=finding(text=text), note=text)
    made = with_rows(operation(state, reason=text, wished_by=text), blocked, at_verb(Verb.DRAIN, "w-2", note=text))
    check(render_run(record(), made, NOW))
    check(render_result(nasty_event(Happened.OPERATION_BLOCKED, text), record(), made, mention=("U0ADA",)))
    check(render_result(nasty_event(Happened.OPERATION_COMPLETED, text), record(), made, delayed=True))


BLOCKED_ROW = at_verb(Verb.DRAIN, "w-1", RowState.BLOCKED, finding=finding())
ANOTHER_ROW = at_verb(Verb.DRAIN, "w-2", RowState.BLOCKED, finding=finding())
BLOCKED_MASTER = at_verb(Verb.DRAIN, "cp-1", RowState.BLOCKED, finding=finding())


@pytest.mark.parametrize(
    ("made", "offered"),
    [
        (operation(OperationState.RUNNING), [PAUSE, CANCEL]),
        (operation(OperationState.RUNNING, wish=Wish.PAUSE, wished_by="ada"), [RESUME, CANCEL]),
        (operation(OperationState.RUNNING, wish=Wish.CANCEL, wished_by="ada"), []),
        (operation(OperationState.PARKED), [RESUME, CANCEL]),
        (operation(OperationState.BLOCKED), [RESUME, CANCEL]),
        (with_rows(operation(OperationState.BLOCKED), BLOCKED_ROW), [RETRY, SKIP, CANCEL]),
        (with_rows(operation(OperationState.BLOCKED), BLOCKED_ROW, ANOTHER_ROW), [RETRY, CANCEL]),
        (with_rows(operation(OperationState.BLOCKED), BLOCKED_MASTER), [RETRY, CANCEL]),
        (operation(OperationState.CANCELLING, wish=Wish.CANCEL), []),
        (operation(OperationState.CANCELLED), []),
        (operation(OperationState.COMPLETED), []),
    ],
)
def test_a_run_offers_only_what_its_state_allows(made, offered):
    """A button that could only be refused is not shown."""
    assert buttons(render_run(record(), made, NOW)) == offered


def test_a_pause_is_said_once():
    """Once parked, the reason says who asked; while machines finish, the wish does."""
    wished = operation(OperationState.RUNNING, wish=Wish.PAUSE, wished_by="ada")
    assert "ada asked to pause" in str(render_run(record(), wished, NOW).blocks)
    parked = str(render_run(record(), replace(wished, state=OperationState.PARKED, reason="Paused by ada"), NOW).blocks)
    assert "Paused by ada" in parked
    assert "asked to pause" not in parked


def test_a_blocked_run_says_its_finding_once():
    """The finding is shown whole, with its remedy; the reason would only repeat its sentence."""
    made = with_rows(operation(OperationState.BLOCKED, reason=finding().sentence), BLOCKED_ROW)
    assert str(render_run(record(), made, NOW).blocks).count("Something is off on ") == 1
    other = with_rows(operation(OperationState.BLOCKED, reason="something else"), BLOCKED_ROW)
    assert "Something else" in str(render_run(record(), other, NOW).blocks)


def test_a_machine_counts_as_done_when_it_takes_pods_again():
    """Restoring package holds is housekeeping and keeps no machine from being counted."""
    made = with_rows(operation(), at_verb(Verb.UNHOLD, "w-1", RowState.WAITING), at_verb(Verb.DRAIN, "w-2"))
    assert "1 of 7 machines" in render_run(record(), made, NOW).text


def test_a_finished_run_says_old_and_new():
    """What was not reached keeps its old version; what was read is said rather than what was recorded."""
    rows = [NodeRow(n, state=RowState.FINISHED) for n in (*CONTROL_PLANES, *WORKERS[:-1])]
    made = with_rows(operation(OperationState.CANCELLED), *rows)
    recorded = old_to_new(record(), made)
    assert ("kubelet cp-1", "v1.34.7", "v1.35.4") in recorded
    assert ("kubelet w-4", "v1.34.7", "v1.34.7") in recorded
    read = old_to_new(record(), made, report())
    assert ("API server cp-1", "v1.34.7", "v1.34.7") in read
    assert ("kubelet cp-1", "v1.34.7", "v1.34.7") in read


def test_a_cancelled_run_of_two_hops_says_the_minor_that_was_reached():
    """Between two hops a machine is at the first one's target, not at the plan's."""
    made = plan(targets=("1.35.4", "1.36.2"))
    steps = itinerary(made, made.node("w-1"))  # type: ignore[arg-type]
    second = next(n for n, s in enumerate(steps) if s.hop == 1)
    run = with_rows(operation(OperationState.CANCELLED), NodeRow("w-1", position=second))
    assert ("kubelet w-1", "v1.34.7", "v1.35.4") in old_to_new(record(plan=made), run)


def test_a_machine_whose_way_was_cut_short_does_not_count_as_done():
    """A cancelled run restores its package holds without having upgraded it."""
    row = at_verb(Verb.UNHOLD, "w-1", RowState.WAITING, note="cancelled before it was upgraded")
    made = with_rows(operation(OperationState.CANCELLING, wish=Wish.CANCEL, wished_by="ada"), row)
    assert "0 of 7 machines" in render_run(record(), made, NOW).text


def test_a_cancelled_run_does_not_look_complete():
    """Its bar shows the machines that were upgraded, not the steps that were closed."""
    rows = [NodeRow(n, state=RowState.FINISHED) for n in CONTROL_PLANES]
    cut = [NodeRow(n, position=9, state=RowState.SKIPPED) for n in WORKERS]
    made = with_rows(operation(OperationState.CANCELLED), *rows, *cut)
    shown = str(render_run(record(), made, NOW).blocks)
    assert "42%" in shown
    assert "100%" not in shown


def test_an_edit_is_skipped_when_nothing_visible_changed():
    """Equal state gives an equal hash; a moved row gives another one, and other block ids."""
    first, again = (render_run(record(), operation(), NOW) for _ in range(2))
    moved = render_run(record(), with_rows(operation(), at_verb(Verb.DRAIN, "w-1")), NOW + timedelta(seconds=1))
    assert first.hash == again.hash != moved.hash
    assert {b["block_id"] for b in first.blocks} - {b["block_id"] for b in moved.blocks}


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("kind", list(SIGNS))
def test_a_thread_line_with_any_text_in_it_is_taken(kind, text):
    """One line per event that is told."""
    check(render_line(nasty_event(kind, text), record()))


def test_the_thread_is_told_of_nodes_and_not_of_pods():
    """Of the finished steps only those that people wait for make a line."""
    steps = {v: is_told(Event(Happened.STEP_FINISHED, NOW, "prod", "x", step=f"0/workers/{v}")) for v in Verb}
    assert {v for v, told in steps.items() if told} == {
        Verb.SNAPSHOT_ETCD,
        Verb.VERIFY_CONTROL_PLANE,
        Verb.UNCORDON,
        Verb.REVERT,
        Verb.ROLL_BACK_KUBELET,
    }
    assert not is_told(Event(Happened.STEP_STARTED, NOW, "prod", "x"))
    assert is_told(Event(Happened.STEP_WAITED, NOW, "prod", "x"))


def test_a_node_that_takes_pods_again_is_told_with_its_version():
    """Of a plan with two hops, the version of the hop at hand."""
    event = Event(Happened.STEP_FINISHED, NOW, "prod", "x", node="w-1", step="1/workers/uncordon")
    line = render_line(event, record(plan=plan(targets=("1.35.4", "1.36.2"))))
    assert line.text == "`w-1` runs kubelet v1.36.2 and takes pods again."


def test_the_end_counts_only_those_that_were_left_behind():
    """Who was at the target before the plan was left out of it, and is no exception."""
    whole = plan()
    pool = replace(whole.pools[1], nodes=whole.pools[1].nodes[2:], left_out=whole.pools[1].nodes[:2])
    there = tuple((n, "v1.35.4" if n == WORKERS[0] else "v1.34.7") for n in (*CONTROL_PLANES, *WORKERS))
    made = record(plan=replace(whole, pools=(whole.pools[0], pool)), basis=Basis(there[:3], there, "v1.35.4", NOW))
    event = nasty_event(Happened.OPERATION_COMPLETED, "done")
    said = render_result(event, made, operation(OperationState.COMPLETED)).text
    assert "Completed: prod runs v1.35.4, but for 1 machine." in said


def test_the_full_plan_counts_the_workers_left_out_that_it_has_no_room_for():
    """Whoever approves sees that there are more of them, however long their names."""
    whole = plan()
    names = [f"{'w' * 240}-{n}" for n in range(300)]
    pool = replace(whole.pools[1], left_out=tuple(PlanNode(n, n, Role.WORKER) for n in names))
    made = record(plan=replace(whole, pools=(whole.pools[0], pool)))
    view = details_view(made)
    assert "and 280 more" in str(view)
    assert lint_blocks(view["blocks"], "modal") == ()
