"""What can go wrong during a run: each fault is struck at a moment, lasts as long as drawn, and is over again."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from redis.exceptions import RedisError

from cluster.errors import StoreUnavailable
from lab.apiserver import Availability
from lab.chaos import worker_of
from lab.faults import Fault
from lab.parts import kill_tree
from tests.redis_states import UNWILLING, unwilling
from tests.torture.plant import SCENARIO, Plant
from workers.lease import TTL

_ALL = (*SCENARIO.control_plane_names, *SCENARIO.worker_names)


def _driving(made: Plant) -> int | None:
    """The pid of the worker whose child drives the run now."""
    try:
        owner = made.rig.store.lease_owner(made.operation_id)
    except StoreUnavailable:
        return None
    return None if owner is None else worker_of(made.rig, owner)


def kill_worker(made: Plant, dice: random.Random) -> None:
    """SIGKILL of the worker and of the child that drives; a supervisor starts another one."""
    if (pid := _driving(made)) is not None:
        kill_tree(pid)


def kill_driver(made: Plant, dice: random.Random) -> None:
    """SIGKILL of the child alone, as an out-of-memory killer does."""
    if (pid := _driving(made)) is not None:
        for child in _children(pid):
            _signal(child, signal.SIGKILL)


def end_worker(made: Plant, dice: random.Random) -> None:
    """SIGTERM, as at every rollout."""
    if (pid := _driving(made)) is not None:
        _signal(pid, signal.SIGTERM)


def freeze_driver(made: Plant, dice: random.Random) -> None:
    """SIGSTOP for two leases, then it wakes and believes that no time has passed."""
    if (pid := _driving(made)) is None:
        return
    victims = (pid, *_children(pid))
    for victim in victims:
        _signal(victim, signal.SIGSTOP)
    time.sleep(2 * TTL + 1)
    for victim in victims:
        _signal(victim, signal.SIGCONT)


def restart_redis(made: Plant, dice: random.Random) -> None:
    """SIGKILL, a while without it, and the same files again."""
    made.rig.redis.kill()
    time.sleep(dice.uniform(0.2, 8.0))
    made.rig.redis.restart()


def freeze_redis(made: Plant, dice: random.Random) -> None:
    """SIGSTOP: connections stand, and nobody answers."""
    made.rig.redis.freeze()
    time.sleep(dice.uniform(0.5, 8.0))
    with suppress(ProcessLookupError):  # killed and restarted at the same time
        made.rig.redis.thaw()


def refuse_writes(made: Plant, dice: random.Random) -> None:
    """Redis answers, and takes no write: it is full, cannot save, is a replica or has lost its own."""
    state = dice.choice(list(UNWILLING))
    # Where it is killed and restarted at the same time, it is as willing again as it was made.
    with suppress(RedisError, OSError), unwilling(made.rig.redis, state):
        time.sleep(dice.uniform(0.5, 8.0))


def cut_ssh(made: Plant, dice: random.Random) -> None:
    """Every connection breaks, several times."""
    for _ in range(dice.randint(1, 4)):
        made.rig.world.cut_ssh()
        time.sleep(dice.uniform(0.1, 1.0))


def swallow_ssh(made: Plant, dice: random.Random) -> None:
    """One machine's packets vanish for a while."""
    name = dice.choice(_ALL)
    made.rig.world.blackhole_ssh(name)
    time.sleep(dice.uniform(1.0, 8.0))
    made.rig.world.blackhole_ssh(name, silent=False)


def reboot_machine(made: Plant, dice: random.Random) -> None:
    """Power off and on: what ran there is gone, without an exit code."""
    name = dice.choice(_ALL)
    made.rig.world.call(lambda: made.witness.excuse(name))  # for good: it may be missed for a while after it is back
    made.rig.world.reboot(name)


def storm_api(made: Plant, dice: random.Random) -> None:
    """An API server answers one request in so many with an error, for a while."""
    world, code = made.rig.world, dice.choice([429, 500, 503, 504])
    servers = list(world.cluster.servers.values())
    order = Fault(code=code, body="the lab was told to answer so\n", times=dice.randint(5, 60))
    chosen = dice.choice(servers)
    world.call(lambda: chosen.faults.add(order))
    time.sleep(dice.uniform(1.0, 5.0))
    world.call(lambda: chosen.faults.orders.remove(order) if order in chosen.faults.orders else None)


def stop_api(made: Plant, dice: random.Random) -> None:
    """An API server refuses connections for a while, as when somebody restarts it."""
    world = made.rig.world
    chosen = dice.choice(list(world.cluster.servers.values()))
    if chosen.availability is not Availability.UP:
        return
    world.call(lambda: chosen.become(Availability.REFUSED))
    time.sleep(dice.uniform(0.5, 5.0))
    world.call(lambda: chosen.become(Availability.UP))


def cordon_by_hand(made: Plant, dice: random.Random) -> None:
    """Somebody cordons a worker that is at work, and gives it back later; until then nobody else may."""
    name = dice.choice(SCENARIO.worker_names)
    if made.cordon(name):
        time.sleep(dice.uniform(1.0, 10.0))
        made.uncordon(name)


FAULTS: Mapping[str, Callable[[Plant, random.Random], None]] = MappingProxyType(
    {
        f.__name__: f
        for f in (
            kill_worker,
            kill_driver,
            end_worker,
            freeze_driver,
            restart_redis,
            freeze_redis,
            refuse_writes,
            cut_ssh,
            swallow_ssh,
            reboot_machine,
            storm_api,
            stop_api,
            cordon_by_hand,
        )
    }
)


def strike(made: Plant, names: list[str], dice: random.Random, within: float) -> threading.Thread:
    """Each of them at a random moment of so many seconds, one after the other or side by side; in a thread."""

    def one(name: str, at: float, own: random.Random) -> None:
        time.sleep(at)
        FAULTS[name](made, own)

    def every() -> None:
        threads = [
            threading.Thread(target=one, args=(n, dice.uniform(0, within), random.Random(dice.random())), daemon=True)  # noqa: S311 - a simulation
            for n in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    striking = threading.Thread(target=every, name="faults", daemon=True)
    striking.start()
    return striking


def _children(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
