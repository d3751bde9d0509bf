"""`other-distribution`: a cluster of k3s, which has neither static pods nor anything that kubeadm wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.packages import KUBE_PACKAGES
from lab.provision import MANIFESTS

if TYPE_CHECKING:
    from lab.machines import Machine


def make_otherwise(machine: Machine) -> None:
    """One program in the place of kubelet, runtime and control plane."""
    machine.packages.drop(*KUBE_PACKAGES)
    for manifest in machine.path(MANIFESTS).glob("*.yaml"):
        manifest.unlink()
