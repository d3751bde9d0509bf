"""What a plan may have beside the usual: a reboot of each machine, and a hook at each moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import yaml

from cluster.hooks import Moment, PlanHook
from cluster.options import Options, Reboot
from cluster.plan import UpgradePlan
from lab.rig import Rig
from lab.toolbox import ExecRecord

HOOK, FOLDER, SEEN = "leave-a-line", "/etc/lockkeeper/hooks", "/var/lib/hooks-ran"


def with_extras(plan: UpgradePlan) -> UpgradePlan:
    hooks = tuple(PlanHook(moment, HOOK, 60) for moment in Moment)
    return replace(plan, options=Options(reboot=Reboot.ALWAYS), hooks=hooks)


def arrange(made: Rig) -> None:
    """The same in the file, and the hook on each machine: it leaves a line with its attempt."""
    data = yaml.safe_load(made.config.read_text(encoding="utf-8"))
    for cluster in data["clusters"].values():
        cluster["defaults"]["reboot"] = Reboot.ALWAYS.value
        cluster["hooks"] = {moment.value: [{"command": HOOK, "timeout": 60}] for moment in Moment}
    made.config.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    for machine in made.world.machines.values():
        settings = machine.read("/etc/lockkeeper-node.conf")
        machine.write("/etc/lockkeeper-node.conf", f"{settings}HOOKS={FOLDER}\n")
        lines = machine.path(SEEN)
        script = f'#!/bin/sh\necho "$LOCKKEEPER_ATTEMPT $1" >>{lines}\n'
        machine.write(f"{FOLDER}/{HOOK}", script, 0o755).parent.chmod(0o755)


def judge_extras(made: Rig, log: Sequence[ExecRecord], *, power_cut: bool = False) -> Iterator[str]:
    """Each machine rebooted once, or by a fault that cut its power; each hook ran at its moment, once an attempt."""
    for name, machine in made.world.machines.items():
        reboots = sum(r.machine == name and r.argv[-1:] == ("reboot",) for r in log)
        if reboots > 1 or not (reboots or power_cut):
            yield f"{name} was rebooted {reboots} times"
        path = machine.path(SEEN)
        ran = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        yield from (f"{line} ran {n} times on {name}" for line, n in Counter(ran).items() if n > 1)
        moments = {line.split()[1] for line in ran}
        missing = {Moment.PRE_DRAIN.value, Moment.POST_UPGRADE.value} - moments
        yield from (f"no hook ran at {moment} on {name}" for moment in sorted(missing))
    of_run = {m for m in (Moment.PRE_RUN, Moment.POST_RUN) if not _ran(made, m)}
    yield from (f"no hook ran at {moment}" for moment in sorted(of_run))


def _ran(made: Rig, moment: Moment) -> bool:
    paths = (machine.path(SEEN) for machine in made.world.machines.values())
    return any(moment.value in path.read_text(encoding="utf-8") for path in paths if path.exists())
