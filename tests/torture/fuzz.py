"""Whole upgrades with random faults: `python -m tests.torture.fuzz FIRST_SEED HOW_MANY`; a line of JSON for each."""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import UTC, datetime
from typing import Any

from lab.world import MAX_UNAVAILABLE
from tests.torture.extras import arrange, judge_extras
from tests.torture.faults import FAULTS, reboot_machine, strike
from tests.torture.plant import plant

WITHIN = 30.0  # seconds in which the faults strike: about as long as an undisturbed run
MOST_FAULTS = 4
_WITH_EXTRAS = 0.5  # of the upgrades reboot each machine and run hooks
MOST_RESUMES = 6  # stops that a person resumes: more of them for so few faults is a fault of ours


def run(seed: int) -> dict[str, Any]:
    """One upgrade with the faults of this seed."""
    dice = random.Random(seed)  # noqa: S311 - a simulation
    names = [dice.choice(list(FAULTS)) for _ in range(dice.randint(1, MOST_FAULTS))]
    extras = dice.random() < _WITH_EXTRAS
    most_away = dice.randint(1, MAX_UNAVAILABLE)
    return {"seed": seed} | upgrade(names, dice, WITHIN, extras=extras, most_away=most_away)


def upgrade(
    names: list[str],
    dice: random.Random,
    within: float,
    *,
    extras: bool = False,
    most_away: int = MAX_UNAVAILABLE,
) -> dict[str, Any]:
    """One upgrade with these faults; it must come to its end, resumed where it stopped with a reason."""
    began = time.monotonic()
    with plant(arrange=arrange if extras else None, most_away=most_away) as made:
        made.approve()
        striking = strike(made, names, dice, within)
        operation = made.follow(resume_at_most=MOST_RESUMES)
        striking.join()
        wrong = made.judge()
        if extras:
            power_cut = reboot_machine.__name__ in names
            wrong += judge_extras(made.rig, made.rig.world.exec_log(), power_cut=power_cut)
        if operation.state.value != "completed":
            wrong.append(f"the run ended as {operation.state}: {operation.reason}\n{made.logs()}")
        ended = operation.ended_at or datetime.now(UTC)
        return {
            "faults": names,
            "extras": extras,
            "most_away": most_away,
            "stops": made.stops,
            "wrong": wrong,
            "seconds": round(time.monotonic() - began, 1),
            "lasted": round((ended - operation.created_at).total_seconds(), 1),  # the upgrade alone
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
