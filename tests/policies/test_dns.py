"""CoreDNS by what kubeadm's own checks ask of it."""

import json
from pathlib import Path

import pytest

from cluster.dns import DnsDeployment, read_dns, read_plugins
from cluster.findings import Severity
from cluster.versions import Minor
from policies.dns import check_dns

RECORDED = Path(__file__).parents[1] / "recordings" / "cluster"


def recorded(stage):
    items = json.loads((RECORDED / f"{stage}-deploy-ds.stdout").read_text(encoding="utf-8"))["items"]
    dns = [i for i in items if (i["metadata"].get("labels") or {}).get("k8s-app") == "kube-dns"]
    return tuple(read_dns(i) for i in dns)


def judge(deployments, *numbers, plugins=()):
    found = check_dns(deployments, tuple(Minor(1, n) for n in numbers), plugins)
    return [(f.code, f.severity) for f in found]


def coredns(image):
    return (DnsDeployment("coredns", f"registry.k8s.io/coredns/coredns:{image}"),)


@pytest.mark.parametrize(("stage", "minor"), [("before", 35), ("after", 36)])
def test_a_real_clusters_coredns_is_what_kubeadm_expects(stage, minor):
    """The one that kubeadm made, before and after an upgrade."""
    found = recorded(stage)
    assert [d.name for d in found] == ["coredns"]
    assert judge(found, minor) == []


UNKNOWN = [("dns-version-unknown", Severity.WARNING)]
TWO = (*coredns("v1.12.1"), DnsDeployment("coredns-secondary", "coredns:v1.12.1"))


@pytest.mark.parametrize(
    ("deployments", "numbers", "found"),
    [
        (coredns("v1.12.1"), (35,), []),
        (coredns("1.12.1"), (35,), []),
        (coredns("v1.13.9"), (35,), []),  # a later patch of the same line
        (coredns("v1.14.2"), (35,), UNKNOWN),
        (coredns("v1.14.2"), (36, 37), []),
        (coredns("v1.12.1-ours"), (35,), UNKNOWN),
        (coredns("latest"), (35,), UNKNOWN),
        ((DnsDeployment("coredns", "registry/coredns@sha256:" + "0" * 64),), (35,), UNKNOWN),
        (coredns("v1.99.0"), (60,), []),  # nothing is known of that minor
        (TWO, (35,), [("dns-deployments", Severity.BLOCKER)]),
        ((), (35,), [("dns-deployments", Severity.WARNING)]),
        (TWO, (), []),
        (None, (35,), []),
    ],
)
def test_kubeadm_finds_one_deployment_of_a_release_that_it_can_migrate_from(deployments, numbers, found):
    """By the label, by the tag and by what the first hop brings."""
    assert judge(deployments, *numbers) == found


COREFILE = """
# our own
.:53 {
    errors
    health { # for the balancer
       lameduck 5s
    }
    rewrite name old.example.org new.example.org
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
    }
    forward . /etc/resolv.conf
    #template IN A
}
example.org {
    errors
    file /etc/coredns/zone
}
"""


def test_the_plugins_of_every_server_block_are_read():
    """Neither what stands within a plugin's own braces, nor what is commented out."""
    assert read_plugins(COREFILE) == ("errors", "health", "rewrite", "kubernetes", "forward", "file")
    assert read_plugins("") == ()


@pytest.mark.parametrize(
    ("plugins", "numbers", "found"),
    [
        (("errors", "rewrite", "kubernetes", "transfer"), (35,), []),
        (("errors", "file", "kubernetes", "template"), (35,), [("dns-plugin-unsupported", Severity.WARNING)]),
        (("file",), (), []),
        ((), (35,), []),
    ],
)
def test_plugins_that_kubeadm_cannot_carry_over_are_named(plugins, numbers, found):
    """Its own check would stop the first step of the control plane."""
    assert judge(coredns("v1.12.1"), *numbers, plugins=plugins) == found


def test_a_dns_that_kubeadm_does_not_look_after_is_not_held_against_its_plugins():
    """kubeadm does not look at the Corefile then."""
    assert judge((), 35, plugins=("file",)) == [("dns-deployments", Severity.WARNING)]
