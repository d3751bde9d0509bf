"""What the cluster itself saw during a run: every state of its nodes and API servers, in order, whoever changed it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cluster.versions import ReportedVersion
from lab.objects import Change
from lab.world import World

_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True, slots=True)
class Sight:
    """One moment: minors by machine, which workers were away (cordoned, or not Ready), and which by a fault's doing."""

    kubelets: tuple[tuple[str, int], ...]
    api_servers: tuple[tuple[str, int], ...]
    away: frozenset[str]
    foreign: frozenset[str] = frozenset()


@dataclass
class Witness:
    """Looks whenever a node or a static pod changes; a moment that looks like the one before is no news."""

    world: World
    sights: list[Sight] = field(default_factory=list)
    foreign: frozenset[str] = frozenset()  # machines that a fault takes away itself, as of now

    def watch(self) -> None:
        self.world.call(lambda: self.world.cluster.store.subscribe(self._notice))
        self.world.call(self._look)

    def excuse(self, machine: str) -> None:
        """From now on; called before it is taken away."""
        self.foreign |= {machine}

    def count_again(self, machine: str) -> None:
        """Called when it is back."""
        self.foreign -= {machine}
        self._look()

    def _notice(self, change: Change) -> None:
        if change.kind in {"Node", "Pod"}:
            self._look()

    def _look(self) -> None:
        nodes = list(self.world.cluster.store.list("Node"))
        kubelets = tuple((n["metadata"]["name"], _minor(n["status"]["nodeInfo"]["kubeletVersion"])) for n in nodes)
        servers = tuple((name, _minor(s.version)) for name, s in self.world.cluster.servers.items())
        workers = [n for n in nodes if _CONTROL_PLANE not in n["metadata"].get("labels", {})]
        away = frozenset(n["metadata"]["name"] for n in workers if is_away(n))
        sight = Sight(kubelets, servers, away, self.foreign)
        if not self.sights or self.sights[-1] != sight:
            self.sights.append(sight)


def is_away(node: dict[str, Any]) -> bool:
    ready = next((c["status"] for c in node["status"].get("conditions", ()) if c["type"] == "Ready"), "Unknown")
    return bool(node["spec"].get("unschedulable")) or ready != "True"


def _minor(version: str) -> int:
    return ReportedVersion.parse(version).version.minor.minor
