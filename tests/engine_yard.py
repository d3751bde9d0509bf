"""A cluster with a memory for engine tests: scripted steps change it, and every start is written into a file."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.alerts import Alert
from cluster.errors import ClusterUnreadable, KubeDenied
from cluster.findings import Findings
from cluster.operation import Operation
from cluster.plan import PlanNode, PlanRecord, UpgradePlan
from cluster.procedure import Step, Verb
from cluster.report import ClusterReport
from cluster.settings import Settings
from cluster.store import Store
from cluster.versions import ReportedVersion
from tests.engine_fixture import report, settings
from workers.crew import Crew
from workers.engine import drive
from workers.node_script.attempts import AttemptState, PollAnswer
from workers.silencing import Silencer
from workers.site import Site, StepDone

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
DEADLINE = 60.0  # seconds; generous: only a hang reaches it
Script = Callable[[Site], None]


class LeaseApi:
    """The Lease object of one cluster, with the API's conflicts; every path is its own."""

    def __init__(self, yard: Yard) -> None:
        self._yard = yard

    def at(self, endpoint: str) -> LeaseApi:  # noqa: ARG002 - the seam's signature
        return self

    def get(self, path: str, query: Any = None, *, accept: str | None = None, timeout: float = 10) -> dict[str, Any]:  # noqa: ARG002 - the seam's signature
        self._check()
        self._yard.asked.append(path)
        if self._yard.lease is None or not path.startswith(LEASES):
            raise KubeDenied("not found", status=404, body={})
        return dict(self._yard.lease)

    def items(self, path: str, query: Any = None) -> Iterator[dict[str, Any]]:  # noqa: ARG002 - the seam's signature
        node = (query or {}).get("fieldSelector", "").removeprefix("spec.nodeName=")
        return (p for p in self._yard.pods if node in {"", p["spec"]["nodeName"]})

    def text(self, path: str, *, timeout: float = 5) -> tuple[int, str]:  # noqa: ARG002 - the seam's signature
        return 200, "ok"

    def post(self, path: str, body: Any, query: Any = None) -> dict[str, Any]:  # noqa: ARG002 - the seam's signature
        self._check()
        if self._yard.lease is not None:
            raise KubeDenied("exists", status=409, body={})
        self._yard.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}
        return dict(self._yard.lease)

    def patch(self, path: str, body: Any, query: Any = None) -> dict[str, Any]:  # noqa: ARG002 - the seam's signature
        self._check()
        if self._yard.lease is None:
            raise KubeDenied("not found", status=404, body={})
        metadata = self._yard.lease["metadata"]
        if body["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
            raise KubeDenied("conflict", status=409, body={})
        newer = {**metadata, "resourceVersion": str(int(metadata["resourceVersion"]) + 1)}
        self._yard.lease = {**self._yard.lease, "spec": body["spec"], "metadata": newer}
        return dict(self._yard.lease)

    def delete(self, path: str, body: Any = None, query: Any = None) -> dict[str, Any]:  # noqa: ARG002 - the seam's signature
        self._check()
        self._yard.lease = None
        return {}

    def _check(self) -> None:
        if self._yard.away:
            raise ClusterUnreadable("The API of prod cannot be reached (refused): look at its endpoint.")


class Machine:
    """A machine that is not asked anything: scripted steps do without."""

    def __init__(self, name: str) -> None:
        self.name = name

    def observe(self, *, briefly: bool = False) -> Any:
        raise NotImplementedError

    def start(self, attempt: str, fence: int, verb: str, *args: str) -> Any:
        raise NotImplementedError

    def poll(self, attempt: str, offset: int = 0, seconds: int = 0) -> Any:  # noqa: ARG002 - the seam's signature
        return PollAnswer(AttemptState.ABSENT, None, 0, "boot", b"")

    def snapshot(self, attempt: str, offset: int) -> Any:
        raise NotImplementedError

    def logs(self, unit: str) -> str:  # noqa: ARG002 - the seam's signature
        return ""


@dataclass
class Yard:
    """One cluster, its steps' scripts and their log."""

    record: PlanRecord
    log: Path
    settings: Settings = field(default_factory=settings)
    scripts: dict[tuple[str, Verb], list[Script]] = field(default_factory=dict)
    findings: Callable[[Operation, Step, PlanNode], Findings] = lambda _o, _s, _n: ()
    approval_findings: Findings = ()
    preflight_findings: Findings = ()
    lease: dict[str, Any] | None = None
    away: bool = False
    others_wait: bool = False
    refuses_uncordon: bool = False  # outside of its step
    firing: Callable[[], tuple[Alert, ...]] | None = None
    silencer: Silencer | None = None
    pods: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # paths of single objects
    most_away: int = 0
    _changing: threading.RLock = field(default_factory=threading.RLock)
    _now: ClusterReport | None = None

    @property
    def report(self) -> ClusterReport:
        if self._now is None:
            self._now = report(self.record.plan)
        return self._now

    def change_node(self, name: str, **changes: Any) -> None:
        with self._changing:
            nodes = tuple(replace(n, **changes) if n.name == name else n for n in self.report.nodes)
            self._now = replace(self.report, nodes=nodes)
            self.most_away = max(self.most_away, sum(1 for n in nodes if n.cordoned and not n.control_plane))

    def set_nodes(self, *nodes: Any) -> None:
        with self._changing:
            self._now = replace(self.report, nodes=tuple(nodes))

    def observe(self) -> ClusterReport:
        if self.away:
            raise ClusterUnreadable("The API of prod cannot be reached (refused): look at its endpoint.")
        return replace(self.report, read_at=datetime.now(UTC))

    def script(self, node: str, verb: Verb, *steps: Script) -> None:
        """What the next attempts of this step do before they succeed; each is used once."""
        self.scripts.setdefault((node, verb), []).extend(steps)

    def perform(self, site: Site) -> StepDone:
        """Do as scripted, else succeed; the attempt is written down first."""
        site.check_lease()
        self._write("start", site)
        with self._changing:
            waiting = self.scripts.get((site.node.name, site.step.verb), [])
            step = waiting.pop(0) if waiting else None
        if step is not None:
            step(site)
        self._take_effect(site)
        self._write("end", site)
        facts = {"cordoned": "ours"} if site.step.verb is Verb.CORDON else {}
        return StepDone(f"{site.step.verb} of {site.node.name} is done.", facts)

    def give_back(self, site: Site) -> bool:
        if self.refuses_uncordon:
            raise KubeDenied("nodes is forbidden", status=403, body={})
        self.change_node(site.node.name, cordoned=False, cordoned_by="")
        return True

    def _take_effect(self, site: Site) -> None:
        match site.step.verb:
            case Verb.CORDON:
                self.change_node(site.node.name, cordoned=True, cordoned_by=site.operation_id)
            case Verb.UNCORDON:
                self.change_node(site.node.name, cordoned=False, cordoned_by="")
            case Verb.RESTART_KUBELET:
                self.change_node(site.node.name, kubelet=ReportedVersion(site.hop.target))

    def _write(self, what: str, site: Site) -> None:
        line = json.dumps([what, site.node.name, site.step.verb, site.attempt_id, site.step.phase, os.getpid()])
        with self.log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def lines(self) -> list[list[Any]]:
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def verbs(self, node: str) -> list[str]:
        """The steps of one node that ended, in order."""
        return [line[2] for line in self.lines() if line[0] == "end" and line[1] == node]

    def started(self) -> list[str]:
        return [line[3] for line in self.lines() if line[0] == "start"]

    def phases(self) -> list[str]:
        """The phases of all starts, each once, in order."""
        return list(dict.fromkeys(line[4] for line in self.lines()))

    def crew(self, store: Store) -> Crew:
        @contextmanager
        def machine(name: str) -> Iterator[Machine]:
            yield Machine(name)

        def check_gate(*, operation: Operation, step: Step, node: PlanNode, **_: Any) -> Findings:
            return self.findings(operation, step, node)

        def check_approval(**_: Any) -> Findings:
            return self.approval_findings

        return Crew(
            settings=self.settings,
            store=store,
            lease_store=store,
            observe=self.observe,
            check_gate=check_gate,
            check_approval=check_approval,
            perform=self.perform,
            preflight=lambda plan: tuple(f for f in self.preflight_findings if f.subject not in _aside(plan)),
            inspect=lambda _plan: (),
            machine=machine,
            kube=lambda: LeaseApi(self),
            uncordon=self.give_back,
            now=lambda: datetime.now(UTC),
            others_wait=lambda: self.others_wait,
            firing=self.firing,
            silencer=self.silencer,
        )


class Driving:
    """A driver in a thread of this process; `end` asks it to hand over."""

    def __init__(self, yard: Yard, store: Store, operation_id: str) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._arguments = (yard.crew(store), operation_id)
        self.thread = threading.Thread(target=self._drive, daemon=True)
        self.thread.start()

    def _drive(self) -> None:
        try:
            drive(*self._arguments, stop=self.stop)
        except BaseException as error:  # noqa: BLE001 - the test reads it
            self.error = error

    def join(self) -> None:
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive(), "the driver hangs"
        if self.error is not None:
            raise self.error

    def end(self) -> None:
        self.stop.set()
        self.join()


def wait_until(what: Callable[[], object], why: str = "it never came", patience: float = DEADLINE) -> None:
    deadline = time.monotonic() + patience
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.02)


def _aside(plan: UpgradePlan) -> set[str]:
    return {n.name for n in plan.left_out}
