"""One whole lockkeeper installation over a lab: machines, Slack, Redis, and a bot and workers as real processes."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyrage
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from cluster.signing import public_line
from cluster.store import Store
from lab.fleet import Fleet
from lab.redis import RedisServer
from lab.scenarios import SCENARIOS, Scenario
from lab.slack import LabSlack
from lab.slack.people import TEAM
from lab.world import World

CHANNEL = "C0OPS"

# The demo's waits, in seconds; the product's defaults stand in cluster/settings.py.
DEMO_WAITS = {
    "poll": 0.25,
    "eviction_retry": 0.5,
    "stable": 1.0,
    "node_ready": 60.0,
    "reboot": 120.0,
    "control_plane": 120.0,
    "smoke": 60.0,
    "remote_step": 300.0,
    "slack_edit": 1.0,
}
BOT_START = 60.0  # seconds; imports alone take some on a cold disk
DRAIN_TIMEOUT = 60  # seconds; generous, for a machine that does other things too
HOPELESS_DRAIN_TIMEOUT = 10  # where a budget allows nothing, nobody wants to wait; the smallest that the settings take


@dataclass
class Part:
    """One process of ours, started again when it dies by a fault; `stop` ends it for good."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    keep: bool = True
    wanted: bool = True  # an installation without Slack has no bot
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL
            )
        self.starts += 1

    def mend(self) -> None:
        """Start it again if it died on its own."""
        if self.keep and self.process is not None and self.process.poll() is not None:
            self.start()

    def stop(self) -> None:
        self.keep = False
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            kill_tree(self.process.pid)
            self.process.wait(5)


@dataclass
class Rig:
    """Everything of one installation; see `rig()`."""

    directory: Path
    world: World
    slack: LabSlack
    redis: RedisServer
    config: Path
    store: Store
    bot: Part
    workers: list[Part]
    others: Mapping[str, World] = field(default_factory=dict)  # clusters beside the one that is upgraded
    _quiet: threading.Event = field(default_factory=threading.Event)

    @property
    def named(self) -> str:
        """What has to be typed to mean the cluster that is upgraded."""
        return f" {self.world.scenario.cluster}" if self.others else ""

    @property
    def parts(self) -> list[Part]:
        return [*([self.bot] if self.bot.wanted else []), *self.workers]

    def start(self) -> None:
        for part in self.parts:
            part.start()
        threading.Thread(target=self._keep_alive, name="rig-keeper", daemon=True).start()
        if self.bot.wanted:
            self.slack.wait_for(lambda slack: slack.sockets.count, timeout=BOT_START)

    def _keep_alive(self) -> None:
        """What a Deployment does: a process that died is started again."""
        while not self._quiet.wait(0.5):
            for part in self.parts:
                part.mend()

    def stop(self) -> None:
        self._quiet.set()
        for part in self.parts:
            part.keep = False
            if part.process is not None and part.process.poll() is None:
                part.process.terminate()
        for part in self.parts:
            part.stop()

    def environment(self) -> dict[str, str]:
        return dict(self.bot.environment)


@contextmanager
def rig(
    scenario: str | Scenario,
    *,
    speed: float,
    directory: Path | None = None,
    port: int = 0,
    workers: int = 2,
    installation: str = "demo",
    with_slack: bool = True,
    kubeconfigs: Callable[[World], Mapping[str, Path]] | None = None,
    arrange: Callable[[Rig], None] | None = None,
) -> Iterator[Rig]:
    """
    Start a scenario with everything around it; ends every process and server of it on the way out.

    `kubeconfigs` makes those of `serve` and `worker`, which otherwise both are the cluster's administrator. `arrange`
    may change what is there before they start, its lockkeeper.yaml for instance.
    """
    with ExitStack() as stack:
        if directory is None:
            # Unix sockets live in there: their paths may have 107 bytes at most.
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lk-")))
        chosen = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
        fleet = stack.enter_context(Fleet.start(chosen, speed, directory))
        world = fleet.world
        slack = stack.enter_context(LabSlack().start(port))
        slack.watch(f"{chosen.name}, {speed:g}x", fleet.view)
        redis = stack.enter_context(RedisServer.start(directory / "redis"))
        config = write_config(directory, fleet=fleet, slack=slack if with_slack else None, installation=installation)
        made = assemble(directory, world, slack, redis, config=config, workers=workers)
        made.bot.wanted, made.others = with_slack, fleet.others
        if kubeconfigs is not None:
            give_kubeconfigs(made, kubeconfigs(world))
        if arrange is not None:
            arrange(made)
        stack.callback(made.stop)
        made.start()
        yield made


def assemble(directory: Path, world: World, slack: LabSlack, redis: RedisServer, *, config: Path, workers: int) -> Rig:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
        "REDIS_URL": redis.url,
        "LOCKKEEPER_CONFIG": str(config),
        "PYTHONUNBUFFERED": "1",
    }

    def part(name: str, verb: str) -> Part:
        return Part(name, [sys.executable, "-m", "lockkeeper", verb], dict(environment), directory / f"{name}.log")

    return Rig(
        directory=directory,
        world=world,
        slack=slack,
        redis=redis,
        config=config,
        store=Store.connect(redis.url),
        bot=part("bot", "serve"),
        workers=[part(f"worker-{n}", "worker") for n in range(1, workers + 1)],
    )


def write_config(directory: Path, *, fleet: Fleet, slack: LabSlack | None, installation: str) -> Path:
    """Write the lockkeeper.yaml of this lab, with its keys and tokens in files beside it."""
    key = ed25519.Ed25519PrivateKey.generate()
    secret(directory / "bot.key", private_text(key))
    for name in ("grace", "linus"):
        person = ed25519.Ed25519PrivateKey.generate()
        secret(directory / f"{name}.key", private_text(person))
        (directory / f"{name}.key.pub").write_text(public_line(person) + "\n", encoding="utf-8")
    data, snapshots = fleet.config(), snapshot_store(directory.absolute())
    for name, cluster in data["clusters"].items():
        hopeless = fleet.worlds[name].scenario.blocked_app
        timeout = HOPELESS_DRAIN_TIMEOUT if hopeless else DRAIN_TIMEOUT
        cluster["defaults"] = {"drain_timeout": timeout, "delete_emptydir": True}
        cluster["snapshots"] = dict(snapshots)
    data |= {
        "installation": installation,
        "people": people(directory),
        "approvals": {
            "approvers": ["grace", "linus"],
            "signing_key": {"file": str(directory / "bot.key")},
            "public_key": public_line(key),
        },
        "waits": DEMO_WAITS,
    }
    if slack is not None:
        data["approvals"]["user_groups"] = ["S0KEEPERS"]
        data["slack"] = slack_settings(directory, slack)
    path = directory / "lockkeeper.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def give_kubeconfigs(made: Rig, kubeconfigs: Mapping[str, Path]) -> None:
    """Let each part read a lockkeeper.yaml that differs in its clusters' kubeconfig alone."""
    for part in (made.bot, *made.workers):
        verb = part.command[-1]
        data = yaml.safe_load(made.config.read_text(encoding="utf-8"))
        for cluster in data["clusters"].values():
            cluster["kubeconfig"] = str(kubeconfigs[verb])
        path = made.config.with_name(f"{verb}.yaml")
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        part.environment["LOCKKEEPER_CONFIG"] = str(path)


def slack_settings(directory: Path, slack: LabSlack) -> dict[str, Any]:
    secret(directory / "bot-token", slack.bot_token)
    secret(directory / "app-token", slack.app_token)
    return {
        "mode": "socket",
        "bot_token": {"file": str(directory / "bot-token")},
        "app_token": {"file": str(directory / "app-token")},
        "team_id": TEAM,
        "api_url": slack.api_url,
        "default_channel": CHANNEL,
    }


def snapshot_store(directory: Path) -> dict[str, Any]:
    """A folder for etcd's snapshots, and beside it the key that opens them."""
    identity = pyrage.x25519.Identity.generate()
    secret(directory / "snapshots.key", f"{identity}\n")
    (directory / "snapshots").mkdir(exist_ok=True)
    return {"store": str(directory / "snapshots"), "recipients": [str(identity.to_public())]}


def people(directory: Path) -> dict[str, Any]:
    def keys(name: str) -> list[str]:
        return [(directory / f"{name}.key.pub").read_text(encoding="utf-8").strip()]

    return {
        "ada": {"slack": "U0ADA", "logins": [getpass.getuser()]},
        "grace": {"slack": "U0GRACE", "ssh_keys": keys("grace"), "logins": ["grace"]},
        "linus": {"slack": "U0LINUS", "ssh_keys": keys("linus"), "logins": ["linus"]},
        "gus": {"slack": "U0GUS"},
        "olga": {"slack": "U0OLGA"},
    }


def private_text(key: ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()


def secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def kill_tree(pid: int) -> list[int]:
    """SIGKILL a process of ours and its children, parent first so that it cannot tidy up; returns the pids."""
    children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    for victim in (pid, *children):
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return [pid, *children]
