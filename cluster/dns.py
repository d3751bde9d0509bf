"""The cluster's DNS as kubeadm finds it: Deployments in kube-system by one label, and a Corefile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
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


def read_plugins(corefile: str) -> tuple[str, ...]:
    """The plugins of every server block, each once: what begins a line one brace deep."""
    found, depth = [], 0
    for line in corefile.splitlines():
        words = list(takewhile(lambda word: not word.startswith("#"), line.split()))
        if depth == 1 and words and words[0] not in {"{", "}"}:
            found.append(words[0])
        depth += words.count("{") - words.count("}")
    return tuple(dict.fromkeys(found))
