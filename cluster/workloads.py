"""What a drain would meet: the pods of a cluster by workload, the budgets over them, and the room on its nodes."""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster.labels import Labels, LabelSelector, Requirement
from cluster.report import Unread

Amounts = tuple[tuple[str, int], ...]  # resource → thousandths of its unit; `pods` is one of the resources


@dataclass(frozen=True, slots=True)
class Taint:
    """What keeps pods off a node unless they tolerate it."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Toleration:
    """What a pod puts up with; an empty key or effect stands for each one."""

    key: str
    value: str
    effect: str
    exists: bool  # whatever the value is

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.exists:
            return self.key in {"", taint.key}
        return (self.key, self.value) == (taint.key, taint.value)


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """Demands on one node's labels and on its name (`fields`), all of which must hold."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()


NodeChoice = tuple[NodeTerm, ...]  # a node must meet one of the terms


@dataclass(frozen=True, slots=True)
class Spread:
    """A topology spread that the scheduler insists on (`DoNotSchedule`)."""

    topology: str  # a label of nodes
    max_skew: int
    selector: LabelSelector


@dataclass(frozen=True, slots=True)
class Apart:
    """Required anti-affinity: never in one domain of `topology` with a pod that `selector` selects."""

    topology: str
    selector: LabelSelector
    namespaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """Everything that decides where the scheduler may put a pod, apart from room."""

    tolerations: tuple[Toleration, ...] = ()
    selector: NodeChoice = ()  # nodeSelector, as the one term that it is
    affinity: NodeChoice = ()  # required node affinity
    volumes: tuple[NodeChoice, ...] = ()  # where each of its volumes can be reached from
    spreads: tuple[Spread, ...] = ()
    apart: tuple[Apart, ...] = ()

    @property
    def choices(self) -> tuple[NodeChoice, ...]:
        """A node must suit each of them."""
        return tuple(c for c in (self.selector, self.affinity, *self.volumes) if c)


@dataclass(frozen=True, slots=True)
class Workload:
    """Pods of one controller that a drain and the scheduler treat alike; a pod without a controller is its own."""

    namespace: str
    kind: str  # "Deployment", "StatefulSet", "Cluster" …; "" where nobody would bring the pod back
    name: str
    labels: Labels = ()
    budgets: tuple[str, ...] = ()  # the disruption budgets that select its pods
    requests: Amounts = ()
    placement: Placement = Placement()
    emptydir: bool = False
    nodes: tuple[tuple[str, int], ...] = ()  # node → how many of its pods would leave it
    running: int = 0  # of these; the others are evicted without asking a budget
    waiting: int = 0  # pods that are on no node

    @property
    def place(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def count(self) -> int:
        return sum(n for _, n in self.nodes) + self.waiting


@dataclass(frozen=True, slots=True)
class Guard:
    """One PodDisruptionBudget: whom it guards, what its status allows, and whether that can be relied upon."""

    namespace: str
    name: str
    selector: LabelSelector | None = None
    demand: str = ""  # as the spec says it: "maxUnavailable: 0"
    allowed: int = 0  # how many of its pods may go now
    healthy: int = 0
    needed: int = 0  # how many must stay healthy
    expected: int = 0
    lets_unhealthy_go: bool = False  # unhealthyPodEvictionPolicy: AlwaysAllow
    lag: str = ""  # why its status is not that of its spec; "" where it is

    @property
    def place(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """What a node can give to pods, what those on it ask for, and whom it turns away."""

    name: str
    allocatable: Amounts = ()
    used: Amounts = ()
    taints: tuple[Taint, ...] = ()


@dataclass(frozen=True)
class Workloads:
    """All of it, folded; what could not be read or understood is said here, never left out."""

    groups: tuple[Workload, ...] = ()
    guards: tuple[Guard, ...] = ()
    nodes: tuple[NodeRoom, ...] = ()
    daemon_sets: tuple[tuple[str, str], ...] = ()  # namespace and name of each that some pod calls its controller
    malformed: int = 0  # objects that we did not understand
    examples: tuple[str, ...] = field(default=())  # a few of these, each with its reason
    unread: tuple[Unread, ...] = ()
