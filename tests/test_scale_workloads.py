"""Five thousand nodes with thirty pods each: folded while they stream by, judged in seconds, told shortly."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from cluster.examination import Examination
from cluster.findings import Findings
from cluster.observation import Observation
from cluster.options import Options
from cluster.report import DaemonSet
from cluster.tally import read_workloads
from cluster.workloads import Workloads
from policies.drains import check_drains
from tests import scale_fixture as scale
from tests.pods_fixture import PaperLists, make_budget, make_node, make_pod, requesting

FEW, MANY, ALL = 400, 1600, 5000
AGENTS, APPS = 8, 22  # pods of each node: of DaemonSets, and of others
NAMESPACES = 50
_SLACKNESS = 3.0  # a square would be 4; a machine that does much else makes the larger one dearer
_MEMORY = 100 * 1024**2
_SECONDS = 10.0  # of this thread's own, to judge them; 1.4 on the machine that it was written on


class Streamed:
    """A list that is made anew at each reading, as an API's is, and of which nobody keeps anything."""

    def __init__(self, make: Callable[[], Iterator[dict[str, Any]]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._make()


def _labels(app: int) -> dict[str, str]:
    return {"app": f"app-{app}", "team": f"team-{app % NAMESPACES}"}


def _pods(size: int) -> Iterator[dict[str, Any]]:
    """Workloads of a dozen pods over as many nodes; each second insists on its spread, each fifth has an emptyDir."""
    few, apps = requesting("100m"), size * APPS // 12
    for index, node in enumerate(scale.names(size)):
        for agent in range(AGENTS):
            yield make_pod(f"agent-{agent}-{node}", node, owner=f"DaemonSet/agent-{agent}", containers=few)
        for n in range(APPS):
            app = (index * APPS + n) % apps
            rule = {
                "topologyKey": "kubernetes.io/hostname",
                "maxSkew": 2,
                "labelSelector": {"matchLabels": _labels(app)},
            }
            spec: dict[str, Any] = {"topologySpreadConstraints": [rule]} if app % 2 else {}
            if not app % 5:
                spec["volumes"] = [{"name": "scratch", "emptyDir": {}}]
            yield make_pod(
                f"app-{index}-{n}",
                node,
                namespace=f"ns-{app % NAMESPACES}",
                owner=f"StatefulSet/app-{app}",
                labels={**_labels(app), "statefulset.kubernetes.io/pod-name": f"app-{index}-{n}"},
                containers=few,
                **spec,
            )


def _budgets(size: int) -> Iterator[dict[str, Any]]:
    for app in range(size * APPS // 12):
        yield make_budget(f"app-{app}", {"matchLabels": _labels(app)}, namespace=f"ns-{app % NAMESPACES}")


def read(size: int) -> Workloads:
    lists = {
        "pods": Streamed(lambda: _pods(size)),
        "nodes": Streamed(lambda: map(make_node, scale.names(size))),
        "budgets": Streamed(lambda: _budgets(size)),
    }
    return read_workloads(PaperLists(**lists))


def judge(size: int, found: Workloads) -> Findings:
    examination = Examination("prod", scale.NOW, workloads=found)
    daemons = tuple(DaemonSet("demo", f"agent-{n}", size, size) for n in range(AGENTS))
    seen = Observation(replace(scale.report(size), daemon_sets=daemons), scale.survey(size), examination)
    return tuple(check_drains(seen, scale.settings(3).clusters["prod"], Options(), ()))


def _spent(work: Callable[[], object]) -> float:
    """Seconds of this thread's own, the least of three: what else the machine does is not counted."""
    spent = []
    for _ in range(3):
        gc.collect()
        before = time.thread_time()
        work()
        spent.append(time.thread_time() - before)
    return min(spent)


@pytest.mark.long
def test_the_cost_of_a_pod_does_not_grow_with_their_number() -> None:
    """Neither to fold it, with its budgets, nor to judge it, with its room and its company."""
    few, many = read(FEW), read(MANY)
    assert _spent(lambda: read(MANY)) / _spent(lambda: read(FEW)) < MANY / FEW * _SLACKNESS
    assert _spent(lambda: judge(MANY, many)) / _spent(lambda: judge(FEW, few)) < MANY / FEW * _SLACKNESS


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_hundred_and_fifty_thousand_pods_are_folded_and_judged_in_bounded_memory_and_time() -> None:
    """One finding for each matter, short enough to be read."""
    tracemalloc.start()
    try:
        found = read(ALL)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < _MEMORY
    assert sum(g.count for g in found.groups) == ALL * APPS
    assert all(g.budgets == (g.name,) for g in found.groups)
    before = time.thread_time()
    findings = judge(ALL, found)
    assert time.thread_time() - before < _SECONDS
    assert [f.code for f in findings] == ["emptydir-pods"]
    assert max(len(f.sentence) for f in findings) < 300
