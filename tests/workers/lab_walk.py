"""Every step of a plan carried out on the lab: real SSH, the real node script and the real Kubernetes client."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from cluster.examine import examine
from cluster.kube import Kube
from cluster.observation import Observation
from cluster.observe import observe
from cluster.operation import attempt_id
from cluster.options import Options
from cluster.plan import Hop, PlanKind, PlanNode, PlanPool, Role, UpgradePlan
from cluster.procedure import Step, Verb, itinerary
from cluster.report import ClusterIdentity
from cluster.settings import Settings, parse_settings
from cluster.versions import parse_target
from lab.podlife import UNREADY
from lab.world import World
from policies.drafting import Draft, draft_upgrade, minors_of
from tests.workers.runbook_fixture import hop
from workers.login import SshTarget
from workers.machine import NodeMachine
from workers.runbook import AttemptLost, Site, StepDone, perform
from workers.ssh import SshShell
from workers.survey import run_survey

OPERATION = "op-1ab00001"
WAITS = {"poll": 0.2, "eviction_retry": 0.2, "stable": 0.3, "node_ready": 60.0, "control_plane": 60.0, "smoke": 20.0}


class Walk:
    """One plan on one lab, without an engine: steps are taken where a test says so."""

    def __init__(self, world: World, versions: Sequence[str], options: Options, kind: PlanKind) -> None:
        self.world = world
        self.settings: Settings = parse_settings(
            world.config() | {"people": {"ann": {}}, "approvals": {"approvers": ["ann"]}, "waits": WAITS}
        )
        self.name, self._cluster = self.settings.cluster(None)
        self.kube = Kube.connect(self.name, self._cluster)
        self.plan = self._plan(tuple(hop(v) for v in versions), options, kind)
        self.shells = {n: SshShell(SshTarget.of(n, m)) for n, m in self._cluster.machines.items()}
        self.operation = OPERATION
        self.told: list[str] = []
        self.attempts: dict[tuple[str, int], int] = {}

    def _plan(self, hops: tuple[Hop, ...], options: Options, kind: PlanKind) -> UpgradePlan:
        nodes = {n["metadata"]["name"]: n for n in self.kube.items("/api/v1/nodes")}
        masters = [
            n for n in sorted(nodes) if "node-role.kubernetes.io/control-plane" in nodes[n]["metadata"]["labels"]
        ]
        workers = [n for n in sorted(nodes) if n not in masters]

        def planned(names: list[str], first: Role, role: Role) -> tuple[PlanNode, ...]:
            return tuple(PlanNode(n, nodes[n]["metadata"]["uid"], role if i else first) for i, n in enumerate(names))

        pools = (
            PlanPool("control-plane", 1, planned(masters, Role.FIRST_CONTROL_PLANE, Role.CONTROL_PLANE)),
            PlanPool("workers", 1, planned(workers, Role.WORKER, Role.WORKER)),
        )
        return UpgradePlan(kind, ClusterIdentity(self.name, "", ""), hops, pools, options)

    def site(self, name: str, position: int, **changes: Any) -> Site:
        node = self.plan.node(name)
        assert node is not None
        index, attempt = self.plan.nodes.index(node), self.attempts.get((name, position), 1)
        machine = NodeMachine(self.shells[name], self._cluster.machines[name].node_script, name=name)
        values: dict[str, Any] = {
            "settings": self.settings,
            "cluster": self.name,
            "plan": self.plan,
            "node": node,
            "step": itinerary(self.plan, node)[position],
            "operation_id": self.operation,
            "attempt_id": attempt_id(self.operation, index, position, attempt),
            "attempt": attempt,
            "fence": 1,
            "started_at": datetime.now(UTC),
            "machine": machine,
            "kube": lambda: self.kube,
            "endpoints": self.endpoints,
            "tell": self.told.append,
            "stopping": lambda: False,
            "may_start": lambda: True,
            "now": lambda: datetime.now(UTC),
            "sleep": time.sleep,
        }
        return Site(**(values | changes))

    def draft(self, target: str) -> Draft:
        """What people would be asked to approve now."""
        now = datetime.now(UTC)
        report = observe(self.name, self._cluster, now=now)
        chosen = parse_target(target)
        survey = run_survey(self.name, self._cluster, minors_of(report, chosen), now)
        seen = Observation(report, survey, examine(self.name, self._cluster, report, now=now))
        return draft_upgrade(seen, self._cluster, chosen, options=self.plan.options, accepted=(), now=now)

    def break_daemon_set(self, namespace: str, name: str) -> str:
        """Roll out a template that never gets ready: it stops at its first node, which is returned."""
        template = {"metadata": {"annotations": {UNREADY: "yes"}}}
        self.kube.patch(f"/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}", {"spec": {"template": template}})
        for _ in range(600):
            for pod in self.kube.items(f"/api/v1/namespaces/{namespace}/pods"):
                bad = UNREADY in (pod["metadata"].get("annotations") or {})
                if bad and pod["status"].get("phase") == "Running":
                    return str(pod["spec"]["nodeName"])
            time.sleep(0.1)
        raise AssertionError(name)

    def endpoints(self) -> dict[str, str]:
        servers = self.world.call(lambda: {n: s.address for n, s in self.world.cluster.servers.items()})
        return {name: f"{host}:{port}" for name, (host, port) in servers.items()}

    def take(self, name: str, position: int) -> StepDone:
        """One step; a lost attempt is followed by a new one, as the engine does."""
        for attempt in itertools.count(1):
            self.attempts[name, position] = attempt
            try:
                return perform(self.site(name, position))
            except AttemptLost:
                if attempt == 3:
                    raise
        raise AssertionError

    def steps(self) -> list[tuple[Step, str, int]]:
        """Every step of every node in the order of stages."""
        return sorted(
            (
                (step, node.name, position)
                for node in self.plan.nodes
                for position, step in enumerate(itinerary(self.plan, node))
            ),
            key=lambda found: (found[0].stage, [n.name for n in self.plan.nodes].index(found[1]), found[2]),
        )

    def position(self, name: str, verb: Verb) -> int:
        """Where a node first takes that verb."""
        node = self.plan.node(name)
        assert node is not None
        return [step.verb for step in itinerary(self.plan, node)].index(verb)

    def starts(self) -> list[str]:
        """Every attempt that a machine started, as its own log has it."""
        return [record.unit for record in self.world.exec_log() if record.started]


@contextmanager
def walking(
    scenario: str,
    *versions: str,
    speed: float = 100,
    options: Options | None = None,
    kind: PlanKind = PlanKind.UPGRADE,
) -> Iterator[Walk]:
    """A lab and a plan on it."""
    with World.start(scenario, speed=speed) as world:
        walk = Walk(world, versions, options or Options(delete_emptydir=True), kind)
        try:
            yield walk
        finally:
            for shell in walk.shells.values():
                shell.close()
            walk.kube.close()
