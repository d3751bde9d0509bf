"""What an upgrade would stumble over, as the whole cluster shows it before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cluster.findings import Finding, Findings, Severity
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.options import Options
from cluster.report import ClusterReport, Unread
from cluster.survey import Survey
from cluster.versions import KubeVersion, Minor
from policies.add_ons import check_networks
from policies.consents import BLOCKERS
from policies.distributions import check_distribution
from policies.drains import check_drains
from policies.drift import check_drift
from policies.etcd import check_etcd
from policies.inventory import check_inventory
from policies.machines import check_export, check_machine
from policies.obstacles import check_obstacles
from policies.patches import check_given
from policies.pools import first_control_plane
from policies.reboots import check_reboots
from policies.skew import check_skew

_NO_TOLERANCE = 2  # members of an etcd that stops when one of them does


def check_preflight(
    seen: Observation,
    cluster: Cluster,
    *,
    target: KubeVersion | None,
    minors: tuple[Minor, ...] = (),
    accepted: tuple[str, ...] = (),
    options: Options | None = None,
    left_out: frozenset[str] = frozenset(),
) -> Findings:
    """
    Every finding that matters before an upgrade to `target` through `minors`; `accepted` are codes consented to.

    `options` are those of the plan; None for one that drains nobody. Nobody drains the workers of `left_out` either.
    """
    report, survey = seen.report, seen.survey
    if others := check_distribution(report):
        return others
    found = (
        *check_skew(report, survey),
        *check_drift(report, target),
        *_readings(report),
        *_nodes(report),
        *_etcd(report),
        *check_etcd(report, survey),
        *check_inventory(report, cluster),
        *check_networks(report, minors),
        *_unread_machines(report, survey, cluster),
        *_machines(seen, minors, cluster),
        *check_drains(seen, cluster, options, minors, left_out),
        *check_reboots(report, survey, options, left_out),
        *check_given(report, survey, minors),
        *check_obstacles(seen, minors),
        *_daemons(report),
    )
    return tuple(_consent(f) if f.code in BLOCKERS and f.code in accepted else f for f in found)


def _consent(finding: Finding) -> Finding:
    return replace(finding, severity=Severity.WARNING, remedy="Accepted by the person who asked for the plan.")


def _readings(report: ClusterReport) -> Iterator[Finding]:
    for server in report.api_servers:
        if isinstance(server.version, Unread):
            sentence = f"The API server on {server.node} cannot be read: {server.version.reason}"
            yield _stop("api-server-unread", server.node, sentence, "Bring it back, and plan again.")
        elif not server.ready:
            sentence = f"The API server on {server.node} says that it is not ready."
            yield _stop(
                "api-server-not-ready", server.node, sentence, f"Look at https://{server.endpoint}/readyz?verbose"
            )
    told = {s.version for s in report.api_servers if isinstance(s.version, Unread)}
    for unread in report.unread:
        if unread in told or unread is report.declared:  # has its own finding
            continue
        sentence = f"{unread.what[:1].upper()}{unread.what[1:]} could not be read: {unread.reason}"
        if unread.single:  # nothing is wrong with what was read beside it
            remedy = "Look at it with: kubectl get … -o yaml. Nothing that depends on it was judged."
            yield Finding("partly-unread", Severity.WARNING, report.cluster, sentence, remedy)
        else:
            yield _stop("partly-unread", report.cluster, sentence, "Check the rights of lockkeeper's account there.")
    for node in report.nodes:
        if isinstance(node.kubelet, Unread):
            yield _stop("kubelet-unread", node.name, node.kubelet.reason, f"Look at the kubelet of {node.name}.")


def _nodes(report: ClusterReport) -> Iterator[Finding]:
    for node in report.nodes:
        if not node.ready:
            sentence = f"{node.name} is not Ready; a drain there would wait for ever."
            yield _stop("node-not-ready", node.name, sentence, f"Look with: kubectl describe node {node.name}")
        if node.cordoned and not node.cordoned_by:
            sentence = f"{node.name} was cordoned by somebody else; it is upgraded, and stays cordoned."
            remedy = f"Uncordon it afterwards with: kubectl uncordon {node.name}"
            yield Finding("foreign-cordon", Severity.WARNING, node.name, sentence, remedy)
    if len(report.control_plane) == 1:
        sentence = "There is one API server: it is away for a minute or two while it is replaced."
        yield Finding("api-away", Severity.NOTE, report.cluster, sentence, "Applications go on running meanwhile.")


def _etcd(report: ClusterReport) -> Iterator[Finding]:
    members = [p.node for p in report.static_pods if p.component == "etcd"]
    if len(members) == _NO_TOLERANCE:
        sentence = f"etcd has two members ({', '.join(members)}): it stops whenever one of them does."
        remedy = "Add a third control plane, or ask for the plan with `accept two-member-etcd`."
        yield _stop("two-member-etcd", report.cluster, sentence, remedy)


def _unread_machines(report: ClusterReport, survey: Survey, cluster: Cluster) -> Iterator[Finding]:
    for node in report.nodes:
        machine = survey.machine(node.name)
        if node.name in cluster.machines and (machine is None or isinstance(machine.facts, Unread)):
            reason = machine.facts.reason if machine and isinstance(machine.facts, Unread) else "it was not asked"
            sentence = f"The machine of {node.name} cannot be read: {reason}"
            yield _stop(
                "machine-unreadable", node.name, sentence, "Mend that, check with `lockkeeper doctor`, plan again."
            )


def _machines(seen: Observation, minors: tuple[Minor, ...], cluster: Cluster) -> Iterator[Finding]:
    report, survey = seen.report, seen.survey
    stacked = {p.node for p in report.static_pods if p.component == "etcd"}
    first = first_control_plane(report)
    for node in report.nodes:
        machine, facts = survey.machine(node.name), survey.facts(node.name)
        if machine is not None and facts is not None:
            offers = tuple(o for o in machine.offers if o.minor in minors)
            snapshot = node.name == first and first in stacked
            yield from check_machine(node, facts, offers, snapshot=snapshot, declared=seen.examination.declared)
            if snapshot and minors and cluster.snapshots is not None:
                yield from check_export(node, facts)


def _daemons(report: ClusterReport) -> Iterator[Finding]:
    for daemon in report.daemon_sets:
        if daemon.ready >= daemon.wanted:
            continue
        place, missing = f"{daemon.namespace}/{daemon.name}", daemon.wanted - daemon.ready
        sentence = f"The DaemonSet {place} is not ready on {missing} of its {daemon.wanted} nodes already."
        remedy = (
            f"Look with: kubectl -n {daemon.namespace} describe daemonset {daemon.name}. With this warning approved, "
            "no node is held up by a pod of it that is not ready after the upgrade."
        )
        yield Finding("daemonset-not-ready", Severity.WARNING, place, sentence, remedy)


def _stop(code: str, subject: str, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, subject, sentence, remedy)
