"""Until when the certificates on one machine are good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate of kubeadm's list, or the kubelet's own; `until` is None where the file is missing."""

    name: str
    until: datetime | None
    authority: bool = False  # a CA
    external: bool = False  # its CA's key is not on the machine: kubeadm cannot renew it
    since: datetime | None = None  # kubeadm's list does not say it


KUBELET = "kubelet-client"  # kubeadm does not list it: the kubelet renews it itself
