"""How a plan is carried out: what drains do, which hops workers take, what is rebooted; part of what is approved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field


class DrainMode(StrEnum):
    """Whether a patch restarts the kubelet in place (`minor-only`) or drains first as well (`always`)."""

    ALWAYS = "always"
    MINOR_ONLY = "minor-only"


class WorkerMoves(StrEnum):
    """Whether workers move at every hop, or only where the skew policy demands it and at the last one."""

    EVERY_HOP = "every-hop"
    WITHIN_SKEW = "within-skew"


class Reboot(StrEnum):
    """Whether a machine is rebooted in the last visit of its plan; `if-required`: where its system asks for that."""

    NEVER = "never"
    IF_REQUIRED = "if-required"
    ALWAYS = "always"


class Treatment(StrEnum):
    """What a drain does with pods that a rule picks."""

    STAY = "stay"  # they are not evicted
    FINISH = "finish"  # nor these, and the drain waits until they have ended by themselves
    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class PodRule:
    """How a drain treats some pods; of several rules that pick a pod the first one counts."""

    selector: str  # labels, as kubectl's -l takes them
    pods: Treatment
    namespace: str = ""  # "" for each


@dataclass(frozen=True, slots=True)
class DatabaseRule:
    """How the pods of a database show themselves whose operator does not come with lockkeeper."""

    name: str  # of what runs it, for people
    member: tuple[tuple[str, str], ...]  # labels that each instance has
    cluster: str  # the label with the database's name
    role: str  # the label that tells who takes the writes
    primary: tuple[str, ...]  # its values then
    moves_on_cordon: bool = False  # whether the primary is handed over as soon as its node is cordoned


# What was added later is left out of a plan's JSON while it says what was always so: digests of old plans hold.
_Databases = Annotated[tuple[DatabaseRule, ...], Field(exclude_if=lambda value: not value)]
_Rules = Annotated[tuple[PodRule, ...], Field(exclude_if=lambda value: not value)]
_Workers = Annotated[WorkerMoves, Field(exclude_if=lambda value: value == WorkerMoves.EVERY_HOP)]
_Reboot = Annotated[Reboot, Field(exclude_if=lambda value: value == Reboot.NEVER)]
_Flag = Annotated[bool, Field(exclude_if=lambda value: not value)]


@dataclass(frozen=True, slots=True)
class Options:
    """How the plan is carried out; part of the intent, so part of the digest. Times in seconds."""

    drain: DrainMode = DrainMode.ALWAYS
    drain_timeout: int = 900
    delete_emptydir: bool = False
    delete_unmanaged: bool = False
    without_snapshot: bool = False  # consent to go on where no etcdctl can be found
    workers: _Workers = WorkerMoves.EVERY_HOP
    reboot: _Reboot = Reboot.NEVER
    pod_rules: _Rules = ()
    databases: _Databases = ()
    surge: _Flag = False  # whether a Deployment of one replica gets a second one before its pod is evicted
