"""Company that pods may not keep: required anti-affinity and insisted spreads, as far as labels decide them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from cluster.labels import LabelSelector
from cluster.workloads import NodeChoice, Workload
from policies.places import Places

Choices = tuple[NodeChoice, ...]
Kin = tuple[tuple[str, ...], LabelSelector]  # namespaces, and whom is selected in them


@dataclass(slots=True)
class _Rule:
    """How many of the selected pods each domain of a topology has, and how many it may have."""

    topology: str
    before: Counter[str]
    counts_itself: bool
    max_skew: int | None = None  # None for anti-affinity: not one
    domains: frozenset[str] = frozenset()
    tally: Counter[int] = field(default_factory=Counter)  # how many of the domains have so many pods
    moved: Counter[str] = field(default_factory=Counter)  # those of the batch have left, and some have found a place

    def admits(self, domain: str | None) -> bool:
        if domain is None:  # a spread needs the label, anti-affinity does not
            return self.max_skew is None
        there = self.before[domain] + self.moved[domain]
        if self.max_skew is None:
            return there == 0
        fewest = min((pods for pods, domains in self.tally.items() if domains > 0), default=0)
        return there + self.counts_itself - fewest <= self.max_skew

    def move(self, domain: str, pods: int) -> None:
        """So many more, or fewer, in a domain."""
        if domain in self.domains:
            there = self.before[domain] + self.moved[domain]
            self.tally[there] -= 1
            self.tally[there + pods] += 1
        self.moved[domain] += pods


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
                rule.move(domain, 1)


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
        self._domains: dict[tuple[Choices, str], frozenset[str]] = {}
        self._tallies: dict[tuple[Kin, str, Choices], Counter[int]] = {}

    def company(self, group: Workload, batch: frozenset[str]) -> Company:
        """The rules that `group` demands, once the pods of the batch have left their nodes."""
        own, choices = dict(group.labels), group.placement.choices
        rules = []
        for spread in group.placement.spreads:
            kin: Kin = (group.namespace,), spread.selector
            rule = _Rule(
                topology=spread.topology,
                before=self._counts(kin, spread.topology),
                counts_itself=spread.selector.selects(own),
                max_skew=spread.max_skew,
                domains=self._domains_of(choices, spread.topology),
                tally=Counter(self._tally_of(kin, spread.topology, choices)),
            )
            rules.append(self._without(batch, kin, rule))
        for apart in group.placement.apart:
            kin = apart.namespaces, apart.selector
            rule = _Rule(apart.topology, self._counts(kin, apart.topology), apart.selector.selects(own))
            rules.append(self._without(batch, kin, rule))
        return Company(self._places, rules)

    def _without(self, batch: frozenset[str], kin: Kin, rule: _Rule) -> _Rule:
        on_nodes = self._nodes_of(kin)
        for node in batch & on_nodes.keys():
            domain = self._places.labels.get(node, {}).get(rule.topology)
            if domain is not None:
                rule.move(domain, -on_nodes[node])
        return rule

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

    def _tally_of(self, kin: Kin, topology: str, choices: Choices) -> Counter[int]:
        key = kin, topology, choices
        if key not in self._tallies:
            counts, domains = self._counts(kin, topology), self._domains_of(choices, topology)
            occupied = Counter(n for d, n in counts.items() if d in domains)
            occupied[0] += len(domains) - occupied.total()
            self._tallies[key] = occupied
        return self._tallies[key]

    def _domains_of(self, choices: Choices, topology: str) -> frozenset[str]:
        if (choices, topology) not in self._domains:
            suiting, known = self._places.suiting(choices), self._places.with_label(topology)
            self._domains[choices, topology] = frozenset(v for v, names in known.items() if names & suiting)
        return self._domains[choices, topology]
