"""
docs/findings.md has a heading for each finding and says how each was shown; each is named in a test.

Beside it, since reading them takes seconds, what is found in recordings of a real cluster, its machines and commands.
"""

import re

import pytest

from cluster.findings import Severity
from tests.findings_table import PAGE, make_table, named_in_tests, table_of, used_codes
from tests.recorded_findings import SOURCES, found_in

AGED = {"release-ended", "patches-behind", "api-away"}
MACHINES = {"cgroup-v1", "runtime-not-recommended"}  # what those machines are, before an upgrade and after it
FOUND = {
    "before": "cgroup-v1 emptydir-pods",
    "applied": "cgroup-v1 emptydir-pods kube-proxy-behind runtime-not-recommended source-of-another-minor",
    "half": "cgroup-v1 emptydir-pods pool-versions-differ runtime-not-recommended",
    "after": "cgroup-v1 emptydir-pods runtime-not-recommended",
    "drift": "hand-edited-apiserver",
    "ha-before": "",
    "mixed": "kubeadm-config-ahead",
    # kubelets of control planes were upgraded while one API server was still a minor behind
    "ha-second": "kubeadm-config-ahead kubelet-newer pool-versions-differ",
    "evictions": "budget-allows-none emptydir-pods",
    "notready": "capacity-short emptydir-pods node-not-ready",
    "cp-notready": "emptydir-pods node-not-ready",
    "a kubelet installed": "installed-not-running",
    "a broken kubelet": "kubelet-not-running",
    "a declaration never applied": "manifest-drift",
    "a source without an answer": "source-unreachable",
    "an etcd that is full": "etcd-alarm",
    "an etcd with a learner": "etcd-learner",
    "an etcd without a leader": "etcd-alarm etcd-member-unhealthy etcd-quorum-at-risk",
    "an etcd without an answer": "etcd-unread",
    "a failed apply": "kubeadm-failed",
    "a failed pull": "images-not-pulled",
    "a held package": "package-step-failed",
    "a node after its restart": "node-not-healthy",
    "a drain": "drain-needs-consent",
    "an eviction": "drain-blocked",
}


def test_every_code_has_its_own_heading():
    """A finding that nobody can look up is half a finding; no heading is left over."""
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == set(used_codes())


def test_every_finding_is_named_in_a_test():
    """What nobody has seen once is only hoped for."""
    assert not set(used_codes()) - set(named_in_tests())


def test_the_table_of_findings_is_what_the_code_and_the_recordings_say():
    """Weights, and what shows each finding."""
    wanted = make_table()
    assert table_of(PAGE.read_text(encoding="utf-8")) == wanted, "write it anew with: python -m tests.findings_table"


@pytest.mark.parametrize("where", SOURCES)
def test_a_recording_shows_what_was_wrong_there_and_nothing_else(where: str) -> None:
    """A finding that is not so would be as bad as one that is missed."""
    usual = AGED if where in {"before", "applied", "half", "after"} else AGED | MACHINES
    assert {f.code for f in found_in(where)} - usual == set(FOUND[where].split())


@pytest.mark.parametrize("where", ["before", "half", "after", "ha-before"])
def test_a_real_cluster_that_is_well_is_blocked_by_nothing(where: str) -> None:
    """Neither before an upgrade, nor after it, nor between two of its machines."""
    assert [f.code for f in found_in(where) if f.severity is Severity.BLOCKER] == []


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("a failed apply", "did not complete in 1m0s"),
        ("a failed pull", 'failed to pull image "registry.k8s.io/kube-apiserver:v1.35.4"'),
        ("a held package", "Held packages were changed"),
        ("a broken kubelet", "auto-restart"),
        ("a source without an answer", "Could not connect to 10.77.0.1:8001"),
        ("an eviction", "strict"),
    ],
)
def test_the_words_of_the_real_program_are_told(where: str, words: str) -> None:
    """They are what a person looks for."""
    assert words in " ".join(f.sentence for f in found_in(where))
