"""
How near the engine comes to the best possible run: `python -m tests.bench_upgrade [workers] [shortest seconds]`.

The real engine, gate, runbook and Redis, over machines that are scripts: each command, pod and test lasts as long as a
heavy-tailed draw says. What it lasts is known beforehand, so the bound is known as well: no schedule with this window
can end before the longest worker does, nor before the whole work divided by the window. Cordoning and uncordoning are
one call each and count as nothing in the bound.
"""

from __future__ import annotations

import heapq
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.events import Event, Happened
from cluster.operation import OperationState, attempt_id
from cluster.procedure import Phase, Verb, itinerary
from cluster.store import Store
from lab.redis import RedisServer
from tests import scale_fixture as scale
from tests.gauge import Gauge, Sample
from tests.scripted_site import OPERATION, Durations, ScriptedSite
from workers.engine import drive

WORKERS, SHORTEST, WINDOW = 100, 6.0, 10
# Nobody knows beforehand which worker is slow, so whoever comes last costs something. With these draws a scheduler
# without any overhead reaches 1.026 of the bound: what is above that is ours.
SEED = 56
STABLE = 5.0  # seconds that a restarted kubelet must stay up: the same for all, so a shorter one is the harder test
_AT_ONCE = frozenset({Verb.CORDON, Verb.UNCORDON})
_BOUNDS = frozenset({Happened.STEP_STARTED, Happened.STEP_FINISHED})
_SHORTEST_IN_OVERHEADS = 20


@dataclass(frozen=True)
class Run:
    """What is known of a run afterwards; times in seconds."""

    site: ScriptedSite
    makespan: float  # of the workers' stage
    pauses: tuple[float, ...]  # from the real end of a step to the start of the next one on the same worker
    samples: tuple[Sample, ...]  # of memory, at the begin and after each quarter


def work_of(site: ScriptedSite) -> Mapping[str, float]:
    """Worker → seconds that its own stage lasts at least, from the first step to the last."""
    found = {}
    for worker in (n for n in site.record.plan.nodes if n.name not in scale.MASTERS):
        verbs = [s.verb for s in itinerary(site.record.plan, worker) if s.phase is Phase.WORKERS]
        found[worker.name] = sum(_lasts(site, worker.name, verb) for verb in verbs)
    return found


def _lasts(site: ScriptedSite, worker: str, verb: Verb) -> float:
    if verb in _AT_ONCE:
        return 0.0
    if verb is Verb.VERIFY_NODE:  # the second renewal after the first look is at least one whole interval away
        return site.durations.renewed + site.settings.waits.stable
    return site.durations.draw(worker, verb)


def bound(work: Sequence[float], window: int) -> float:
    """No schedule is shorter than the longest worker, nor than the work divided by the window."""
    return max(*work, sum(work) / window)


def without_overhead(work: Sequence[float], window: int) -> float:
    """One worker after the other in the plan's order, each as soon as there is a place, and nothing costs anything."""
    places = [0.0] * window
    for lasts in work:
        heapq.heappush(places, heapq.heappop(places) + lasts)
    return max(places)


def batches(work: Sequence[float], window: int) -> float:
    """The same work in fixed batches, each of which waits for its slowest worker, without any overhead."""
    return sum(max(work[i : i + window]) for i in range(0, len(work), window))


def upgrade(site: ScriptedSite, folder: Path) -> Run:
    """Drive the plan to its end; raises AssertionError where it did not come to it."""
    with RedisServer.start(folder) as server:
        store, leases = Store.connect(server.url), Store.connect(server.url)
        site.approve(store)
        with Gauge(site.record.plan, OPERATION, server.url) as gauge:
            drive_to_end(site, store, leases)
        told = [e for _, e in store.events(OPERATION)]
    began, ended = _stage(told)
    return Run(site, ended - began, tuple(_pauses(site, told)), tuple(gauge.samples))


def drive_to_end(site: ScriptedSite, store: Store, leases: Store) -> None:
    """One driver after the other, as a worker starts them; raises AssertionError where a person would be asked."""
    while store.operation(OPERATION).state is not OperationState.COMPLETED:
        drive(site.crew(store, leases), OPERATION)
        operation = store.operation(OPERATION)
        stopped = operation.state in {OperationState.BLOCKED, OperationState.PARKED}
        assert not stopped, (operation.reason, [r for r in operation.rows if r.note][:5])


def tell_memory(samples: Sequence[Sample]) -> str:
    """At the begin, and after each quarter of the steps."""
    own, redis = ", ".join(f"{s.own:.0f}" for s in samples), ", ".join(f"{s.redis:.1f}" for s in samples)
    return f"memory at the begin and after each quarter: {own} MiB; Redis {redis} MB"


def _stage(told: Sequence[Event]) -> tuple[float, float]:
    """The workers' stage in epoch seconds: from its first step's start to its last one's end."""
    here = [e for e in told if f"/{Phase.WORKERS}/" in e.step and e.kind in _BOUNDS]
    return here[0].at.timestamp(), here[-1].at.timestamp()


def _pauses(site: ScriptedSite, told: Sequence[Event]) -> Iterator[float]:
    """A machine's command ended when the machine says so, not when somebody saw it."""
    ended: dict[str, float] = {}
    for event in told:
        if f"/{Phase.WORKERS}/" not in event.step or event.kind not in _BOUNDS:
            continue
        if event.kind is Happened.STEP_STARTED and event.node in ended:
            yield event.at.timestamp() - ended[event.node]
        if event.kind is Happened.STEP_FINISHED:
            ended[event.node] = _really_ended(site, event)


def _really_ended(site: ScriptedSite, event: Event) -> float:
    plan = site.record.plan
    index = next(i for i, n in enumerate(plan.nodes) if n.name == event.node)
    steps = [f"{s.hop}/{s.phase}/{s.verb}" for s in itinerary(plan, plan.nodes[index])]
    attempt = attempt_id(OPERATION, index, steps.index(event.step), event.attempt)
    return site.machines[event.node].ends_at.get(attempt, event.at.timestamp())


def main() -> None:
    workers = int(sys.argv[1]) if len(sys.argv) > 1 else WORKERS
    shortest = float(sys.argv[2]) if len(sys.argv) > 2 else SHORTEST
    site = ScriptedSite(
        len(scale.MASTERS) + workers, Durations(shortest, SEED), min(WINDOW, workers), {"stable": STABLE}
    )
    work = list(work_of(site).values())
    with tempfile.TemporaryDirectory(prefix="lk-") as folder:
        ran = upgrade(site, Path(folder))
    least, fixed = bound(work, site.window), batches(work, site.window)
    ideal, overhead = without_overhead(work, site.window), statistics.median(ran.pauses)
    lines = (
        f"{workers} workers, {site.window} at once; steps of {shortest:g} s and more, {sum(work):.0f} s of work:",
        f"makespan {ran.makespan:.1f} s, bound {least:.1f} s, fixed batches {fixed:.1f} s",
        f"without any overhead, in this order: {ideal / least:.3f} of the bound",
        tell_memory(ran.samples),
        f"ratio to bound: {ran.makespan / least:.3f}",
        f"ratio to batches: {ran.makespan / fixed:.3f}",
        f"overhead per step: {overhead:.2f} s",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    if shortest < _SHORTEST_IN_OVERHEADS * overhead:
        sys.exit(
            f"the shortest step, {shortest:g} s, is not {_SHORTEST_IN_OVERHEADS} overheads long: name a longer one"
        )


if __name__ == "__main__":
    main()
