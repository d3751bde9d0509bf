"""Selectors, traces in the cluster, and the release facts that come with the package."""

from dataclasses import replace
from datetime import date

import pytest

from cluster.errors import InvalidConfig
from cluster.findings import Finding, Severity, worst_first
from cluster.operation import OperationState
from cluster.selectors import matches
from cluster.versions import Minor
from policies.releases import check_support, read_file, release_of
from policies.traces import check_traces, operations_named
from tests.policies_fixture import codes, make_report, v, with_node

LABELS = {"role": "web", "zone": "a", "example.org/gpu": ""}


def test_findings_of_one_weight_and_subject_keep_their_order():
    """A plan reads the same whichever process made it; each is told once."""
    found = [Finding("some-code", Severity.NOTE, "w1", f"sentence {n}", "") for n in range(50)]
    stop = Finding("some-code", Severity.BLOCKER, "w2", "stop", "")
    assert worst_first([*found, stop, *found]) == (stop, *found)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("role=web", True),
        ("role==web", True),
        ("role!=web", False),
        ("missing!=x", True),
        ("role", True),
        ("!role", False),
        ("!missing", True),
        ("example.org/gpu=", True),
        ("role=web,zone=b", False),
        ("role in (db, web),zone=a", True),
        ("role notin (db)", True),
        ("zone in (b,c)", False),
        ("", True),
    ],
)
def test_selectors_read_as_kubectl_reads_them(selector, expected):
    """Equality, sets and existence."""
    assert matches(selector, LABELS) is expected


@pytest.mark.parametrize("selector", ["role = = web", "a=b=c", "role in db", "$x=1", "missing=x,role in (db"])
def test_a_selector_that_cannot_be_read_is_refused(selector):
    """It must never match by accident."""
    with pytest.raises(InvalidConfig, match="selector"):
        matches(selector, LABELS)


LEASED = replace(make_report(), lease_holder="lockkeeper/op-1")
CORDONED = with_node(make_report(), "w1", cordoned=True, cordoned_by="op-1")


@pytest.mark.parametrize(
    ("report", "known", "found"),
    [
        (make_report(), {}, []),
        (replace(make_report(), lease_holder="elsewhere/op-1"), {}, ["cluster-locked-elsewhere"]),
        (LEASED, {}, ["traces-without-record"]),
        (LEASED, {"op-1": OperationState.COMPLETED}, ["lease-left"]),
        (LEASED, {"op-1": OperationState.RUNNING}, ["run-in-hand"]),
        (CORDONED, {}, ["traces-without-record"]),
        (CORDONED, {"op-1": OperationState.CANCELLED}, ["cordon-left"]),
        (CORDONED, {"op-1": OperationState.RUNNING}, []),
    ],
)
def test_our_traces_are_held_against_the_record(report, known, found):
    """An empty Redis with our traces in the cluster means stop and ask."""
    assert codes(check_traces(report, "lockkeeper", known)) == found


def test_every_operation_that_the_cluster_names_is_looked_up():
    """By the Lease and by cordons."""
    assert operations_named(replace(CORDONED, lease_holder="lockkeeper/op-2")) == ("op-1", "op-2")


def test_release_facts_are_whole_and_in_order():
    """One entry per minor without a gap; nothing ends before it begins."""
    releases = read_file().releases
    assert [r.minor for r in releases] == [releases[0].minor.after(i) for i in range(len(releases))]
    assert all(r.ga < r.eol and r.latest_patch_seen.minor == r.minor for r in releases)
    assert read_file().sources


def test_an_actual_end_counts_more_than_a_planned_one():
    """Ends slip."""
    release = release_of(Minor(1, 27))
    assert release.eol == date(2024, 7, 16) != release.eol_planned


@pytest.mark.parametrize(
    ("target", "found"), [("v1.35.4", []), ("v1.34.9", ["release-ended"]), ("v1.60.0", ["release-unknown"])]
)
def test_a_target_without_support_is_said(target, found):
    """With the day of the facts in the sentence."""
    findings = check_support(v(target), date(2026, 11, 23))
    assert codes(findings) == found
    assert all("2026" in f.sentence for f in findings)
