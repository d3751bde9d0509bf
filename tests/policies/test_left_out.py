"""Workers that are left out of a plan: untouched, named in the intent, and still counted where they count."""

from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from cluster.errors import Refused
from cluster.findings import blockers
from cluster.operation import schedule
from cluster.options import Options, Reboot
from cluster.plan import UpgradePlan
from cluster.procedure import itinerary
from cluster.report import Unread
from cluster.survey import Survey, SurveyedMachine
from policies.drafting import recheck
from policies.foreign import find_foreign_changes
from tests.policies_fixture import (
    FACTS,
    MASTERS,
    NOW,
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
    with_node,
)

TWO_AWAY = make_cluster(pools={"all": {"selector": "", "max_unavailable": 2}})
NOT_READY = with_node(make_report(), "w1", ready=False)


def without(*names, report=None, survey=None, target="v1.35.4", cluster=TWO_AWAY):
    return draft(target, report=report, survey=survey, cluster=cluster, without=names)


def silent(*names):
    """The survey with machines that SSH could not reach."""
    lost = {n: SurveyedMachine(n, Unread(f"machine {n}", "no route to host")) for n in names}
    whole = make_survey()
    return Survey(whole.cluster, whole.read_at, tuple(lost.get(m.name, m) for m in whole.machines))


def test_a_worker_that_is_left_out_is_in_the_intent_and_in_no_step():
    """It stays a member of its pool, and the digest says that it was left out."""
    made, plain = without("w1").plan, without().plan
    assert [(p.name, [n.name for n in p.nodes], [n.name for n in p.left_out]) for p in made.pools] == [
        ("control-plane", list(MASTERS), []),
        ("all", ["w2"], ["w1"]),
    ]
    assert made.digest != plain.digest
    assert made.node("w1") is None
    assert all(itinerary(made, n) for n in made.nodes)


def test_a_plan_without_anybody_left_out_has_the_digest_that_it_always_had():
    """Plans that were approved before this was known are still the same."""
    plain, made = (TypeAdapter(UpgradePlan).dump_json(without(*names).plan) for names in ((), ("w1",)))
    assert b"left_out" not in plain
    assert b'"left_out":[{"name":"w1"' in made


@pytest.mark.parametrize(
    ("report", "survey", "why"),
    [
        (NOT_READY, None, "node not ready"),
        (None, silent("w1"), "machine unreadable"),
        (NOT_READY, silent("w1"), "node not ready, machine unreadable"),
        (
            None,
            make_survey(facts={"w1": replace(FACTS, dpkg_problem="kubelet is half installed")}),
            "dpkg interrupted",
        ),
    ],
)
def test_what_blocks_one_worker_does_not_block_the_plan_without_it(report, survey, why):
    """The plan says what it would have been blocked by, and another one names who could be left out."""
    blocked = without(report=report, survey=survey)
    assert blockers(blocked.findings)
    assert blocked.blocked_workers == ("w1",)
    going = without("w1", report=report, survey=survey)
    assert blockers(going.findings) == ()
    assert going.left_out_for == (("w1", why),)
    assert going.blocked_workers == ()


def test_blocked_stands_for_exactly_the_workers_that_block_the_plan_now():
    """The names are in the plan, not the word; where nobody blocks it, nobody is left out."""
    resolved = without("blocked", report=NOT_READY)
    assert resolved.plan.digest == without("w1", report=NOT_READY).plan.digest
    assert without("blocked").plan.digest == without().plan.digest


def test_nobody_is_offered_to_be_left_out_where_that_would_not_help():
    """Another blocker stays, and has to be mended anyway."""
    report = with_node(NOT_READY, "cp2", ready=False)
    assert without(report=report).blocked_workers == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cp2", "cp2 is a control plane, and a control plane is upgraded as a whole"),
        ("w11", "no node `w11` in `prod` to leave out; did you mean `w1`"),
        ("Q", "look at their names with `versions`"),
    ],
)
def test_who_cannot_be_left_out_is_said_in_one_sentence(name, words):
    """Control planes, and names that there are not."""
    with pytest.raises(Refused, match=words):
        without(name)


def test_a_package_source_that_lacks_the_target_holds_up_nobody_but_its_own_machine():
    """With the machine in the plan it is refused; without it the others go."""
    survey = make_survey(offers={"w1": make_offers("1.34.7-1.1")})
    with pytest.raises(Refused, match=r"not offered by the package source of w1 .* \(`without w1`\)"):
        without(survey=survey)
    assert blockers(without("w1", survey=survey).findings) == ()


OLD = make_offers("1.34.7-1.1")


@pytest.mark.parametrize(
    ("target", "lacking", "goes_to"),
    [
        ("v1.35.4", {"w1": OLD}, "v1.35.4"),
        ("v1.35", {"w1": OLD}, "v1.35.4"),
        ("next", {"w1": OLD, "w2": make_offers("1.35.4-1.1")}, "v1.35.4"),
        ("v1.36", {"w1": OLD}, "v1.36.2"),
        ("v1.36.2", {"w1": make_offers("1.34.7-1.1", "1.36.2-1.1")}, "v1.36.2"),
        ("latest-patch", {"w1": make_offers("1.35.4-1.1")}, "v1.34.9"),
        ("v1.35", {"w1": make_offers("1.35.2-1.1")}, "v1.35.4"),  # nothing in common with the control planes
        ("v1.34.9", {"w1": make_offers("1.34.7-1.1")}, "v1.34.9"),
    ],
)
def test_blocked_stands_also_for_workers_whose_source_has_no_such_target(target, lacking, goes_to):
    """Whatever way the target is written; with them there would be no plan to find blockers of."""
    made = without("blocked", survey=make_survey(offers=lacking), target=target)
    assert str(made.plan.target) == goes_to
    assert [n.name for n in made.plan.left_out] == ["w1"]
    assert made.left_out_for == (("w1", "target not offered"),)
    assert blockers(made.findings) == ()


def test_a_source_that_only_lags_decides_the_newest_patch_and_leaves_nobody_out():
    """As it does without that word."""
    made = without("blocked", survey=make_survey(offers={"w1": make_offers("1.35.0-1.1")}), target="v1.35")
    assert (str(made.plan.target), made.plan.left_out) == ("v1.35.0", ())


def test_a_control_plane_without_the_target_is_refused_also_without_those_that_block():
    """It is upgraded as a whole."""
    with pytest.raises(Refused, match=r"source of cp2 \(it has no v1\.35\): name one that is or mend that source\.$"):
        without("blocked", survey=make_survey(offers={"cp2": OLD, "w1": OLD}), target="v1.35")


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        (
            {"w1": OLD, "w2": make_offers("1.35.0-1.1")},
            "source of w1 (it has no v1.35); w2 (its newest of v1.35 is v1.35.0): name one that is, {}.",
        ),
        (
            {"w1": OLD, "w2": OLD},
            "source of w1, w2 (it has no v1.35): name one that is, {}.",
        ),
        ({"cp1": OLD, "w2": OLD}, "source of cp1, w2 (it has no v1.35): name one that is or mend these sources."),
    ],
)
def test_a_refusal_for_want_of_packages_names_all_machines_and_what_to_type(lacking, words):
    """Grouped by what their sources have."""
    with pytest.raises(Refused) as caught:
        without(survey=make_survey(offers=lacking))
    both = "mend these sources, or leave these workers out (`without w1 w2`)"
    assert str(caught.value) == f"v1.35.4 is not offered by the package {words.format(both)}"


def test_a_machine_that_is_no_node_does_not_decide_what_can_be_planned():
    """It is told of, and not touched."""
    whole = make_survey()
    stranger = SurveyedMachine("w9", FACTS, OLD)
    survey = replace(whole, machines=(*whole.machines, stranger))
    assert str(without(survey=survey).plan.target) == "v1.35.4"


def test_a_kubelet_that_would_leave_the_skew_blocks_although_it_is_left_out():
    """Nothing brings it forward, and the sentence says so."""
    report = with_node(make_report(), "w1", kubelet=reported("v1.32.1"))
    assert blockers(without("w1", report=report).findings) == ()
    stops = blockers(without("w1", report=report, target="v1.36.2").findings)
    assert stops
    assert {f.subject for f in stops} == {"w1"}
    assert all("w1 is left out of this plan, so nothing brings it forward" in f.sentence for f in stops)


def test_a_kubelet_whose_version_nobody_knows_blocks_although_it_is_left_out():
    """Whether it would stay within the skew cannot be told."""
    report = with_node(make_report(), "w1", kubelet=Unread("kubelet", "not a version"))
    made = without("w1", report=report)
    assert codes(blockers(made.findings)) == ["kubelet-unread"]
    assert without(report=report).blocked_workers == ()


def test_who_is_left_out_and_away_must_leave_a_place_for_the_others():
    """Else the run would wait for ever for a node that nobody mends."""
    made = without("w1", report=NOT_READY, cluster=make_cluster())
    assert codes(blockers(made.findings)) == ["left-out-fill-pool"]
    assert blockers(without("w1", cluster=make_cluster()).findings) == ()


def test_a_preflight_of_the_run_does_not_stumble_over_who_is_left_out():
    """What they lack has been approved; what others lack has not."""
    plan = without("w1").plan
    assert recheck(plan, see(NOT_READY, silent("w1")), TWO_AWAY) == ()
    assert codes(recheck(plan, see(NOT_READY, silent("w1", "w2")), TWO_AWAY)) == ["machine-unreadable"]


def test_a_worker_that_joined_after_the_plan_stops_no_run():
    """Nobody has named a machine for it yet, and it is not Ready: it is reported, and not touched."""
    plan, report = draft(cluster=TWO_AWAY).plan, make_report()
    late = replace(report.nodes[-1], name="w9", uid="uid-w9", ready=False)
    later = replace(report, nodes=(*report.nodes, late))
    assert recheck(plan, see(later), TWO_AWAY) == ()
    late_master = replace(report.nodes[0], name="cp9", uid="uid-cp9")
    with_master = replace(report, nodes=(*report.nodes, late_master))
    assert "machine-missing" in codes(recheck(plan, see(with_master), TWO_AWAY))


def test_nothing_that_happens_to_a_worker_left_out_is_a_foreign_change():
    """It may be upgraded or rebuilt by hand meanwhile."""
    record = make_record(drafted=without("w1"))
    report = with_node(make_report(), "w1", kubelet=reported("v1.33.1"), uid="another")
    operation = schedule(record, operation_id="op-1", approved_by="grace", now=NOW)
    assert find_foreign_changes(record, operation, report) == ()


def test_nothing_to_do_but_what_is_left_out_is_no_plan():
    """The refusal says who is still behind."""
    report = make_report("v1.35.4", {**dict.fromkeys((*MASTERS, *WORKERS), "v1.35.4"), "w1": "v1.34.7"})
    with pytest.raises(Refused, match=r"but what is left out \(w1\) already runs v1.35.4"):
        without("w1", report=report)
    assert [n.name for n in without(report=report).plan.nodes if n.name == "w1"] == ["w1"]


AT_TARGET = {"kubeadm": reported("v1.35.4"), "kubelet": reported("v1.35.4")}


def half_done(*, kubelets=None, facts=None, declared="v1.35.4", options=None):
    """A plan to what the control plane runs already; w1 is there, w2 is not."""
    kubelets = kubelets or dict.fromkeys((*MASTERS, "w1"), "v1.35.4") | {"w2": "v1.34.7"}
    report = make_report("v1.35.4", kubelets, declared=declared)
    told = {"w1": replace(FACTS, **AT_TARGET), **(facts or {})}
    return draft("v1.35.4", report=report, survey=make_survey(facts=told), cluster=TWO_AWAY, options=options)


def test_a_worker_that_is_there_already_is_not_drained_again():
    """Whoever finishes an upgrade that was cancelled in the middle disturbs no worker that had its turn."""
    made = half_done()
    assert [n.name for n in made.plan.left_out] == ["w1"]
    assert made.left_out_for == (("w1", "there already"),)
    assert [n.name for n in made.plan.nodes] == [*MASTERS, "w2"]
    assert blockers(made.findings) == ()


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        (
            "its kubelet was installed and not restarted",
            {"kubelets": {"cp1": "v1.35.4", "w1": "v1.34.7", "w2": "v1.34.7"}},
        ),
        ("its kubeadm is another one", {"facts": {"w1": replace(FACTS, kubelet=reported("v1.35.4"))}}),
        ("another kubelet comes with its next restart", {"facts": {"w1": replace(FACTS, kubeadm=reported("v1.35.4"))}}),
        ("nobody could ask its machine", {"facts": {"w1": Unread("machine w1", "refused")}}),
        ("every machine is rebooted on its visit", {"options": Options(reboot=Reboot.ALWAYS)}),
    ],
)
def test_a_worker_that_is_not_there_whole_is_taken_along(why, changes):
    """What is left of its way is done; a reboot that was asked for is of everybody."""
    assert why
    assert half_done(**changes).plan.left_out == ()


@pytest.mark.parametrize("changes", [{"ready": False}, {"cordoned": True}])
def test_a_worker_that_is_away_at_its_target_is_looked_at(changes):
    """It may have stopped in the middle."""
    report = with_node(make_report("v1.35.4", dict.fromkeys((*MASTERS, *WORKERS), "v1.35.4")), "w1", **changes)
    report = with_node(report, "w2", kubelet=reported("v1.34.7"))
    survey = make_survey(facts={n: replace(FACTS, **AT_TARGET) for n in WORKERS})
    assert draft("v1.35.4", report=report, survey=survey).plan.left_out == ()


def test_before_the_control_plane_is_there_no_worker_is():
    """What a newer patch of it brings with kubeadm is still to come."""
    report = with_node(make_report(), "w1", kubelet=reported("v1.34.9"))
    facts = {"w1": replace(FACTS, kubeadm=reported("v1.34.9"), kubelet=reported("v1.34.9"))}
    assert draft("v1.34.9", report=report, survey=make_survey(facts=facts)).plan.left_out == ()


def test_the_last_worker_of_an_upgrade_is_planned_also_where_it_is_blocked():
    """Without it nothing would be left to do, which is no answer to whoever asked for it."""
    kubelets = dict.fromkeys((*MASTERS, "w1"), "v1.35.4") | {"w2": "v1.34.7"}
    report = with_node(make_report("v1.35.4", kubelets), "w2", ready=False)
    made = draft("v1.35.4", report=report, survey=make_survey(facts={"w1": replace(FACTS, **AT_TARGET)}))
    assert [f.code for f in blockers(made.findings)] == ["node-not-ready"]
    assert "w2" in [n.name for n in made.plan.nodes]
    assert made.blocked_workers == ()
    with pytest.raises(Refused, match="Nothing to do"):
        draft("v1.35.4", report=report, survey=make_survey(), without=("blocked",))
