"""The way back of a worker's kubelet: to what a run on record found there; of a control plane there is none."""

from dataclasses import replace

import pytest

from cluster.errors import Refused
from cluster.facts import Package
from cluster.findings import blockers
from cluster.operation import schedule
from cluster.options import DrainMode, Options, Reboot
from cluster.plan import PlanKind, PlanStatus
from cluster.procedure import Phase, Step, Verb, itinerary
from cluster.report import Unread
from policies.drafting import draft_rollback, recheck
from policies.foreign import find_foreign_changes
from policies.gate import check_gate
from policies.goals import tell_end, tell_goal
from policies.permanence import find_permanent
from policies.release_notes import notes_of
from policies.rollback import check_named, minors_before
from policies.voiding import void_reasons
from tests.policies_fixture import (
    FACTS,
    NOW,
    PACKAGES,
    SETTINGS,
    WORKERS,
    codes,
    draft,
    make_cluster,
    make_offers,
    make_record,
    make_report,
    make_survey,
    reported,
    see,
    v,
    with_node,
)

UPGRADE = make_record("v1.35.4", status=PlanStatus.APPROVED)
AFTER = make_report("v1.35.4", "v1.35.4")
NEW = replace(
    FACTS,
    packages=tuple(Package(p, "1.35.4-1.1", "hi") for p in ("kubeadm", "kubelet", "kubectl")),
    kubeadm=reported("v1.35.4"),
    kubelet=reported("v1.35.4"),
    kubectl=reported("v1.35.4"),
)


def survey_of(facts=NEW, *, offers=PACKAGES):
    return make_survey(facts=dict.fromkeys(WORKERS, facts), offers=dict.fromkeys(WORKERS, make_offers(*offers)))


def roll_back(*names, report=AFTER, survey=None, records=(UPGRADE,), cluster=None, options=None):
    seen = see(report, survey or survey_of())
    return draft_rollback(seen, cluster or make_cluster(), names, records, options=options or Options())


def test_a_kubelet_goes_back_to_what_the_last_run_found():
    """On this worker alone, drained whatever the usual plan does, through hold, checks and smoke test to its holds."""
    made = roll_back("w1", options=Options(drain=DrainMode.MINOR_ONLY))
    (node,) = made.plan.nodes
    assert (made.plan.kind, node.name, made.plan.target) == (PlanKind.ROLLBACK, "w1", v("v1.34.7"))
    assert str(made.plan.hops[0].kubelet) == "1.34.7-1.1"
    assert blockers(made.findings) == ()
    assert made.plan.options.drain is DrainMode.ALWAYS
    assert [s.verb for s in itinerary(made.plan, node)] == [
        Verb.HOLD,
        Verb.FETCH,
        Verb.CORDON,
        Verb.DRAIN,
        Verb.ROLL_BACK_KUBELET,
        Verb.VERIFY_NODE,
        Verb.SMOKE_TEST,
        Verb.UNCORDON,
        Verb.UNHOLD,
    ]
    assert tell_goal(made.plan) == "in prod the kubelet of w1 goes back to v1.34.7"
    assert tell_end(made.plan) == "In prod the rollback to v1.34.7 is over"


def test_others_of_its_pool_count_and_are_not_touched():
    """The limit is the pool's own; a control plane is no part of it at all."""
    made = roll_back("w1")
    (pool,) = made.plan.pools
    assert pool.members == {"w1", "w2"}
    assert [n.name for n in pool.nodes] == ["w1"]


@pytest.mark.parametrize(
    ("hops", "before"), [(("v1.35.4",), "v1.34.7"), (("v1.36.2",), "v1.35.4")], ids=["one hop", "two hops"]
)
def test_what_it_ran_before_the_last_hop_counts(hops, before):
    """Of two hops only the last one is taken back."""
    target = hops[-1]
    package = f"{target[1:]}-1.1"
    facts = replace(NEW, packages=tuple(Package(p, package, "hi") for p in ("kubeadm", "kubelet", "kubectl")))
    record = make_record(drafted=draft(target), status=PlanStatus.APPROVED)
    made = roll_back("w1", report=make_report(target, target), survey=survey_of(facts), records=(record,))
    assert made.plan.target == v(before)
    assert {str(m) for m in minors_before(("w1",), (record,))} >= {"v1.34", str(v(before).minor)}


def test_a_kubelet_that_does_not_come_up_can_be_rolled_back():
    """That its node is not Ready, and its service dead, is why it goes back; etcd's ailments are not its own."""
    dead = replace(NEW, kubelet_unit=replace(NEW.kubelet_unit, active=False, state="auto-restart"))
    made = roll_back("w1", report=with_node(AFTER, "w1", ready=False), survey=survey_of(dead))
    assert blockers(made.findings) == ()


def test_what_its_machine_lacks_blocks():
    """dpkg in the middle of something, a source without that release, a kubelet too old for the API servers."""
    broken = roll_back("w1", survey=survey_of(replace(NEW, dpkg_problem="kubelet is half installed")))
    assert codes(blockers(broken.findings)) == ["dpkg-interrupted"]
    gone = roll_back("w1", survey=survey_of(offers=("1.34.9-1.1", "1.35.4-1.1")))
    assert codes(blockers(gone.findings)) == ["kubelet-not-offered"]
    far = roll_back("w1", report=make_report("v1.38.1", {"w1": "v1.35.4", "w2": "v1.38.1"}))
    assert "kubelet-too-old" in codes(blockers(far.findings))


def test_a_newer_configuration_is_told_and_its_feature_gates_are_warned_of():
    """Unknown settings are passed over by a kubelet, unknown gates end it."""
    (told,) = [f for f in roll_back("w1", "w2").findings if f.code == "newer-kubelet-config"]
    assert (told.severity, told.subject) == ("note", "prod")  # one for all of them
    assert "on w1, w2;" in told.sentence
    gated = roll_back("w1", survey=survey_of(replace(NEW, feature_gates=(("Shiny", "true"),))))
    (warned,) = [f for f in gated.findings if f.code == "newer-kubelet-config"]
    assert (warned.severity, "Shiny=true" in warned.sentence) == ("warning", True)
    assert "newer-kubelet-config" in gated.plan.accepted


def test_a_control_plane_has_no_way_back_and_hears_what_there_is():
    """In one sentence."""
    with pytest.raises(
        Refused, match=r"no downgrade of one.* etcd snapshot .* manifests .* `lockkeeper restore-runbook"
    ):
        check_named(AFTER, ("cp1",))
    with pytest.raises(Refused, match="did you mean `w1`"):
        check_named(AFTER, ("w11",))


@pytest.mark.parametrize(
    "records",
    [
        (),
        (replace(UPGRADE, status=PlanStatus.REJECTED),),
        (make_record(drafted=draft("v1.36.2"), status=PlanStatus.APPROVED),),
    ],
    ids=["no run", "never carried out", "did not bring it last"],
)
def test_what_no_run_on_record_brought_is_not_guessed(records):
    """Somebody may have installed it by hand."""
    facts = replace(NEW, packages=tuple(Package(p, "1.35.0-1.1", "hi") for p in ("kubeadm", "kubelet", "kubectl")))
    with pytest.raises(Refused, match="is not known"):
        roll_back("w1", records=records, survey=survey_of(facts))


def test_a_machine_that_does_not_answer_is_not_guessed_either():
    survey = survey_of()
    lost = tuple(replace(m, facts=Unread("machine", "no route")) if m.name == "w1" else m for m in survey.machines)
    with pytest.raises(Refused, match="no route"):
        roll_back("w1", survey=replace(survey, machines=lost))


def test_a_rebuilt_node_has_no_past():
    """The record is of another machine of that name."""
    with pytest.raises(Refused, match="is not known"):
        roll_back("w1", report=with_node(AFTER, "w1", uid="uid-other"))


def test_several_workers_go_back_together_where_they_ran_the_same():
    """Else each is asked for alone."""
    assert {n.name for n in roll_back("w1", "w2").plan.nodes} == {"w1", "w2"}
    mixed = replace(UPGRADE, basis=replace(UPGRADE.basis, kubelets=(("w1", "v1.34.7"), ("w2", "v1.34.9"))))
    with pytest.raises(Refused, match=r"w1 v1\.34\.7, w2 v1\.34\.9"):
        roll_back("w1", "w2", records=(mixed,))


def test_the_gate_asks_the_skew_of_the_old_kubelet_before_each_step():
    """What is wrong with the node itself lets it pass, what an API server became meanwhile does not."""
    made = roll_back("w1")
    record = make_record(drafted=made, status=PlanStatus.APPROVED)
    operation = schedule(record, operation_id="op-1", approved_by="grace", now=NOW)
    step = Step(0, Phase.WORKERS, Verb.ROLL_BACK_KUBELET)

    def ask(report):
        return codes(
            f
            for f in check_gate(
                record=record,
                approval=None,
                operation=operation,
                report=report,
                step=step,
                node=made.plan.nodes[0],
                settings=SETTINGS,
                now=NOW,
            )
            if f.code != "approval-missing"
        )

    assert ask(AFTER) == []
    assert ask(replace(make_report("v1.38.1", "v1.35.4"), declared=AFTER.declared)) == ["kubelet-too-old"]


def test_the_old_and_the_new_kubelet_are_both_expected_while_it_goes_back():
    """Before and after it has started; a third one is somebody else's."""
    record = make_record(drafted=roll_back("w1"), status=PlanStatus.APPROVED)
    operation = schedule(record, operation_id="op-1", approved_by="grace", now=NOW)
    position = next(n for n, s in enumerate(itinerary(record.plan, record.plan.nodes[0])) if s.verb is Verb.VERIFY_NODE)
    operation = replace(operation, rows=(replace(operation.rows[0], position=position),))
    for kubelet, foreign in (("v1.35.4", 0), ("v1.34.7", 0), ("v1.34.9", 1)):
        report = with_node(AFTER, "w1", kubelet=reported(kubelet))
        assert len(find_foreign_changes(record, operation, report)) == foreign, kubelet


def test_a_waiting_rollback_is_judged_again_and_brings_nothing_new():
    """No release notes, nothing permanent; void once its package is gone."""
    made = roll_back("w1")
    record = make_record(drafted=made)
    assert notes_of(record) == ()
    assert find_permanent(record) == ()
    assert recheck(made.plan, see(AFTER, survey_of()), make_cluster()) == ()
    later = replace(survey_of(offers=("1.35.4-1.1",)), read_at=NOW.replace(hour=13))
    assert "no longer offered" in " ".join(void_reasons(record, None, later))
    assert codes(recheck(made.plan, see(AFTER, later), make_cluster())) == ["kubelet-not-offered"]


def test_hooks_of_a_node_run_as_in_an_upgrade_and_those_of_a_run_do_not():
    """Whoever takes a worker from a balancer before its drain also puts it back; nothing is rebooted."""
    hooks = {"pre-run": ["page"], "pre-drain": ["out"], "post-upgrade": ["in"]}
    cluster = make_cluster(hooks={moment: [{"command": name} for name in names] for moment, names in hooks.items()})
    made = roll_back("w1", cluster=cluster, options=Options(reboot=Reboot.ALWAYS))
    verbs = [s.verb for s in itinerary(made.plan, made.plan.nodes[0])]
    assert verbs[2:5] == [Verb.CORDON, Verb.PRE_DRAIN, Verb.DRAIN]
    assert verbs[-3:] == [Verb.UNCORDON, Verb.POST_UPGRADE, Verb.UNHOLD]
    assert not {Verb.PRE_RUN, Verb.REBOOT} & set(verbs)
    assert codes(blockers(made.findings)) == ["hook-missing"]
