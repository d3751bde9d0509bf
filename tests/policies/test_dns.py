"""CoreDNS by what kubeadm's own checks ask of it."""

import json
from pathlib import Path

import pytest

from cluster.dns import DnsDeployment, read_dns
from cluster.findings import Severity
from cluster.versions import Minor
from policies.dns import check_dns

RECORDED = Path(__file__).parents[1] / "recordings" / "cluster"


def recorded(stage):
    items = json.loads((RECORDED / f"{stage}-deploy-ds.stdout").read_text(encoding="utf-8"))["items"]
    dns = [i for i in items if (i["metadata"].get("labels") or {}).get("k8s-app") == "kube-dns"]
    return tuple(read_dns(i) for i in dns)


def judge(deployments, *numbers):
    found = check_dns(deployments, tuple(Minor(1, n) for n in numbers))
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
