"""
What each fault costs: `python -m tests.torture.costs [TIMES]`; each strikes alone, against runs that nobody disturbs.

Nothing else should be going on: a run that shares the machine takes longer by more than most faults cost.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
from collections.abc import Iterator

from tests.torture.faults import FAULTS
from tests.torture.fuzz import upgrade

TIMES = 3
WITHIN = 10.0  # seconds in which it strikes: an undisturbed run lasts longer on any machine


def lasted(names: list[str], times: int) -> Iterator[dict[str, object]]:
    """So many upgrades with these faults, one after the other: a line each."""
    for seed in range(times):
        try:
            yield upgrade(names, random.Random(f"{names}/{seed}"), WITHIN)  # noqa: S311 - a simulation
        except Exception as error:  # noqa: BLE001 - the next ones are run all the same
            yield {"faults": names, "wrong": [f"{type(error).__name__}: {error}"]}


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else TIMES
    lines = []
    for names in ([], *([name] for name in FAULTS)):
        for line in lasted(names, times):
            lines.append(line)
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()
    sys.stdout.write("\n".join(tell(lines)) + "\n")


def tell(lines: list[dict[str, object]]) -> Iterator[str]:
    """How much longer the runs with each fault lasted than those without, in the median."""
    of: dict[str, list[float]] = {}
    for line in lines:
        if not line["wrong"]:
            of.setdefault(",".join(line["faults"]), []).append(float(line["lasted"]))  # type: ignore[arg-type]
    usual = statistics.median(of.get("", [0.0]))
    yield f"an undisturbed upgrade: {usual:.1f} s"
    for name, seconds in of.items():
        if name:
            yield f"  {name.replace('_', ' ')}: {statistics.median(seconds) - usual:+.1f} s"


if __name__ == "__main__":
    main()
