"""The gate before every step, and foreign changes: what a run may show at each place on its way."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.operation import NodeRow, OperationState, RowState, schedule
from cluster.options import Options
from cluster.plan import PlanStatus
from cluster.procedure import Phase, Step, Verb, itinerary
from cluster.report import Unread
from cluster.signing import sign_as_bot
from policies.drafting import draft_revert
from policies.foreign import find_foreign_changes
from policies.gate import check_gate
from tests.policies_fixture import (
    BOT,
    MASTERS,
    NOW,
    SETTINGS,
    codes,
    make_cluster,
    make_record,
    make_report,
    make_statement,
    reported,
    see,
    v,
    with_api,
    with_node,
)

RECORD = make_record(status=PlanStatus.APPROVED)
OPERATION = schedule(RECORD, operation_id="op-1", approved_by="grace", now=NOW)
APPROVAL = sign_as_bot(make_statement(RECORD), BOT)
CP1, CP2, W1 = (RECORD.plan.node(n) for n in ("cp1", "cp2", "w1"))


def place(node, verb, record=RECORD):
    """The index of a verb on a node's way."""
    return next(i for i, s in enumerate(itinerary(record.plan, node)) if s.verb is verb)


def at(node, verb, state=RowState.WAITING, operation=OPERATION, record=RECORD, **changes):
    """The operation with that node at that verb."""
    row = NodeRow(node.name, position=place(node, verb, record), state=state, **changes)
    return replace(operation, rows=tuple(row if r.node == node.name else r for r in operation.rows))


def gate(  # every part of the question by name
    verb=Verb.HOLD,
    node=CP1,
    *,
    report=None,
    operation=OPERATION,
    record=RECORD,
    approval=APPROVAL,
    now=NOW,
    settings=SETTINGS,
):
    step = next(s for s in itinerary(record.plan, node) if s.verb is verb)
    return codes(
        check_gate(
            record=record,
            approval=approval,
            operation=operation,
            report=report or make_report(),
            step=step,
            node=node,
            settings=settings,
            now=now,
        )
    )


def test_an_approved_run_on_the_cluster_as_planned_passes():
    """The first step of the first node."""
    assert gate() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"approval": None}, "approval-missing"),
        ({"record": replace(RECORD, status=PlanStatus.VOID)}, "plan-not-approved"),
        ({"operation": replace(OPERATION, id="op-2")}, "approval-of-another-run"),
        ({"operation": replace(OPERATION, digest="0" * 64)}, "approval-of-another-run"),
        ({"now": NOW + timedelta(hours=2)}, "approval-expired"),
        ({"report": replace(make_report(), identity=replace(make_report().identity, ca_hash="x"))}, "other-cluster"),
        ({"report": with_node(make_report(), "w1", kubelet=reported("v1.30.0"))}, "foreign-change"),
        ({"report": with_node(make_report(), "w1", kubelet=reported("v1.30.0"))}, "kubelet-too-old"),
    ],
)
def test_the_gate_stays_closed(changes, code):
    """Without a genuine approval, on another cluster, after a foreign change, outside the skew policy."""
    assert code in gate(**changes)


TODAY = NOW.date().isoformat()
FROZEN = SETTINGS.model_copy(
    update={"clusters": {"prod": make_cluster(freezes=[{"begins": TODAY, "ends": TODAY, "reason": "a sale"}])}}
)
CANCELLING = {"state": OperationState.CANCELLING}


@pytest.mark.parametrize(
    ("verb", "node", "changes", "expected"),
    [
        (Verb.HOLD, CP1, {}, ["freeze"]),
        (Verb.SNAPSHOT_ETCD, CP1, {}, ["freeze"]),  # the first step of its stage
        (Verb.CORDON, CP1, {}, ["freeze"]),
        (Verb.FETCH, CP1, {}, []),
        (Verb.DRAIN, W1, {}, []),  # half way it would be away for longer
        (Verb.SET_SOURCE, W1, CANCELLING, []),
        (Verb.UNHOLD, W1, {}, []),
    ],
)
def test_a_closed_window_keeps_whoever_has_not_begun(verb, node, changes, expected):
    """A node in hand goes on to the end of its stage, and what was changed is given back at any time."""
    operation = replace(at(node, verb), **changes)
    found = gate(verb, node, operation=operation, settings=FROZEN)
    assert [code for code in found if code in {"freeze", "window-closed"}] == expected


def test_an_open_window_keeps_nobody():
    """Nor does a cluster without windows."""
    weekly = {"days": [f"{NOW:%A}".lower()], "opens": f"{NOW:%H:%M}", "closes": f"{NOW:%H:%M}"}
    assert gate(settings=SETTINGS.model_copy(update={"clusters": {"prod": make_cluster(windows=[weekly])}})) == []


def test_a_plan_whose_record_was_changed_after_the_approval_is_refused():
    """The digest is computed anew from the plan that would run."""
    changed = replace(RECORD, plan=replace(RECORD.plan, options=Options(delete_emptydir=True)))
    assert "approval-of-another-plan" in gate(record=changed)
    rewritten = replace(changed, digest=changed.plan.digest)
    assert "approval-of-another-plan" in gate(record=rewritten)


def test_an_expected_outage_leaves_only_the_approval_to_judge():
    """There is no report to hold anything against."""
    arguments = {
        "record": RECORD,
        "operation": OPERATION,
        "report": None,
        "node": CP1,
        "settings": SETTINGS,
        "now": NOW,
    }
    step = Step(0, Phase.CONTROL_PLANE, Verb.VERIFY_CONTROL_PLANE)
    assert check_gate(approval=APPROVAL, step=step, **arguments) == ()
    assert codes(check_gate(approval=None, step=step, **arguments)) == ["approval-missing"]


def test_holds_are_given_back_whatever_has_happened():
    """The last step mends; a foreign change does not forbid it."""
    assert gate(Verb.UNHOLD, report=with_node(make_report(), "w1", uid="other")) == []


def test_a_kubelet_waits_for_every_api_server():
    """The trap of a highly available control plane: a new kubelet beside an old API server."""
    report = with_api(with_api(make_report(), "cp1", "v1.35.4"), "cp2", "v1.35.4")
    assert "kubelet-newer" in gate(Verb.INSTALL_KUBELET, CP1, report=report)
    assert "kubelet-newer" not in gate(Verb.INSTALL_KUBELET, CP1, report=with_api(report, "cp3", "v1.35.4"))


def test_upgrade_node_waits_for_the_declared_version():
    """Run before the apply it would quietly install the old version."""
    operation = at(CP1, Verb.CORDON)
    report = with_api(make_report(), "cp1", "v1.35.4")
    assert "config-not-at-target" in gate(Verb.UPGRADE_NODE, CP2, report=report, operation=operation)
    declared = replace(report, declared=v("v1.35.4"))
    assert gate(Verb.UPGRADE_NODE, CP2, report=declared, operation=operation) == []


def test_an_apply_that_would_leave_a_kubelet_too_far_behind_is_stopped():
    """Seen live, not when the plan was drafted."""
    report = with_node(make_report(), "w2", kubelet=reported("v1.31.14"))
    assert "kubelet-too-old" in gate(Verb.APPLY, CP1, report=report)


def foreign(operation, report, record=RECORD):
    return [f.subject for f in find_foreign_changes(record, operation, report)]


def test_the_state_of_the_plan_is_no_foreign_change():
    """Nothing has begun, nothing differs."""
    assert foreign(OPERATION, make_report()) == []


NEW_API = with_api(make_report(), "cp1", "v1.35.4")
NEW_DECLARED = replace(NEW_API, declared=v("v1.35.4"))
NEW_KUBELET = with_node(make_report(), "w1", kubelet=reported("v1.35.4"))


@pytest.mark.parametrize(
    ("operation", "report", "found"),
    [
        (OPERATION, NEW_API, ["cp1"]),
        (at(CP1, Verb.APPLY), NEW_API, ["cp1"]),
        (at(CP1, Verb.APPLY, RowState.STARTED), make_report(), []),
        (at(CP1, Verb.APPLY, RowState.STARTED), NEW_API, []),
        (at(CP1, Verb.APPLY, RowState.STARTED), NEW_DECLARED, []),
        (at(CP1, Verb.APPLY, RowState.BLOCKED), NEW_DECLARED, []),
        (at(CP1, Verb.APPLY, attempt=2), NEW_DECLARED, []),
        (at(CP1, Verb.VERIFY_CONTROL_PLANE), NEW_DECLARED, []),
        (at(CP1, Verb.CORDON), NEW_DECLARED, []),
        (at(CP1, Verb.CORDON), make_report(), ["cp1", "prod"]),  # taken back by somebody
        (at(CP1, Verb.CORDON), with_api(NEW_DECLARED, "cp1", "v1.35.9"), ["cp1"]),
        (OPERATION, NEW_KUBELET, ["w1"]),
        (at(W1, Verb.DRAIN, RowState.STARTED), NEW_KUBELET, ["w1"]),
        (at(W1, Verb.INSTALL_KUBELET, RowState.STARTED), NEW_KUBELET, []),
        (at(W1, Verb.RESTART_KUBELET), make_report(), []),
        (at(W1, Verb.SMOKE_TEST), NEW_KUBELET, []),
        (at(W1, Verb.SMOKE_TEST), make_report(), ["w1"]),
        (OPERATION, replace(make_report(), declared=v("v1.35.4")), ["prod"]),
        (OPERATION, with_node(make_report(), "w1", uid="another"), ["w1"]),
    ],
)
def test_a_value_is_foreign_unless_the_start_or_a_recorded_step_explains_it(operation, report, found):
    """While a step is in hand, before and after are both right."""
    assert foreign(operation, report) == found


def test_a_somebody_elses_cordon_a_new_node_and_a_lost_one_are_not_foreign():
    """They are told, and stop nothing."""
    report = with_node(make_report(), "w1", cordoned=True)
    joined = replace(report.node("w1"), name="w9", uid="uid-w9", kubelet=reported("v1.33.0"))
    left = tuple(n for n in report.nodes if n.name != "w2")
    assert foreign(OPERATION, replace(report, nodes=(*left, joined))) == []


def test_an_unread_value_is_not_a_foreign_one():
    """An API server that is being replaced says nothing."""
    report = make_report()
    silent = tuple(replace(s, version=Unread(s.node, "refused")) for s in report.api_servers)
    assert foreign(OPERATION, replace(report, api_servers=silent)) == []


def test_a_skipped_node_is_not_looked_at():
    """It left, and may come back as it likes."""
    rows = tuple(replace(r, state=RowState.SKIPPED) if r.node == "w1" else r for r in OPERATION.rows)
    assert foreign(replace(OPERATION, rows=rows), NEW_KUBELET) == []


def test_the_second_hop_starts_from_what_the_first_one_made():
    """v1.34 is foreign once the way has left it."""
    record = make_record("v1.36.2", status=PlanStatus.APPROVED)
    operation = schedule(record, operation_id="op-1", approved_by="grace", now=NOW)
    steps = itinerary(record.plan, CP1)
    second = next(i for i, s in enumerate(steps) if s.hop == 1 and s.verb is Verb.APPLY)
    rows = tuple(
        NodeRow(r.node, position=second, state=RowState.STARTED) if r.node == "cp1" else r for r in operation.rows
    )
    operation = replace(operation, rows=rows)

    def shown(version):
        report = with_node(make_report(), "cp1", kubelet=reported("v1.35.4"))
        return replace(with_api(report, "cp1", version), declared=v(version))

    assert foreign(operation, shown("v1.35.4"), record) == []
    assert foreign(operation, shown("v1.36.2"), record) == []
    assert foreign(operation, shown("v1.34.7"), record) == ["cp1", "prod"]


def test_a_cancelled_run_judges_only_the_node_in_hand():
    """Rows that were sent home early say nothing of their node."""
    operation = replace(at(CP1, Verb.UNHOLD), state=OperationState.CANCELLING)
    assert "foreign-change" not in gate(Verb.HOLD, W1, operation=operation)


def test_a_revert_passes_where_its_own_cause_would_stop_an_upgrade():
    """The edited API server is the value that it starts from."""
    edited = make_report(
        {"cp1": "v1.35.4", "cp2": "v1.34.7", "cp3": "v1.34.7"},
        "v1.34.7",
        controllers=dict.fromkeys(MASTERS, "v1.34.7"),
        declared="v1.34.7",
    )
    drafted = draft_revert(see(edited), make_cluster(), options=Options())
    record = make_record(drafted=drafted, status=PlanStatus.APPROVED)
    operation = schedule(record, operation_id="op-1", approved_by="grace", now=NOW)
    approval = sign_as_bot(make_statement(record), BOT)
    node = record.plan.nodes[0]
    assert gate(Verb.REVERT, node, report=edited, operation=operation, record=record, approval=approval) == []
    after = at(node, Verb.UNHOLD, operation=operation, record=record)
    assert foreign(after, make_report(), record) == []
    assert foreign(after, edited, record) == ["cp1"]


def test_an_operation_that_names_another_cluster_is_not_the_approved_one():
    """The worker reaches for the cluster that the operation names: it must be the plan's."""
    assert "approval-of-another-run" in gate(operation=replace(OPERATION, cluster="other"))


def test_a_cluster_that_does_not_say_who_it_is_counts_as_unreadable():
    """Only a check of the control plane, which expects an outage, goes on without."""
    nameless = replace(make_report(), identity=None)
    assert gate(report=nameless) == ["cluster-unreadable"]
    assert "cluster-unreadable" not in gate(Verb.VERIFY_CONTROL_PLANE, report=nameless)


def test_a_lost_right_does_not_keep_the_holds():
    """While cancelling, giving holds back asks only whether the approval is genuine."""
    cancelling = at(CP1, Verb.UNHOLD, operation=replace(OPERATION, state=OperationState.CANCELLING))
    unlisted = sign_as_bot(make_statement(RECORD, person="mallory"), BOT)
    assert gate(Verb.UNHOLD, operation=cancelling, approval=unlisted) == []
    assert "approver-not-entitled" in gate(Verb.DRAIN, operation=cancelling, approval=unlisted)
    assert gate(Verb.UNHOLD, operation=cancelling, approval=None) == ["approval-missing"]


@pytest.mark.parametrize("verb", [Verb.APPLY, Verb.CORDON, Verb.RESTART_KUBELET])
@pytest.mark.parametrize("ill", ["unread", "not-ready", "etcd"])
def test_no_control_plane_goes_away_while_another_one_is_away(verb, ill):
    """An API server unread or not ready, or an etcd member not ready; not its own, and not for a worker."""
    report = make_report()
    if ill == "etcd":
        pods = tuple(replace(p, ready=(p.node, p.component) != ("cp3", "etcd")) for p in report.static_pods)
        report = replace(report, static_pods=pods)
    else:
        change = {"version": Unread("cp3", "gone")} if ill == "unread" else {"ready": False}
        servers = tuple(replace(s, **change) if s.node == "cp3" else s for s in report.api_servers)
        report = replace(report, api_servers=servers)
    assert "peer-not-ready" in gate(verb, CP1, report=report)
    assert "peer-not-ready" not in gate(Verb.HOLD, CP1, report=report)
    assert "peer-not-ready" not in gate(Verb.CORDON, W1, report=report)
    assert "peer-not-ready" not in gate(Verb.CORDON, RECORD.plan.node("cp3"), report=report)
