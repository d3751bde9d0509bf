"""Static pod manifests as kubeadm writes them, and which etcd, CoreDNS and pause belong to each minor."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")  # the order of an upgrade
KUBE_COMPONENTS = COMPONENTS[1:]
REGISTRY = "registry.k8s.io"

_IMAGE = re.compile(r"^\s*image:\s*(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Companions:
    """What kubeadm of one minor installs beside Kubernetes, without the leading v of etcd's tag."""

    etcd: str
    coredns: str
    pause: str


COMPANIONS: Mapping[str, Companions] = {
    "v1.30": Companions("3.5.15-0", "v1.11.3", "3.9"),
    "v1.31": Companions("3.5.24-0", "v1.11.3", "3.10"),
    "v1.32": Companions("3.5.24-0", "v1.11.3", "3.10"),
    "v1.33": Companions("3.5.24-0", "v1.12.0", "3.10"),
    "v1.34": Companions("3.6.5-0", "v1.12.1", "3.10.1"),
    "v1.35": Companions("3.6.6-0", "v1.13.1", "3.10.1"),
    "v1.36": Companions("3.6.8-0", "v1.14.2", "3.10.2"),
    "v1.37": Companions("3.6.11-0", "v1.14.2", "3.10.2"),
}


@dataclass(frozen=True, slots=True)
class Seat:
    """What of a manifest depends on the machine and the cluster, not on the version."""

    name: str
    address: str
    port: int
    cluster: str
    peers: str  # etcd's --initial-cluster
    outside_etcd: tuple[str, ...] = ()  # endpoints, where etcd is not kubeadm's

    @property
    def components(self) -> tuple[str, ...]:
        """Those that kubeadm writes a manifest of."""
        return KUBE_COMPONENTS if self.outside_etcd else COMPONENTS


def minor_of(version: str) -> str:
    """`v1.35` of `v1.35.4`."""
    return ".".join(version.split(".")[:2])


def image(component: str, version: str, registry: str = REGISTRY) -> str:
    """The image that kubeadm of that version wants."""
    beside = COMPANIONS[minor_of(version)]
    match component:
        case "etcd":
            return f"{registry}/etcd:{beside.etcd}"
        case "coredns":
            return f"{registry}/coredns/coredns:{beside.coredns}"
        case "pause":
            return f"{registry}/pause:{beside.pause}"
        case _:
            return f"{registry}/{component}:{version}"


def images(version: str, registry: str = REGISTRY) -> list[str]:
    """All images in the order of `kubeadm config images list`."""
    names = (*KUBE_COMPONENTS, "kube-proxy", "coredns", "pause", "etcd")
    return [image(name, version, registry) for name in names]


def template(name: str) -> str:
    return (files("lab") / "manifests" / name).read_text(encoding="utf-8")


def render(component: str, version: str, seat: Seat) -> str:
    """The manifest of one component on one machine."""
    text = template(f"{component}.yaml")
    for key, value in {
        "IMAGE": image(component, version),
        "NAME": seat.name,
        "ADDRESS": seat.address,
        "PORT": str(seat.port),
        "CLUSTER": seat.cluster,
        "PEERS": seat.peers,
        "ETCD": ",".join(seat.outside_etcd) or "https://127.0.0.1:2379",
    }.items():
        text = text.replace(f"@{key}@", value)
    return text


def image_of(manifest: str) -> str:
    """The image that a manifest names, or ""."""
    match = _IMAGE.search(manifest)
    return match[1] if match else ""


def tag_of(manifest: str) -> str:
    """`v1.34.7` of the manifest's image."""
    return image_of(manifest).rpartition(":")[2]


def flag_of(manifest: str, name: str) -> str:
    """The value of one flag of the manifest's command, or ""."""
    match = re.search(rf"^\s*- --{name}=(\S+)\s*$", manifest, re.MULTILINE)
    return match[1] if match else ""


def diff(old: str, new: str, path: str) -> str:
    """What `kubeadm upgrade diff` prints for one manifest: no context lines; nothing when they are equal."""
    rows = difflib.unified_diff(old.splitlines(), new.splitlines(), path, "new manifest", n=0, lineterm="")
    return "".join(f"{row.rstrip()}\n" for row in rows)
