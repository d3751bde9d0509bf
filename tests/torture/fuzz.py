"""Whole upgrades with random faults: `python -m tests.torture.fuzz FIRST_SEED HOW_MANY`; a line of JSON for each."""

from __future__ import annotations

import json
import random
import sys
import time

from tests.torture.faults import FAULTS, TAKES_MACHINES_AWAY, strike
from tests.torture.plant import SCENARIO, plant

WITHIN = 30.0  # seconds in which the faults strike: about as long as an undisturbed run
MOST_FAULTS = 4
MOST_RESUMES = 6  # stops that a person resumes: more of them for so few faults is a fault of ours


def run(seed: int) -> dict[str, object]:
    """One upgrade with the faults of this seed; it must come to its end, resumed where it stopped with a reason."""
    dice = random.Random(seed)  # noqa: S311 - a simulation
    names = [dice.choice(list(FAULTS)) for _ in range(dice.randint(1, MOST_FAULTS))]
    began = time.monotonic()
    with plant() as made:
        made.approve()
        striking = strike(made, names, dice, WITHIN)
        operation = made.follow(resume_at_most=MOST_RESUMES)
        striking.join()
        excused = frozenset(SCENARIO.worker_names if TAKES_MACHINES_AWAY & set(names) else ())
        wrong = made.judge(excused=excused)
        if operation.state.value != "completed":
            wrong.append(f"the run ended as {operation.state}: {operation.reason}\n{made.logs()}")
        return {
            "seed": seed,
            "faults": names,
            "stops": made.stops,
            "wrong": wrong,
            "seconds": round(time.monotonic() - began, 1),
        }


def main() -> None:
    first, many = (int(word) for word in sys.argv[1:3])
    for seed in range(first, first + many):
        try:
            line = run(seed)
        except Exception as error:  # noqa: BLE001 - the next seeds are run all the same
            line = {"seed": seed, "wrong": [f"{type(error).__name__}: {error}"]}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
