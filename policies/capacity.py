"""
Whether the pods of each batch of nodes fit on the others: an estimate, and said to be one.

Each batch is judged against the cluster as it was seen: requests against what is allocatable, largest pods first, on
whichever next node takes them. What the scheduler can do beyond that (preemption, pod affinity) is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cluster.findings import Finding, Severity
from cluster.plan import PlanPool
from cluster.report import ClusterReport
from cluster.workloads import Amounts, NodeChoice, Placement, Taint, Toleration, Workload, Workloads
from policies.crowds import Crowds
from policies.places import Places
from policies.wording import count_of, some_of

Suit = tuple[tuple[Toleration, ...], tuple[NodeChoice, ...]]
_ENOUGH = 5  # workloads that do not fit, after which a batch is looked at no further


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Pods of one workload for which no node was found."""

    workload: Workload
    count: int
    crowded: bool  # some node suits them by its labels and taints, and has no room or too much company

    def __str__(self) -> str:
        why = "no room" if self.crowded else "no other node suits"
        return f"{self.workload.place} ({count_of(self.count, 'pod')}, {why})"


def check_capacity(
    found: Workloads, pools: tuple[PlanPool, ...], report: ClusterReport, places: Places
) -> Iterator[Finding]:
    """For each pool its first batch that does not fit."""
    if not found.nodes:
        return  # their room was not read, which is said elsewhere
    site = Site(found, report, places)
    for pool in pools:
        for number, batch in enumerate(_batches(pool), start=1):
            if unplaced := site.place(batch):
                yield _short(pool, number, batch, unplaced)
                break


def _batches(pool: PlanPool) -> Iterator[frozenset[str]]:
    names = [n.name for n in pool.nodes]
    for start in range(0, len(names), pool.max_unavailable):
        yield frozenset(names[start : start + pool.max_unavailable])


def _short(pool: PlanPool, number: int, batch: frozenset[str], unplaced: list[Unplaced]) -> Finding:
    more = " at least" if len(unplaced) >= _ENOUGH else ""
    sentence = (
        f"Batch {number} of the pool {pool.name} ({some_of(sorted(batch))}): by our estimate{more} "
        f"{count_of(sum(u.count for u in unplaced), 'pod')} would not fit on the other nodes: "
        f"{some_of(map(str, unplaced))}."
    )
    smaller = " lower `max_unavailable` of the pool," if pool.max_unavailable > 1 else ""
    remedy = f"They stay Pending until their nodes are back: add nodes,{smaller} or see that this does no harm."
    return Finding("capacity-short", Severity.WARNING, pool.name, sentence, remedy)


class Site:
    """The nodes and what is on them; each batch is placed anew on what was seen."""

    def __init__(self, found: Workloads, report: ClusterReport, places: Places) -> None:
        self.crowds = Crowds(found.groups, places)
        self.free = {r.name: _less(r.allocatable, r.used) for r in found.nodes}
        self._groups = found.groups
        self._places = places
        self._taints = {r.name: r.taints for r in found.nodes}
        self._open = frozenset(n.name for n in report.nodes if n.ready and not n.cordoned and n.name in self.free)
        self._largest = _largest(found)
        self._hosts: dict[Suit, tuple[str, ...]] = {}
        self._on: dict[str, list[tuple[int, int]]] = {}
        for index, group in enumerate(found.groups):
            # whoever may run on one node alone is told of elsewhere; without a controller no pod comes back
            if group.kind and not places.pins(group.placement) and not places.binds(group.placement):
                for node, count in group.nodes:
                    self._on.setdefault(node, []).append((index, count))

    def place(self, batch: frozenset[str]) -> list[Unplaced]:
        """The pods of a batch that found no node, at least the first few workloads of them."""
        leaving: Counter[int] = Counter()
        for node in batch:
            for index, count in self._on.get(node, ()):
                leaving[index] += count
        attempt = _Attempt(self, batch)
        unplaced: list[Unplaced] = []
        for index in sorted(leaving, key=self._size):
            group, count = self._groups[index], leaving[index]
            if missing := count - attempt.settle(group, count):
                suited = any(n not in batch for n in self.hosts(suit_of(group.placement)))
                unplaced.append(Unplaced(group, missing, suited))
            if len(unplaced) == _ENOUGH:
                break
        return unplaced

    def hosts(self, suit: Suit) -> tuple[str, ...]:
        """The open nodes that suit a pod by their labels and taints."""
        if suit not in self._hosts:
            tolerations, choices = suit
            suiting = sorted(self._places.suiting(choices) & self._open)
            self._hosts[suit] = tuple(n for n in suiting if _tolerates(tolerations, self._taints[n]))
        return self._hosts[suit]

    def _size(self, index: int) -> tuple[float, str, int]:
        """Largest first, by the resource that a pod takes the largest share of."""
        group = self._groups[index]
        shares = (amount / self._largest[name] for name, amount in group.requests if self._largest.get(name))
        return -max(shares, default=0.0), group.place, index


class _Attempt:
    """One batch on its way: what is taken so far, and where the search for each kind of pod ended."""

    def __init__(self, site: Site, batch: frozenset[str]) -> None:
        self._site = site
        self._batch = batch
        self._left: dict[str, dict[str, int]] = {}
        self._turns: dict[Suit, int] = {}

    def settle(self, group: Workload, count: int) -> int:
        """How many of `count` pods find a node; each search goes on where the last one ended, as the scheduler's."""
        suit = suit_of(group.placement)
        hosts, company = self._site.hosts(suit), self._site.crowds.company(group, self._batch)
        for placed in range(count):
            start = self._turns.get(suit, 0)
            for step in range(len(hosts)):
                node = hosts[(start + step) % len(hosts)]
                if node not in self._batch and self._has_room(node, group.requests) and company.admits(node):
                    break
            else:
                return placed
            self._turns[suit] = start + step + 1
            self._take(node, group.requests)
            company.join(node)
        return count

    def _has_room(self, node: str, requests: Amounts) -> bool:
        left = self._left.get(node) or self._site.free[node]
        return all(left.get(name, 0) >= amount for name, amount in requests if amount)

    def _take(self, node: str, requests: Amounts) -> None:
        if node not in self._left:
            self._left[node] = dict(self._site.free[node])
        for name, amount in requests:
            self._left[node][name] = self._left[node].get(name, 0) - amount


def suit_of(placement: Placement) -> Suit:
    """What decides which nodes suit a pod by themselves: the same for most workloads."""
    return placement.tolerations, placement.choices


def _tolerates(tolerations: tuple[Toleration, ...], taints: tuple[Taint, ...]) -> bool:
    return all(any(t.tolerates(taint) for t in tolerations) for taint in taints)


def _less(allocatable: Amounts, used: Amounts) -> dict[str, int]:
    left = dict(allocatable)
    for name, amount in used:
        left[name] = left.get(name, 0) - amount
    return left


def _largest(found: Workloads) -> dict[str, int]:
    largest: dict[str, int] = {}
    for room in found.nodes:
        for name, amount in room.allocatable:
            largest[name] = max(largest.get(name, 0), amount)
    return largest
