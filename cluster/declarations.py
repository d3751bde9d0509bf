"""What a cluster's ConfigMaps tell kubeadm and its components: arguments, feature gates, where etcd is, images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

KUBEADM = "kubeadm"
KUBELET = "kubelet"
KUBE_PROXY = "kube-proxy"
_PARTS = {"apiServer": "kube-apiserver", "controllerManager": "kube-controller-manager", "scheduler": "kube-scheduler"}
_GATES = "feature-gates"
_OWN_GATES = "featureGates"
_DEEPEST = 12  # a document whose anchors name themselves has no end


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument that kubeadm-config adds to a component of the control plane."""

    component: str
    name: str  # without dashes
    value: str


@dataclass(frozen=True, slots=True)
class Gate:
    """A feature gate that somebody set."""

    component: str  # whose gate it is: "kubeadm", "kubelet", "kube-proxy", "kube-apiserver" …
    place: str  # the ConfigMap, and the part of it, that sets it
    name: str
    value: str  # "true", "false"


@dataclass(frozen=True, slots=True)
class Declarations:
    """As far as they could be read; a ConfigMap that is not there declares nothing."""

    api_version: str = ""  # of kubeadm's ClusterConfiguration: "kubeadm.k8s.io/v1beta4"
    arguments: tuple[Argument, ...] = ()
    gates: tuple[Gate, ...] = ()
    external_etcd: tuple[str, ...] = ()  # its endpoints; () for the etcd that kubeadm makes
    etcd_tag: str = ""  # that somebody pinned
    dns_tag: str = ""
    kubelets_read: bool = False  # whether the kubelets' configuration is known
    fail_cgroup_v1: bool | None = None  # of the kubelets; None where it is not set
    kubelet_settings: tuple[
        tuple[str, str], ...
    ] = ()  # the kubelets' own: path (`evictionHard.memory.available`), value


def read_cluster_configuration(raw: Mapping[str, Any]) -> Declarations:
    """Of kubeadm-config; raises TypeError, ValueError or AttributeError for what is none."""
    etcd, dns = raw.get("etcd") or {}, raw.get("dns") or {}
    arguments = tuple(_arguments(raw))
    of_components = (
        Gate(a.component, f"kubeadm-config's extraArgs of {a.component}", *pair)
        for a in arguments
        if a.name == _GATES
        for pair in read_gates(a.value)
    )
    own = (
        Gate(KUBEADM, "kubeadm-config's featureGates", str(name), _word(value))
        for name, value in (raw.get("featureGates") or {}).items()
    )
    return Declarations(
        api_version=str(raw.get("apiVersion") or ""),
        arguments=arguments,
        gates=(*of_components, *own),
        external_etcd=tuple(map(str, (etcd.get("external") or {}).get("endpoints") or ())),
        etcd_tag=str((etcd.get("local") or {}).get("imageTag") or ""),
        dns_tag=str(dns.get("imageTag") or ""),
    )


def read_kubelet_configuration(raw: Mapping[str, Any]) -> Declarations:
    refuses = raw.get("failCgroupV1")
    return Declarations(
        gates=tuple(_gates(KUBELET, "the ConfigMap kubelet-config", raw)),
        kubelets_read=True,
        fail_cgroup_v1=refuses if isinstance(refuses, bool) else None,
        kubelet_settings=tuple(_by_path({n: v for n, v in raw.items() if n != _OWN_GATES})),
    )


def _by_path(value: Any, path: str = "", deep: int = 0) -> Iterator[tuple[str, str]]:
    """Every word by its path, what a list holds by its number; as the node script tells a machine's own."""
    if isinstance(value, Mapping | list):
        inner = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, part in inner if deep < _DEEPEST else ():
            yield from _by_path(part, f"{path}.{name}" if path else str(name), deep + 1)
    elif value is not None:
        yield path, _word(value)


def read_proxy_configuration(raw: Mapping[str, Any]) -> Declarations:
    return Declarations(gates=tuple(_gates(KUBE_PROXY, "the ConfigMap kube-proxy", raw)))


def _arguments(raw: Mapping[str, Any]) -> Iterator[Argument]:
    """A map until v1beta3, a list of names and values from v1beta4 on."""
    parts = {_PARTS[key]: raw.get(key) for key in _PARTS} | {"etcd": (raw.get("etcd") or {}).get("local")}
    for component, part in parts.items():
        extra = (part or {}).get("extraArgs") or {}
        pairs = extra.items() if isinstance(extra, Mapping) else ((e["name"], e.get("value", "")) for e in extra)
        yield from (Argument(component, str(name).lstrip("-"), _word(value)) for name, value in pairs)


def _gates(component: str, place: str, raw: Mapping[str, Any]) -> Iterator[Gate]:
    for name, value in (raw.get("featureGates") or {}).items():
        yield Gate(component, place, str(name), _word(value))


def read_gates(text: str) -> Iterator[tuple[str, str]]:
    """Names and values of `A=true,B=false`, as a flag has them."""
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = part.partition("=")
        yield name.strip(), value.strip().lower()


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
