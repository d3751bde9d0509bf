"""
The report of a large cluster, against what one types today: `python -m tests.bench_report`.

Both read the same API, in turn, each as whole processes. What it takes a process that runs already is measured by
another, `tests.bench_warm`. This process imports nothing of ours: a child's peak memory is at least its parent's at
the moment of its start.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NODES = 5_000  # with 15,000 pods in kube-system
ROUNDS = 3
PAUSES = (0.0, 0.00001, 0.00005)  # seconds that an object takes the API server, which reads and encodes it
LISTING = (  # the classic one: which image runs where
    '.items[] | .spec.nodeName as $node | .spec.containers[] | [$node, .name, .image] | join(" ")'
)


@dataclass(frozen=True)
class Cost:
    """Wall seconds of everything, and the peak of the largest process in MiB."""

    wall: float
    memory: float


def run(*pipelines: Sequence[Sequence[str]], environment: Mapping[str, str]) -> Cost:
    """Each pipeline after the other; raises CalledProcessError where one of its processes fails."""
    began, largest = time.perf_counter(), 0.0
    for pipeline in pipelines:
        children, source = [], None
        for command in pipeline:
            last = command is pipeline[-1]
            sink = subprocess.DEVNULL if last else subprocess.PIPE
            child = subprocess.Popen(command, stdin=source, stdout=sink, env=environment)
            if source is not None:
                source.close()  # the reader alone holds its end
            children.append((child, command))
            source = child.stdout
        for child, command in children:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                raise subprocess.CalledProcessError(child.returncode, command)
            largest = max(largest, usage.ru_maxrss / 1024)
    return Cost(time.perf_counter() - began, largest)


def compare(ours: Callable[[], Cost], theirs: Callable[[], Cost]) -> tuple[Cost, Cost]:
    """Medians of some rounds, the two in turn, so that a busy machine troubles both."""
    rounds = [(ours(), theirs()) for _ in range(ROUNDS)]
    sides: tuple[list[Cost], ...] = tuple(list(side) for side in zip(*rounds, strict=True))
    middle = [Cost(*(statistics.median(v) for v in ([c.wall for c in s], [c.memory for c in s]))) for s in sides]
    return middle[0], middle[1]


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else NODES
    for tool in ("kubectl", "jq"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not on PATH: install it, with: sudo apt-get install kubernetes-client jq")
    with running_site(size) as (where, folder):
        print_ratios(size, where, folder)
    for pause in PAUSES:
        with running_site(size, pause) as (where, _):
            print_warm(where, f"{1e-3 / pause:.0f} objects in 1 ms" if pause else "each page at once")


@contextmanager
def running_site(size: int, pause: float = 0.0) -> Iterator[tuple[Mapping[str, str], Path]]:
    """Where everything of it is; `pause` are the seconds that an object takes its API."""
    with tempfile.TemporaryDirectory(prefix="lk-") as folder:
        command = [sys.executable, "-m", "tests.scale_site", str(size), folder, str(pause)]
        site = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert site.stdout is not None
        try:
            yield json.loads(site.stdout.readline()), Path(folder)
        finally:
            site.communicate()


def print_warm(where: Mapping[str, str], speed: str) -> None:
    """By a process of its own: what it imports would count here."""
    environment = {**os.environ, "REDIS_URL": where["redis"], "LOCKKEEPER_CONFIG": where["config"]}
    sys.stdout.write(f"inside a bot that runs, by an API that gives {speed}:\n")
    sys.stdout.flush()
    subprocess.run([sys.executable, "-m", "tests.bench_warm"], env=environment, check=True)


def print_ratios(size: int, where: Mapping[str, str], folder: Path) -> None:
    environment = {**os.environ, "REDIS_URL": where["redis"], "LOCKKEEPER_CONFIG": where["config"], "HOME": str(folder)}
    kubectl = ["kubectl", "--kubeconfig", where["kubeconfig"]]
    lockkeeper = [sys.executable, "-m", "lockkeeper", "versions"]
    pods = [*kubectl, "--namespace", "kube-system", "get", "pods", "--output", "json"]

    ours, theirs = compare(
        lambda: run([lockkeeper], environment=environment),
        lambda: run(
            [[*kubectl, "get", "nodes", "--output", "wide"]], [pods, ["jq", "-r", LISTING]], environment=environment
        ),
    )
    lines = (
        f"{size:,} nodes, {3 * size:,} pods in kube-system, medians of {ROUNDS}:",
        f"lockkeeper versions: {ours.wall:.2f} s, {ours.memory:.0f} MiB",
        f"kubectl and jq: {theirs.wall:.2f} s, {theirs.memory:.0f} MiB (the largest of their processes)",
        f"wall ratio: {ours.wall / theirs.wall:.4f}",
        f"memory ratio: {ours.memory / theirs.memory:.4f}",
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
