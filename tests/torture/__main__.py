"""
Whatever may go wrong: `python -m tests.torture [FUZZ_RUNS [SIDE_BY_SIDE [FIRST_SEED]]]`; see docs/reliability.md.

Most of it waits for leases, so several installations are tortured side by side, each a process of its own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.torture.costs import tell as tell_costs
from tests.torture.crashes import every_point

FUZZ_RUNS, SIDE_BY_SIDE, SHARDS = 500, 4, 8
_BATCH = 5  # fuzz runs of one process
Line = dict[str, Any]


def run(module: str, *words: str) -> list[Line]:
    """The lines of one process; one that died is a line that says so."""
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, check=False)
    lines: list[Line] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        lines.append({"wrong": [f"{module} {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}"]})
    for wrong in (w for line in lines for w in line["wrong"]):
        say(f"WRONG: {module} {' '.join(words)}: {wrong}")
    return lines


def crash_everywhere(side_by_side: int) -> bool:
    """Whether every crash point was reached and survived."""
    points = sorted(every_point())
    with ThreadPoolExecutor(side_by_side) as pool:
        shards = pool.map(lambda n: run("tests.torture.crashes", str(n), str(SHARDS)), range(SHARDS))
        lines = [line for shard in shards for line in shard]
    survived = {p for line in lines if not line["wrong"] for p in line.get("reached", ())}
    say(f"crash points: {len(survived & set(points))} of {len(points)}")
    say_pauses("from a crash to going on", [p for line in lines for p in line.get("pauses", ())])
    return survived >= set(points)


def hand_over() -> bool:
    """Whether one run went on soundly through every kill and every rollout of its worker."""
    lines = run("tests.torture.handover")
    say_pauses("from a SIGKILL of the worker to going on", [p for line in lines for p in line.get("killed", ())])
    say_pauses("hand-over at SIGTERM", [p for line in lines for p in line.get("handed", ())])
    return not any(line["wrong"] for line in lines)


def costs() -> bool:
    """Whether a run with each fault alone was sound; what each of them cost is said."""
    lines = run("tests.torture.costs")
    for said in tell_costs(lines):
        say(said)
    return not any(line["wrong"] for line in lines)


def fuzz(runs: int, side_by_side: int, first: int) -> bool:
    """Whether every run came to its end."""
    batches = [(seed, min(_BATCH, first + runs - seed)) for seed in range(first, first + runs, _BATCH)]
    with ThreadPoolExecutor(side_by_side) as pool:
        done = pool.map(lambda b: run("tests.torture.fuzz", str(b[0]), str(b[1])), batches)
        lines = [line for batch in done for line in batch]
    sound = [line for line in lines if not line["wrong"]]
    say(f"fuzz runs: {len(sound)} of {runs}")
    say(f"a person had to resume {sum(line['stops'] for line in sound)} stops in {len(sound)} runs")
    for name, seconds in cost_of_each(sound):
        say(f"  {name}: {seconds}")
    return len(sound) == runs


def cost_of_each(lines: Sequence[Line]) -> Iterator[tuple[str, str]]:
    """How often each fault struck, and how long the runs with it lasted."""
    struck = Counter(name for line in lines for name in line["faults"])
    for name, times in sorted(struck.items()):
        lasted = [line["seconds"] for line in lines if name in line["faults"]]
        yield name.replace("_", " "), f"{times} times, runs with it {statistics.median(lasted):.0f} s"


def say_pauses(what: str, seconds: Sequence[float]) -> None:
    if seconds:
        say(f"{what}: median {statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    given = [int(word) for word in sys.argv[1:]]
    runs, side_by_side, first = (*given, *(FUZZ_RUNS, SIDE_BY_SIDE, 1)[len(given) :])
    sound = crash_everywhere(side_by_side)
    sound = hand_over() and sound
    sound = costs() and sound
    sound = fuzz(runs, side_by_side, first) and sound
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
