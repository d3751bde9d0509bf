"""
Whether machines that are scripts and those of the lab take the same steps: `python -m tests.same_steps [workers]`.

Three control planes and workers, once as the lab has them (SSH, the node script, a Kubernetes API over TLS, worker
processes), once as the benches have them; what the event stream tells of each machine is compared, step by step.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cluster.events import Event, Happened
from cluster.operation import OperationState
from cluster.plan import UpgradePlan
from cluster.store import Store
from lab.redis import RedisServer
from lab.scenarios import App, Scenario
from tests import scale_fixture as scale
from tests.bench_upgrade import drive_to_end
from tests.scripted_site import OPERATION, Durations, ScriptedSite
from tests.torture.plant import plant

WORKERS, WINDOW = 17, 2
WAITS = {"stable": 0.1, "poll": 0.2}
_TOLD = frozenset({Happened.STEP_STARTED, Happened.STEP_FINISHED, Happened.STEP_FAILED, Happened.NODE_FINISHED})
Way = tuple[str, ...]


def ways_of(plan: UpgradePlan, told: Sequence[Event]) -> tuple[Way, ...]:
    """What was told of each machine, in the plan's order of machines: their names differ."""
    ways: Mapping[str, list[str]] = {node.name: [] for node in plan.nodes}
    for event in told:
        if event.kind in _TOLD and event.node in ways:
            ways[event.node].append(f"{event.kind} {event.step} {event.attempt}".strip())
    return tuple(tuple(way) for way in ways.values())


def stages_of(told: Sequence[Event]) -> Way:
    """The stages in the order in which they began."""
    started = (e.step.rpartition("/")[0] for e in told if e.kind is Happened.STEP_STARTED)
    return tuple(dict.fromkeys(started))


def in_the_lab(workers: int) -> tuple[tuple[Way, ...], Way]:
    """A whole run over SSH."""
    masters = len(scale.MASTERS)
    scenario = Scenario("same-steps", f"{masters} + {workers} machines", masters, workers, apps=(App("web", 3, 1),))
    with plant(scenario, workers=1) as made:
        made.approve()
        operation = made.follow()
        wrong = made.judge()
        assert operation.state is OperationState.COMPLETED, f"{operation.reason}\n{made.logs()}"
        assert not wrong, wrong
        record = made.rig.store.plan(operation.plan_id)
        return ways_of(record.plan, made.told()), stages_of(made.told())


def by_scripts(workers: int) -> tuple[tuple[Way, ...], Way]:
    """The same cluster at the seam of the shell."""
    site = ScriptedSite(len(scale.MASTERS) + workers, Durations(0.05, renewed=0.1), WINDOW, WAITS)
    with tempfile.TemporaryDirectory(prefix="lk-") as folder, RedisServer.start(Path(folder)) as server:
        store, leases = Store.connect(server.url), Store.connect(server.url)
        site.approve(store)
        drive_to_end(site, store, leases)
        told = [event for _, event in store.events(OPERATION)]
        return ways_of(site.record.plan, told), stages_of(told)


def differences(lab: Sequence[Way], scripts: Sequence[Way]) -> Iterator[str]:
    """The first one of each machine, in words."""
    for number, (one, other) in enumerate(zip(lab, scripts, strict=True), start=1):
        if one != other:
            at = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(other))
            yield f"machine {number} differs at its event {at + 1}: {one[at : at + 2]} in the lab, {other[at : at + 2]}"


def main() -> None:
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else WORKERS
    (lab, lab_stages), (scripts, script_stages) = in_the_lab(workers), by_scripts(workers)
    found = list(differences(lab, scripts))
    if lab_stages != script_stages:
        found.append(f"the stages differ: {lab_stages} in the lab, {script_stages}")
    machines, events = len(lab), sum(map(len, lab))
    found.append(
        f"{machines} machines, {events} events of their steps: " + ("NOT THE SAME" if found else "the same both ways")
    )
    sys.stdout.write("\n".join(found) + "\n")
    sys.exit(1 if found[:-1] else 0)


if __name__ == "__main__":
    main()
