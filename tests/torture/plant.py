"""One installation under test: a lab, Redis, worker processes, and somebody who asks, approves and resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml

from bot.decision_desk import approve
from bot.desk import Desk
from bot.plan_desk import ask_for_plan, ask_for_rollback
from bot.run_desk import resume, retry
from cluster.errors import LockkeeperError
from cluster.events import Event
from cluster.operation import Operation, OperationState
from cluster.queues import Wakeups
from cluster.report import CORDON_OWNER
from cluster.requests import Answer
from cluster.settings import load_settings
from lab.rig import Rig, rig
from lab.scenarios import App, Scenario
from lab.world import MAX_UNAVAILABLE
from tests.torture import judge
from tests.torture.witness import Witness

TARGET = "v1.35.4"
SCENARIO = Scenario("torture", "three control planes and two workers", 3, 2, apps=(App("web", 3, 1),))
SPEED = 200.0
PATIENCE = 420.0  # seconds for a whole run with its faults: only a hang reaches it
_WAITS = (OperationState.BLOCKED, OperationState.PARKED)


@dataclass
class Plant:
    """One rig and one run on it."""

    rig: Rig
    witness: Witness
    most_away: int = MAX_UNAVAILABLE
    operation_id: str = ""
    stops: int = 0  # how often a person had to say `resume` or `retry`
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)  # cordons of somebody else that were not kept, in words

    def approve(self) -> None:
        """Ask for the plan and approve it, as two people would."""
        desk = self._desk()
        self.before = self.rig.world.snapshot()
        self._approve(desk, ask_for_plan(desk, TARGET, None, timeout=60))

    def _approve(self, desk: Desk, answer: Answer) -> None:
        assert answer.plan_ids, answer.refusal
        record = self.rig.store.plan(answer.plan_ids[0])
        operation = approve(desk, record, self.rig.directory / "grace.key")
        self.operation_id = operation.id

    def roll_back(self, name: str) -> list[str]:
        """After an upgrade one worker's kubelet goes back, by a plan of its own; what was wrong with that, in words."""
        desk, upgraded = self._desk(), self.rig.world.snapshot()
        self._approve(desk, ask_for_rollback(desk, (name,), None, timeout=60))
        operation = self.follow()
        if operation.state is not OperationState.COMPLETED:
            return [f"the rollback ended as {operation.state}: {operation.reason}"]
        after, was = self.rig.world.snapshot(), str(self.before[name]["kubelet"])
        found = [*judge.judge_log(self.rig.world.exec_log(), self.rig.world.scenario.control_plane_names)]
        found += judge.judge_events(self.told(), operation.state.value)
        found += judge.judge_end({name: upgraded[name]}, {name: {**after[name], "apiserver": ""}}, was)
        others = {n: s for n, s in upgraded.items() if n != name}
        return found + list(judge.judge_end(others, {n: after[n] for n in others}, TARGET))

    def operation(self) -> Operation | None:
        """None while Redis is away."""
        try:
            return self.rig.store.operation(self.operation_id)
        except LockkeeperError:
            return None

    def follow(self, *, resume_at_most: int = 0) -> Operation:
        """Wait for the end; a person resumes a stop so many times, after having looked at it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            operation = self.operation()
            if operation is not None and operation.ended:
                return operation
            if operation is not None and operation.state in _WAITS:
                if self.stops >= resume_at_most:
                    return operation
                self.stops += 1
                self._go_on(operation)
            assert time.monotonic() < deadline, f"{self.operation_id} hangs: {operation}\n{self.logs()}"
            time.sleep(0.2)

    def _desk(self) -> Desk:
        return Desk(load_settings(self.rig.config), self.rig.store, Wakeups.connect(self.rig.redis.url))

    def _go_on(self, operation: Operation) -> None:
        desk = self._desk()
        time.sleep(2.0)  # whoever resumes has put right what was wrong
        try:
            if operation.state is OperationState.BLOCKED:
                retry(desk, operation, None)
            else:
                resume(desk, operation)
        except LockkeeperError:
            return

    def told(self) -> Sequence[Event]:
        return [event for _, event in self.rig.store.events(self.operation_id)]

    def cordon(self, name: str) -> bool:
        """As somebody would who knows nothing of the run; whether the node was not cordoned before."""
        nodes = self.rig.world.cluster.store

        def change() -> bool:
            node = nodes.peek("Node", name)
            if node is None or node["spec"].get("unschedulable"):
                return False
            self.witness.excuse(name)
            nodes.merge("Node", name, "", {"spec": {"unschedulable": True}})
            return True

        return self.rig.world.call(change)

    def uncordon(self, name: str) -> None:
        """Give it back; somebody else's cordon has to be there until now, and has to be nobody else's."""
        nodes = self.rig.world.cluster.store

        def change() -> bool:
            node = nodes.peek("Node", name) or {"spec": {}, "metadata": {}}
            kept = node["spec"].get("unschedulable") and CORDON_OWNER not in node["metadata"].get("annotations", {})
            nodes.merge("Node", name, "", {"spec": {"unschedulable": None}})
            self.witness.count_again(name)
            return bool(kept)

        if not self.rig.world.call(change):
            self.lost.append(f"{name} was cordoned by somebody else, and that cordon was not kept")

    def judge(self) -> list[str]:
        """Every fault of this run, in words."""
        operation, told = self.rig.store.operation(self.operation_id), self.told()
        log, after = self.rig.world.exec_log(), self.rig.world.snapshot()
        found = [
            *judge.judge_log(log, self.rig.world.scenario.control_plane_names),
            *judge.judge_sights(self.witness.sights, most_away=self.most_away),
            *judge.judge_events(told, operation.state.value),
            *self.lost,
        ]
        if operation.state is OperationState.COMPLETED:
            found += judge.judge_end(self.before, after, TARGET)
            found += judge.judge_store(self.rig.directory, self._snapshots())
            found += self.rig.world.call(lambda: list(judge.judge_marks(self.rig.world.cluster.store)))
        else:
            found += judge.judge_stop(told)
        return found

    def _snapshots(self) -> list[bytes]:
        """Those that lie on the first control plane."""
        machine = self.rig.world.machines[self.rig.world.scenario.control_plane_names[0]]
        return [path.read_bytes() for path in machine.path("/var/lib/lockkeeper/snapshots").iterdir()]

    def logs(self) -> str:
        parts = [f"--- {p.name}\n" + "\n".join(p.log.read_text().splitlines()[-25:]) for p in self.rig.parts]
        return "\n".join(parts)


@contextmanager
def plant(
    scenario: Scenario = SCENARIO,
    *,
    workers: int = 2,
    arrange: Callable[[Rig], None] | None = None,
    most_away: int = MAX_UNAVAILABLE,
) -> Iterator[Plant]:
    """Without Slack: what Slack does to a run has its own stories. As many workers may be away as `most_away` says."""

    def prepare(made: Rig) -> None:
        limit(made, most_away)
        if arrange is not None:
            arrange(made)

    with rig(scenario, speed=SPEED, workers=workers, with_slack=False, arrange=prepare) as made:
        witness = Witness(made.world)
        witness.watch()
        yield Plant(made, witness, most_away)


def limit(made: Rig, most_away: int) -> None:
    """A limit of as many workers as there are could never be broken: a narrower one is what shows."""
    data = yaml.safe_load(made.config.read_text(encoding="utf-8"))
    for cluster in data["clusters"].values():
        for pool in cluster["pools"].values():
            pool["max_unavailable"] = most_away
    made.config.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def now() -> datetime:
    return datetime.now(UTC)
