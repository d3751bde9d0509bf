"""How long what runs gets fixes: planned and actual ends, newest patches with their source, and one plain sentence."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from cluster.findings import Severity
from cluster.report import Unread
from cluster.versions import Minor
from policies.releases import read_file
from policies.support import check_age, describe, judge_support
from tests.policies_fixture import (
    MASTERS,
    NOW,
    WORKERS,
    codes,
    make_offers,
    make_report,
    make_survey,
    reported,
    with_node,
)

EARLY = datetime(2026, 9, 20, tzinfo=UTC)
FACTS = str(read_file().verified_on)


def said(report, survey=None, now=NOW):
    return describe(report, judge_support(report, survey, now))


def found(report, survey=None, now=NOW):
    return check_age(report, judge_support(report, survey, now), now)


def test_three_minors_get_fixes_and_the_next_end_is_named():
    """While an old one overlaps there are four."""
    now, then = judge_support(make_report(), None, NOW), judge_support(make_report(), None, EARLY)
    assert now.supported == (Minor(1, 37), Minor(1, 36), Minor(1, 35))
    assert then.supported == (*now.supported, Minor(1, 34))
    assert (now.next_to_end, now.next_end) == (Minor(1, 35), date(2027, 2, 28))
    assert (now.minors_behind, then.next_to_end) == (3, Minor(1, 34))


def test_what_the_machines_are_offered_outweighs_the_release_facts():
    """They age with the package; the source of each machine is asked."""
    (minor,) = judge_support(make_report(), make_survey(), NOW).running
    assert (str(minor.offered), str(minor.newest), minor.patches_behind) == ("v1.34.9", "v1.34.9", 2)
    assert minor.known > minor.offered
    sentence = said(make_report(), make_survey())
    assert f"patch on offer is v1.34.9 (offered on 2026-11-23, while {minor.known} was out on {FACTS})" in sentence


def test_only_a_patch_that_every_machine_is_offered_counts():
    """One mirror that lags behind holds all of them."""
    lagging = make_survey(offers={"w1": make_offers("1.34.7-1.1", "1.35.4-1.1")})
    (minor,) = judge_support(make_report(), lagging, NOW).running
    assert (str(minor.offered), minor.patches_behind) == ("v1.34.7", 0)


@pytest.mark.parametrize(
    ("others", "behind"),
    [(("1.34.7-1.1",), "cp1, cp2, cp3, w1, w2"), (("1.34.11-1.1",), "w1"), (("1.35.4-1.1",), "w1")],
)
def test_a_mirror_that_lags_behind_what_is_out_is_a_finding_of_its_own(others, behind):
    """A cluster that can get no fix would stand as up to date; what offers nothing of the minor lags in nothing."""
    offers = {n: make_offers(*others) for n in (*MASTERS, *WORKERS)} | {"w1": make_offers("1.34.7-1.1")}
    (finding,) = (f for f in found(make_report(), make_survey(offers=offers)) if f.code == "source-behind")
    assert (finding.subject, finding.severity) == ("v1.34", Severity.NOTE)
    assert finding.sentence.startswith(f"The package source of {behind} does not offer v1.34.11, which was out on")


def test_a_source_that_was_asked_before_a_patch_was_known_is_not_accused_of_lacking_it():
    """Release facts are renewed with lockkeeper, and surveys stay until the next one."""
    survey = make_survey(offers=dict.fromkeys((*MASTERS, *WORKERS), make_offers("1.34.7-1.1")))
    told = datetime.fromisoformat(f"{FACTS}T12:00:00+00:00")
    for read_at, accused in ((told, True), (told - timedelta(days=1), False)):
        asked = found(make_report(), replace(survey, read_at=read_at))
        assert ("source-behind" in codes(asked)) is accused


def test_a_release_that_mirrors_packed_otherwise_is_offered_all_the_same():
    """Which package it is matters to a plan; the report asks what there is."""
    rebuilt = make_survey(offers={"w1": make_offers("1.34.7-2.1", "1.34.9-2.1")})
    (minor,) = judge_support(make_report(), rebuilt, NOW).running
    assert str(minor.offered) == "v1.34.9"


def test_without_a_survey_the_release_facts_stand_with_their_age():
    """And it is said that nobody was asked."""
    assert f"(by the facts of {FACTS}, what is offered was not surveyed)" in said(make_report())


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("v1.34.7", "v1.34 gets no more fixes since 2026-10-27 (planned)"),
        ("v1.27.16", "v1.27 gets no more fixes since 2024-07-16 (planned for 2024-06-28)"),
        ("v1.24.17", "v1.24 gets no more fixes since 2023-07-28,"),
        ("v1.36.2", "v1.36 gets fixes until 2027-06-28 (planned)"),
        ("v1.60.0", "of v1.60 no end is known here"),
    ],
)
def test_an_end_is_said_with_what_it_is_worth(version, words):
    """Planned, actual, or unknown."""
    assert words in said(make_report(version, version))


def test_what_we_run_is_said_of_every_part():
    """Most nodes are counted, the few that stand apart are named."""
    report = make_report("v1.34.7", {"cp1": "v1.34.7", "cp2": "v1.34.7", "cp3": "v1.34.7", "w1": "v1.33.2"})
    sentence = said(report)
    assert sentence.startswith("API servers v1.34.7; kubelets v1.34.7 (4 nodes) and v1.33.2 (w1); v1.34 ")
    assert sentence.count("supported are v1.37, v1.36 and v1.35") == 1
    assert sentence.endswith(f"release facts as of {FACTS}.")


def test_what_was_not_read_is_no_version():
    """A cluster whose API servers and kubelets told nothing is not called supported."""
    report = make_report()
    mute = Unread("x", "refused")
    report = replace(
        report,
        api_servers=tuple(replace(s, version=mute) for s in report.api_servers),
        nodes=tuple(replace(n, kubelet=mute) for n in report.nodes),
    )
    assert said(report).startswith("API servers not read; kubelets not read; supported are")
    assert found(report) == ()


def test_what_was_not_read_is_counted_beside_what_was():
    """One of three API servers and one of five kubelets are silent."""
    report = make_report("v1.36.4", "v1.36.4")
    mute = Unread("x", "refused")
    servers = (replace(report.api_servers[0], version=mute), *report.api_servers[1:])
    report = with_node(replace(report, api_servers=servers), "w1", kubelet=mute)
    assert said(report).startswith("API servers v1.36.4 (1 not read); kubelets v1.36.4 (4 nodes) and 1 not read;")


def test_an_emulated_minor_is_said_beside_the_version():
    """A newer binary that behaves like an older minor."""
    report = make_report("v1.36.2", "v1.35.1")
    servers = tuple(replace(s, emulation=Minor(1, 35)) for s in report.api_servers)
    assert said(replace(report, api_servers=servers)).startswith("API servers v1.36.2, behaving like v1.35;")


@pytest.mark.parametrize(
    ("report", "now", "expected"),
    [
        (make_report("v1.34.11", "v1.34.11"), NOW, ["release-ended"]),
        (make_report("v1.34.11", "v1.34.11"), EARLY, ["release-ending"]),
        (make_report("v1.36.4", "v1.36.4"), NOW, []),
        (make_report("v1.36.2", "v1.36.4"), NOW, ["patches-behind"]),
        (make_report("v1.36.4", "v1.34.11"), NOW, ["release-ended"]),
        (make_report("v1.60.0", "v1.60.0"), NOW, ["release-unknown"]),
    ],
)
def test_what_is_old_is_a_finding(report, now, expected):
    """Of each minor that runs, of API servers and of kubelets."""
    assert codes(found(report, now=now)) == expected


def test_nobody_is_told_to_plan_what_would_be_refused():
    """Another distribution may give fixes longer, and upgrades by its own means."""
    bare = make_report("v1.31.1", "v1.31.1")
    bare = replace(bare, declared=Unread("kubeadm-config", "404"), has_kubeadm_config=False)
    (finding,) = found(with_node(bare, "w1", kubelet=reported("v1.31.1+k3s1")))
    assert finding.code == "release-ended"
    assert "plan" not in finding.remedy.lower()
