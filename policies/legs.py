"""The way of a plan in legs: which nodes go which steps together, in the order in which it happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.plan import PlanNode, Role, UpgradePlan
from cluster.procedure import GIVING_BACK, Phase, Step, Verb, itinerary
from policies.pools import CONTROL_PLANE

ANY_NUMBER = 0
_TOGETHER = frozenset({Phase.OPENING, Phase.PREPARE}) | GIVING_BACK  # nobody is disturbed, so pools do not matter


@dataclass(frozen=True, slots=True)
class Leg:
    """Nodes that take the same steps, each all of them before the next node begins unless more may be `at_once`."""

    hop: int  # counted from 0
    phase: Phase
    pool: str  # "" where all pools go together
    at_once: int  # nodes that may be on it at the same time; 0 for any number
    nodes: tuple[str, ...]  # in order
    verbs: tuple[Verb, ...]


def legs(plan: UpgradePlan) -> tuple[Leg, ...]:
    """Every step of every node, each once; nobody begins a leg of a later phase before all have left this one."""
    ways = [(node, itinerary(plan, node)) for node in plan.nodes]
    stages = {step.stage: step for _, steps in ways for step in steps}
    return tuple(leg for _, step in sorted(stages.items()) for leg in _of_stage(plan, step, ways))


def _of_stage(plan: UpgradePlan, stage: Step, ways: list[tuple[PlanNode, tuple[Step, ...]]]) -> Iterator[Leg]:
    groups: dict[tuple[bool, str, tuple[Verb, ...]], list[PlanNode]] = {}
    pools = {n.name: p.name for p in plan.pools for n in p.nodes}
    limits = {p.name: p.max_unavailable for p in plan.pools}
    for node, steps in ways:
        if verbs := tuple(s.verb for s in steps if s.stage == stage.stage):
            pool = "" if stage.phase in _TOGETHER else pools[node.name]
            waits = bool(pool) and node.name in plan.last
            groups.setdefault((waits, pool, verbs), []).append(node)
    for (_, pool, verbs), nodes in sorted(groups.items(), key=lambda item: item[0][0]):
        limit = 1 if pool == CONTROL_PLANE else limits.get(pool, ANY_NUMBER)
        yield Leg(stage.hop, stage.phase, pool, limit, tuple(n.name for n in _first_one_first(nodes)), verbs)


def _first_one_first(nodes: list[PlanNode]) -> list[PlanNode]:
    return sorted(nodes, key=lambda n: n.role is not Role.FIRST_CONTROL_PLANE)
