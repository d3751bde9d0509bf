"""What the API server said to a trial of every eviction of a plan: a verdict on this moment, node by node."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cluster.report import Unread


class Hold(StrEnum):
    """Why a pod would not leave its node now."""

    BUDGET = "budget"  # a PodDisruptionBudget lets nobody go now
    CONSENT = "consent"  # the plan has nobody's consent to lose what it would lose: a drain stops before it asks
    REFUSED = "refused"  # the server says no, and would say so again
    UNANSWERED = "unanswered"  # the server was busy or away, or the pod became another one: nothing is known
    NOT_UNDERSTOOD = "not-understood"  # the pod's own object is not as it should be: it was not tried


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Pods of one node that something holds."""

    hold: Hold
    by: str  # the budget, the option that consents, or the server's words
    count: int
    pods: tuple[str, ...]  # a few of them, as namespace/name
    why: str = ""  # what the server says of the first one


@dataclass(frozen=True, slots=True)
class NodeTrial:
    """What became of the pods of one node."""

    node: str
    leaving: int = 0  # the server would let them go now, each for itself
    ending: int = 0  # they are being deleted already
    staying: int = 0  # of DaemonSets, or static: no drain asks for them
    hindrances: tuple[Hindrance, ...] = ()
    not_tried: str = ""  # why nothing was asked for; "" where it was

    @property
    def held(self) -> int:
        return sum(h.count for h in self.hindrances)


@dataclass(frozen=True, slots=True)
class DryRun:
    """All nodes that the plan would still drain, in its order."""

    plan_id: str
    cluster: str
    at: datetime
    nodes: tuple[NodeTrial, ...]
    in_place: int = 0  # machines of the plan that it does not drain any more, or restarts in place
    unread: tuple[Unread, ...] = ()  # pods that were not understood, on a node that nobody could tell

    @property
    def leaving(self) -> int:
        return sum(n.leaving for n in self.nodes)

    @property
    def held(self) -> int:
        return sum(n.held for n in self.nodes)

    @property
    def is_clear(self) -> bool:
        """Whether every pod that was tried would leave, and every node and pod was tried."""
        return not self.unread and not any(n.hindrances or n.not_tried for n in self.nodes)
