"""One whole lockkeeper installation over a lab: machines, Slack, Redis, and a bot and workers as real processes."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from cluster.store import Store
from lab.configuration import write_config
from lab.fleet import Fleet
from lab.parts import Part
from lab.redis import RedisServer
from lab.scenarios import SCENARIOS, Scenario
from lab.slack import LabSlack
from lab.world import World

BOT_START = 60.0  # seconds; imports alone take some on a cold disk


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
