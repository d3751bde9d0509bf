"""Which kubelets move when: workers at every hop or as late as they may, stragglers before everything else."""

from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from cluster.facts import Offer, OfferState
from cluster.findings import Severity, blockers
from cluster.operation import schedule
from cluster.options import Options, WorkerMoves
from cluster.plan import PlanStatus, Role, UpgradePlan
from cluster.procedure import Phase, Verb, itinerary
from cluster.signing import sign_as_bot
from cluster.versions import Minor, PackageVersion
from policies.estimates import estimate
from policies.gate import check_gate
from tests.policies_fixture import (
    BOT,
    NOW,
    SETTINGS,
    codes,
    draft,
    make_offers,
    make_record,
    make_report,
    make_statement,
    make_survey,
    reported,
    with_api,
    with_node,
)

LATE = Options(workers=WorkerMoves.WITHIN_SKEW)
PLAN = TypeAdapter(UpgradePlan)
FAR = tuple(
    Offer(Minor(1, m), OfferState.OFFERED, (PackageVersion.parse(f"1.{m}.7-1.1"),)) for m in (34, 35, 36, 37, 38, 39)
)
EVERYWHERE = make_survey(offers=dict.fromkeys(("cp1", "cp2", "cp3", "w1", "w2"), FAR))


def restarts(plan, name):
    """The versions that a kubelet is restarted with, in order."""
    way = itinerary(plan, plan.node(name))
    return [str(plan.hops[s.hop].target.minor) for s in way if s.verb is Verb.RESTART_KUBELET]


@pytest.mark.parametrize(
    ("target", "kubelet", "moves"),
    [
        ("v1.35", "v1.34.7", ["v1.35"]),
        ("v1.37", "v1.34.7", ["v1.37"]),
        ("v1.38", "v1.34.7", ["v1.37", "v1.38"]),  # beside v1.38 a kubelet of v1.34 would be four minors behind
        ("v1.37", "v1.33.1", ["v1.36", "v1.37"]),
        ("v1.37", "v1.32.1", ["v1.35", "v1.37"]),
        ("v1.39", "v1.32.1", ["v1.35", "v1.38", "v1.39"]),
        ("v1.36", "v1.31.1", ["v1.34", "v1.36"]),  # a straggler begins with what the control plane runs
    ],
)
def test_within_the_skew_a_worker_moves_only_where_it_must_and_at_the_end(target, kubelet, moves):
    """Its own kubelet decides; its neighbours and the control plane go their own way."""
    report = with_node(make_report(), "w1", kubelet=reported(kubelet))
    made = draft(target, report=report, survey=EVERYWHERE, options=LATE)
    assert blockers(made.findings) == ()
    assert restarts(made.plan, "w1") == moves
    assert restarts(made.plan, "cp2") == [f"v1.{m}" for m in range(35, int(target[3:]) + 1)]


def test_at_every_hop_is_the_default():
    """Both ways over one hop are the same way."""
    made = draft("v1.38", survey=EVERYWHERE)
    assert restarts(made.plan, "w1") == ["v1.35", "v1.36", "v1.37", "v1.38"]
    assert {n.moves for n in draft("v1.35", survey=EVERYWHERE, options=LATE).plan.nodes} == {None}


def test_a_worker_that_stays_is_held_from_the_beginning_and_otherwise_left_alone():
    """Nobody else may change its packages meanwhile; it fetches nothing for hops that it does not take."""
    made = draft("v1.37", survey=EVERYWHERE, options=LATE).plan
    way = itinerary(made, made.node("w1"))
    assert [(s.hop, s.verb) for s in way if s.hop < 2] == [(0, Verb.HOLD)]
    assert [s.verb for s in way if s.phase is Phase.PREPARE and s.hop == 2] == [Verb.HOLD, Verb.FETCH, Verb.PULL_IMAGES]
    assert way[-1].verb is Verb.UNHOLD


def test_a_straggler_goes_first_and_alone():
    """Only its kubelet moves, to what the control plane runs; everybody else begins with the hop that follows."""
    report = with_node(make_report(), "w2", kubelet=reported("v1.31.4"))
    made = draft("v1.35.4", report=report)
    assert [(str(h.target), h.whole) for h in made.plan.hops] == [("v1.34.7", False), ("v1.35.4", True)]
    assert [(f.subject, f.severity) for f in made.findings if f.code == "straggler-first"] == [("w2", Severity.NOTE)]
    first = {n.name: [s.verb for s in itinerary(made.plan, n) if s.hop == 0] for n in made.plan.nodes}
    assert first["cp1"] == first["w1"] == [Verb.HOLD]
    assert first["w2"][:3] == [Verb.HOLD, Verb.FETCH, Verb.PULL_IMAGES]
    assert first["w2"][3:7] == [Verb.CORDON, Verb.SET_SOURCE, Verb.INSTALL_KUBEADM, Verb.UPGRADE_NODE]
    assert restarts(made.plan, "w2") == ["v1.34", "v1.35"]


def test_a_straggler_of_the_control_plane_gets_its_kubelet_and_nothing_else():
    """Its static pods are there already: no kubeadm runs on it before its own hop."""
    made = draft("v1.35.4", report=with_node(make_report(), "cp1", kubelet=reported("v1.31.4")))
    assert blockers(made.findings) == ()
    way = [s for s in itinerary(made.plan, made.plan.node("cp1")) if s.hop == 0]
    assert not {Verb.APPLY, Verb.UPGRADE_NODE, Verb.INSTALL_KUBEADM, Verb.SNAPSHOT_ETCD} & {s.verb for s in way}
    assert restarts(made.plan, "cp1") == ["v1.34", "v1.35"]


def test_only_a_straggler_whose_machine_does_not_offer_the_running_version_blocks():
    """The other one is brought forward; what others offer does not matter for that."""
    report = make_report(kubelet={"w1": "v1.31.4", "w2": "v1.31.4"})
    made = draft("v1.35.4", report=report, survey=make_survey(offers={"w1": make_offers("1.34.9-1.1", "1.35.4-1.1")}))
    assert [(f.code, f.subject) for f in blockers(made.findings)] == [("kubelet-too-old-for-hop", "w1")]
    assert "straggler-first" in codes(made.findings)


def test_beside_an_upgrade_that_was_left_no_straggler_is_brought_forward():
    """While API servers run two versions there is none that a kubelet could be brought to; the blocker says so."""
    report = make_report({"cp1": "v1.34.9", "cp2": "v1.34.7"}, declared="v1.34.9", masters=("cp1", "cp2"))
    report = with_node(report, "w1", kubelet=reported("v1.31.4"))
    made = draft("v1.35.4", report=report)
    assert all(h.whole for h in made.plan.hops)
    assert "kubelet-too-old-for-hop" in codes(blockers(made.findings))


def test_what_came_later_changes_no_digest_of_a_plan_that_does_not_use_it():
    """A run that was approved by an older lockkeeper goes on with this one; whatever is used is in the digest."""
    plain, late = draft("v1.36.2").plan, draft("v1.36.2", options=LATE).plan
    written = PLAN.dump_python(plain, mode="json")
    assert set(written["hops"][0]) == {"target", "kubeadm", "kubelet", "kubectl"}
    assert set(written["pools"][0]["nodes"][0]) == {"name", "uid", "role"}
    assert "workers" not in written["options"]
    assert late.digest != plain.digest
    assert replace(late, options=Options()).digest not in {late.digest, plain.digest}
    assert [PLAN.validate_json(PLAN.dump_json(p)) for p in (plain, late)] == [plain, late]


def test_whoever_stays_behind_takes_no_time():
    """Workers that move once are counted once, and so is a straggler's first hop."""
    often, once = (draft("v1.37", survey=EVERYWHERE, options=o) for o in (Options(), LATE))
    assert estimate(once.plan)[1] < estimate(often.plan)[1]
    straggling = draft("v1.35.4", report=with_node(make_report(), "w1", kubelet=reported("v1.31.4")))
    assert draft("v1.35.4").estimate[0] < straggling.estimate[0] < 2 * draft("v1.35.4").estimate[0]


def let_through(record, report):
    """Every step of a run in order, each asked of the gate with the cluster as the steps before left it."""
    operation = schedule(record, operation_id="op-1", approved_by="grace", now=NOW)
    approval, plan = sign_as_bot(make_statement(record), BOT), record.plan
    ways = [(s, i, n) for n in plan.nodes for i, s in enumerate(itinerary(plan, n))]
    for step, position, node in sorted(ways, key=lambda way: way[0].stage):
        found = check_gate(
            record=record,
            approval=approval,
            operation=operation,
            report=report,
            step=step,
            node=node,
            settings=SETTINGS,
            now=NOW,
        )
        yield from ((node.name, step.hop, step.verb, f.code) for f in found)
        target = plan.hops[step.hop].target
        if step.verb is Verb.RESTART_KUBELET:
            report = with_node(report, node.name, kubelet=reported(str(target)))
        elif step.verb in {Verb.APPLY, Verb.UPGRADE_NODE} and node.role is not Role.WORKER:
            report = replace(with_api(report, node.name, str(target)), declared=target)
        rows = (replace(r, position=position + 1) if r.node == node.name else r for r in operation.rows)
        operation = replace(operation, rows=tuple(rows))


@pytest.mark.parametrize("workers", WorkerMoves)
@pytest.mark.parametrize("kubelet", ["v1.34.7", "v1.31.4"])
def test_the_gate_lets_every_step_of_such_a_plan_through(workers, kubelet):
    """What is right on paper is right live: no step is taken for a foreign change, nor for one out of its turn."""
    report = replace(with_node(make_report(), "w1", kubelet=reported(kubelet)), static_pods=())
    made = draft("v1.38", report=report, survey=EVERYWHERE, options=Options(workers=workers))
    record = make_record(drafted=replace(made, findings=()), status=PlanStatus.APPROVED)
    assert list(let_through(record, report)) == []
