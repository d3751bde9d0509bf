"""One run of one approved plan: its state, one row per node, and the only moves they may make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated

from pydantic import Field

from cluster.errors import StaleMove
from cluster.findings import Finding
from cluster.plan import PlanRecord
from cluster.procedure import fingerprint, itinerary


class OperationState(StrEnum):
    """Nothing ends as "failed" by itself: what cannot go on is blocked, and a person chooses."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    PARKED = "parked"
    BLOCKED = "blocked"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


CUT_SHORT = "cancelled before it was upgraded"  # the note that tells such a row from one that came to its end
_S = OperationState
OPERATION_MOVES = frozenset(
    {
        (_S.SCHEDULED, _S.RUNNING),
        (_S.SCHEDULED, _S.PARKED),
        (_S.SCHEDULED, _S.BLOCKED),
        (_S.SCHEDULED, _S.CANCELLING),
        (_S.RUNNING, _S.PARKED),
        (_S.PARKED, _S.RUNNING),
        (_S.RUNNING, _S.BLOCKED),
        (_S.BLOCKED, _S.RUNNING),
        (_S.PARKED, _S.BLOCKED),
        (_S.BLOCKED, _S.PARKED),
        (_S.RUNNING, _S.CANCELLING),
        (_S.PARKED, _S.CANCELLING),
        (_S.BLOCKED, _S.CANCELLING),
        (_S.CANCELLING, _S.BLOCKED),
        (_S.CANCELLING, _S.CANCELLED),
        (_S.RUNNING, _S.COMPLETED),
    }
)
ENDED = frozenset({OperationState.CANCELLED, OperationState.COMPLETED})


class RowState(StrEnum):
    """Where a node stands in its step."""

    WAITING = "waiting"  # the step at `position` has not been started in this attempt
    STARTED = "started"  # an attempt is in hand
    BLOCKED = "blocked"  # it failed; a person chooses
    FINISHED = "finished"  # the whole itinerary is behind it
    SKIPPED = "skipped"  # not touched, with a reason (left the cluster)


class Wish(StrEnum):
    """What a person asked of a running operation; the driver carries it out after the nodes in hand."""

    NONE = ""
    PAUSE = "pause"
    CANCEL = "cancel"


_Flag = Annotated[bool, Field(exclude_if=lambda value: not value)]
_Count = Annotated[int, Field(exclude_if=lambda value: not value)]
_Moment = Annotated[datetime | None, Field(exclude_if=lambda value: value is None)]
_Text = Annotated[str, Field(exclude_if=lambda value: not value)]


ITS_OWN_END = "its own end"  # what keeps a pod that was evicted or deleted, and has not gone


@dataclass(frozen=True, slots=True)
class Hold:
    """A pod that a drain has waited for, for longer than is usual."""

    pod: str  # namespace/name
    uid: str
    by: str  # what keeps it: `the PodDisruptionBudget shop/web`, `the API`, ITS_OWN_END
    why: str  # in the words of the API server
    since: datetime


@dataclass(frozen=True, slots=True)
class AsFound:
    """How a node was before it is changed: what has to be there again, and what need not get better by an upgrade."""

    drivers: tuple[str, ...] = ()  # CSI drivers that its kubelet had registered
    ailing: tuple[str, ...] = ()  # DaemonSets ("namespace/name") that had no ready pod on it
    replaced: tuple[tuple[str, str], ...] = ()  # static pods that the upgrade replaces: component, config.hash


_Places = Annotated[tuple[str, ...], Field(exclude_if=lambda value: not value)]
_AsFound = Annotated[AsFound, Field(exclude_if=lambda value: value == AsFound())]


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node's place on its way: `position` is an index into cluster.procedure.itinerary()."""

    node: str
    position: int = 0
    attempt: int = 1
    state: RowState = RowState.WAITING
    note: str = ""  # what the step waits for or was blocked by, in words
    finding: Finding | None = None
    started_at: datetime | None = None  # of the step in hand
    cordoned_by_us: bool = False
    skipped_by: str = ""  # a person: what is left of its way only gives back what was changed
    held: tuple[Hold, ...] = ()  # what the drain in hand cannot move
    extension: int = 0  # seconds that people gave its drain beside those of the plan
    stopped_at: datetime | None = None  # since when it waits for a person: blocked, its drain held up, or stuck
    back_at: _Moment = None  # when it last got its work back, upgraded
    tried_again: _Flag = False  # its drain was tried anew when the others of its stage were through
    lost: _Count = 0  # attempts of its step that vanished, one after the other, whoever drove
    as_found: _AsFound = AsFound()
    surged: _Places = ()  # Deployments ("namespace/name") that its drain gave a second replica
    stuck: _Text = ""  # what is told of a command in hand that runs for longer than is usual; nobody kills it
    silent_since: _Moment = None  # since when its machine gave no answer, as the last driver left it
    skip_asked_by: _Text = ""  # a person, while its drain is held up: it is to be given up, and the node skipped


@dataclass(frozen=True, slots=True)
class Spared:
    """An alert in spite of which this run goes on for a while, as a person chose."""

    alert: str
    by: str
    reason: str
    until: datetime


_Spared = Annotated[tuple[Spared, ...], Field(exclude_if=lambda value: not value)]
_Names = Annotated[tuple[str, ...], Field(exclude_if=lambda value: not value)]


@dataclass(frozen=True)  # without slots: its rows are looked up by name, thousands of times
class Operation:
    """One run; `fence` is the one of its last driver."""

    id: str  # op-xxxxxxxx
    plan_id: str
    digest: str
    cluster: str
    state: OperationState
    created_at: datetime
    approved_by: str
    rows: tuple[NodeRow, ...]
    reason: str = ""  # why it is parked or blocked; while it runs, the alerts that keep it from beginning a node
    stopped_at: datetime | None = None  # when it last was parked or blocked
    quiet_since: _Moment = None  # since when no alert fires any more of those that it waits for
    halted_by: _Names = ()  # the names of the alerts that keep it now
    halted_at: _Moment = None  # since when they do
    spared: _Spared = ()
    waits_for: _Text = ""  # while it runs: what keeps everybody, as it was told last
    waits_since: _Moment = None  # since when that is a place which somebody else's doing takes
    goes_on_at: datetime | None = None  # when it goes on by itself, parked until a window opens or a freeze ends
    wish: Wish = Wish.NONE
    wished_by: str = ""
    fence: int = 0
    ended_at: datetime | None = None
    procedure: str = ""  # cluster.procedure.fingerprint of the release that scheduled it: what its positions mean

    def row(self, node: str) -> NodeRow:
        """Raises KeyError for a node that is not in it."""
        return self._by_node[node]

    @cached_property
    def _by_node(self) -> dict[str, NodeRow]:
        return {r.node: r for r in self.rows}

    @property
    def halting(self) -> tuple[str, ...]:
        """The alerts that keep it from beginning a node just now; what stands still anyway is kept by none."""
        return self.halted_by if self.state is OperationState.RUNNING and self.reason and not self.quiet_since else ()

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def check_operation_move(old: OperationState, new: OperationState) -> None:
    """Raises StaleMove for a move that OPERATION_MOVES does not list."""
    if (old, new) not in OPERATION_MOVES:
        raise StaleMove(f"An operation that is {old} cannot become {new}; look at it again with `status`.")


def attempt_id(operation_id: str, node_index: int, position: int, attempt: int) -> str:
    """The name under which a remote command starts at most once; charset [A-Za-z0-9-], at most 80 characters."""
    return f"{operation_id}-n{node_index}-s{position}-a{attempt}"


def finished(rows: Iterable[NodeRow]) -> int:
    return sum(1 for r in rows if r.state in {RowState.FINISHED, RowState.SKIPPED})


def schedule(record: PlanRecord, *, operation_id: str, approved_by: str, now: datetime) -> Operation:
    """The operation that an approval of this plan creates: every node waits at its first step."""
    rows = tuple(NodeRow(node.name) for node in record.plan.nodes if itinerary(record.plan, node))
    return Operation(
        id=operation_id,
        plan_id=record.id,
        digest=record.digest,
        cluster=record.plan.cluster,
        state=OperationState.SCHEDULED,
        created_at=now,
        approved_by=approved_by,
        rows=rows,
        procedure=fingerprint(record.plan),
    )
