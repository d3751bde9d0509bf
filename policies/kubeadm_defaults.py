"""What kubeadm deploys, demands and can migrate where nobody says otherwise, by data/kubeadm_defaults.yaml."""

from __future__ import annotations

from pydantic import Field

from cluster.versions import Minor
from policies.data_files import DataFile, Row


class Images(Row):
    """The tags that the newest kubeadm of a minor deploys."""

    minor: Minor
    etcd: str
    coredns: str
    pause: str
    note: str = ""


class ExternalEtcd(Row):
    """The oldest etcd beside a control plane that kubeadm of this minor and later takes."""

    since: Minor = Field(alias="from")
    etcd: str


class Corefile(Row):
    """The plugins of a Corefile that kubeadm can carry over to another CoreDNS."""

    plugins: frozenset[str]


class KubeadmDefaults(DataFile):
    """The whole file."""

    images: tuple[Images, ...]
    external_etcd_minimum: tuple[ExternalEtcd, ...]
    corefile: tuple[Corefile, ...]


def read_file() -> KubeadmDefaults:
    return KubeadmDefaults.read("kubeadm_defaults.yaml")


def images_of(minor: Minor) -> Images | None:
    return next((i for i in read_file().images if i.minor == minor), None)


def external_etcd_minimum() -> str:
    """Of the newest kubeadm that is known to demand one."""
    return max(read_file().external_etcd_minimum, key=lambda row: row.since).etcd


def migrated_plugins() -> frozenset[str]:
    return frozenset[str]().union(*(row.plugins for row in read_file().corefile))
