"""When a plan that waits is void: by what was seen since, and by nothing that passes or that the run copes with."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.facts import OfferState
from cluster.findings import Finding, Severity
from cluster.report import Unread
from policies.drafting import draft_revert, recheck
from policies.voiding import MOST_TOLD, blocked_since, sight, tell_void, void_reasons
from tests.policies_fixture import (
    NOW,
    draft,
    make_cluster,
    make_offers,
    make_record,
    make_report,
    make_survey,
    see,
    v,
    with_api,
    with_node,
)

LATER = NOW + timedelta(minutes=5)
REPORT = make_report()
PLAN = make_record()


def later(report):
    return sight(replace(report, read_at=LATER))


def without(report, *names):
    return replace(report, nodes=tuple(n for n in report.nodes if n.name not in names))


def joined(report, name, **changes):
    one = replace(report.node("w1"), name=name, uid=f"uid-{name}", **changes)
    return replace(report, nodes=(*report.nodes, one))


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (replace(REPORT, identity=replace(REPORT.identity, kube_system_uid="x")), "`prod` is another cluster"),
        (replace(REPORT, identity=replace(REPORT.identity, ca_hash="x")), "`prod` has another CA"),
        (with_node(REPORT, "w1", uid="uid-new"), "w1 is another node than the one of the plan"),
        (with_node(REPORT, "w1", control_plane=True), "w1 is a control plane now"),
        (without(REPORT, "cp2"), "The control plane cp2 left the cluster."),
        (joined(REPORT, "cp4", control_plane=True), "The control plane cp4 joined"),
        (with_api(REPORT, "cp2", "v1.35.4"), "The API server on cp2 is v1.35.4, and was v1.34.7"),
        (replace(REPORT, declared=v("v1.35.4")), "kubeadm-config declares v1.35.4, and declared v1.34.7"),
        (make_report(kubelet={"w2": "v1.34.9"}), "The kubelet of w2 is v1.34.9, and was v1.34.7"),
    ],
)
def test_a_plan_is_void_when_its_cluster_moved_away_from_under_it(report, words):
    """One sentence says what is another way now."""
    (reason,) = void_reasons(PLAN, later(report), None)
    assert reason.startswith(words)


@pytest.mark.parametrize(
    "report",
    [
        REPORT,
        without(REPORT, "w2"),  # skipped by the run, and said
        joined(REPORT, "w3"),  # told and not touched
        with_node(REPORT, "w1", ready=False, cordoned=True),
        with_node(REPORT, "w1", kubelet=Unread("kubelet of w1", "no answer")),
        replace(REPORT, identity=None),
        replace(REPORT, declared=Unread("kubeadm-config", "no answer")),
        replace(REPORT, api_servers=()),
    ],
)
def test_what_passes_or_was_not_read_makes_no_plan_void(report):
    """Nobody has to plan again because a machine restarts."""
    assert void_reasons(PLAN, later(report), None) == ()


def test_what_is_older_than_the_plan_says_nothing_of_it():
    """Two workers may look at the same time, and the slower one writes last."""
    moved = replace(with_api(REPORT, "cp2", "v1.35.4"), read_at=NOW - timedelta(minutes=1))
    assert void_reasons(PLAN, sight(moved), replace(make_survey(offers={"w1": ()}), read_at=NOW)) == ()
    assert void_reasons(PLAN, None, None) == ()


def surveyed(offers):
    return replace(make_survey(offers=offers), read_at=LATER)


def test_a_plan_is_void_when_its_packages_are_no_longer_offered():
    """The exact revision, on every machine that answered."""
    gone = make_offers("1.34.7-1.1", "1.35.4-2.1")
    assert void_reasons(PLAN, None, surveyed({"w1": gone})) == ("1.35.4-1.1 is no longer offered to w1.",)
    assert void_reasons(PLAN, None, surveyed({"w1": gone, "w2": gone})) == (
        "1.35.4-1.1 is no longer offered to w1 and 1 more.",
    )


def test_a_package_source_that_was_not_asked_or_does_not_answer_makes_no_plan_void():
    """The survey of another target asks for other minors."""
    silent = tuple(replace(o, state=OfferState.UNREACHABLE, versions=()) for o in make_offers())
    assert void_reasons(PLAN, None, surveyed({"w1": silent, "w2": ()})) == ()


def test_a_revert_asks_for_no_packages():
    """It installs none."""
    edited = with_edited_api_server()
    made = make_record(drafted=draft_revert(see(edited), make_cluster(), options=PLAN.plan.options))
    assert void_reasons(made, later(edited), surveyed(dict.fromkeys(("cp1", "cp2", "cp3"), make_offers()))) == ()


def with_edited_api_server():
    pods = tuple(
        replace(p, image="registry.k8s.io/kube-apiserver:v1.34.9", tag="v1.34.9")
        if (p.node, p.component) == ("cp2", "kube-apiserver")
        else p
        for p in REPORT.static_pods
    )
    return with_api(replace(REPORT, static_pods=pods), "cp2", "v1.34.9")


def stop(code, subject="w1"):
    return Finding(code, Severity.BLOCKER, subject, f"{subject} has {code}.", "Mend it.")


@pytest.mark.parametrize(
    ("finding", "voids"),
    [
        (stop("dockershim"), True),
        (stop("node-not-ready"), False),
        (stop("machine-unreadable"), False),
        (stop("machine-missing", "w3"), False),  # of a node that joined
        (stop("plan-breaks-skew", "w3"), True),
        (replace(stop("dockershim"), severity=Severity.WARNING), False),
    ],
)
def test_a_new_blocker_voids_unless_it_passes_by_itself(finding, voids):
    """The worker looks for what passes again before the first step."""
    assert bool(blocked_since(PLAN, (finding,), frozenset({"w3"}))) is voids


def test_a_blocker_that_the_plan_has_already_is_nothing_new():
    """It cannot be approved anyway, and its card says so."""
    known = replace(PLAN, findings=(stop("dockershim"),))
    assert blocked_since(known, (stop("dockershim"),), frozenset()) == ()


def test_a_plan_still_holds_when_nothing_changed():
    """The same observation again, and the whole preflight, give no reason."""
    for target in ("v1.35.4", "v1.36.2", "latest-patch"):
        made = make_record(drafted=draft(target))
        survey = replace(make_survey(), read_at=LATER)
        assert void_reasons(made, later(REPORT), survey) == ()
        assert blocked_since(made, recheck(made.plan, see(), make_cluster()), frozenset()) == ()


def test_only_the_first_reasons_are_told_in_words():
    """Thousands of kubelets that moved make one sentence, not a page."""
    told = tell_void(PLAN, tuple(f"w{n} moved." for n in range(100)), LATER)
    assert told.sentence.startswith("The plan p-11111111 is void: w0 moved. w1 moved.")
    assert told.sentence.endswith(f"And {100 - MOST_TOLD} more like these. Plan again.")
