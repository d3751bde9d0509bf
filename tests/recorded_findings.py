"""What the product finds in recordings of a real cluster: read as they are by its own parsers, judged by its rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import yaml

from cluster.configmaps import join_declarations
from cluster.declarations import (
    Declarations,
    read_cluster_configuration,
    read_kubelet_configuration,
    read_proxy_configuration,
)
from cluster.dns import read_dns
from cluster.errors import KubeDenied
from cluster.examination import Examination
from cluster.facts import MachineFacts, Offer, OfferState
from cluster.findings import Finding
from cluster.observation import Observation
from cluster.options import Options
from cluster.procedure import Verb
from cluster.report import ClusterReport
from cluster.survey import Survey, SurveyedMachine
from cluster.tally import read_workloads
from cluster.versions import Minor
from policies.drift import base_version
from policies.etcd import check_etcd
from policies.machines import check_machine
from policies.overview import look_over
from policies.packages import check_packages
from policies.preflight import check_preflight
from tests.pods_fixture import PaperLists
from tests.policies_fixture import make_cluster, make_report
from tests.recorded_api import READ_AT, RECORDINGS, STAGES, recorded_report
from tests.recorded_machines import HOSTS, recorded_etcd, recorded_facts, recorded_offer
from tests.workers.runbook_fixture import Bench
from workers.runbook import perform
from workers.site import StepBlocked

MACHINES = RECORDINGS.parent / "machines"
_MACHINE = {"address": "10.0.0.1", "key_file": "/key", "host_key": "SHA256:" + "a" * 43}
# Of what was not recorded, or is that of the host that runs this: nothing of a real cluster.
_NOT_RECORDED = frozenset(
    {"not-surveyed", "machine-unreadable", "machine-partly-unread", "disk-low", "disk-space", "etcd-unread"}
)
_NEXT = tuple(Offer(Minor(1, minor), OfferState.OFFERED) for minor in (35, 36))


def seen_on_recordings() -> dict[str, list[str]]:
    """Code → where it was seen: stages of the real cluster, single machines, a real etcd, commands that failed."""
    found: dict[str, list[str]] = {}
    for where in SOURCES:
        for code in sorted({f.code for f in found_in(where)}):
            found.setdefault(code, []).append(where)
    return found


@cache
def found_in(where: str) -> tuple[Finding, ...]:
    return tuple(SOURCES[where]())


def of_stage(stage: str) -> Iterator[Finding]:
    """What a report of that stage would say, and what a plan to the next minor finds."""
    report = recorded_report(stage)
    cluster = make_cluster(machines={n.name: _MACHINE for n in report.nodes})
    found = [*look_over(report, None, cluster, installation="lockkeeper", known={}, now=READ_AT).findings]
    base = base_version(report)
    assert base is not None
    minor = base.minor.after(1)
    seen = observed(stage, report)
    found += check_preflight(seen, cluster, target=None, minors=(minor,), options=Options())
    yield from (f for f in found if f.code not in _NOT_RECORDED)


def observed(stage: str, report: ClusterReport, offers: tuple[Offer, ...] = _NEXT) -> Observation:
    """With its pods, budgets and ConfigMaps, and its machines where they were recorded."""
    machines = tuple(SurveyedMachine(host, recorded_facts(stage, host), offers) for host in HOSTS.get(stage, ()))
    lists = {kind: _items(stage, name) for kind, name in (("pods", "pods"), ("nodes", "nodes"), ("budgets", "pdb"))}
    dns = [d for d in _items(stage, "deploy-ds") if (d["metadata"].get("labels") or {}).get("k8s-app") == "kube-dns"]
    examination = Examination(
        "real",
        READ_AT,
        workloads=read_workloads(PaperLists(**lists)),
        dns=tuple(map(read_dns, dns)),
        declared=_declared(stage),
    )
    return Observation(report, Survey("real", READ_AT, machines), examination)


def _text(stage: str, name: str) -> str:
    path = RECORDINGS / f"{stage}-{name}.stdout"
    return (path if path.exists() else RECORDINGS / f"before-{name}.stdout").read_text(encoding="utf-8")


def _items(stage: str, name: str) -> list[dict[str, Any]]:
    return list(json.loads(_text(stage, name))["items"])


def _declared(stage: str) -> Declarations:
    read = json.loads(_text(stage, "kubeadm-cm"))
    maps = {i["metadata"]["name"]: i["data"] for i in read.get("items", [read])}
    own = read_cluster_configuration(yaml.safe_load(maps["kubeadm-config"]["ClusterConfiguration"]))
    kubelet = maps.get("kubelet-config")
    return join_declarations(
        own,
        read_kubelet_configuration(yaml.safe_load(kubelet["kubelet"])) if kubelet else Declarations(),
        read_proxy_configuration({}),
    )


# ---- single machines, as other recordings show them


def _of_machine(stage: str, host: str, facts: Callable[[], MachineFacts]) -> Iterator[Finding]:
    node = recorded_report(stage).node(host)
    assert node is not None
    found = check_machine(node, facts(), _NEXT[1:], snapshot=False, declared=_declared(stage))
    yield from (f for f in found if f.code not in _NOT_RECORDED)


def _not_restarted_yet() -> MachineFacts:
    """The kubelet's package is there, and the node still runs the one before."""
    kubelet = (MACHINES / "status-before-restart.stdout").read_text(encoding="utf-8").splitlines()[-1]
    return recorded_facts("half", "w1", kubelet=kubelet)


def _broken_kubelet() -> MachineFacts:
    """Somebody wrote nonsense into its configuration."""
    lines = (MACHINES / "kubelet-broken-config.stdout").read_text(encoding="utf-8").splitlines()
    return recorded_facts("before", "w2", unit="".join(f"{x}\n" for x in lines[:6] if "=" in x))


def _undeclared_diff() -> MachineFacts:
    """kubeadm-config has an argument that was never applied."""
    return recorded_facts("before", "cp1", diff="rollback-02-diff")


def _source_without_answer() -> Iterator[Finding]:
    """apt ends with 0 there, and goes on with what it knew before."""
    node = recorded_report("before").node("w1")
    assert node is not None
    offer = recorded_offer("apt-update-repo-down", 0, Minor(1, 34))
    return check_packages(node, recorded_facts("before", "w1"), (offer,))


# ---- etcd


def _of_etcd(**told: str) -> Iterable[Finding]:
    survey = Survey("prod", READ_AT, (SurveyedMachine("cp1", recorded_etcd(**told)),))
    return check_etcd(make_report("v1.34.7"), survey)


# ---- steps that fail


def _of_step(node: str, verb: Verb, recording: str, code: int = 1) -> Iterator[Finding]:
    """What blocks a run whose command prints what this one was recorded to print."""
    bench = Bench()
    parts = [MACHINES / f"{recording}.{kind}" for kind in ("stdout", "stderr")]
    bench.machines[node].ends[verb.value] = (code, b"".join(p.read_bytes() for p in parts if p.exists()))
    yield from _blocked(bench, node, verb)


def _of_node(recording: str, name: str) -> Iterator[Finding]:
    """What blocks a run whose node shows itself like that after the restart of its kubelet."""
    bench = Bench()
    found = next(n for n in _items(recording, "nodes") if n["metadata"]["name"] == name)
    bench.api.nodes["w1"] = found
    control_plane, workers = bench.plan.pools
    there = replace(workers.nodes[0], uid=found["metadata"]["uid"])
    bench.plan = replace(bench.plan, pools=(control_plane, replace(workers, nodes=(there,))))
    yield from _blocked(bench, "w1", Verb.VERIFY_NODE)


def _of_drain(recorded: Callable[[Bench], None]) -> Iterator[Finding]:
    bench = Bench()
    recorded(bench)
    yield from _blocked(bench, "w1", Verb.DRAIN)


def _blocked(bench: Bench, node: str, verb: Verb) -> Iterator[Finding]:
    try:
        perform(bench.site(node, verb))
    except StepBlocked as stop:
        yield stop.finding


def _pods_of_w1(bench: Bench) -> None:
    """Two of them keep data in an emptyDir."""
    bench.api.pods = {p["metadata"]["name"]: p for p in _items("before", "pods") if p["spec"]["nodeName"] == "w1"}


def _refused_eviction(bench: Bench) -> None:
    """The server's own answer where a budget lets nobody go."""
    head, _, body = (RECORDINGS / "evict-429.stdout").read_text(encoding="utf-8").replace("\r", "").partition("\n\n")
    status = int(head.split()[1])
    _pods_of_w1(bench)
    bench.api.pods = {n: p for n, p in bench.api.pods.items() if n.startswith("web-")}
    said = json.loads(body)
    bench.api.always["eviction"] = KubeDenied(said["message"], status=status, body=said)


SOURCES: dict[str, Callable[[], Iterable[Finding]]] = {
    **{stage: partial(of_stage, stage) for stage in STAGES},
    "a kubelet installed": partial(_of_machine, "applied", "w1", _not_restarted_yet),
    "a broken kubelet": partial(_of_machine, "notready", "w2", _broken_kubelet),
    "a declaration never applied": partial(_of_machine, "before", "cp1", _undeclared_diff),
    "a source without an answer": _source_without_answer,
    "an etcd that is full": partial(_of_etcd, status="status-no-space", alarms="alarms"),
    "an etcd with a learner": partial(_of_etcd, status="status", members="members-learner"),
    "an etcd without a leader": partial(_of_etcd, status="status-no-leader", members="members-no-quorum"),
    "an etcd without an answer": partial(_of_etcd, status="status-member-gone"),
    "a failed apply": partial(_of_step, "cp1", Verb.APPLY, "apply-createjob-timeout"),
    "a failed pull": partial(_of_step, "w1", Verb.PULL_IMAGES, "images-pull-fail"),
    "a held package": partial(_of_step, "w1", Verb.INSTALL_KUBEADM, "apt-install-held", 100),
    "a node after its restart": partial(_of_node, "notready", "w2"),
    "a drain": partial(_of_drain, _pods_of_w1),
    "an eviction": partial(_of_drain, _refused_eviction),
}
