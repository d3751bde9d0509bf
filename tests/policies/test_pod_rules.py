"""Rules for single pods of a drain: they stand in the plan, are told, and the first one that picks a pod counts."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from cluster.examination import Examination
from cluster.inventory import Defaults
from cluster.options import Options, PodRule, Treatment
from cluster.procedure import Verb
from cluster.tally import read_workloads
from policies.drains import check_drains
from policies.handwork import type_leg
from policies.legs import legs
from policies.pod_rules import tell_rules, treatment_of
from tests.pods_fixture import PaperLists, make_node, make_pod
from tests.policies_fixture import NOW, draft, make_cluster, make_record, see

RULES = Options(
    pod_rules=(
        PodRule("app=gluster", Treatment.STAY, "storage"),
        PodRule("tier in (batch,ci)", Treatment.FINISH),
        PodRule("app", Treatment.LAST),
    )
)


@pytest.mark.parametrize(
    ("namespace", "labels", "expected"),
    [
        ("storage", {"app": "gluster"}, Treatment.STAY),
        ("elsewhere", {"app": "gluster"}, Treatment.LAST),
        ("demo", {"app": "web", "tier": "ci"}, Treatment.FINISH),
        ("demo", {"tier": "web"}, None),
        ("demo", {}, None),
    ],
)
def test_the_first_rule_that_picks_a_pod_counts(namespace, labels, expected):
    """By labels, and by namespace where one is named."""
    assert treatment_of(RULES, namespace, labels) is expected


def test_a_selector_that_cannot_be_read_is_refused_before_there_is_a_plan():
    """Not in the middle of a drain."""
    for rule in ({"selector": "", "pods": "stay"}, {"selector": "a=b", "pods": "delete"}):
        with pytest.raises(ValidationError):
            Defaults.model_validate({"pod_rules": [rule]})
    for selector in ("app=~web", "app=web,tier in (a"):
        with pytest.raises(ValidationError, match="write it as kubectl's -l takes it"):
            Defaults.model_validate({"pod_rules": [{"selector": selector, "pods": "stay"}]})


def test_rules_are_part_of_what_is_approved_and_older_plans_keep_their_digest():
    """Whoever changes the file afterwards changes no run."""
    plain = draft().plan
    ruled = replace(plain, options=replace(plain.options, pod_rules=RULES.pod_rules))
    assert ruled.digest != plain.digest
    assert replace(ruled, options=replace(ruled.options, pod_rules=())).digest == plain.digest


def test_each_rule_is_told_in_words():
    """Also to whoever drains by hand."""
    assert list(tell_rules(RULES)) == [
        "pods with app=gluster in the namespace storage stay where they are",
        "pods with tier in (batch,ci) are not evicted, and waited for until they have ended by themselves",
        "pods with app leave when all others have",
    ]
    drafted = draft(options=RULES)
    typed = [t for leg in legs(drafted.plan) for t in type_leg(make_record(drafted=drafted), leg, leg.nodes[0])]
    assert {t.verb for t in typed if "`--pod-selector`" in t.note} == {Verb.DRAIN}


def test_pods_that_stay_are_not_told_of_as_lost():
    """Nothing is deleted with them."""
    bare = make_pod("bare", "w1", labels={"app": "gluster"}, namespace="storage", owner="")
    found = read_workloads(PaperLists(pods=[bare], nodes=[make_node("w1")]))
    seen = see(examination=Examination("prod", NOW, workloads=found))
    told = [{f.code for f in check_drains(seen, make_cluster(), options, ())} for options in (Options(), RULES)]
    assert ["unmanaged-pods" in codes for codes in told] == [True, False]
