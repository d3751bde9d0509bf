"""Read what kubeadm keeps in kube-system: its own configuration, the kubelets', kube-proxy's, and CoreDNS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import yaml

from cluster.declarations import (
    Declarations,
    read_cluster_configuration,
    read_kubelet_configuration,
    read_proxy_configuration,
)
from cluster.dns import DNS_LABEL, DnsDeployment, read_dns, read_plugins
from cluster.errors import KubeDenied
from cluster.inquiry import ONE_READ, Inquiry
from cluster.kube import Kube

_DEPLOYMENTS = "/apis/apps/v1/namespaces/kube-system/deployments"
_FOLDER = "/api/v1/namespaces/kube-system/configmaps"
_NOT_FOUND = 404

Read = Callable[[Mapping[str, Any]], Declarations]


def read_declarations(ask: Inquiry) -> Declarations:
    """As far as they can be read; kube-proxy is what a cluster may do without."""
    own = _attempt(ask, "kubeadm-config", "ClusterConfiguration", read_cluster_configuration)
    kubelet = _attempt(ask, "kubelet-config", "kubelet", read_kubelet_configuration)
    proxy = _attempt(ask, "kube-proxy", "config.conf", read_proxy_configuration, may_be_missing=True)
    return join_declarations(own, kubelet, proxy)


def join_declarations(own: Declarations, kubelet: Declarations, proxy: Declarations) -> Declarations:
    """What kubeadm-config declares, with what the kubelets and kube-proxy are told beside it."""
    return replace(
        own,
        gates=(*own.gates, *kubelet.gates, *proxy.gates),
        kubelets_read=kubelet.kubelets_read,
        fail_cgroup_v1=kubelet.fail_cgroup_v1,
        kubelet_settings=kubelet.kubelet_settings,
    )


def read_dns_deployments(kube: Kube) -> tuple[DnsDeployment, ...]:
    return tuple(map(read_dns, kube.items(_DEPLOYMENTS, {"labelSelector": DNS_LABEL}, timeout=ONE_READ)))


def read_dns_plugins(kube: Kube) -> tuple[str, ...]:
    """Of CoreDNS, as kubeadm keeps its settings; () where it keeps none."""
    return read_plugins(_setting(kube, "coredns", "Corefile", may_be_missing=True) or "")


def _attempt(ask: Inquiry, name: str, key: str, read: Read, *, may_be_missing: bool = False) -> Declarations:
    def reading() -> Declarations:
        text = _setting(ask.kube, name, key, may_be_missing=may_be_missing)
        return Declarations() if text is None else read(yaml.safe_load(text))

    return ask.attempt(f"the ConfigMap {name}", reading, Declarations())


def _setting(kube: Kube, name: str, key: str, *, may_be_missing: bool) -> str | None:
    """The text under `key`; None for a ConfigMap that is not there, where that is no fault."""
    try:
        found = kube.get(f"{_FOLDER}/{name}", timeout=ONE_READ)
    except KubeDenied as error:
        if may_be_missing and error.status == _NOT_FOUND:
            return None
        raise
    return str(found["data"][key])
