"""The plan of each of the lab's scenarios as it would be proposed, drafted on paper: no clock, no chance, no lab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cluster.admission import UnavailableApi, Webhook
from cluster.examination import Examination
from cluster.facts import MachineFacts, Offer, OfferState
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.options import Options
from cluster.plan import PlanRecord
from cluster.report import AddOn, Budget, ClusterReport, Node
from cluster.survey import Survey, SurveyedMachine
from cluster.tally import read_workloads
from cluster.versions import KubeVersion, Minor, PackageVersion, parse_target
from lab.scenarios import SCENARIOS, App, Scenario
from lab.versions_apart import AHEAD, BEHIND, OLD
from policies.drafting import Draft, draft_revert, draft_upgrade
from tests.pods_fixture import PaperLists, make_budget, make_node, make_pod
from tests.policies_fixture import FACTS, NOW, make_cluster, make_record, make_report, reported

# Of the others the lab's own machines tell too much to draw it here: tests/workers/test_scenarios.py reads them there.
_DRAWN = {"", "crowded", "obstructed", "skewed", "interrupted"}
ON_PAPER = tuple(s for s in SCENARIOS.values() if s.state in _DRAWN and not s.beside)
TARGETS = {"two-minors": "v1.36.2"}
_TARGET = "v1.35.4"
_LEFT_OUT = {"w2": OLD, "w3": BEHIND}  # in `skewed`: kubelets by worker
_OPTIONS = Options(delete_emptydir=True)
_TAINT = ("node-role.kubernetes.io/control-plane", "NoSchedule")


def scenario_records() -> dict[str, PlanRecord]:
    """By scenario; a hand-edited control plane has its way out beside the plan that it blocks."""
    return {name: record for scenario in ON_PAPER for name, record in _records(scenario)}


def _records(scenario: Scenario) -> Iterator[tuple[str, PlanRecord]]:
    seen, cluster = _observe(scenario), _cluster(scenario)
    target = parse_target(TARGETS.get(scenario.name, _TARGET))
    drafted = draft_upgrade(seen, cluster, target, options=_OPTIONS, accepted=(), now=NOW)
    yield scenario.name, _record(drafted)
    if (revert := draft_revert(seen, cluster, options=_OPTIONS, accepted=())) is not None:
        yield f"{scenario.name}-revert", _record(revert)


def _record(drafted: Draft) -> PlanRecord:
    record = make_record(drafted=drafted, estimate=drafted.estimate)
    return replace(
        record, left_out_for=drafted.left_out_for, blocked_workers=drafted.blocked_workers, order=drafted.order
    )


def _observe(scenario: Scenario) -> Observation:
    workloads = read_workloads(_lists(scenario))
    examination = Examination(
        "prod", NOW, workloads=workloads, **(_OBSTACLES if scenario.state == "obstructed" else {})
    )
    budgets = tuple(Budget(g.namespace, g.name, g.allowed, g.needed, g.expected) for g in workloads.guards)
    return Observation(replace(_report(scenario), budgets=budgets), _survey(scenario), examination)


def _cluster(scenario: Scenario) -> Cluster:
    machine = {"address": "10.0.0.1", "key_file": "/key", "host_key": "SHA256:" + "a" * 43}
    return make_cluster(machines=dict.fromkeys((*scenario.control_plane_names, *scenario.worker_names), machine))


def _workers(scenario: Scenario) -> tuple[str, ...]:
    """Those that are nodes: in one state somebody deleted the last of them."""
    return scenario.worker_names[:-1] if scenario.state == "skewed" else scenario.worker_names


def _report(scenario: Scenario) -> ClusterReport:
    """What kubeadm-config declares, but for the API server that somebody edited."""
    base = make_report(scenario.version, scenario.version, proxy=scenario.version, masters=scenario.control_plane_names)
    usual = reported(scenario.version)
    workers = (Node(n, f"uid-{n}", False, usual, ready=True, cordoned=False) for n in _workers(scenario))
    nodes = (*(n for n in base.nodes if n.control_plane), *workers)
    named = tuple(replace(n, labels=(("kubernetes.io/hostname", n.name),)) for n in nodes)
    report = replace(
        base, nodes=named, add_ons=tuple(replace(a, nodes=tuple(n.name for n in nodes)) for a in base.add_ons)
    )
    match scenario.state:
        case "skewed":
            return _skewed(report)
        case "interrupted":
            return _interrupted(report, AHEAD)
        case _:
            return _edited(report, scenario.edited_apiserver) if scenario.edited_apiserver else report


def _skewed(report: ClusterReport) -> ClusterReport:
    """A straggler, a cordon and a pinned kube-proxy."""
    nodes = tuple(
        replace(n, kubelet=reported(_LEFT_OUT[n.name]), cordoned=n.name == "w3") if n.name in _LEFT_OUT else n
        for n in report.nodes
    )
    proxy = AddOn("kube-proxy", f"registry.k8s.io/kube-proxy:{BEHIND}", tuple(n.name for n in nodes))
    return replace(report, nodes=nodes, add_ons=(proxy,))


def _interrupted(report: ClusterReport, version: str) -> ClusterReport:
    """The first control plane runs what kubeadm-config declares already, and no other one does."""
    first, *others = report.api_servers
    pods = tuple(
        replace(p, tag=version, image=f"registry.k8s.io/{p.component}:{version}")
        if p.node == first.node and p.component != "etcd"
        else p
        for p in report.static_pods
    )
    servers = (replace(first, version=reported(version)), *others)
    return replace(report, api_servers=servers, static_pods=pods, declared=KubeVersion.parse(version))


def _edited(report: ClusterReport, version: str) -> ClusterReport:
    """The first API server runs what its manifest says, and nothing else changed."""
    first, *others = report.api_servers
    pods = tuple(
        replace(p, tag=version, image=f"registry.k8s.io/kube-apiserver:{version}")
        if (p.node, p.component) == (first.node, "kube-apiserver")
        else p
        for p in report.static_pods
    )
    return replace(report, api_servers=(replace(first, version=reported(version)), *others), static_pods=pods)


def _survey(scenario: Scenario) -> Survey:
    offers = tuple(
        Offer(Minor.parse(minor), OfferState.OFFERED, tuple(PackageVersion.parse(f"{v}-1.1") for v in versions))
        for minor, versions in scenario.offered.items()
    )
    machines = (
        *((n, replace(FACTS, control_plane=True)) for n in scenario.control_plane_names),
        *((n, _facts(n, scenario)) for n in scenario.worker_names),
    )
    return Survey("prod", NOW, tuple(SurveyedMachine(n, facts, offers) for n, facts in machines))


def _facts(worker: str, scenario: Scenario) -> MachineFacts:
    """What is installed is what runs, also on those that were left out."""
    version = _LEFT_OUT.get(worker) if scenario.state == "skewed" else None
    if version is None:
        return FACTS
    packages = tuple(replace(p, version=f"{version.removeprefix('v')}-1.1") for p in FACTS.packages)
    programs = dict.fromkeys(("kubeadm", "kubelet", "kubectl"), reported(version))
    return replace(FACTS, packages=packages, **programs)


def _lists(scenario: Scenario) -> PaperLists:
    nodes = [make_node(n, taints=(_TAINT,)) for n in scenario.control_plane_names]
    nodes += [make_node(n) for n in _workers(scenario)]
    bare = [make_pod(name, scenario.worker_names[0], owner="") for name in scenario.bare_pods]
    pods = [pod for app in scenario.apps for pod in _pods(app, scenario)]
    return PaperLists(pods=[*pods, *bare], nodes=nodes, budgets=[b for app in scenario.apps for b in _budgets(app)])


def _pods(app: App, scenario: Scenario) -> Iterator[dict[str, Any]]:
    """One after the other on the workers, in turn."""
    workers = _workers(scenario)
    for number in range(app.replicas):
        node = app.node or workers[number % len(workers)]
        labels = {"app": app.name, **dict(app.labels)}
        spec: dict[str, Any] = {"volumes": [{"name": "scratch", "emptyDir": {}}]} if app.emptydir else {}
        if app.node:
            spec["nodeSelector"] = {"kubernetes.io/hostname": app.node}
        if app.cpu:
            spec["containers"] = [{"name": "app", "image": "app:1", "resources": {"requests": {"cpu": app.cpu}}}]
        yield make_pod(f"{app.name}-{number}", node, owner=f"ReplicaSet/{app.name}-5d", labels=labels, **spec)


def _budgets(app: App) -> Iterator[dict[str, Any]]:
    if app.min_available is None:
        return
    allowed = {"disruptionsAllowed": app.replicas - app.min_available, "currentHealthy": app.replicas}
    status = {**allowed, "desiredHealthy": app.min_available, "expectedPods": app.replicas}
    for name in (app.name, f"{app.name}-too") if app.second_budget else (app.name,):
        selector = {"matchLabels": {"app": app.name}}
        yield make_budget(name, selector, status=status, minAvailable=app.min_available)


_OBSTACLES: dict[str, Any] = {
    "webhooks": (
        Webhook("ValidatingWebhookConfiguration", "guard", "guard.lab", ("pods",), service="demo/guard", ready=()),
    ),
    "unavailable": (UnavailableApi("v1beta1.metrics.k8s.io", "kube-system/metrics-server", "no endpoints available"),),
}
