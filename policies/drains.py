"""Everything that the drains of a plan would meet, known before anybody approves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cluster.findings import Finding
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.options import Options, Reboot, Treatment
from cluster.report import ClusterReport
from cluster.versions import Minor, ReportedVersion
from cluster.workloads import Workloads
from policies.budgets import check_budgets
from policies.capacity import check_capacity
from policies.databases import check_databases, configured, find_databases
from policies.drained import is_in_place
from policies.order import ordered_pools
from policies.places import Places
from policies.pod_rules import treatment_of
from policies.workloads import check_daemon_sets, check_reading, check_workloads


def check_drains(
    seen: Observation,
    cluster: Cluster,
    options: Options | None,
    minors: tuple[Minor, ...],
    left_out: frozenset[str] = frozenset(),
) -> Iterator[Finding]:
    """What concerns the pods of the cluster; without options nobody is drained, and only budgets are told."""
    report, found = seen.report, _evicted(seen.examination.workloads, options)
    rules = options.databases if options else configured(cluster)
    databases, places = find_databases(found, rules), Places(report)
    if options is None or not _drains(options, report, minors):
        yield from check_budgets(seen, databases, rules, drained=False)
        return
    pools = ordered_pools(seen, cluster, left_out)
    yield from check_reading(found, report.cluster)
    yield from check_budgets(seen, databases, rules, drained=True)
    yield from check_workloads(_moving(found, left_out), options, places, report.cluster, left_out)
    yield from check_daemon_sets(found, report, options)
    yield from check_databases(databases, pools, report.cluster)
    yield from check_capacity(found, pools, report, places)


def _evicted(found: Workloads, options: Options | None) -> Workloads:
    """Without the pods that a rule of the plan keeps where they are."""
    if options is None or not options.pod_rules:
        return found
    kept = {Treatment.STAY, Treatment.FINISH}
    groups = tuple(g for g in found.groups if treatment_of(options, g.namespace, dict(g.labels)) not in kept)
    return replace(found, groups=groups)


def _moving(found: Workloads, left_out: frozenset[str]) -> Workloads:
    """Without the pods that stay where they are, since nobody drains any node of theirs."""
    if not left_out:
        return found
    moving = tuple(g for g in found.groups if not g.nodes or any(name not in left_out for name, _ in g.nodes))
    return replace(found, groups=moving)


def _drains(options: Options, report: ClusterReport, minors: tuple[Minor, ...]) -> bool:
    """Whether any node is drained, at one of the hops."""
    if options.reboot is not Reboot.NEVER or not minors:
        return True
    running = {n.kubelet.version.minor if isinstance(n.kubelet, ReportedVersion) else None for n in report.nodes}
    return not all(is_in_place(options, kubelet, minor) for kubelet in running for minor in minors)
