"""Database clusters by the labels of their pods: where their primaries are, and whether a batch takes all of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from cluster.findings import Finding, Severity
from cluster.inventory import Cluster
from cluster.options import DatabaseRule
from cluster.plan import PlanPool
from cluster.workloads import Workload, Workloads
from policies.data_files import DataFile, Facts, Row
from policies.wording import some_of

_REPLICATED = 2  # instances from which on another one can take over


class Labelling(Facts):
    """How an operator labels its pods, and what it does about a cordon."""

    operator: str
    member: dict[str, str]
    cluster: str
    role: str
    primary: tuple[str, ...]
    moves_on_cordon: bool
    alone: str = ""  # what to do about a cluster of one instance, where that is known

    def owns(self, labels: Mapping[str, str]) -> bool:
        return self.cluster in labels and self.member.items() <= labels.items()

    def leads(self, labels: Mapping[str, str]) -> bool:
        return labels.get(self.role) in self.primary


class Operator(Row, Labelling):
    """One that comes with lockkeeper, with its source."""


class Operators(DataFile):
    """The whole file."""

    databases: tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class Instance:
    """One pod of a database, as its labels show it."""

    operator: Labelling
    namespace: str
    name: str  # of the database
    leads: bool = False  # it takes the writes

    @property
    def place(self) -> str:
        return f"{self.namespace}/{self.name}"

    def is_joined_by(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod of the same namespace is an instance of the same database."""
        return self.operator.owns(labels) and labels[self.operator.cluster] == self.name


@dataclass(frozen=True, slots=True)
class Database:
    """One database cluster: the nodes of its instances, one entry for each, and those of its primaries."""

    operator: Labelling
    namespace: str
    name: str
    nodes: tuple[str, ...]
    primaries: tuple[str, ...]
    waiting: int = 0  # instances on no node

    @property
    def place(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def is_replicated(self) -> bool:
        """Whether another instance can take over."""
        return len(self.nodes) + self.waiting >= _REPLICATED


def read_operators() -> Operators:
    return Operators.read("databases.yaml")


def configured(cluster: Cluster) -> tuple[DatabaseRule, ...]:
    """Those that the file names beside, as a plan carries them."""
    return tuple(
        DatabaseRule(r.name, tuple(sorted(r.member.items())), r.cluster, r.role, r.primary, r.moves_on_cordon)
        for r in cluster.databases
    )


@cache
def labellings(rules: tuple[DatabaseRule, ...]) -> tuple[Labelling, ...]:
    """The plan's own ones first."""
    own = (
        Labelling(
            operator=r.name,
            member=dict(r.member),
            cluster=r.cluster,
            role=r.role,
            primary=r.primary,
            moves_on_cordon=r.moves_on_cordon,
        )
        for r in rules
    )
    return (*own, *read_operators().databases)


def operator_of(workload: Workload, rules: tuple[DatabaseRule, ...]) -> Labelling | None:
    """Whose database these pods are instances of; None for anything else."""
    return next((o for o in labellings(rules) if o.owns(dict(workload.labels))), None)


def is_primary(workload: Workload, operator: Labelling) -> bool:
    return operator.leads(dict(workload.labels))


def instance_of(namespace: str, labels: Mapping[str, str], rules: tuple[DatabaseRule, ...]) -> Instance | None:
    """What a pod's own labels say of it; None for a pod of no database."""
    operator = next((o for o in labellings(rules) if o.owns(labels)), None)
    return Instance(operator, namespace, labels[operator.cluster], leads=operator.leads(labels)) if operator else None


def find_databases(workloads: Workloads, rules: tuple[DatabaseRule, ...]) -> tuple[Database, ...]:
    """Every database cluster that shows itself, by namespace and name."""
    found: dict[tuple[str, str, str], list[tuple[Labelling, Workload]]] = {}
    for group in workloads.groups:
        if (operator := operator_of(group, rules)) is not None:
            key = group.namespace, dict(group.labels)[operator.cluster], operator.operator
            found.setdefault(key, []).append((operator, group))
    return tuple(_join(namespace, name, parts) for (namespace, name, _), parts in sorted(found.items()))


def primary_nodes(databases: Iterable[Database]) -> frozenset[str]:
    """The nodes that go last in their pools: each hand-over before would risk a second one."""
    return frozenset(node for d in databases if d.is_replicated for node in d.primaries)


def check_databases(databases: tuple[Database, ...], pools: Iterable[PlanPool], cluster: str) -> Iterator[Finding]:
    yield from _primaries(databases, cluster)
    yield from _alone(databases, cluster)
    yield from _on_one_node(databases, cluster)
    for pool in pools:
        yield from _in_one_batch(databases, pool)


def _primaries(databases: tuple[Database, ...], cluster: str) -> Iterator[Finding]:
    lead = [d for d in databases if d.primaries and d.is_replicated]
    if lead:
        told = some_of(f"{d.place} on {' and '.join(d.primaries)} ({d.operator.operator})" for d in lead)
        remedy = " ".join(("Their nodes go last in their pools.", *_hand_overs(lead)))
        yield Finding("database-primaries", Severity.NOTE, cluster, f"Nodes with database primaries: {told}.", remedy)


def _hand_overs(lead: list[Database]) -> Iterator[str]:
    if quick := sorted({d.operator.operator for d in lead if d.operator.moves_on_cordon}):
        yield f"{some_of(quick)} moves a primary as soon as its node is cordoned."
    if slow := sorted({d.operator.operator for d in lead if not d.operator.moves_on_cordon}):
        yield f"With {some_of(slow)} another instance takes over when the primary is evicted: writes fail for seconds."


def _alone(databases: tuple[Database, ...], cluster: str) -> Iterator[Finding]:
    alone = [d for d in databases if d.nodes and not d.is_replicated]
    if alone:
        told = some_of(f"{d.place} on {d.nodes[0]}" for d in alone)
        sentence = f"Databases with a single instance, which nobody can take over from: {told}."
        known = dict.fromkeys(d.operator.alone for d in alone if d.operator.alone)
        remedy = " ".join(("They are away while their node is drained; add an instance to each before.", *known))
        yield Finding("database-alone", Severity.WARNING, cluster, sentence, remedy)


def _on_one_node(databases: tuple[Database, ...], cluster: str) -> Iterator[Finding]:
    together = [d for d in databases if len(d.nodes) >= _REPLICATED and len(set(d.nodes)) == 1]
    if together:
        told = some_of(f"{d.place} on {d.nodes[0]}" for d in together)
        sentence = f"Databases with all their instances on one node: {told}."
        remedy = "Nobody can take over while it is drained: spread the instances over nodes, by anti-affinity."
        yield Finding("database-on-one-node", Severity.WARNING, cluster, sentence, remedy)


def _in_one_batch(databases: tuple[Database, ...], pool: PlanPool) -> Iterator[Finding]:
    """Nodes are taken in order by a window of max_unavailable: it covers all of a database, or never does."""
    at = {n.name: index for index, n in enumerate(pool.nodes)}
    spans = {
        d.place: max(at[n] for n in d.nodes) - min(at[n] for n in d.nodes)
        for d in databases
        if len(set(d.nodes)) >= _REPLICATED and all(n in at for n in d.nodes)
    }
    taken = {place: span for place, span in spans.items() if span < pool.max_unavailable}
    if taken:
        sentence = (
            f"{pool.max_unavailable} nodes of the pool {pool.name} may be away together, and these can be all "
            f"the nodes of a database: {some_of(taken)}."
        )
        remedy = (
            "The last of them is let in only when another instance is ready on a node at work. With `max_unavailable` "
            f"of {min(taken.values())} nobody would wait for that."
        )
        yield Finding("database-in-one-batch", Severity.NOTE, pool.name, sentence, remedy)


def _join(namespace: str, name: str, parts: list[tuple[Labelling, Workload]]) -> Database:
    return Database(
        operator=parts[0][0],
        namespace=namespace,
        name=name,
        nodes=tuple(sorted(node for _, w in parts for node, count in w.nodes for _ in range(count))),
        primaries=tuple(sorted({node for o, w in parts if is_primary(w, o) for node, _ in w.nodes})),
        waiting=sum(w.waiting for _, w in parts),
    )
