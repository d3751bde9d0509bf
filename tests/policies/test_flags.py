"""Releases of kubeadm that end with an error where their file of the kubelet's flags has none."""

from dataclasses import replace

import pytest

from cluster.facts import Package
from cluster.findings import blockers
from cluster.options import Options, WorkerMoves
from policies.drafting import draft_revert, recheck
from tests.policies_fixture import (
    FACTS,
    MASTERS,
    draft,
    make_cluster,
    make_offers,
    make_report,
    make_survey,
    see,
)

FIRST = make_offers("1.34.7-1.1", "1.35.0-1.1", "1.36.2-1.1")
MACHINES = ("cp1", "cp2", "cp3", "w1", "w2")


def found(target, flags, *names, workers=WorkerMoves.EVERY_HOP):
    """Whom a plan to that release is blocked by, where these machines have these flags."""
    facts = {n: replace(FACTS, kubelet_flags=flags, control_plane=n.startswith("cp")) for n in names}
    survey = make_survey(offers=dict.fromkeys(MACHINES, FIRST), facts=facts)
    made = draft(target, survey=survey, options=Options(workers=workers))
    return [f.subject for f in blockers(made.findings) if f.code == "kubeadm-needs-flags"]


@pytest.mark.parametrize("flags", ["", None, "--node-ip=10.0.0.1"])
def test_a_release_that_fails_without_flags_is_not_planned_where_there_are_none(flags):
    """What could not be read is no reason to refuse it, and neither is a flag that it takes out itself."""
    assert found("v1.35.0", flags, "cp2", "w1") == ["cp2", "w1"] * (flags == "")


def test_only_that_release_and_only_where_its_kubeadm_runs():
    """A worker that skips it within the skew never meets it; its successor has mended that."""
    assert found("v1.36", "", "cp1", "w1") == ["cp1", "w1"]
    assert found("v1.36", "", "cp1", "w1", workers=WorkerMoves.WITHIN_SKEW) == ["cp1"]


@pytest.mark.parametrize(("kubeadm", "blocked"), [("1.35.0-1.1", ["cp1"]), ("1.35.4-1.1", [])])
def test_a_revert_is_asked_of_the_kubeadm_that_is_installed_before_anybody_approves(kubeadm, blocked):
    """It runs no other; a plan that was approved would be refused at its start, with a remedy that no revert has."""
    report = make_report(
        dict.fromkeys(MASTERS, "v1.35.0") | {"cp1": "v1.36.2"},
        "v1.35.0",
        controllers=dict.fromkeys(MASTERS, "v1.35.0"),
        declared="v1.35.0",
    )
    packages = tuple(Package(p, kubeadm, "hi") for p in ("kubeadm", "kubelet", "kubectl"))
    facts = replace(FACTS, kubelet_flags="", control_plane=True, packages=packages)
    seen = see(report, make_survey(facts=dict.fromkeys(MASTERS, facts)))
    made = draft_revert(seen, make_cluster(), options=Options())
    for findings in (made.findings, recheck(made.plan, seen, make_cluster())):
        stops = [f for f in findings if f.code == "kubeadm-needs-flags"]
        assert [f.subject for f in stops] == blocked
        assert all("--v=0" in f.remedy and "later patch" not in f.remedy for f in stops)
