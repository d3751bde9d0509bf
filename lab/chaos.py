"""Faults that the demo can put into its own story; each says how often it struck."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.errors import StoreUnavailable
from cluster.operation import OperationState
from lab.parts import kill_tree
from lab.rig import Rig

WORKER_KILLS = 3
SSH_CUTS = 6
REDIS_RESTARTS = 2
OUTAGE = 8.0  # seconds without Slack


@dataclass
class Chaos:
    """A thread that strikes while an operation runs, and the list of what it did."""

    rig: Rig
    say: Callable[[str], None]
    struck: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def note(self, text: str) -> None:
        self.struck.append(text)
        self.say(f"  [chaos] {text}")

    def running(self) -> str | None:
        """The id of the operation that runs now."""
        try:
            for operation_id in self.rig.store.active():
                if self.rig.store.operation(operation_id).state is OperationState.RUNNING:
                    return operation_id
        except StoreUnavailable:
            return None
        return None

    def wait_for_run(self) -> str | None:
        while not self.ended.wait(0.2):
            if operation_id := self.running():
                return operation_id
        return None


def kill_workers(chaos: Chaos) -> None:
    """SIGKILL the worker that holds the driver's lease, and its child, whenever there is one; three times."""
    while len(chaos.struck) < WORKER_KILLS and (operation_id := chaos.wait_for_run()):
        chaos.ended.wait(2.0)
        try:
            owner = chaos.rig.store.lease_owner(operation_id)
        except StoreUnavailable:
            continue
        if owner is None or (victim := worker_of(chaos.rig, owner)) is None:
            continue
        pids = kill_tree(victim)
        chaos.note(f"SIGKILL to worker {victim} and its child ({', '.join(str(p) for p in pids)})")


def worker_of(rig: Rig, owner: str) -> int | None:
    """The pid of our worker process whose child, `owner`, holds the lease."""
    for part in rig.workers:
        if part.process is None or part.process.poll() is not None:
            continue
        pid = part.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
        if any(child in owner.split(":") for child in (*children, str(pid))):
            return pid
    return None


def cut_ssh(chaos: Chaos) -> None:
    """Drop every SSH connection at once, again and again."""
    while len(chaos.struck) < SSH_CUTS and chaos.wait_for_run():
        chaos.rig.world.cut_ssh()
        chaos.note("every SSH connection cut")
        chaos.ended.wait(2.0)


def restart_redis(chaos: Chaos) -> None:
    """SIGKILL the Redis server and start it again on the same files."""
    while len(chaos.struck) < REDIS_RESTARTS and chaos.wait_for_run():
        chaos.ended.wait(3.0)
        chaos.rig.redis.kill()
        chaos.note("Redis killed")
        chaos.ended.wait(2.0)
        chaos.rig.redis.restart()


def silence_slack(chaos: Chaos) -> None:
    """No Slack at all for a while, in the middle of the run."""
    if chaos.wait_for_run() is None:
        return
    chaos.ended.wait(2.0)
    chaos.rig.slack.outage(True)
    chaos.note(f"Slack is down for {OUTAGE:.0f} s")
    chaos.ended.wait(OUTAGE)
    chaos.rig.slack.outage(False)
    chaos.say("  [chaos] Slack is back")


KINDS: Mapping[str, Callable[[Chaos], None]] = {
    "worker-kill": kill_workers,
    "ssh-cut": cut_ssh,
    "redis-restart": restart_redis,
    "slack-outage": silence_slack,
}
LEAST = {"worker-kill": WORKER_KILLS, "ssh-cut": 1, "redis-restart": REDIS_RESTARTS, "slack-outage": 1}


def unleash(kind: str, rig: Rig, say: Callable[[str], None]) -> Chaos:
    """Start striking in a thread of its own."""
    chaos = Chaos(rig, say)
    threading.Thread(target=KINDS[kind], args=(chaos,), name=f"chaos-{kind}", daemon=True).start()
    return chaos
