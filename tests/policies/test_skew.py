"""Every row of the version skew policy, and of kubeadm's own tighter rules."""

from dataclasses import replace

import pytest

from cluster.report import Unread
from cluster.versions import Minor
from policies.skew import api_range, check_hop, check_skew
from tests.policies_fixture import FACTS, codes, make_report, make_survey, reported, v


def test_one_version_everywhere_has_no_finding():
    """The healthy case, with kube-proxy and kubectl."""
    assert check_skew(make_report(proxy="v1.34.7"), make_survey()) == ()


@pytest.mark.parametrize(
    ("api", "kubelet", "found"),
    [
        ("v1.35.4", "v1.34.7", []),
        ("v1.35.4", "v1.32.0", []),
        ("v1.35.4", "v1.31.14", ["kubelet-too-old"]),
        ("v1.34.7", "v1.35.0", ["kubelet-newer"]),
        ("v1.34.7", "v1.34.9", []),  # a newer patch of the same minor is not "newer"
        ("v1.26.15", "v1.24.17", []),
        ("v1.27.16", "v1.24.17", ["kubelet-too-old"]),  # a kubelet before 1.25 may be two behind only
        ("v1.28.15", "v1.25.16", []),
        ("v1.28.15", "v1.24.17", ["kubelet-too-old"]),
        ("v1.27.16", "v1.25.16", []),
        ("v1.29.0", "v1.25.16", ["kubelet-too-old"]),
    ],
)
def test_a_kubelet_is_never_newer_and_at_most_three_minors_older(api, kubelet, found):
    """n-3 for kubelets of 1.25 and newer, n-2 for older ones."""
    assert codes(check_skew(make_report(api, kubelet, controllers=dict.fromkeys(("cp1", "cp2", "cp3"), api)))) == found


@pytest.mark.parametrize(
    ("kubelet", "found"),
    [
        ("v1.34.7", []),
        ("v1.35.4", ["kubelet-newer"]),  # newer than the oldest API server
        ("v1.32.13", []),
        ("v1.31.14", ["kubelet-too-old"]),  # too old for the newest API server
    ],
)
def test_mixed_api_servers_narrow_what_a_kubelet_may_be(kubelet, found):
    """In HA the oldest API server bounds from above, the newest from below."""
    report = make_report({"cp1": "v1.35.4", "cp2": "v1.34.7"}, kubelet)
    assert codes(check_skew(report)) == found


@pytest.mark.parametrize(
    ("versions", "found"),
    [(("v1.35.4", "v1.34.7"), []), (("v1.35.4", "v1.33.1"), ["api-servers-apart"]), (("v1.35.0", "v1.35.4"), [])],
)
def test_api_servers_are_one_minor_apart_at_most(versions, found):
    """Two minors between API servers is never supported."""
    report = make_report(dict(zip(("cp1", "cp2"), versions, strict=True)), "v1.33.1")
    assert codes(check_skew(report)) == found


@pytest.mark.parametrize(
    ("proxy", "kubelet", "found"),
    [
        ("v1.35.4", "v1.35.4", []),
        ("v1.36.0", "v1.35.4", ["kube-proxy-newer"]),
        ("v1.32.0", "v1.35.4", []),
        ("v1.31.0", "v1.35.4", ["kube-proxy-kubelet-apart", "kube-proxy-too-old"]),
        ("v1.35.4", "v1.32.0", []),
    ],
)
def test_kube_proxy_keeps_its_bounds_to_api_servers_and_to_its_kubelet(proxy, kubelet, found):
    """±3 to the kubelet of its node, and a kubelet's bounds to the API servers."""
    assert codes(check_skew(make_report("v1.35.4", kubelet, proxy=proxy))) == found


def test_an_old_kube_proxy_is_two_minors_from_its_kubelet_at_most():
    """Before 1.25 the bound is two."""
    report = make_report("v1.27.16", "v1.27.16", proxy="v1.24.17")
    assert codes(check_skew(report)) == ["kube-proxy-kubelet-apart", "kube-proxy-too-old"]


def test_an_old_kube_proxy_beside_a_newer_kubelet_within_two_is_fine():
    """1.24 beside 1.26."""
    assert check_skew(make_report("v1.26.15", "v1.26.15", proxy="v1.24.17")) == ()


@pytest.mark.parametrize(
    ("controllers", "found"),
    [("v1.35.4", []), ("v1.34.7", []), ("v1.36.0", ["controller-newer"]), ("v1.33.1", ["controller-too-old"])],
)
def test_controllers_are_never_newer_and_at_most_one_minor_older(controllers, found):
    """Measured against the API server of their own node."""
    report = make_report("v1.35.4", "v1.34.7", controllers=dict.fromkeys(("cp1", "cp2", "cp3"), controllers))
    assert codes(check_skew(report)) == found


def test_a_controller_beside_its_own_new_api_server_is_right_in_the_middle_of_a_hop():
    """cp1 is done, cp2 is not: kubeadm points controllers at their local API server."""
    assert check_skew(make_report({"cp1": "v1.35.4", "cp2": "v1.34.7"}, "v1.34.7")) == ()


@pytest.mark.parametrize(
    ("kubectl", "found"), [("v1.33.0", []), ("v1.32.0", ["kubectl-apart"]), ("v1.36.2", ["kubectl-apart"])]
)
def test_kubectl_is_within_one_minor_of_every_api_server(kubectl, found):
    """A warning: it breaks nothing that runs."""
    survey = make_survey(facts={"w1": replace(FACTS, kubectl=reported(kubectl))})
    assert codes(check_skew(make_report(), survey)) == found


def test_an_api_server_that_does_not_answer_counts_with_its_pods_image():
    """Otherwise an outage would widen what is allowed."""
    report = make_report({"cp1": "v1.35.4", "cp2": "v1.34.7"}, "v1.35.0")
    silent = replace(report.api_servers[1], version=Unread("API server on cp2", "refused"))
    report = replace(report, api_servers=(report.api_servers[0], silent))
    assert codes(check_skew(report)) == ["kubelet-newer"]


def test_a_cluster_whose_api_servers_tell_nothing_is_not_called_sound():
    """Unread is a finding, never an empty answer."""
    report = replace(make_report(), static_pods=(), api_servers=())
    assert codes(check_skew(report)) == ["api-version-unread"]


def test_an_emulating_api_server_counts_as_the_minor_that_it_behaves_like():
    """A 1.35 binary that emulates 1.34 does not serve a kubelet of 1.35."""
    report = make_report({"cp1": "v1.35.4"}, "v1.35.4")
    report = replace(report, api_servers=(replace(report.api_servers[0], emulation=Minor(1, 34)),))
    assert api_range(report).oldest == Minor(1, 34)
    assert codes(check_skew(report)) == ["kubelet-newer"]


@pytest.mark.parametrize(
    ("base", "target", "kubelet", "found"),
    [
        ("v1.34.7", "v1.35.4", "v1.34.7", []),
        ("v1.34.7", "v1.34.9", "v1.34.7", []),
        ("v1.34.7", "v1.36.2", "v1.34.7", ["hop-skips-a-minor"]),
        ("v1.34.7", "v1.34.1", "v1.34.1", ["downgrade"]),
        ("v1.34.7", "v1.33.9", "v1.33.9", ["downgrade"]),
        ("v1.34.7", "v1.35.4", "v1.32.0", []),
        ("v1.34.7", "v1.35.4", "v1.31.0", ["kubelet-too-old-for-hop"]),
        ("v1.27.16", "v1.28.15", "v1.26.15", ["kubelet-too-old-for-hop"]),  # kubeadm before 1.29: n-1 only
        ("v1.27.16", "v1.28.15", "v1.27.16", []),
        ("v1.28.15", "v1.29.15", "v1.26.15", []),
        ("v1.26.15", "v1.29.15", "v1.26.15", ["hop-skips-a-minor"]),
        ("v1.34.7", "v1.34.9", "v1.35.0", ["kubelet-newer"]),
    ],
)
def test_a_hop_keeps_kubeadms_own_rules(base, target, kubelet, found):
    """One minor at a time, never back, and no kubelet that its preflight would refuse."""
    assert codes(check_hop(v(base), v(target), [("w1", v(kubelet))])) == found
