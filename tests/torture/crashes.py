"""
Every crash point of every step of every role, once: `python -m tests.torture.crashes SHARD SHARDS`.

A driver is killed before and after the first side effect of a step, and before and after its result is recorded; the
next one must find out by itself how far things had come.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cluster.events import Event
from cluster.plan import Role
from cluster.procedure import Verb, itinerary
from lab.world import MAX_UNAVAILABLE
from tests.engine_fixture import plan
from tests.torture.extras import arrange, judge_extras, with_extras
from tests.torture.plant import plant
from workers.crashpoints import MARKS, POINTS, STORE_POINTS, VARIABLE

_ONLY_LOOKS = frozenset({Verb.VERIFY_CONTROL_PLANE, Verb.VERIFY_NODE})  # no side effect to crash around
ROLLED_BACK = "w1"  # whose way back has one step that no upgrade has
_AROUND_RECORD = frozenset({"before-record", "after-record"})


def every_point() -> Iterator[str]:
    """`point:verb@node` for each role's whole way, as cluster/procedure.py has it."""
    made = with_extras(plan(("cp1", "cp2"), ("w1",)))
    for node in made.nodes:
        for verb in dict.fromkeys(step.verb for step in itinerary(made, node)):
            for point in POINTS:
                if point in _AROUND_RECORD or not (verb in _ONLY_LOOKS or _finds_nobody(verb, node.role)):
                    yield f"{point}:{verb}@{node.name}"
    yield from (f"{point}:{Verb.ROLL_BACK_KUBELET}@{ROLLED_BACK}" for point in POINTS)
    for point in STORE_POINTS:
        yield f"{point}:{Verb.SNAPSHOT_ETCD}@cp1"


def _finds_nobody(verb: Verb, role: Role) -> bool:
    """Only DaemonSet and static pods run on the lab's control planes: a drain there evicts nobody."""
    return verb is Verb.DRAIN and role is not Role.WORKER


def crash_at_each(points: list[str], *, most_away: int = MAX_UNAVAILABLE) -> dict[str, object]:
    """One run that is killed at each of them; what was reached, what was wrong, and the seconds that it took."""
    with tempfile.TemporaryDirectory(prefix="lk-") as marks:
        os.environ |= {VARIABLE: ",".join(points), MARKS: marks}
        began = time.monotonic()
        with plant(arrange=arrange, most_away=most_away) as made:
            made.approve()
            operation = made.follow()
            wrong = [*made.judge(), *judge_extras(made.rig, made.rig.world.exec_log())]
            if operation.state.value != "completed":
                wrong.append(f"the run ended as {operation.state}: {operation.reason}")
            told = list(made.told())
            if any(f":{Verb.ROLL_BACK_KUBELET}@" in point for point in points):
                wrong += made.roll_back(ROLLED_BACK)
                told += made.told()  # of the way back, which is a run of its own
            reached = sorted(p.name for p in Path(marks).iterdir())
            wrong += [f"never reached: {p}" for p in sorted(set(points) - set(reached))]
            return {
                "reached": reached,
                "wrong": wrong,
                "seconds": time.monotonic() - began,
                "pauses": _pauses(told, Path(marks)),
            }


def _pauses(told: Sequence[Event], marks: Path) -> list[float]:
    """Seconds from each crash to the next thing that is told: a mark is as old as its crash."""
    times = [event.at.timestamp() for event in told]
    crashes = (mark.stat().st_mtime for mark in marks.iterdir())
    return [next((t for t in times if t > crash), crash) - crash for crash in crashes]


def main() -> None:
    shard, shards = (int(word) for word in sys.argv[1:3])
    points = list(every_point())[shard::shards]
    sys.stdout.write(json.dumps(crash_at_each(points, most_away=1 + shard % MAX_UNAVAILABLE)) + "\n")


if __name__ == "__main__":
    main()
