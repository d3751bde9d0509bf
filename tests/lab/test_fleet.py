"""Several clusters of one installation: a line of each in one report, whatever became of any of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bot.fleet_card import render_fleet
from bot.sights import Sights
from bot.terminal import render_fleet as fleet_text
from cluster.glance import glance
from cluster.settings import Settings, load_settings
from cluster.store import Store
from lab.configuration import write_config
from lab.fleet import Fleet
from lab.scenarios import SCENARIOS
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
STANDINGS = [
    ("archive", "unreadable"),
    ("billing", "blockers"),
    ("edge", "out of support"),
    ("shop", "out of support"),
    ("trial", "patches behind"),
]


def test_the_fleet_of_the_demo_is_told_with_a_line_for_each_cluster_the_worst_first(store: Store, tmp_path: Path):
    """One does not answer, one was edited by hand, one is no cluster of kubeadm's: none of them hides another."""
    with Fleet.start(SCENARIOS["fleet"], speed=50, directory=tmp_path) as fleet:
        settings = load_settings(write_config(tmp_path, fleet=fleet, slack=None, installation="demo"))
        sights = Sights(settings, store, lambda name: look(settings, name), lambda: NOW)
        lines = sights.fleet()
        machines = [machine["name"] for machine in fleet.view()]
    assert [(one.cluster, one.standing.value) for one in lines] == STANDINGS
    assert [one.nodes for one in lines] == [0, 3, 3, 3, 2]
    text = fleet_text(lines).splitlines()
    assert [line.split()[0] for line in text] == ["CLUSTER", *(name for name, _ in STANDINGS)]
    assert "edge (k3s)" in text[3]
    assert render_fleet(lines, "/k8s").text.startswith("5 clusters: 1 unreadable, 1 blockers, 2 out of support")
    assert {"shop/cp1", "archive/w2", "edge/cp1"} <= set(machines)


def look(settings: Settings, name: str):
    return glance(name, settings.clusters[name], now=NOW)
