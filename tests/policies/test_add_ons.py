"""Add-ons by their images: what they are, which version, and whether their project tests it with the target."""

from dataclasses import replace

import pytest

from cluster.report import AddOn, DaemonSet
from cluster.versions import Minor
from policies.add_ons import UNKNOWN, Role, check_networks, read_add_ons, recognise
from tests.policies_fixture import codes, draft, make_report
from tests.recorded_api import recorded_report


def running(*images, report=None):
    """A report with these images in kube-system, on w1."""
    return replace(report or make_report(), add_ons=tuple(AddOn(f"app-{n}", i, ("w1",)) for n, i in enumerate(images)))


@pytest.mark.parametrize(
    ("image", "title", "version"),
    [
        ("docker.io/calico/node:v3.31.3", "Calico", "v3.31.3"),
        ("docker.io/rancher/mirrored-calico-node:v3.29.1", "Calico", "v3.29.1"),
        ("quay.io/cilium/cilium:v1.18.1@sha256:" + "a" * 64, "Cilium", "v1.18.1"),
        ("ghcr.io/flannel-io/flannel:v0.27.0", "Flannel", "v0.27.0"),
        ("weaveworks/weave-kube:2.8.1", "Weave Net", "2.8.1"),
        ("mirror:5000/net/weave-npc:2.8.1", "Weave Net", "2.8.1"),
        ("antrea/antrea-agent-ubuntu:v2.2.0", "Antrea", "v2.2.0"),
        ("mirror:5000/net/antrea-controller-ubuntu:v2.2.0", "Antrea", "v2.2.0"),
        ("docker.io/cloudnativelabs/kube-router:v2.1.0", "kube-router", "v2.1.0"),
        ("mirror:5000/kube-router:v2.1.0", "kube-router", "v2.1.0"),
        ("registry.k8s.io/kube-proxy:v1.34.7", "kube-proxy", "v1.34.7"),
        ("mirror:5000/k8s/coredns/coredns:v1.12.1", "CoreDNS", "v1.12.1"),
        ("registry.k8s.io/metrics-server/metrics-server:v0.7.2", "metrics-server", "v0.7.2"),
        ("registry.k8s.io/sig-storage/csi-provisioner:v5.1.0", "CSI driver", "v5.1.0"),
        ("mirror:5000/our/agent", UNKNOWN, "latest"),
        ("our/agent@sha256:0123456789abcdef", UNKNOWN, "sha256:0123456789ab"),
    ],
)
def test_an_add_on_is_recognised_by_its_image(image, title, version):
    """Through mirrors, with digests; whatever nobody knows is called unknown and listed all the same."""
    (found,) = recognise(running(image))
    assert (found.title, found.version, found.nodes) == (title, version, ("w1",))


def test_the_network_comes_first_and_the_unknown_last():
    """What a plan may break stands on top."""
    found = recognise(running("our/agent:1", "registry.k8s.io/coredns/coredns:v1.12.1", "calico/node:v3.31.3"))
    assert [f.role for f in found] == [Role.NETWORK, Role.DNS, Role.OTHER]


def test_a_network_in_a_namespace_of_its_own_is_found_by_its_daemon_set():
    """And no application is taken for an add-on."""
    daemons = (
        DaemonSet("calico-system", "calico-node", 5, 5, ("docker.io/calico/node:v3.31.3",)),
        DaemonSet("kube-system", "kube-proxy", 5, 5, ("registry.k8s.io/kube-proxy:v1.34.7",)),
        DaemonSet("demo", "agent", 5, 5, ("our/agent:1",)),
    )
    (found,) = recognise(replace(make_report(), daemon_sets=daemons))
    assert (found.title, found.namespace, found.workload, found.count) == ("Calico", "calico-system", "calico-node", 5)


def test_a_recorded_cluster_shows_its_own():
    """Right after an apply kube-proxy rolls out: two versions, each with its nodes."""
    found = [(r.title, r.version, r.nodes) for r in recognise(recorded_report("applied"))]
    assert found == [
        ("kube-proxy", "v1.34.7", ("w1", "w2")),
        ("kube-proxy", "v1.35.4", ("cp1",)),
        ("CoreDNS", "v1.13.1", ("w1", "w2")),
    ]


@pytest.mark.parametrize(
    ("images", "minors", "found"),
    [
        (("calico/node:v3.31.3",), ("v1.35",), []),
        (("calico/node:v3.31.3",), ("v1.35", "v1.36"), ["network-untested"]),
        (("calico/node:v3.31.3",), (), []),
        (("calico/node:v3.20.0",), ("v1.35",), ["network-fit-unknown"]),
        (("calico/node:latest",), ("v1.35",), ["network-fit-unknown"]),
        (("quay.io/cilium/cilium:v1.18.1",), ("v1.34",), ["network-untested"]),
        (("quay.io/cilium/cilium-envoy:v1.18.1",), ("v1.34",), []),
        (("calico/node:v3.30.7",), ("v1.34", "v1.35"), []),
        (("calico/node:v3.28.0",), ("v1.31",), ["network-untested"]),
        (("quay.io/cilium/cilium:v1.16.7",), ("v1.30",), []),
        (("quay.io/cilium/cilium:v1.19.3",), ("v1.34", "v1.35"), []),
        (("quay.io/cilium/cilium:v1.17.4",), ("v1.32",), ["network-fit-unknown"]),
        (("ghcr.io/flannel-io/flannel:v0.27.0",), ("v1.35",), ["network-fit-unknown"]),
        (("registry.k8s.io/coredns/coredns:v1.12.1", "our/agent:1"), ("v1.35",), []),
    ],
)
def test_a_network_is_held_against_what_its_project_tests(images, minors, found):
    """Tested, not tested, or unknown with the place to look; nothing is guessed, and nothing blocks."""
    findings = check_networks(running(*images), [Minor.parse(m) for m in minors])
    assert codes(findings) == found
    assert all("https://" in f.remedy for f in findings)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("calico/node:v3.20.0", "is not known here"),
        ("ghcr.io/flannel-io/flannel:v0.27.0", "should work with any version"),
        ("antrea/antrea-agent-ubuntu:v2.2.0", "is tested with v1.23 or later"),
        ("docker.io/cloudnativelabs/kube-router:v2.1.0", "names no range of minors"),
        ("weaveworks/weave-kube:2.8.1", "its makers have shut down"),
    ],
)
def test_a_project_that_names_no_range_is_another_thing_than_one_that_nobody_looked_up(image, told):
    """Looking it up helps with the one; the other is told in its project's own words."""
    (found,) = check_networks(running(image), [Minor.parse("v1.35")])
    assert told in found.sentence
    assert ("names no range" in found.sentence) is ("calico" not in image)


def test_a_plan_says_whether_the_network_goes_with_its_target():
    """Before the approval, by the version of the network."""
    made = draft("v1.36.2", report=running("calico/node:v3.31.3"))
    sentence = next(f.sentence for f in made.findings if f.code == "network-untested")
    assert "tested with v1.32 to v1.35" in sentence
    assert "not with v1.36" in sentence
    assert "network-untested" in made.plan.accepted


def test_every_fact_has_its_source():
    """A network has known lines, or its project names none; either has its project's page."""
    for known in read_add_ons():
        assert known.sources[0].startswith("https://")
        assert all(t.sources[0].startswith("https://") and t.first <= t.last for t in known.tested)
        assert known.matrix or known.role is not Role.NETWORK
        assert bool(known.tested) is not bool(known.no_range) or known.role is not Role.NETWORK
