"""Package sources: which there are, whom to ask for each, and what a report says once a few machines were asked."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.facts import Offer, OfferState
from cluster.offers import MACHINES_EACH, MOST_SOURCES, SourceAnswer, SourcesTold
from cluster.report import Unread
from cluster.survey import Survey, SurveyedMachine
from cluster.versions import Minor
from policies.overview import look_over
from policies.sources import are_old, known_offers, sources_of, whom_to_ask, why_not_asked
from policies.support import describe, judge_support
from tests.policies_fixture import (
    FACTS,
    NOW,
    PACKAGES,
    make_cluster,
    make_offers,
    make_report,
    make_survey,
    reported,
    v,
    with_node,
)

LATER = NOW + timedelta(days=3)
FRESH = timedelta(minutes=10)
OLD = replace(FACTS, sources=(replace(FACTS.sources[0], base="https://mirror.example.org"),))
NEWER = make_offers("1.34.7-1.1", "1.34.9-1.1", "1.34.10-1.1")


def told(*answers, at=LATER):
    return SourcesTold("a-1", "prod", at, answers)


def newest(survey, said):
    (minor,) = judge_support(make_report(), survey, LATER, said).running
    return minor


def test_the_machines_that_have_one_source_are_one_group_the_largest_first():
    """A machine that could not be read is in none."""
    survey = make_survey(facts={"w1": OLD, "w2": Unread("machine w2", "refused")})
    assert [(s.place, s.machines) for s in sources_of(survey)] == [
        ("https://example.org", ("cp1", "cp2", "cp3")),
        ("https://mirror.example.org", ("w1",)),
    ]


def test_a_mirror_that_lags_behind_the_same_address_is_a_source_of_its_own():
    """Else what one machine tells would be said of another that is never offered it."""
    lagging = make_survey(offers={"w1": make_offers("1.34.7-1.1", "1.35.4-1.1")})
    assert [s.machines for s in sources_of(lagging)] == [("cp1", "cp2", "cp3", "w2"), ("w1",)]
    assert newest(lagging, told(SourceAnswer("x", "cp1", NEWER))).offered == v("v1.34.7")
    both = told(SourceAnswer("x", "cp1", NEWER), SourceAnswer("x", "w1", NEWER))
    assert (newest(lagging, both).offered, newest(lagging, both).offered_at) == (v("v1.34.10"), LATER)


def test_few_machines_are_asked_of_thousands():
    """Two for each source, of as many sources as anybody waits for."""
    names = [f"w{n}" for n in range(3000)]
    bases = [f"https://mirror-{n % 20}.example.org" for n in range(3000)]
    machines = tuple(
        SurveyedMachine(name, replace(FACTS, sources=(replace(FACTS.sources[0], base=base),)), make_offers(*PACKAGES))
        for name, base in zip(names, bases, strict=True)
    )
    cluster = make_cluster(machines=dict.fromkeys(names, make_cluster().machines["w1"].model_dump()))
    asked = whom_to_ask(make_report(), Survey("prod", NOW, machines), cluster)
    assert len(asked) == MOST_SOURCES
    assert {len(s.machines) for s in asked} == {MACHINES_EACH}


def test_where_nobody_was_surveyed_each_role_is_asked():
    """The report says who is what; also where no machine could be read at the survey."""
    mute = Survey("prod", NOW, (SurveyedMachine("cp1", Unread("machine cp1", "refused")),))
    for survey in (None, mute):
        asked = whom_to_ask(make_report(), survey, make_cluster())
        assert [s.machines for s in asked] == [("cp1", "cp2"), ("w1", "w2")]


def test_only_machines_of_the_inventory_are_asked():
    """One that the last survey knew may have been taken out since."""
    left = make_cluster(machines={"cp3": make_cluster().machines["cp3"].model_dump()})
    assert [s.machines for s in whom_to_ask(make_report(), make_survey(), left)] == [("cp3",)]


@pytest.mark.parametrize(
    ("survey_age", "answer_age", "is_whole", "old"),
    [
        (None, None, True, True),
        (timedelta(minutes=9), None, True, False),
        (timedelta(minutes=11), None, True, True),
        (timedelta(days=3), timedelta(minutes=9), True, False),
        (timedelta(days=3), timedelta(minutes=9), False, True),
        (timedelta(days=3), timedelta(minutes=4), False, False),
        (timedelta(minutes=9), timedelta(days=3), True, False),
    ],
)
def test_what_was_told_lately_is_not_asked_again(survey_age, answer_age, is_whole, old):
    """An ask in vain told nothing: whoever mended it looks again, and nobody sends workers out again and again."""
    survey = replace(make_survey(), read_at=LATER - survey_age) if survey_age is not None else None
    answer = SourceAnswer("x", "cp1", NEWER, "" if is_whole else "refused")
    said = told(answer, at=LATER - answer_age) if answer_age is not None else None
    assert are_old(survey, said, LATER, FRESH) is old


def test_what_the_sources_told_since_the_survey_is_what_the_report_says():
    """With the minute; the day of the survey stays where it belongs."""
    said = told(SourceAnswer("https://example.org", "cp1", NEWER))
    support = judge_support(make_report(), make_survey(), LATER, said)
    (minor,) = support.running
    assert (minor.offered, minor.patches_behind, str(support.surveyed_on)) == (v("v1.34.10"), 3, "2026-11-23")
    assert "v1.34.10 (offered on 2026-11-26 at 12:00 UTC" in describe(make_report(), support)


def test_a_survey_that_came_after_it_knows_better():
    """It asked all of them."""
    said = told(SourceAnswer("x", "cp1", NEWER), at=NOW - timedelta(minutes=1))
    support = judge_support(make_report(), make_survey(), LATER, said)
    assert (support.asked_at, support.running[0].offered) == (None, v("v1.34.9"))


def test_a_source_that_was_asked_in_vain_leaves_what_it_told_last():
    """With the day of that, and why."""
    silent = (Offer(Minor(1, 34), OfferState.UNREACHABLE, reason="Could not resolve host"),)
    said = told(SourceAnswer("https://example.org", "cp1", silent, "cp1: Could not resolve host; cp2: refused"))
    support = judge_support(make_report(), make_survey(), LATER, said)
    assert "v1.34.9 (offered on 2026-11-23, " in describe(make_report(), support)
    (unread,) = support.unasked
    assert "https://example.org" in unread.what
    assert "Could not resolve host; cp2: refused" in unread.reason
    assert "of 2026-11-23" in unread.reason


@pytest.mark.parametrize(("days", "said_so"), [(0, True), (2, False)])
@pytest.mark.parametrize("survey", [make_survey(), None])
def test_what_was_asked_in_vain_is_said_for_a_day(survey, days, said_so):
    """A cluster would stand with a warning among all of them until somebody happened to look at it alone."""
    said = told(SourceAnswer("https://example.org", "cp1", (), "cp1: refused"), at=LATER - timedelta(days=days))
    cluster = make_cluster()
    seen = look_over(make_report(), survey, cluster, installation="lockkeeper", known={}, now=LATER, told=said)
    assert bool(seen.unread) is said_so
    assert ("asked in vain" in describe(make_report(), seen.support)) is (said_so and survey is None)
    assert "no package source offers one" not in describe(make_report(), seen.support)


def test_what_some_sources_told_stays_when_the_others_are_forgotten():
    """With the day of the survey where one of them did not tell."""
    survey = make_survey(facts={"w1": OLD})
    answers = (SourceAnswer("https://example.org", "cp1", NEWER), SourceAnswer("m", "w1", (), "w1: refused"))
    support = judge_support(make_report(), survey, LATER, told(*answers, at=NOW + timedelta(days=1)))
    assert (support.running[0].offered_at, support.unasked) == (NOW, ())
    alone = judge_support(make_report(), None, LATER, told(*answers, at=NOW + timedelta(days=1)))
    assert (alone.running[0].offered, alone.unasked) == (v("v1.34.10"), ())


def test_of_two_sources_the_one_that_did_not_tell_keeps_the_day():
    """What all of them offer is as old as the oldest answer."""
    survey = make_survey(facts={"w1": OLD})
    said = told(SourceAnswer("https://example.org", "cp1", NEWER), SourceAnswer("m", "w1", (), "w1: refused"))
    minor = newest(survey, said)
    assert (minor.offered, minor.offered_at) == (v("v1.34.9"), NOW)


def test_a_source_that_dropped_a_minor_offers_none_of_it():
    """Nothing is an answer, too."""
    gone = SourceAnswer("x", "cp1", (Offer(Minor(1, 34), OfferState.ABSENT),))
    assert newest(make_survey(), told(gone)).offered is None


def test_without_a_survey_the_answers_of_each_role_count():
    """Where only one of the two told, its answer does, and the other is said."""
    said = told(SourceAnswer("the control planes", "cp1", NEWER), SourceAnswer("the workers", "w1", (), "w1: refused"))
    support = judge_support(make_report(), None, LATER, said)
    assert (support.running[0].offered, support.running[0].offered_at) == (v("v1.34.10"), LATER)
    assert [u.what for u in support.unasked] == ["the package source of the workers"]
    assert "never told" in support.unasked[0].reason


def test_what_few_machines_told_changes_nothing_that_all_of_them_told():
    """Their facts, and what the report lists of them, are the survey's."""
    survey, said = make_survey(), told(SourceAnswer("x", "cp1", NEWER))
    seen = look_over(make_report(), survey, make_cluster(), installation="lockkeeper", known={}, now=LATER, told=said)
    assert seen.survey is survey
    assert survey == make_survey()
    assert [m.facts for m in known_offers(survey, said).survey.machines] == [m.facts for m in survey.machines]


@pytest.mark.parametrize(
    ("report", "cluster", "words"),
    [
        (make_report(), make_cluster(), ""),
        (make_report(), make_cluster(machines={}), "add clusters.prod.machines"),
        (
            with_node(
                replace(make_report(), declared=Unread("kubeadm-config", "404"), has_kubeadm_config=False),
                "w1",
                kubelet=reported("v1.34.7+k3s1"),
            ),
            make_cluster(),
            "was not made by kubeadm",
        ),
    ],
)
def test_a_cluster_that_cannot_be_asked_says_why(report, cluster, words):
    """And a report of it is as it always was."""
    reason = why_not_asked(report, cluster)
    assert reason == words or (words and words in reason)


def test_a_cluster_without_machines_says_so_beside_the_release_facts():
    """They are all there is."""
    support = judge_support(make_report(), None, NOW, askable=False)
    assert "no machine is named that could be asked what is offered" in describe(make_report(), support)
