"""The worker jump rule: what a skipped minor would have cleaned up must not stop the kubelet that comes after it."""

from dataclasses import replace

import pytest

from cluster.findings import blockers
from cluster.options import Options, WorkerMoves
from tests.policies.test_moves import EVERYWHERE, FAR
from tests.policies_fixture import FACTS, codes, draft, make_report, make_survey, reported, with_node

PAUSE = "--pod-infra-container-image=registry.k8s.io/pause:3.10"


def survey(**changes):
    """All machines offer everything; w1 is as the changes say."""
    return make_survey(offers={m.name: FAR for m in EVERYWHERE.machines}, facts={"w1": replace(FACTS, **changes)})


@pytest.mark.parametrize(
    ("target", "kubelet", "workers", "stops"),
    [
        ("v1.36", "v1.34.7", WorkerMoves.WITHIN_SKEW, True),
        ("v1.36", "v1.34.7", WorkerMoves.EVERY_HOP, False),  # kubeadm v1.35 runs on it
        ("v1.35", "v1.34.7", WorkerMoves.WITHIN_SKEW, False),
        ("v1.38", "v1.34.7", WorkerMoves.WITHIN_SKEW, True),
        ("v1.38", "v1.32.1", WorkerMoves.WITHIN_SKEW, False),  # it stops at v1.35
    ],
)
def test_a_flag_that_only_a_skipped_kubeadm_takes_out_blocks_the_jump(target, kubelet, workers, stops):
    """The sentence names the node, the flag and the minor; whoever does not skip it is cleaned on the way."""
    report = with_node(make_report(), "w1", kubelet=reported(kubelet))
    made = draft(target, report=report, survey=survey(kubelet_flags=PAUSE), options=Options(workers=workers))
    found = blockers(made.findings)
    assert [(f.code, f.subject) for f in found] == [("clean-up-skipped", "w1")] * stops
    assert all("w1 skips v1.35" in f.sentence and "--pod-infra-container-image out" in f.sentence for f in found)


def test_a_node_that_was_left_behind_before_jumps_too():
    """With workers at every hop as well: its kubelet is older than the minor that it would have been cleaned in."""
    report = make_report(
        "v1.36.7", {"w1": "v1.34.7", "w2": "v1.36.7", **dict.fromkeys(("cp1", "cp2", "cp3"), "v1.36.7")}
    )
    made = draft("v1.37", report=report, survey=survey(kubelet_flags=PAUSE))
    assert codes(blockers(made.findings)) == ["clean-up-skipped"]


def test_what_nobody_has_to_clean_stops_nothing():
    """A jump by itself is allowed."""
    late = Options(workers=WorkerMoves.WITHIN_SKEW)
    for flags in ("", None, "--container-runtime-endpoint=unix:///run/containerd/containerd.sock"):
        assert blockers(draft("v1.36", survey=survey(kubelet_flags=flags), options=late).findings) == ()


def test_a_flag_removed_in_a_skipped_minor_stops_the_jump_whoever_set_it():
    """KUBELET_EXTRA_ARGS is nobody's to clean: the removals of every minor up to the last one count."""
    late = Options(workers=WorkerMoves.WITHIN_SKEW)
    made = draft("v1.37", survey=survey(kubelet_extra_args=PAUSE), options=late)
    assert "removed-flag" in codes(blockers(made.findings))
