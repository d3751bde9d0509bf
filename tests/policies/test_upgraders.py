"""Other tools on the same machines, by the signs that they leave."""

from dataclasses import replace
from datetime import date

import pytest

from cluster.findings import Severity
from cluster.neighbours import Annotated, Signs, read_annotations, read_groups
from cluster.report import DaemonSet
from policies.upgraders import check_upgraders, read_upgraders
from tests.policies_fixture import make_report, with_node
from tests.recorded_api import STAGES, recorded_report

KURED = DaemonSet("ops", "reboots", 5, 5, ("ghcr.io/kubereboot/kured:1.20.0",))


def running(*daemons):
    return replace(make_report(), daemon_sets=daemons)


def judge(report=None, **signs):
    return list(check_upgraders(report or make_report(), Signs(**signs)))


@pytest.mark.parametrize("stage", STAGES)
def test_a_real_cluster_of_its_own_shows_no_other_tool(stage):
    """Only kubeadm's own annotations are on its nodes."""
    own = ("kubeadm.alpha.kubernetes.io/cri-socket", "node.alpha.kubernetes.io/ttl")
    signs = Signs(("apps", "batch"), tuple(Annotated(key, ("cp1",), 3) for key in own))
    assert list(check_upgraders(recorded_report(stage), signs)) == []


@pytest.mark.parametrize(
    ("report", "signs", "tool", "sign"),
    [
        (running(KURED), {}, "kured", "the DaemonSet ops/reboots"),
        (None, {"groups": ("apps", "upgrade.cattle.io")}, "system-upgrade-controller", "the API upgrade.cattle.io"),
        (
            None,
            {"annotations": (Annotated("cluster.x-k8s.io/machine", ("w1", "w2"), 7),)},
            "Cluster API",
            "the annotation cluster.x-k8s.io/machine on 7 nodes (w1)",
        ),
        (None, {"groups": ("management.cattle.io",)}, "Rancher", "the API management.cattle.io"),
        (
            with_node(make_report(), "w1", labels=(("rke.cattle.io/machine", "x"),)),
            {},
            "Rancher",
            "the label rke.cattle.io/machine on w1",
        ),
    ],
)
def test_a_tool_is_recognised_by_one_sign(report, signs, tool, sign):
    """A DaemonSet's image, a group of the API, an annotation or a label of nodes."""
    (finding,) = judge(report, **signs)
    assert (finding.code, finding.severity, finding.subject) == ("other-upgrader", Severity.WARNING, tool)
    assert finding.sentence.endswith(f"there is {sign}.")


@pytest.mark.parametrize(
    ("report", "signs"),
    [
        (running(DaemonSet("ops", "kured", 5, 5, ("registry/agent:1",))), {}),
        (running(DaemonSet("ops", "exporter", 5, 5, ("registry/kured-exporter:1",))), {}),
        (None, {"groups": ("cluster.x-k8s.io",)}),  # it manages other clusters from here
        (None, {"annotations": (Annotated("other.example/cluster.x-k8s.io", ("w1",), 1),)}),
    ],
)
def test_what_only_looks_like_one_is_none(report, signs):
    """A name says nothing, nor does a management cluster's own API."""
    assert judge(report, **signs) == []


def test_kured_is_paused_by_its_lock():
    """In the words of its manual, with its own names; afterwards the lock is to be taken away."""
    (finding,) = judge(running(KURED))
    lock = "kubectl -n ops annotate daemonset reboots weave.works/kured-node-lock"
    assert f"""{lock}='{{"nodeID":"manual"}}'""" in finding.remedy
    assert finding.remedy.endswith(f"{lock}-")


def test_signs_are_read_from_discovery_and_metadata():
    """Values do not matter, nor how many nodes carry one."""
    assert read_groups({"groups": [{"name": "policy"}, {"name": "apps"}]}) == ("apps", "policy")
    nodes = [{"name": f"w{n}", "annotations": {"a": "1", f"own-{n}": ""}} for n in range(600)]
    found = read_annotations([*nodes, {"name": "w600"}])
    assert len(found) == 500
    assert found[0] == Annotated("a", ("w0", "w1", "w2", "w3", "w4"), 600)


def test_tools_are_dated_and_say_how_they_are_paused():
    """The file says when somebody last looked."""
    for tool in read_upgraders():
        assert tool.verified_on <= date(2026, 11, 25)
        assert tool.images or "{" not in tool.pause  # names are known of a DaemonSet alone
        assert tool.images or tool.groups or tool.annotations or tool.labels
