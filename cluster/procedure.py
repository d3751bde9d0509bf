"""The order of an upgrade as data: which node takes which step in which stage; read `STAGES` first."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from cluster.hooks import Moment
from cluster.options import Reboot
from cluster.plan import PlanKind, PlanNode, Role, UpgradePlan


class Phase(StrEnum):
    """A stage of a hop; no node enters one before every node has left the ones before."""

    OPENING = "opening"
    PREPARE = "prepare"
    CONTROL_PLANE = "control-plane"
    CONTROL_PLANE_KUBELETS = "control-plane-kubelets"
    WORKERS = "workers"
    AFTER = "after"
    CLOSING = "closing"


class Verb(StrEnum):
    """One step on one node."""

    HOLD = "hold"
    FETCH = "fetch"
    PULL_IMAGES = "pull-images"
    SET_SOURCE = "set-source"
    INSTALL_KUBEADM = "install-kubeadm"
    PLAN = "plan"
    SNAPSHOT_ETCD = "snapshot-etcd"
    APPLY = "apply"
    UPGRADE_NODE = "upgrade-node"
    VERIFY_CONTROL_PLANE = "verify-control-plane"
    CORDON = "cordon"
    DRAIN = "drain"
    INSTALL_KUBELET = "install-kubelet"
    RESTART_KUBELET = "restart-kubelet"
    REBOOT = "reboot"
    VERIFY_NODE = "verify-node"
    SMOKE_TEST = "smoke-test"
    UNCORDON = "uncordon"
    PRUNE = "prune"
    UNHOLD = "unhold"
    REVERT = "revert"
    ROLL_BACK_KUBELET = "roll-back-kubelet"
    PRE_RUN = "pre-run"
    PRE_DRAIN = "pre-drain"
    POST_UPGRADE = "post-upgrade"
    POST_RUN = "post-run"


DOING: dict[Verb, str] = {  # what the thread says while the step is in hand
    Verb.HOLD: "holding packages",
    Verb.FETCH: "fetching packages",
    Verb.PULL_IMAGES: "pulling images",
    Verb.SET_SOURCE: "switching the package source",
    Verb.INSTALL_KUBEADM: "installing kubeadm",
    Verb.PLAN: "checking with kubeadm upgrade plan",
    Verb.SNAPSHOT_ETCD: "taking an etcd snapshot",
    Verb.APPLY: "running kubeadm upgrade apply",
    Verb.UPGRADE_NODE: "running kubeadm upgrade node",
    Verb.VERIFY_CONTROL_PLANE: "checking its control plane",
    Verb.CORDON: "cordoning",
    Verb.DRAIN: "draining",
    Verb.INSTALL_KUBELET: "installing kubelet and kubectl",
    Verb.RESTART_KUBELET: "restarting the kubelet",
    Verb.REBOOT: "rebooting the machine",
    Verb.VERIFY_NODE: "checking the node",
    Verb.SMOKE_TEST: "running a smoke pod",
    Verb.UNCORDON: "uncordoning",
    Verb.PRUNE: "removing old backups of kubeadm",
    Verb.UNHOLD: "restoring package holds",
    Verb.REVERT: "putting the control plane back to its declared version",
    Verb.ROLL_BACK_KUBELET: "putting the kubelet back to its last version",
    Verb.PRE_RUN: "running the hooks before the run",
    Verb.PRE_DRAIN: "running the hooks before the drain",
    Verb.POST_UPGRADE: "running the hooks after the upgrade",
    Verb.POST_RUN: "running the hooks after the run",
}

_PREPARE = (Verb.HOLD, Verb.FETCH, Verb.PULL_IMAGES)
_KUBELET = (
    Verb.CORDON,
    Verb.PRE_DRAIN,
    Verb.DRAIN,
    Verb.INSTALL_KUBELET,
    # Restarted before a reboot all the same: a kubelet that does not start is told from a machine that does not boot.
    Verb.RESTART_KUBELET,
    Verb.REBOOT,
    Verb.VERIFY_NODE,
    Verb.SMOKE_TEST,
    Verb.UNCORDON,
    Verb.POST_UPGRADE,
)
HOOKS = frozenset({Verb.PRE_RUN, Verb.PRE_DRAIN, Verb.POST_UPGRADE, Verb.POST_RUN})
# What they follow is done: where one of them fails a person may go on without it. The others are conditions.
LATER_HOOKS = frozenset({Verb.POST_UPGRADE, Verb.POST_RUN})
_OPTIONAL = HOOKS | {Verb.REBOOT}  # steps that only a plan has which asks for them
_NEW_KUBEADM = (Verb.SET_SOURCE, Verb.INSTALL_KUBEADM)
# First of all its cordon: what is evicted from one worker of a window must not land on the next one.
_WORKER = (Verb.CORDON, *_NEW_KUBEADM, Verb.UPGRADE_NODE, *_KUBELET[1:])

# (phase, role) → what a node of that role does in that phase of a hop
STAGES: dict[tuple[Phase, Role], tuple[Verb, ...]] = {
    (Phase.PREPARE, Role.FIRST_CONTROL_PLANE): _PREPARE,
    (Phase.PREPARE, Role.CONTROL_PLANE): _PREPARE,
    (Phase.PREPARE, Role.WORKER): _PREPARE,
    (Phase.CONTROL_PLANE, Role.FIRST_CONTROL_PLANE): (
        # Before the first change of the hop, and not in its preparation: what was written since the snapshot is lost by
        # whoever goes back to it, and thousands of machines may have to fetch their packages first.
        Verb.SNAPSHOT_ETCD,
        *_NEW_KUBEADM,
        Verb.PLAN,
        Verb.APPLY,
        Verb.VERIFY_CONTROL_PLANE,
    ),
    (Phase.CONTROL_PLANE, Role.CONTROL_PLANE): (*_NEW_KUBEADM, Verb.UPGRADE_NODE, Verb.VERIFY_CONTROL_PLANE),
    (Phase.CONTROL_PLANE_KUBELETS, Role.FIRST_CONTROL_PLANE): _KUBELET,
    (Phase.CONTROL_PLANE_KUBELETS, Role.CONTROL_PLANE): _KUBELET,
    (Phase.WORKERS, Role.WORKER): _WORKER,
}
# the same, for a hop that is not whole: the control plane is there already, and a few kubelets catch up with it
CATCHING_UP: dict[tuple[Phase, Role], tuple[Verb, ...]] = {
    (Phase.PREPARE, Role.FIRST_CONTROL_PLANE): _PREPARE,
    (Phase.PREPARE, Role.CONTROL_PLANE): _PREPARE,
    (Phase.PREPARE, Role.WORKER): _PREPARE,
    (Phase.CONTROL_PLANE_KUBELETS, Role.FIRST_CONTROL_PLANE): (Verb.SET_SOURCE, *_KUBELET),
    (Phase.CONTROL_PLANE_KUBELETS, Role.CONTROL_PLANE): (Verb.SET_SOURCE, *_KUBELET),
    (Phase.WORKERS, Role.WORKER): _WORKER,
}
# the kubelet of a worker alone: its kubeadm and its package source stay, for the next upgrade to go on from
ROLLING_BACK: dict[tuple[Phase, Role], tuple[Verb, ...]] = {
    (Phase.PREPARE, Role.WORKER): (Verb.HOLD, Verb.FETCH),
    (Phase.WORKERS, Role.WORKER): (
        Verb.CORDON,
        Verb.PRE_DRAIN,
        Verb.DRAIN,
        Verb.ROLL_BACK_KUBELET,
        Verb.VERIFY_NODE,
        Verb.SMOKE_TEST,
        Verb.UNCORDON,
        Verb.POST_UPGRADE,
    ),
}
_AFTER: dict[Role, tuple[Verb, ...]] = {  # kubeadm leaves copies of etcd behind, and none of them ever goes
    Role.FIRST_CONTROL_PLANE: (Verb.PRUNE, Verb.UNHOLD),
    Role.CONTROL_PLANE: (Verb.PRUNE, Verb.UNHOLD),
    Role.WORKER: (Verb.UNHOLD,),
}
GIVING_BACK = frozenset({Phase.AFTER, Phase.CLOSING})  # what is left there is right whatever else has happened
_ORDER = {phase: index for index, phase in enumerate(Phase)}
_HOP_PHASES = (Phase.PREPARE, Phase.CONTROL_PLANE, Phase.CONTROL_PLANE_KUBELETS, Phase.WORKERS)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one node's way: `hop` counts from 0; steps of one (hop, phase) form a stage."""

    hop: int
    phase: Phase
    verb: Verb

    @property
    def stage(self) -> tuple[int, int]:
        return self.hop, _ORDER[self.phase]


def itinerary(plan: UpgradePlan, node: PlanNode) -> tuple[Step, ...]:
    """Every step of this node, in order, over all hops; an index into it is a node row's position."""
    return _itinerary(plan.kind, plan.whole_hops, node.role, node.moves, _chosen(plan))


def _chosen(plan: UpgradePlan) -> frozenset[Verb]:
    """The optional steps that this plan asks for."""
    return _optional(plan.kind, plan.options.reboot, plan.moments)


@cache
def _optional(kind: PlanKind, reboot: Reboot, moments: frozenset[Moment]) -> frozenset[Verb]:
    if kind is PlanKind.REVERT:
        return frozenset()
    rebooted = {Verb.REBOOT} if reboot is not Reboot.NEVER else set()
    return frozenset(rebooted | {Verb(moment) for moment in moments})


def fingerprint(plan: UpgradePlan) -> str:
    """Eight hex digits of every way of this plan: two releases of lockkeeper that differ here read rows differently."""
    ways = {(n.role, n.moves): itinerary(plan, n) for n in plan.nodes}
    told = sorted(
        f"{role} {moves}: {[f'{s.hop}/{s.phase}/{s.verb}' for s in way]}" for (role, moves), way in ways.items()
    )
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]


@cache  # a handful of values, asked for by every row of thousands
def _itinerary(
    kind: PlanKind, whole_hops: tuple[bool, ...], role: Role, moves: tuple[int, ...] | None, chosen: frozenset[Verb]
) -> tuple[Step, ...]:
    if kind is PlanKind.REVERT:
        if role is Role.WORKER:
            return ()
        verbs = (Verb.HOLD, Verb.REVERT, Verb.VERIFY_CONTROL_PLANE)
        return (*(Step(0, Phase.CONTROL_PLANE, v) for v in verbs), *_after(0, role))
    if kind is PlanKind.ROLLBACK:
        if role is not Role.WORKER:  # a downgrade of a control plane is not supported: there is no way to take
            return ()
        way = (Step(0, phase, v) for phase in _HOP_PHASES for v in ROLLING_BACK.get((phase, role), ()))
        return (*(s for s in way if s.verb not in _OPTIONAL or s.verb in chosen), *_after(0, role))
    steps = [
        Step(hop, phase, verb)
        for hop, is_whole in enumerate(whole_hops)
        for phase in _HOP_PHASES
        for verb in _verbs(phase, role, hop, is_whole=is_whole, moves=moves)
        if verb not in _OPTIONAL or verb in chosen
        if verb is not Verb.REBOOT or hop == _last_move(whole_hops, moves)
    ]
    last = len(whole_hops) - 1
    steps += _after(last, role)
    if role is not Role.FIRST_CONTROL_PLANE:
        return tuple(steps)
    before, after = Step(0, Phase.OPENING, Verb.PRE_RUN), Step(last, Phase.CLOSING, Verb.POST_RUN)
    return tuple(s for s in (before, *steps, after) if s.verb not in _OPTIONAL or s.verb in chosen)


def _after(hop: int, role: Role) -> tuple[Step, ...]:
    return tuple(Step(hop, Phase.AFTER, verb) for verb in _AFTER[role])


def _verbs(phase: Phase, role: Role, hop: int, *, is_whole: bool, moves: tuple[int, ...] | None) -> tuple[Verb, ...]:
    stays = not (is_whole if moves is None else hop in moves)
    if stays and (role is Role.WORKER or not is_whole):
        # its turn comes later, or was before: but from the beginning on nobody else may change its packages
        return (Verb.HOLD,) if hop == 0 and phase is Phase.PREPARE else ()
    return (STAGES if is_whole else CATCHING_UP).get((phase, role), ())


def _last_move(whole_hops: tuple[bool, ...], moves: tuple[int, ...] | None) -> int:
    """The hop of a node's last visit: once all its packages are there, one reboot serves for all of them."""
    return max((i for i, is_whole in enumerate(whole_hops) if (is_whole if moves is None else i in moves)), default=-1)


def reboots(plan: UpgradePlan, node: PlanNode, hop: int) -> bool:
    """Whether this node's machine may be rebooted at that hop."""
    return Verb.REBOOT in _chosen(plan) and hop == _last_move(plan.whole_hops, node.moves)


def way_back(steps: tuple[Step, ...]) -> int:
    """Where what is left of a way only gives back what was changed: its package holds are the last of that."""
    return max(n for n, step in enumerate(steps) if step.verb is Verb.UNHOLD)


def kubelet_moves(plan: UpgradePlan, node: PlanNode, hop: int) -> bool:
    """Whether this node's kubelet is upgraded at that hop."""
    return plan.hops[hop].whole if node.moves is None else hop in node.moves


def disturbs(verb: Verb) -> bool:
    """Whether a node is away from its work from this step on, until it is uncordoned."""
    return (verb in _KUBELET and verb is not Verb.POST_UPGRADE) or verb is Verb.ROLL_BACK_KUBELET


def is_away(steps: tuple[Step, ...], position: int) -> bool:
    """Whether a node at this place of its way is away from its work: from the stage's cordon on, to its uncordon."""
    step = steps[position]
    return _has(steps[: position + 1], step, Verb.CORDON) and not _has(steps[:position], step, Verb.UNCORDON)


def is_whole(steps: tuple[Step, ...], position: int) -> bool:
    """Whether a cordoned node could work as before: its drain, which comes before all that changes it, is not over."""
    return is_away(steps, position) and _has(steps[position:], steps[position], Verb.DRAIN)


def _has(steps: tuple[Step, ...], like: Step, verb: Verb) -> bool:
    return any(s.verb is verb and s.stage == like.stage for s in steps)
