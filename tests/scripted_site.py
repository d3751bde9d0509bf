"""A cluster whose machines are scripts: a command lasts as long as a seeded, heavy-tailed draw says, in real time."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from cluster.events import Event, Happened
from cluster.findings import Finding
from cluster.operation import Operation, schedule
from cluster.plan import PlanRecord
from cluster.procedure import Verb
from cluster.report import ApiServer, ClusterReport
from cluster.settings import Settings
from cluster.signing import public_line, sign_as_bot
from cluster.store import Decision, Store
from cluster.versions import KubeVersion, ReportedVersion
from policies.gate import check_approval, check_gate
from tests import scale_fixture as scale
from tests.engine_yard import LEASES, LeaseApi
from tests.workers.runbook_fixture import FakeApi, FakeMachine, Raw, node, pod, static_pod
from workers import runbook
from workers.crew import Crew
from workers.node_script.attempts import AttemptState, PollAnswer, StartAnswer, StartKind

TAIL = 2.5  # the Pareto index: most are short, a few last many times as long
LONGEST = 20.0  # times the shortest; a machine that hangs is another test's matter
OPERATION = "op-1a2b3c4d"
_BESIDE = frozenset({Verb.HOLD, Verb.FETCH, Verb.PULL_IMAGES, Verb.UNHOLD})
_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True)
class Durations:
    """How long everything lasts, in seconds: drawn by name, so that two runs of one seed meet the same machines."""

    shortest: float
    seed: int = 0
    renewed: float = (
        1.0  # between two renewals of a node's lease; 10 on a real cluster, which is waited for all the same
    )

    def draw(self, machine: str, what: str) -> float:
        if machine in scale.MASTERS or what in _BESIDE:  # what is measured is the workers' own stage
            return 0.0
        dice = random.Random(f"{self.seed}/{machine}/{what}")  # noqa: S311 - a simulation
        return self.shortest * min(dice.paretovariate(TAIL), LONGEST)


class ScriptedApi(FakeApi):
    """Pods of a node end and start as slowly as scripted; the cluster's own lease is kept as an API server would."""

    def __init__(self, durations: Durations, names: tuple[str, ...]) -> None:
        masters = scale.MASTERS
        super().__init__(
            nodes={n: node(n, control_plane=n in masters) for n in names},
            pods={f"{c}-{n}": static_pod(c, n, scale.OLD) for c in _COMPONENTS for n in masters}
            | {f"app-{n}": pod(f"app-{n}", n) for n in names if n not in masters},
            versions={f"{n}:6443": scale.OLD for n in masters},
        )
        self.log = deque(maxlen=1)  # type: ignore[assignment]  # 1,000 nodes: nobody reads it
        self._durations = durations
        self._claim = LeaseApi(SimpleNamespace(lease=None, away=False, asked=deque(maxlen=1)))  # type: ignore[arg-type]
        self._due: dict[str, float] = {}  # pod → monotonic; when it is gone, or ready
        self._changing = threading.RLock()

    def get(self, path: str, query: Mapping[str, str] = {}, *, accept: str | None = None, timeout: float = 10) -> Raw:
        if path.startswith(LEASES):
            return self._claim.get(path)
        if "/kube-node-lease/" in path:
            return {"spec": {"renewTime": str(int(time.monotonic() / self._durations.renewed))}}
        with self._changing:
            self._settle()
            return super().get(path, query, accept=accept, timeout=timeout)

    def items(self, path: str, query: Mapping[str, str] = {}) -> Iterator[Raw]:
        with self._changing:
            self._settle()
            return iter(tuple(super().items(path, query)))

    def post(self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = {}) -> Raw:
        if path.startswith(LEASES):
            return self._claim.post(path, body)
        with self._changing:
            name = path.split("/")[-2] if path.endswith("/eviction") else ""
            if name:
                self.slow_to_end.add(name)
            made = super().post(path, body, query)
            if name:
                self._due[name] = time.monotonic() + self._durations.draw(name.removeprefix("app-"), Verb.DRAIN)
            else:
                made["status"] = {"phase": "Pending"}
                place = made["spec"]["nodeName"]
                self._due[made["metadata"]["name"]] = time.monotonic() + self._durations.draw(place, Verb.SMOKE_TEST)
            return made

    def patch(self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = {}) -> Raw:
        if path.startswith(LEASES):
            return self._claim.patch(path, body)
        with self._changing:
            return super().patch(path, body, query)

    def delete(self, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] = {}) -> Raw:
        if path.startswith(LEASES):
            return self._claim.delete(path)
        with self._changing:
            return super().delete(path, body, query)

    def _settle(self) -> None:
        now = time.monotonic()
        for name in [n for n, due in self._due.items() if due <= now]:
            del self._due[name]
            found = self.pods.get(name)
            if found is None:
                continue
            if "deletionTimestamp" in found["metadata"]:
                del self.pods[name]
            else:
                found["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


class ScriptedMachine(FakeMachine):
    """One machine at the seam of the shell: a command takes effect at its start, and ends when its time is over."""

    def __init__(self, name: str, api: ScriptedApi, durations: Durations) -> None:
        super().__init__(name, api, control_plane=name in scale.MASTERS)
        self.ends_at: dict[str, float] = {}  # attempt id → epoch seconds
        self._durations = durations

    def start(self, attempt: str, fence: int, verb: str, *args: str) -> StartAnswer:
        answer = super().start(attempt, fence, verb, *args)
        if answer.kind is StartKind.STARTED:
            self.ends_at[attempt] = time.time() + self._durations.draw(self.name, verb)
        return answer

    def poll(self, attempt: str, offset: int = 0, seconds: int = 0) -> PollAnswer:
        """As the node script does: it answers at the end, or after so many seconds."""
        left = self.ends_at.get(attempt, 0.0) - time.time()
        time.sleep(max(0.0, min(left, seconds)))
        return super().poll(attempt, offset)

    def _poll(self, attempt: str, offset: int) -> PollAnswer:
        found = self.attempts.get(attempt)
        if found is None:
            return PollAnswer(AttemptState.ABSENT, None, 0, "boot", b"")
        if time.time() < self.ends_at[attempt]:
            return PollAnswer(AttemptState.RUNNING, None, 0, "boot", b"")
        return PollAnswer(AttemptState.DONE, 0, len(found.output), "boot", found.output[offset:])


@dataclass
class ScriptedSite:
    """Machines, an API, and what the real engine needs to drive an approved plan over them."""

    size: int
    durations: Durations
    window: int
    waits: Mapping[str, float] = field(default_factory=dict)
    machines: dict[str, ScriptedMachine] = field(init=False)

    def __post_init__(self) -> None:
        self.names = scale.names(self.size)
        self.api = ScriptedApi(self.durations, self.names)
        self.machines = {n: ScriptedMachine(n, self.api, self.durations) for n in self.names}
        self._key = ed25519.Ed25519PrivateKey.generate()
        self._first_report = scale.report(self.size)
        self.settings = self._settings()
        self.record = self._record()

    def _settings(self) -> Settings:
        whole = scale.settings(self.size)
        approvals = whole.approvals.model_copy(update={"public_key": public_line(self._key)})
        return whole.model_copy(
            update={"approvals": approvals, "waits": whole.waits.model_copy(update=dict(self.waits))}
        )

    def _record(self) -> PlanRecord:
        made = scale.record(self.size)
        pools = tuple(replace(p, max_unavailable=self.window) if p.name == "general" else p for p in made.plan.pools)
        plan, now = replace(made.plan, pools=pools), datetime.now(UTC)
        return replace(
            made, plan=plan, digest=plan.digest, requested_at=now, expires_at=now + timedelta(hours=1), findings=()
        )

    def approve(self, store: Store) -> Operation:
        """Propose the plan and have it approved, signed as the gate wants it."""
        now = datetime.now(UTC)
        statement = replace(scale.approval(self.record, OPERATION).statement, at=now)
        store.propose(self.record, _told(Happened.PLAN_PROPOSED, now, plan_id=self.record.id))
        operation = schedule(self.record, operation_id=OPERATION, approved_by="grace", now=now)
        told = _told(Happened.PLAN_APPROVED, now, plan_id=self.record.id, operation_id=OPERATION)
        outcome = store.approve(self.record, sign_as_bot(statement, self._key), operation, told, now)
        assert outcome.decision is Decision.APPROVED, outcome
        return operation

    def observe(self) -> ClusterReport:
        """The report that cluster/observe.py would make of this API."""
        nodes, servers = [], []
        for was in self._first_report.nodes:
            raw = self.api.nodes[was.name]
            version = ReportedVersion(KubeVersion.parse(raw["status"]["nodeInfo"]["kubeletVersion"]))
            owner = raw["metadata"]["annotations"].get("lockkeeper.dev/cordoned-by", "")
            cordoned = bool(raw["spec"].get("unschedulable"))
            nodes.append(replace(was, kubelet=version, cordoned=cordoned, cordoned_by=owner))
        for name in scale.MASTERS:
            version = ReportedVersion(KubeVersion.parse(self.api.versions[f"{name}:6443"]))
            servers.append(ApiServer(name, f"{name}:6443", version, ready=True))
        return replace(
            self._first_report,
            read_at=datetime.now(UTC),
            nodes=tuple(nodes),
            api_servers=tuple(servers),
            declared=KubeVersion.parse(self.api.declared),
        )

    def crew(self, store: Store, lease_store: Store) -> Crew:
        @contextmanager
        def machine(name: str) -> Iterator[ScriptedMachine]:
            yield self.machines[name]

        def preflight(_plan: object) -> tuple[Finding, ...]:
            return ()

        return Crew(
            settings=self.settings,
            store=store,
            lease_store=lease_store,
            observe=self.observe,
            check_gate=check_gate,
            check_approval=check_approval,
            perform=runbook.perform,
            preflight=preflight,
            inspect=preflight,
            machine=machine,
            kube=lambda: self.api,
            now=lambda: datetime.now(UTC),
            others_wait=lambda: False,
        )


def _told(kind: Happened, at: datetime, **parts: Any) -> Event:
    return Event(kind, at, "prod", f"{kind} happened.", **parts)
