"""The cluster's DNS as kubeadm finds it: Deployments in kube-system by one label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DNS_LABEL = "k8s-app=kube-dns"


@dataclass(frozen=True, slots=True)
class DnsDeployment:
    """One Deployment that carries the label."""

    name: str
    image: str  # of its first container, by which kubeadm goes


def read_dns(raw: Mapping[str, Any]) -> DnsDeployment:
    containers = raw["spec"]["template"]["spec"]["containers"]
    return DnsDeployment(str(raw["metadata"]["name"]), str(containers[0]["image"]))
