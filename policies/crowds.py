"""Company that pods may not keep: required anti-affinity and insisted spreads, as far as labels decide them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cluster.labels import LabelSelector
from cluster.workloads import NodeChoice, Workload
from policies.places import Places

Kin = tuple[tuple[str, ...], LabelSelector]  # namespaces, and whom is selected in them


@dataclass(slots=True)
class _Rule:
    """How many of the selected pods each domain of a topology has, and how many it may have."""

    topology: str
    before: Counter[str]
    moved: Counter[str]  # since then: those of the batch have left, and some have found a place
    counts_itself: bool
    max_skew: int | None = None  # None for anti-affinity: not one
    domains: frozenset[str] = frozenset()

    def admits(self, domain: str | None) -> bool:
        if domain is None:  # a spread needs the label, anti-affinity does not
            return self.max_skew is None
        there = self._count(domain)
        if self.max_skew is None:
            return there == 0
        return there + self.counts_itself - self._fewest() <= self.max_skew

    def _count(self, domain: str) -> int:
        return self.before[domain] + self.moved[domain]

    def _fewest(self) -> int:
        if self.before.total() + self.moved.total() < len(self.domains):
            return 0  # not enough pods for all domains: with thousands of them nobody needs to look
        return min(map(self._count, self.domains), default=0)


@dataclass(slots=True)
class Company:
    """The rules of one workload while the pods of a batch are placed."""

    places: Places
    rules: list[_Rule] = field(default_factory=list)

    def admits(self, node: str) -> bool:
        return all(r.admits(self.places.labels[node].get(r.topology)) for r in self.rules)

    def join(self, node: str) -> None:
        for rule in self.rules:
            domain = self.places.labels[node].get(rule.topology)
            if domain is not None and rule.counts_itself:
                rule.moved[domain] += 1


class Crowds:
    """Who is where, by selector; counted once for all batches."""

    def __init__(self, groups: tuple[Workload, ...], places: Places) -> None:
        self._places = places
        self._by_label: dict[tuple[str, tuple[str, str] | None], list[Workload]] = {}
        for group in groups:
            for label in (None, *group.labels):
                self._by_label.setdefault((group.namespace, label), []).append(group)
        self._on_nodes: dict[Kin, Counter[str]] = {}
        self._in_domains: dict[tuple[Kin, str], Counter[str]] = {}
        self._domains: dict[tuple[tuple[NodeChoice, ...], str], frozenset[str]] = {}

    def company(self, group: Workload, batch: frozenset[str]) -> Company:
        """The rules that `group` demands, once the pods of the batch have left their nodes."""
        placement, own = group.placement, dict(group.labels)
        rules = []
        for spread in placement.spreads:
            rule = self._rule(((group.namespace,), spread.selector), spread.topology, batch, own)
            rule.max_skew, rule.domains = spread.max_skew, self._domains_of(placement.choices, spread.topology)
            rules.append(rule)
        rules += [self._rule((a.namespaces, a.selector), a.topology, batch, own) for a in placement.apart]
        return Company(self._places, rules)

    def _rule(self, kin: Kin, topology: str, batch: frozenset[str], own: dict[str, str]) -> _Rule:
        on_nodes, moved = self._nodes_of(kin), Counter[str]()
        for node in batch:
            domain = self._places.labels.get(node, {}).get(topology)
            if domain is not None and node in on_nodes:
                moved[domain] -= on_nodes[node]
        return _Rule(topology, self._counts(kin, topology), moved, counts_itself=kin[1].selects(own))

    def _counts(self, kin: Kin, topology: str) -> Counter[str]:
        if (kin, topology) not in self._in_domains:
            counted: Counter[str] = Counter()
            for node, count in self._nodes_of(kin).items():
                if (domain := self._places.labels.get(node, {}).get(topology)) is not None:
                    counted[domain] += count
            self._in_domains[kin, topology] = counted
        return self._in_domains[kin, topology]

    def _nodes_of(self, kin: Kin) -> Counter[str]:
        if kin not in self._on_nodes:
            namespaces, selector = kin
            counted: Counter[str] = Counter()
            for namespace in namespaces:
                for group in self._by_label.get((namespace, selector.anchor), ()):
                    if selector.selects(dict(group.labels)):
                        counted.update(dict(group.nodes))
            self._on_nodes[kin] = counted
        return self._on_nodes[kin]

    def _domains_of(self, choices: tuple[NodeChoice, ...], topology: str) -> frozenset[str]:
        if (choices, topology) not in self._domains:
            suiting, known = self._places.suiting(choices), self._places.with_label(topology)
            self._domains[choices, topology] = frozenset(v for v, names in known.items() if names & suiting)
        return self._domains[choices, topology]
