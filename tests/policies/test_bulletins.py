"""The periodic report: on which day it is due, and that it tells only what changed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cluster.report import Unread
from cluster.settings import Digest
from policies.bulletins import period_of, write_bulletin
from policies.overview import look_over
from tests.policies_fixture import (
    FACTS,
    MASTERS,
    NOW,
    WORKERS,
    make_cluster,
    make_offers,
    make_report,
    make_survey,
    with_node,
)

LOST = Unread("prod", "it does not answer")


@pytest.mark.parametrize(
    ("settings", "now", "period"),
    [
        ({"every": "daily"}, "2026-11-25T08:59", "2026-11-24"),
        ({"every": "daily"}, "2026-11-25T09:00", "2026-11-25"),
        ({"every": "daily"}, "2026-11-26T08:59", "2026-11-25"),
        ({"every": "daily", "at": "00:00"}, "2026-11-25T00:00", "2026-11-25"),
        ({"every": "weekly"}, "2026-11-25T12:00", "2026-11-23"),
        ({"every": "weekly"}, "2026-11-23T08:59", "2026-11-16"),
        ({"every": "weekly"}, "2026-11-23T09:00", "2026-11-23"),
        ({"every": "weekly", "day": "wednesday"}, "2026-11-25T09:00", "2026-11-25"),
        ({"every": "weekly", "day": "thursday"}, "2026-11-25T09:00", "2026-11-19"),
        ({"every": "daily", "timezone": "Asia/Tokyo"}, "2026-11-25T00:00", "2026-11-25"),
        ({"every": "daily", "timezone": "Asia/Tokyo"}, "2026-11-24T23:59", "2026-11-24"),
        ({"every": "daily", "timezone": "Europe/Berlin"}, "2026-07-01T07:00", "2026-07-01"),
        ({"every": "daily", "timezone": "Europe/Berlin"}, "2026-11-25T07:59", "2026-11-24"),
        ({"every": "daily", "timezone": "Europe/Berlin", "at": "02:30"}, "2026-03-29T01:30", "2026-03-29"),
    ],
)
def test_a_period_is_the_last_day_on_which_it_was_due(settings, now, period):
    """In its own zone, also where the clock jumps over the hour."""
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert period_of(Digest.model_validate(settings), moment) == period


def seen(report, survey=None):
    return look_over(report, survey, make_cluster(), installation="lockkeeper", known={}, now=NOW)


def issue(sights, last=None, period="2026-11-24"):
    return write_bulletin(period, sights.items(), last, NOW)


OFFERS = dict.fromkeys((*MASTERS, *WORKERS), make_offers("1.36.4-1.1"))
EDGE = seen(make_report("v1.36.4", "v1.36.4"), make_survey(offers=OFFERS))
FIRST = issue({"prod": seen(make_report()), "edge": EDGE}, period="2026-11-23")


def news(report_or_sight, last=FIRST):
    """What is told of prod after the first issue; edge stays as it was."""
    sight = report_or_sight if isinstance(report_or_sight, Unread) else seen(report_or_sight)
    made = issue({"prod": sight, "edge": EDGE}, last)
    return dict(made.news).get("prod", ())


def test_the_first_one_says_everything_in_short():
    """A line a cluster."""
    told = dict(FIRST.news)
    assert told["prod"][0].startswith("out of support: API servers v1.34.7, 5 kubelets v1.34.7; prod runs v1.34, which")
    assert told["edge"] == ("fine: API servers v1.36.4, 5 kubelets v1.36.4; gets fixes until 2027-06-28",)
    assert (FIRST.since, FIRST.quiet) == ("", 0)
    assert list(told) == ["prod", "edge"]  # the worst first


def test_what_did_not_change_is_not_told():
    """Only how many clusters that is."""
    made = issue({"prod": seen(make_report()), "edge": EDGE}, FIRST)
    assert (made.news, made.quiet, made.since) == ((), 2, "2026-11-23")


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (make_report("v1.34.9", "v1.34.9"), ("API servers: v1.34.7 → v1.34.9", "kubelets: v1.34.7 → v1.34.9")),
        (
            with_node(make_report(), "w1", cordoned=True),
            ("w1 was cordoned by somebody else than lockkeeper: no new pod is put there.",),
        ),
        (replace(make_report(), nodes=make_report().nodes[:-1]), ("nodes: 5 → 4",)),
        (
            replace(make_report(), unread=(Unread("daemon sets", "forbidden"),)),
            ("daemon sets could not be read: forbidden",),
        ),
        (
            make_report("v1.36.4", "v1.36.4"),
            (
                "stands: out of support → not surveyed",
                "API servers: v1.34.7 → v1.36.4",
                "kubelets: v1.34.7 → v1.36.4",
                "release-ended is gone at prod",
            ),
        ),
    ],
)
def test_a_change_is_told_with_before_and_after(report, told):
    """Versions, nodes, findings that came and went."""
    assert news(report) == told


def test_a_newer_patch_on_offer_is_news():
    """A survey saw it."""
    made = issue({"prod": seen(make_report(), make_survey())}, FIRST)
    assert dict(made.news)["prod"] == ("newest v1.34: v1.34.11 → v1.34.9",)


def surveyed(last, **facts):
    """The issue after `last` of what a survey told, with other facts of some machines."""
    return issue({"prod": seen(make_report(), make_survey(facts=facts))}, last)


FULL = replace(FACTS, stray_manifests=("old.yaml",))  # a warning
TORN = replace(FACTS, dpkg_problem="kubelet is half installed")  # a blocker


def test_what_nobody_could_ask_anew_is_not_told_as_gone():
    """A survey that is too old, or a machine that was silent this time, says nothing of what it once told."""
    first = surveyed(None, w1=FULL, w2=TORN)
    old = replace(make_survey(facts={"w1": FULL, "w2": TORN}), read_at=NOW - timedelta(days=2))
    later = issue({"prod": seen(make_report(), old)}, first)
    assert later.news == ()
    silent = surveyed(later, w1=FULL, w2=Unread("machine w2", "refused"))
    assert dict(silent.news)["prod"] == ("The machine of w2 could not be read: refused",)
    mended = surveyed(silent, w1=FULL)
    assert dict(mended.news)["prod"] == (
        "stands: blockers → out of support",
        "machine-unreadable is gone at w2",
        "dpkg-interrupted is gone at w2",
    )


def test_a_cluster_that_is_worse_without_a_survey_is_told_so():
    """Only better nobody knows."""
    first = surveyed(None, w1=FULL)
    edited = make_report("v1.34.9", declared="v1.34.7", controllers=dict.fromkeys(MASTERS, "v1.34.7"))
    told = dict(issue({"prod": seen(edited)}, first).news)["prod"]
    assert told[0] == "stands: out of support → blockers"


def test_many_findings_of_one_kind_are_told_as_one():
    """Their subjects are named, a few of them."""
    report = make_report()
    cordoned = replace(report, nodes=tuple(replace(n, cordoned=True) for n in report.nodes))
    assert news(cordoned) == ("foreign-cordon came at 5: cp1, cp2, cp3, w1, w2",)
    last = issue({"prod": seen(cordoned)}, FIRST)
    assert news(report, last) == ("foreign-cordon is gone at cp1, cp2, cp3, w1, w2",)


def test_a_lost_cluster_is_told_once_and_its_changes_when_it_is_back():
    """What was known of it stays known meanwhile."""
    assert news(LOST) == ("stands: out of support → unreadable",)
    lost = issue({"prod": LOST}, FIRST)
    assert news(LOST, lost) == ()
    back = news(make_report("v1.34.9", "v1.34.9"), lost)
    assert back[:2] == ("stands: unreadable → out of support", "API servers: v1.34.7 → v1.34.9")


def test_clusters_that_come_and_go_are_told():
    """By the configuration."""
    made = issue({"prod": seen(make_report()), "test": LOST}, FIRST)
    assert dict(made.news) == {
        "test": ("is new here; it stands at: unreadable",),
        "edge": ("is no longer in the configuration",),
    }
