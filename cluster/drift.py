"""How one static pod's manifest differs from what kubeadm would write for the version that the cluster declares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drift:
    """`lines` are the first of those that differ: `-` has the machine, `+` kubeadm."""

    component: str
    count: int
    lines: tuple[str, ...]
