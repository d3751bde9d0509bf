"""Which nodes suit a pod: by label, by name, by taint; looked up, so that thousands of nodes and pods stay cheap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce

from cluster.labels import Operator, Requirement
from cluster.report import ClusterReport
from cluster.workloads import NodeChoice, NodeTerm, Placement

_NAME = "metadata.name"  # the one field that a node selector may ask for


class Places:
    """The nodes of one report, indexed by whatever label is asked for."""

    def __init__(self, report: ClusterReport) -> None:
        self.labels = {n.name: dict(n.labels) for n in report.nodes}
        self.everywhere = frozenset(self.labels)
        self._by_label: dict[str, dict[str, frozenset[str]]] = {}
        self._suiting: dict[NodeChoice, frozenset[str]] = {}

    def suiting(self, choices: Iterable[NodeChoice]) -> frozenset[str]:
        """The names of the nodes that suit each of the choices."""
        return reduce(frozenset.intersection, (self._of_choice(c) for c in choices), self.everywhere)

    def pins(self, placement: Placement) -> bool:
        """Whether its node selector and affinity leave the pod one node of several."""
        chosen = tuple(c for c in (placement.selector, placement.affinity) if c)
        return bool(chosen) and len(self.suiting(chosen)) == 1 < len(self.everywhere)

    def binds(self, placement: Placement) -> bool:
        """Whether its volumes can be reached from one node of several."""
        return bool(placement.volumes) and len(self.suiting(placement.volumes)) == 1 < len(self.everywhere)

    def with_label(self, key: str) -> dict[str, frozenset[str]]:
        """The nodes by their value of a label."""
        if key not in self._by_label:
            found: dict[str, set[str]] = {}
            for name, labels in self.labels.items():
                if key in labels:
                    found.setdefault(labels[key], set()).add(name)
            self._by_label[key] = {value: frozenset(names) for value, names in found.items()}
        return self._by_label[key]

    def _of_choice(self, choice: NodeChoice) -> frozenset[str]:
        if choice not in self._suiting:
            # a term without any demand matches no node, as the API has it
            met = [self._of_term(t) for t in choice if t.labels or t.fields]
            self._suiting[choice] = frozenset().union(*met)
        return self._suiting[choice]

    def _of_term(self, term: NodeTerm) -> frozenset[str]:
        listed = [self._listed(r) for r in term.labels if r.operator is Operator.IN]
        names = min(listed, key=len, default=self.everywhere)
        named = [frozenset(r.values) for r in term.fields if r.key == _NAME and r.operator is Operator.IN]
        for some in named:
            names &= some
        return frozenset(n for n in names if _meets(term, n, self.labels[n]))

    def _listed(self, requirement: Requirement) -> frozenset[str]:
        values = self.with_label(requirement.key)
        return frozenset().union(*(values.get(v, frozenset()) for v in requirement.values))


def suits(choice: NodeChoice, name: str, labels: Mapping[str, str]) -> bool:
    """Whether one node suits a choice: for a look at a single one, as `Places.suiting` is for all of them."""
    return any(_meets(t, name, labels) for t in choice if t.labels or t.fields)


def _meets(term: NodeTerm, name: str, labels: Mapping[str, str]) -> bool:
    return all(r.holds(labels) for r in term.labels) and all(r.holds({_NAME: name}) for r in term.fields)
