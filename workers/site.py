"""
Where one step happens: everything that it may touch, and the few ways in which it may end.

* StepDone         its result was observed
* StepBlocked      it cannot go on; a person chooses (an error with a finding)
* AttemptLost      its remote command vanished: observe, then start a new attempt
* Yielded          it was asked to stop here; called again with the same attempt it goes on
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from cluster.errors import LockkeeperError
from cluster.facts import MachineFacts
from cluster.findings import Finding, Findings, Severity
from cluster.force import ForceRequest
from cluster.operation import AsFound, Hold
from cluster.plan import Hop, PlanNode, UpgradePlan
from cluster.procedure import Step
from cluster.settings import Settings, Waits
from workers.attachments import Attachments
from workers.node_script.attempts import PollAnswer, StartAnswer
from workers.node_script.snapshots import SnapshotPart
from workers.silence import Silence

_NOTHING: Mapping[str, str] = MappingProxyType({})
API_LOOK = 0.25  # of waits.poll: the API is asked less often than a machine, a hundred nodes ask the same one
_LATE = 0.05  # of its own time may an end be seen too late


@dataclass(frozen=True, slots=True)
class StepDone:
    """The step's result was observed; `sentence` is fit for the thread, `facts` are its parts for programs."""

    sentence: str
    facts: dict[str, str] = field(default_factory=dict)
    as_found: AsFound | None = None  # how the node was before it is changed, where the step is one that looks


class StepBlocked(LockkeeperError):  # noqa: N818 - reads as a fact, as in cluster/errors.py
    """The step cannot go on; `finding` says why. `uncordoned`: a failed drain gave the node back."""

    def __init__(self, finding: Finding, *, uncordoned: bool = False) -> None:
        super().__init__(f"{finding.sentence} {finding.remedy}".strip())
        self.finding = finding
        self.uncordoned = uncordoned


class AttemptLost(LockkeeperError):  # noqa: N818 - reads as a fact, as in cluster/errors.py
    """The remote attempt vanished (a reboot, or somebody killed it): only a new attempt may go on."""


class Yielded(Exception):  # noqa: N818 - not an error at all
    """The step stopped where it can be taken up again."""


class Api(Protocol):
    """What a step needs of cluster.kube.Kube."""

    def at(self, endpoint: str) -> Api: ...
    def get(
        self, path: str, query: Mapping[str, str] = _NOTHING, *, accept: str | None = None, timeout: float = 10
    ) -> dict[str, Any]: ...
    def items(self, path: str, query: Mapping[str, str] = _NOTHING) -> Iterator[dict[str, Any]]: ...
    def text(self, path: str, *, timeout: float = 5) -> tuple[int, str]: ...
    def post(self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = _NOTHING) -> dict[str, Any]: ...
    def patch(self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = _NOTHING) -> dict[str, Any]: ...
    def delete(
        self, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] = _NOTHING
    ) -> dict[str, Any]: ...


class RemoteNode(Protocol):
    """What a step needs of workers.machine.NodeMachine."""

    name: str

    def observe(self, *, briefly: bool = False) -> MachineFacts: ...
    def start(self, attempt: str, fence: int, verb: str, *args: str) -> StartAnswer: ...
    def poll(self, attempt: str, offset: int = 0, seconds: int = 0) -> PollAnswer: ...
    def snapshot(self, attempt: str, offset: int) -> SnapshotPart: ...
    def logs(self, unit: str) -> str: ...


def _unheard(_: tuple[Hold, ...]) -> None:
    """Where nobody keeps what holds up a drain."""


def _unsaid(_: tuple[str, ...]) -> None:
    """Where nobody keeps what a drain scaled up."""


def _unmarked(_: str) -> None:
    """Where nobody keeps that a command runs for longer than is usual."""


def _unkept(_: ForceRequest, __: str) -> None:
    """Where nobody keeps what became of a deletion."""


@dataclass(frozen=True)
class Site:
    """Everything that one step of one node may touch; the engine makes one for each call of `perform`."""

    settings: Settings
    cluster: str
    plan: UpgradePlan
    node: PlanNode
    step: Step
    operation_id: str
    attempt_id: str
    attempt: int
    fence: int
    started_at: datetime  # of this attempt, as recorded: a time-out must not begin anew with each driver
    machine: RemoteNode
    kube: Callable[[], Api]
    endpoints: Callable[[], Mapping[str, str]]  # node → host:port of its own API server
    tell: Callable[[str], None]  # an expected wait or a fact, said once
    stopping: Callable[[], bool]
    may_start: Callable[[], bool]  # the lease is still ours; asked right before every side effect
    now: Callable[[], datetime]
    sleep: Callable[[float], None]  # returns early when stopping
    inspect: Callable[[], Findings] = tuple  # what stands against every control plane now, asked at each hop
    attachments: Attachments = field(default_factory=Attachments)  # shared by the nodes that one driver works on
    held: tuple[Hold, ...] = ()  # what held up this drain when it was last recorded
    hold: Callable[[tuple[Hold, ...]], None] = _unheard  # records what holds it up now
    forced: Callable[[], tuple[ForceRequest, ...]] = tuple  # deletions on record; nothing is proven by that
    end_force: Callable[[ForceRequest, str], None] = _unkept  # records what became of one
    as_found: AsFound = field(default_factory=AsFound)  # how the node was before it is changed, as recorded
    surged: tuple[str, ...] = ()  # Deployments that this drain gave a second replica, when it was last recorded
    record_surge: Callable[[tuple[str, ...]], None] = _unsaid  # records which of them there are now
    ends_as: Callable[[], str] = str  # what becomes of the run when all of it is done: completed or cancelled
    extension: Callable[[], int] = int  # seconds that people gave this drain by now, beside those of the plan
    stick: Callable[[str], None] = _unmarked  # records, once, that its command runs for longer than is usual
    silence: Silence = field(default_factory=Silence)  # since when its machine gives no answer
    unwanted: Callable[[], str] = str  # why people want this drain, which is held up, no more; "" where they do

    @property
    def hop(self) -> Hop:
        return self.plan.hops[self.step.hop]

    @property
    def waits(self) -> Waits:
        return self.settings.waits

    @property
    def node_path(self) -> str:
        return f"/api/v1/nodes/{self.node.name}"

    @property
    def drain_seconds(self) -> int:
        """How long this drain may take, as people have it by now."""
        return self.plan.options.drain_timeout + self.extension()

    def drain_is_over(self) -> bool:
        """Whether its time is up; that people gave more is only asked when the plan's is."""
        passed = self.elapsed(self.started_at)
        return passed > self.plan.options.drain_timeout and passed > self.drain_seconds

    def check_lease(self) -> None:
        """Ask right before every side effect: without the lease nothing new starts."""
        if self.stopping() or not self.may_start():
            raise Yielded

    def wait(self, seconds: float) -> None:
        """Sleep; raises Yielded when the driver is to stop."""
        if not self.stopping():
            self.sleep(seconds)
        if self.stopping():
            raise Yielded

    def pause(self, since: datetime, first: float = 0.1) -> float:
        """Seconds until another look: a share of what it took so far, at least `first` and at most all of `poll`."""
        return min(self.waits.poll, max(self.waits.poll * first, self.elapsed(since) * _LATE))

    def elapsed(self, since: datetime) -> float:
        return (self.now() - since).total_seconds()

    def blocked(self, code: str, sentence: str, remedy: str, *, uncordoned: bool = False) -> StepBlocked:
        finding = Finding(code, Severity.BLOCKER, self.node.name, sentence, remedy)
        return StepBlocked(finding, uncordoned=uncordoned)
