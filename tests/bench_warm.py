"""
The report inside a process that is warm, against the slowest of its lists alone: `tests.bench_report` runs it.

Both are read over one connection that stands, in turn, so that a busy machine troubles both.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable

from cluster.kube import Kube
from cluster.observe import observe, read_nodes, read_system_pods
from cluster.settings import load_settings
from tests.scale_fixture import NOW

ROUNDS = 15


def spent(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    name, cluster = load_settings(None).cluster(None)
    gc.collect()
    gc.freeze()  # as the bot does once it has started
    with Kube.connect(name, cluster) as kube:
        readings: dict[str, Callable[[], object]] = {
            "report": lambda: observe(name, cluster, now=NOW, kube=kube),
            "pods of kube-system": lambda: read_system_pods(kube),
            "nodes": lambda: read_nodes(kube),
        }
        for work in readings.values():
            work()
        rounds = [{what: spent(work) for what, work in readings.items()} for _ in range(ROUNDS)]
    middle, least = (
        {what: choose([r[what] for r in rounds]) for what in readings} for choose in (statistics.median, min)
    )
    slowest = max(middle.keys() - {"report"}, key=lambda what: middle[what])
    ratio = statistics.median(r["report"] / r[slowest] for r in rounds)  # of two that follow each other
    sys.stdout.write(
        f"warm report: {middle['report']:.2f} s; its slowest list alone ({slowest}): {middle[slowest]:.2f} s\n"
        f"warm ratio: {ratio:.4f}, "
        f"of the least of {ROUNDS} rounds {least['report'] / least[slowest]:.4f}\n"
    )


if __name__ == "__main__":
    main()
