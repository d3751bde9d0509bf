"""The upgrade plan: what is asked for. Its digest is what people approve and what runs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from cluster.difference import Difference
from cluster.errors import StaleMove
from cluster.findings import Findings
from cluster.hooks import Moment, PlanHook
from cluster.options import Options
from cluster.report import ClusterIdentity
from cluster.versions import KubeVersion, PackageVersion


class Role(StrEnum):
    """A node's part in kubeadm's order."""

    FIRST_CONTROL_PLANE = "first-control-plane"
    CONTROL_PLANE = "control-plane"
    WORKER = "worker"


class PlanKind(StrEnum):
    """`revert` puts a hand-edited control plane to its declared version, `rollback` a worker's kubelet to its last."""

    UPGRADE = "upgrade"
    REVERT = "revert"
    ROLLBACK = "rollback"


class PlanStatus(StrEnum):
    """Where a plan stands; see `PLAN_MOVES`."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"


PLAN_MOVES = frozenset(
    (PlanStatus.PROPOSED, to) for to in (PlanStatus.APPROVED, PlanStatus.REJECTED, PlanStatus.EXPIRED, PlanStatus.VOID)
)


# What was added to plans later is left out of their JSON while it says what was always so: digests of old plans hold.
_Whole = Annotated[bool, Field(exclude_if=lambda value: value)]
_Moves = Annotated[tuple[int, ...] | None, Field(exclude_if=lambda value: value is None)]


@dataclass(frozen=True, slots=True)
class Hop:
    """One minor (or patch) step, with the exact packages that the machines' source offers."""

    target: KubeVersion
    kubeadm: PackageVersion
    kubelet: PackageVersion
    kubectl: PackageVersion
    whole: _Whole = True  # False: the control plane is there; kubelets move that the next hop would be too far for


@dataclass(frozen=True, slots=True)
class PlanNode:
    """One machine of the plan; the UID tells a rebuilt node from the one that was seen."""

    name: str
    uid: str
    role: Role
    moves: _Moves = None  # the hops, counted from 0, at which its kubelet moves; None: every whole one


_Names = Annotated[tuple[str, ...], Field(exclude_if=lambda value: not value)]
_Nodes = Annotated[tuple[PlanNode, ...], Field(exclude_if=lambda value: not value)]
_Hooks = Annotated[tuple[PlanHook, ...], Field(exclude_if=lambda value: not value)]
_Number = Annotated[int, Field(exclude_if=lambda value: not value)]
_Flag = Annotated[bool, Field(exclude_if=lambda value: not value)]


@dataclass(frozen=True, slots=True)
class PlanPool:
    """Nodes that move under one limit; the control plane is the pool `control-plane`."""

    name: str
    max_unavailable: int
    nodes: tuple[PlanNode, ...]
    left_out: _Nodes = ()  # workers that no step touches, as was asked; while they are away they count all the same
    canary: _Number = 0  # so many workers go before all others of the pool, at each hop
    soak: _Number = 0  # seconds from the last canary's end until the others follow
    ramp: _Flag = False  # waves that double, each when the one before ended well, up to the limit
    failure_budget: _Number = 0  # so many may be blocked while others begin

    @property
    def members(self) -> frozenset[str]:
        """Everybody whose absence counts against the limit."""
        return frozenset(n.name for n in (*self.nodes, *self.left_out))


@dataclass(frozen=True)  # without slots: what follows from it is worked out once, also for thousands of nodes
class UpgradePlan:
    """The intent. Whatever is in here is in the digest; live state, order and estimates are beside it."""

    kind: PlanKind
    identity: ClusterIdentity
    hops: tuple[Hop, ...]
    pools: tuple[PlanPool, ...]
    options: Options
    accepted: tuple[str, ...] = ()  # warnings that the approval covers: "code", or "code:subject" where only that one
    schema: int = 1
    last: _Names = ()  # workers that begin after all others, of whichever pool
    hooks: _Hooks = ()  # in the order in which they run

    @property
    def cluster(self) -> str:
        return self.identity.name

    @property
    def target(self) -> KubeVersion:
        return self.hops[-1].target

    @cached_property
    def nodes(self) -> tuple[PlanNode, ...]:
        return tuple(n for pool in self.pools for n in pool.nodes)

    @cached_property
    def left_out(self) -> tuple[PlanNode, ...]:
        return tuple(n for pool in self.pools for n in pool.left_out)

    @cached_property
    def moments(self) -> frozenset[Moment]:
        """At which it has hooks."""
        return frozenset(hook.moment for hook in self.hooks)

    @cached_property
    def whole_hops(self) -> tuple[bool, ...]:
        return tuple(h.whole for h in self.hops)

    def node(self, name: str) -> PlanNode | None:
        return self._by_name.get(name)

    def leaving_out(self, names: frozenset[str]) -> UpgradePlan:
        """The plan without these nodes, as members of their pools all the same."""
        return replace(self, pools=tuple(_leaving_out(pool, names) for pool in self.pools))

    @cached_property
    def _by_name(self) -> dict[str, PlanNode]:
        return {n.name: n for n in reversed(self.nodes)}

    def pool_of(self, name: str) -> PlanPool:
        return next(p for p in self.pools if any(n.name == name for n in p.nodes))

    @cached_property
    def digest(self) -> str:
        """SHA-256, hex, over the canonical JSON (sorted keys, no spaces, UTF-8)."""
        return hashlib.sha256(canonical(_PLAN.dump_python(self, mode="json"))).hexdigest()


@dataclass(frozen=True)  # without slots, as the plan
class Basis:
    """What was seen when the plan was drafted; a foreign change is measured against it."""

    api_servers: tuple[tuple[str, str], ...]  # node → version
    kubelets: tuple[tuple[str, str], ...]
    declared: str
    seen_at: datetime

    @cached_property
    def api_server_of(self) -> dict[str, str]:
        return dict(self.api_servers)

    @cached_property
    def kubelet_of(self) -> dict[str, str]:
        return dict(self.kubelets)


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan with everything beside it: who asked, where, until when, what was found."""

    id: str  # p-xxxxxxxx
    plan: UpgradePlan
    digest: str
    status: PlanStatus
    requester: str  # a person's name as in `people:`
    requested_at: datetime
    expires_at: datetime
    findings: Findings
    basis: Basis
    channel: str = ""  # where it may be decided; "" when asked for on the command line
    estimate: tuple[int, int] = (0, 0)  # seconds, shortest and longest
    decided_by: str = ""
    decided_at: datetime | None = None
    reason: str = ""  # why it was rejected, expired or void
    request_id: str = ""
    left_out_for: tuple[tuple[str, str], ...] = ()  # each worker left out, and what would block the plan with it
    order: tuple[str, ...] = ()  # who goes when, a sentence for each reason
    blocked_workers: tuple[str, ...] = ()  # without these nothing would block this plan
    estimate_grounds: str = ""  # what the estimate rests on
    difference: Difference | None = None  # from the plan before, where that was not approved
    asked: _Names = ()  # options that this plan was asked for by name

    @property
    def token(self) -> str:
        """What a button carries: `plan-id:digest8`."""
        return f"{self.id}:{self.digest[:8]}"


def _leaving_out(pool: PlanPool, names: frozenset[str]) -> PlanPool:
    stay = tuple(n for n in pool.nodes if n.name in names)
    return replace(pool, nodes=tuple(n for n in pool.nodes if n.name not in names), left_out=(*pool.left_out, *stay))


def check_plan_move(old: PlanStatus, new: PlanStatus) -> None:
    """Raises StaleMove for a move that PLAN_MOVES does not list."""
    if (old, new) not in PLAN_MOVES:
        raise StaleMove(f"A plan that is {old} cannot become {new}; look at it again with `status`.")


def canonical(value: Any) -> bytes:
    """The one byte form of a JSON value that digests and signatures are made over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


_PLAN = TypeAdapter(UpgradePlan)
