"""Who made a cluster, by the marks that it shows; and that only kubeadm's are upgraded."""

from dataclasses import replace

import pytest

from cluster.errors import Refused
from cluster.report import Unread
from cluster.versions import KubeVersion
from policies.distributions import KUBEADM, UNKNOWN, check_distribution, maker_of, read_distributions
from policies.drafting import minors_of
from policies.preflight import check_preflight
from tests.policies_fixture import codes, make_cluster, make_report, reported, see, with_node

GONE = Unread("kubeadm-config", "The API of `prod` answered GET … with 404: not found")
BARE = replace(make_report(), declared=GONE, has_kubeadm_config=False, static_pods=())


def with_kubelets(version):
    return replace(BARE, nodes=tuple(replace(n, kubelet=reported(version)) for n in BARE.nodes))


def labelled(*labels):
    return with_node(BARE, "w1", labels=tuple(labels))


@pytest.mark.parametrize(
    ("report", "maker"),
    [
        (with_kubelets("v1.31.1+k3s1"), "k3s"),
        (with_kubelets("v1.31.1+rke2r1"), "RKE2"),
        (with_kubelets("v1.31.1+k0s"), "k0s"),
        (with_kubelets("v1.30.2-eks-1a2b3c4"), "EKS"),
        (with_kubelets("v1.30.2-gke.1587000"), "GKE"),
        (labelled(("eks.amazonaws.com/nodegroup", "blue")), "EKS"),
        (labelled(("cloud.google.com/gke-nodepool", "default")), "GKE"),
        (labelled(("kubernetes.azure.com/role", "agent")), "AKS"),
        (labelled(("node.openshift.io/os_id", "rhcos")), "OpenShift"),
        (labelled(("microk8s.io/cluster", "true")), "MicroK8s"),
        (labelled(("microk8s.io/cluster", "false")), UNKNOWN),
        (with_node(BARE, "w1", os_image="Talos (v1.10.1)"), "Talos"),
        (with_node(BARE, "w1", os_image="Debian GNU/Linux 12 (not Talos (v1.10.1))"), UNKNOWN),
        (BARE, UNKNOWN),
        (make_report(), KUBEADM),
    ],
)
def test_a_cluster_is_recognised_by_its_marks(report, maker):
    """Versions, labels, operating systems."""
    assert maker_of(report) == maker


@pytest.mark.parametrize(
    "report",
    [
        replace(with_kubelets("v1.31.1+k3s1"), declared=KubeVersion.parse("v1.31.1")),
        replace(with_kubelets("v1.30.2-eks-1a2b3c4"), has_kubeadm_config=True),  # EKS Distro's images under kubeadm
        replace(BARE, static_pods=make_report().static_pods),  # the ConfigMap was deleted
        replace(BARE, has_kubeadm_config=None),  # it may not be read
        replace(BARE, unread=(Unread("pods of kube-system", "refused"),)),
    ],
)
def test_what_kubeadm_may_have_made_is_not_taken_for_anything_else(report):
    """A missing right or a lost ConfigMap is a finding of its own, and no reason to say no for ever."""
    assert maker_of(report) == KUBEADM
    assert check_distribution(report) == ()


def test_one_blocker_stands_for_all_that_would_follow():
    """No kubeadm-config, no static pods, no etcd: one thing to know, with what to use instead."""
    report = with_kubelets("v1.31.1+rke2r1")
    findings = check_preflight(see(report), make_cluster(), target=None)
    assert codes(findings) == ["not-kubeadm"]
    assert "use whatever was used to install it" in findings[0].remedy
    assert "system-upgrade-controller" in findings[0].remedy


def test_a_plan_is_refused_before_any_machine_is_asked():
    """Report yes, plan no."""
    with pytest.raises(Refused, match="was made by k3s") as caught:
        minors_of(with_kubelets("v1.31.1+k3s1"), KubeVersion.parse("v1.32.0"))
    assert codes(caught.value.findings) == ["not-kubeadm"]


def test_every_distribution_says_where_its_facts_are_from():
    """And no mark is so short that a stock cluster could show it."""
    for known in read_distributions():
        assert known.sources
        assert all(len(mark) > 3 for mark in (*known.labels, known.version or "none", known.os_image or "none"))
