"""Many clusters, a line each: how each one stands, and the worst first."""

from dataclasses import replace

import pytest

from cluster.report import Unread
from policies.fleet import Standing, line_of, worst_clusters_first
from policies.overview import look_over
from tests.policies_fixture import (
    MASTERS,
    NOW,
    WORKERS,
    make_cluster,
    make_offers,
    make_report,
    make_survey,
    reported,
    with_node,
)


def seen(report, survey=None):
    return look_over(report, survey, make_cluster(), installation="lockkeeper", known={}, now=NOW)


FINE = make_report("v1.36.4", "v1.36.4")
BEHIND = make_report("v1.36.2", "v1.36.2")
K3S = with_node(
    replace(BEHIND, declared=Unread("kubeadm-config", "404"), has_kubeadm_config=False),
    "w1",
    kubelet=reported("v1.36.2+k3s1"),
)
ASKED = make_survey(offers=dict.fromkeys((*MASTERS, *WORKERS), make_offers("1.36.4-1.1")))
LATE_MIRROR = make_survey(offers={"w1": make_offers("1.36.2-1.1")})
WARNED = with_node(FINE, "w1", cordoned=True)
PARTLY = replace(FINE, unread=(Unread("daemon sets", "forbidden"),))
ENDED = make_report()
BLOCKED = make_report("v1.37.1", "v1.33.13")
NODELESS = replace(BLOCKED, nodes=(), nodes_unread="forbidden", unread=(Unread("nodes", "forbidden"),))


@pytest.mark.parametrize(
    ("what", "standing", "note"),
    [
        (Unread("prod", "it does not answer"), Standing.UNREADABLE, "it does not answer"),
        (seen(NODELESS), Standing.UNREADABLE, "forbidden"),
        (seen(BLOCKED), Standing.BLOCKED, "it may be 3 minors older at most"),
        (seen(ENDED), Standing.ENDED, "gets no more fixes since 2026-10-27"),
        (seen(with_node(ENDED, "w1", cordoned=True)), Standing.ENDED, "gets no more fixes since 2026-10-27"),
        (seen(WARNED), Standing.WARNED, "cordoned by somebody else"),
        (seen(PARTLY), Standing.WARNED, "daemon sets could not be read: forbidden"),
        (seen(BEHIND), Standing.BEHIND, "2 patches behind v1.36.4"),
        (
            seen(BEHIND, LATE_MIRROR),
            Standing.BEHIND,
            "The package source of cp1, cp2, cp3, w1, w2 does not offer v1.36.4",
        ),
        (seen(K3S), Standing.FINE, "gets fixes until 2027-06-28"),
        (seen(FINE), Standing.UNCHECKED, "were never asked: certificates, packages"),
        (seen(FINE, ASKED), Standing.FINE, "gets fixes until 2027-06-28"),
    ],
)
def test_a_cluster_stands_as_its_worst_finding(what, standing, note):
    """And the one thing to know is said."""
    line = line_of("prod", what)
    assert line.standing is standing
    assert note in line.note


def test_the_worst_cluster_comes_first():
    """Unreadable, blockers, out of support, warnings, patches behind, not surveyed, fine; equals by name."""
    made = {
        "a-fine": seen(FINE, ASKED),
        "b-fine": seen(FINE, ASKED),
        "bb-unchecked": seen(FINE),
        "c-behind": seen(BEHIND),
        "d-warned": seen(WARNED),
        "e-ended": seen(ENDED),
        "f-blocked": seen(BLOCKED),
        "g-lost": Unread("g-lost", "away"),
    }
    lines = worst_clusters_first(line_of(name, what) for name, what in made.items())
    assert [one.cluster for one in lines] == [
        "g-lost",
        "f-blocked",
        "e-ended",
        "d-warned",
        "c-behind",
        "bb-unchecked",
        "a-fine",
        "b-fine",
    ]


def test_a_cluster_without_its_nodes_is_judged_by_none_of_them():
    """An inventory whose machines are no nodes, or a control plane without pods, would be made up."""
    found = {f.code for f in seen(NODELESS, make_survey()).findings}
    assert found == {"nodes-unread"}
    assert [str(v) for v in line_of("prod", seen(NODELESS)).api_servers] == ["v1.37.1"]


def test_a_line_holds_every_version_once():
    """Newest first."""
    line = line_of("prod", seen(make_report("v1.34.7", {"w1": "v1.33.2", "cp1": "v1.34.6"}), make_survey()))
    assert [str(v) for v in line.api_servers] == ["v1.34.7"]
    assert [str(v) for v in line.kubelets] == ["v1.34.7", "v1.34.6", "v1.33.2"]
    assert (line.nodes, line.maker, line.read_at) == (5, "kubeadm", NOW)
