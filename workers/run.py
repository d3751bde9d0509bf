"""One driver's hold on one operation: its record is read and moved with patience while Redis is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from cluster.approval import Approval
from cluster.errors import Fenced, StaleMove, StoreUnavailable
from cluster.findings import Finding, Findings, Severity, blockers
from cluster.operation import Operation
from cluster.plan import PlanRecord, UpgradePlan
from cluster.report import ClusterReport
from cluster.settings import Waits
from workers.crew import Crew, endpoints_of
from workers.lease import Lease
from workers.progress import Move
from workers.site import Yielded
from workers.watch import Watch

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 0.5  # seconds between two tries while Redis is away; a hand-over is not kept long
_REST = 1.0  # seconds, at least, until a node is let in again that could not be cordoned
_OLD_REPORT = 15.0  # seconds; a slow cluster may take some to be read, what is older is no basis for a drain
_READINGS = 3  # as many readings old may the newest report be, and as many rests a node, where one takes long
_LOG = logging.getLogger(__name__)


class Run:
    """Shared by the driver and the threads of its nodes."""

    def __init__(self, crew: Crew, record: PlanRecord, approval: Approval | None, operation: Operation) -> None:
        self.crew = crew
        self.record = record
        self.approval = approval
        self.id = operation.id
        self.lease = Lease(crew.lease_store, operation.id, operation.cluster)
        self.watch = Watch(crew.observe)
        self.stop = threading.Event()  # hand over at the next poll
        self.giving_way = threading.Event()  # no further step; one that cannot be taken up in the middle is finished
        self.placing = threading.Lock()  # one node at a time looks for a place among those that may be away
        self.cordoning: set[str] = set()  # who was let in to be drained, and is not cordoned yet
        self._resting: dict[str, tuple[float, str]] = {}  # node → until when (monotonic), and what it waits for
        self.woken = threading.Event()  # something changed: the driver looks again
        self.last_endpoints: Mapping[str, str] = {}
        self.last_end = 0.0  # monotonic; when a node last came to rest
        self.joined: set[tuple[str, str]] = set()  # said already
        self._stops: dict[str, Findings] = {}

    @property
    def plan(self) -> UpgradePlan:
        return self.record.plan

    @property
    def waits(self) -> Waits:
        return self.crew.settings.waits

    def now(self) -> datetime:
        return self.crew.now()

    def leaving(self) -> bool:
        """Whether nothing may be begun any more: asked to hand over, or another driver has come."""
        return self.stop.is_set() or self.lease.lost

    def may_start(self) -> bool:
        return not self.leaving() and self.lease.held()

    def sleep(self, seconds: float) -> None:
        """Returns early when asked to hand over."""
        self.stop.wait(seconds)

    def wait_for_lease(self) -> None:
        """Until something may be started; raises Yielded when that will not be again."""
        while not self.may_start():
            if self.leaving():
                raise Yielded
            self.sleep(_FIRST_PAUSE)

    def operation(self) -> Operation:
        """The record as it is, however long Redis is away; raises Yielded when leaving meanwhile."""
        return self._patiently(lambda: self.crew.store.operation(self.id))

    def move(self, change: Callable[[Operation], Move | None], token: str) -> Operation:
        """
        Make a move on the newest record; what `change` answers None to is left as it is.

        Raises Yielded when it cannot be made any more: fenced off, or leaving while Redis is away.
        """

        while True:
            fence = self.lease.fence
            try:
                return self._patiently(partial(self._move_once, change, token, fence))
            except StaleMove:  # a person, or another node of ours, was quicker
                continue
            except Fenced as error:
                if self.lease.has_risen_above(fence):
                    continue  # we have taken a higher one ourselves meanwhile
                _LOG.info("%s: %s", self.id, error)
                self.lease.drop()
                raise Yielded from error

    def _move_once(self, change: Callable[[Operation], Move | None], token: str, fence: int) -> Operation:
        before = self.crew.store.operation(self.id)
        made = change(before)
        if made is None:
            return before
        self.crew.store.move(before, made.after, fence=fence, events=made.events, token=token)
        return made.after

    def ask_approval(self, operation: Operation, *, started: bool | None = None) -> Findings:
        """What speaks against this run itself, whatever the record says of its steps."""
        return blockers(
            self.crew.check_approval(
                record=self.record,
                approval=self.approval,
                operation=operation,
                settings=self.crew.settings,
                now=self.now(),
                started=started,
            )
        )

    def stop_for(self, node: str, findings: Findings) -> None:
        """The gate said no before a step of this node."""
        self._stops[node] = findings
        self.woken.set()

    def rest(self, node: str, waits: str) -> None:
        """A node that may not be cordoned now is let in again a moment later."""
        self._resting[node] = time.monotonic() + rest_of(self.watch.took), waits

    def resting(self) -> dict[str, str]:
        """Who rests now, and what each waits for."""
        moment = time.monotonic()
        return {name: waits for name, (until, waits) in tuple(self._resting.items()) if until > moment}

    def has_stops(self) -> bool:
        return bool(self._stops)

    def take_stops(self) -> Findings:
        """What the gate said since the last call, each finding once."""
        found = tuple(dict.fromkeys(f for findings in self._stops.values() for f in findings))
        self._stops.clear()
        return found

    def report(self, *, newer_than: float) -> ClusterReport | None:
        """A live report; None while the cluster cannot be read."""
        report = self.watch.read(newer_than=newer_than, give_up=self.leaving)
        if report is not None:
            self.last_endpoints = endpoints_of(report) or self.last_endpoints
        return report

    def newest_report(self) -> ClusterReport | None:
        """Without waiting; None when there is none that still says something."""
        report, age = self.watch.newest(newer_than=self.last_end)
        return report if is_usable(age, self.watch.took) else None

    def report_is_current(self) -> bool:
        """Whether the newest report was begun after the last node came to rest: older ones show it in hand."""
        _, age = self.watch.newest(newer_than=self.last_end)
        return time.monotonic() - age > self.last_end

    def new_token(self, what: str) -> str:
        """For moves that may come again: told apart by their moment."""
        return f"{self.id}/{what}/{self.lease.fence}/{time.monotonic_ns()}"

    def unreadable(self, reason: str = "") -> Finding:
        """For when the cluster was waited for in vain."""
        cluster = self.plan.cluster
        sentence = f"The cluster {cluster} could not be read: {reason or self.watch.reason}"
        remedy = "Look at its API servers, then `resume`."
        return Finding("cluster-unreadable", Severity.BLOCKER, cluster, sentence, remedy)

    def endpoints(self) -> Mapping[str, str]:
        """Node → its own API server, as last seen: an unreadable cluster does not make them unknown."""
        return self.last_endpoints or endpoints_of(self.report(newer_than=0.0))

    def _patiently(self, call: Callable[[], Operation]) -> Operation:
        pause, told = _FIRST_PAUSE, False
        while True:
            try:
                return call()
            except StoreUnavailable as error:
                if self.leaving():
                    raise Yielded from error
                if not told:
                    _LOG.warning("%s: what runs goes on, nothing new starts: %s", self.id, error)
                    told = True
                time.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)


def is_usable(age: float, took: float) -> bool:
    """Whether a report still says enough to begin something on it; `age` counts from the begin of its reading."""
    return age < max(_OLD_REPORT, _READINGS * took)  # where reading takes long, no report is ever young


def rest_of(took: float) -> float:
    """For how long a node rests: a report comes in between, however long one takes, or its wait were never told."""
    return max(_REST, _READINGS * took)
