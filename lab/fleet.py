"""Several clusters in one configuration: a world of each, beside the one that the demo upgrades."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.apiserver import Availability
from lab.scenarios import Scenario
from lab.views import Json
from lab.world import World


@dataclass(frozen=True)
class Fleet:
    """`world` is the scenario's own cluster, `others` those beside it by their names in the configuration."""

    world: World
    others: Mapping[str, World] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def start(cls, scenario: Scenario, speed: float, directory: Path) -> Iterator[Fleet]:
        """Run them until the block ends."""
        with ExitStack() as stack:
            world = stack.enter_context(World.start(scenario, speed, directory / "world"))
            others: dict[str, World] = {}
            for neighbour in scenario.beside:
                other = World.start(neighbour.scenario, speed, directory / neighbour.cluster)
                others[neighbour.cluster] = stack.enter_context(other)
                if neighbour.is_away:
                    _silence(others[neighbour.cluster])
            yield cls(world, others)

    @property
    def worlds(self) -> dict[str, World]:
        return {self.world.scenario.cluster: self.world, **self.others}

    def config(self) -> dict[str, Any]:
        """The `clusters:` part of lockkeeper.yaml for all of them."""
        return {"clusters": {name: world.settings() for name, world in self.worlds.items()}}

    def view(self) -> list[Json]:
        """Every machine, for the page; of several clusters each with its cluster's name."""
        if not self.others:
            return self.world.view()
        return [
            {**machine, "name": f"{name}/{machine['name']}"}
            for name, world in self.worlds.items()
            for machine in world.view()
        ]


def _silence(world: World) -> None:
    for server in world.cluster.servers.values():
        world.call(lambda server=server: server.become(Availability.REFUSED))  # type: ignore[misc]
