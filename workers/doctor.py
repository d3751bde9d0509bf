"""`lockkeeper doctor`: is every cluster readable and every machine ready to be worked on? It changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from cluster.errors import LockkeeperError
from cluster.findings import Finding, Findings, Severity
from cluster.observe import observe
from cluster.settings import Machine, Settings
from workers.survey import Reach, reach

PARALLEL = 8  # sshd drops more unauthenticated connections than its MaxStartups allows


def examine(settings: Settings, *, now: datetime, connect: Reach = reach) -> Findings:
    """One finding per thing looked at: a note where it is well, a blocker with its remedy where it is not."""
    found = [finding for name in settings.clusters for finding in _examine_cluster(settings, name, now)]
    machines = [(name, machine) for c in settings.clusters.values() for name, machine in c.machines.items()]
    with ThreadPoolExecutor(PARALLEL) as pool:
        found.extend(pool.map(lambda pair: _examine_machine(pair[0], pair[1], connect), machines))
    return tuple(found)


def _examine_cluster(settings: Settings, name: str, now: datetime) -> Iterator[Finding]:
    try:
        report = observe(name, settings.clusters[name], now=now)
    except LockkeeperError as error:
        yield Finding("cluster-unreadable", Severity.BLOCKER, name, str(error), "Check its kubeconfig and the network.")
        return
    for unread in report.unread:
        sentence = f"{unread.what} of {name} could not be read: {unread.reason}"
        yield Finding("partly-unreadable", Severity.WARNING, name, sentence, "Check the rights of the account.")
    counted = f"{name}: API servers read {len(report.api_servers)}, nodes {len(report.nodes)}."
    yield Finding("cluster-readable", Severity.NOTE, name, counted, "")


def _examine_machine(name: str, machine: Machine, connect: Reach) -> Finding:
    try:
        with connect(name, machine) as node:
            version = node.version()
    except LockkeeperError as error:
        remedy = "Mend it, and run `lockkeeper doctor` again."
        return Finding("machine-unreachable", Severity.BLOCKER, name, str(error), remedy)
    sentence = f"{name} answers with protocol {version} of the node script."
    return Finding("machine-ready", Severity.NOTE, name, sentence, "")
