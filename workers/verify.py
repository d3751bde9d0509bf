"""Whether a node works with its new kubelet: a fresh lease, the right version, and still up some time later."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cluster.departures import controller_of, is_ready
from cluster.errors import LockkeeperError
from cluster.facts import KubeletUnit
from cluster.plan import Role
from workers.control_plane import static_pod_problems, static_pods_on
from workers.cordon import read_node
from workers.patience import ask_api
from workers.remote import Link
from workers.residents import pods_lately_on
from workers.site import API_LOOK, Site, StepDone

Raw = dict[str, Any]
RENEWALS = 2  # a lease may be renewed once by what was on its way at the restart
_SPARED = "daemonset-not-ready:"  # an accepted warning; the DaemonSet's namespace and name follow
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_GONE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_LEASE = "its lease has not been renewed twice since the restart"
_SHOWN = 3


@dataclass
class Watch:
    """What is remembered between two looks: renewals of the lease, and since when all is well."""

    renew_time: str = ""
    renewals: int = -1  # the first sight of it is no renewal
    well_since: datetime | None = None
    unit: KubeletUnit | None = None
    told: bool = False

    def see_lease(self, renew_time: str) -> None:
        if renew_time != self.renew_time:
            self.renew_time, self.renewals = renew_time, self.renewals + 1


def await_node(site: Site) -> None:
    """Wait until nothing is wrong with the node, and has not been for the stable time with the same kubelet."""
    watch, since = Watch(), site.now()
    while True:
        problems = tuple(ask_api(site, lambda: tuple(_problems(site, watch))))
        if not problems and _is_stable(site, watch):
            return
        if problems:
            watch.well_since = None
            if not watch.told and problems != (_LEASE,):  # the lease is waited for on every node: no news
                watch.told = True
                site.tell(
                    f"{site.node.name} is coming up: {next(p for p in problems if p != _LEASE)}; it is waited for."
                )
        if site.elapsed(since) > site.waits.node_ready + site.waits.stable:
            raise site.blocked(
                "node-not-healthy",
                f"{site.node.name} is not well {site.waits.node_ready + site.waits.stable:.0f} s after the restart of "
                f"its kubelet: {'; '.join(problems[:_SHOWN]) or 'its kubelet keeps restarting'}{_kubelet_log(site)}.",
                "Correct that on the machine, then `retry`.",
            )
        site.wait(site.pause(since, API_LOOK))


def verified_node(site: Site) -> StepDone:
    version = str(site.hop.target)
    return StepDone(f"The kubelet of {site.node.name} runs {version} and stays up.", {"kubelet": version})


def _is_stable(site: Site, watch: Watch) -> bool:
    if watch.well_since is None:
        watch.well_since, watch.unit = site.now(), _unit(site)
        return False
    if site.elapsed(watch.well_since) < site.waits.stable:
        return False
    unit, before = _unit(site), watch.unit
    if unit is None or before is None or not unit.active or _runs(unit) != _runs(before):
        watch.well_since, watch.unit = site.now(), unit  # it restarted in between: the time begins anew
        return False
    return True


def _runs(unit: KubeletUnit) -> tuple[int, str]:
    return unit.restarts, unit.started


def _unit(site: Site) -> KubeletUnit | None:
    return Link(site).ask(site.machine.observe, patience=site.waits.node_ready).kubelet_unit


def _problems(site: Site, watch: Watch) -> Iterator[str]:
    node = read_node(site)
    lease = site.kube().get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{site.node.name}")
    watch.see_lease(str((lease.get("spec") or {}).get("renewTime", "")))
    # Ready alone may be stale for most of a minute; only the lease tells that this kubelet lives.
    if watch.renewals < RENEWALS:
        yield _LEASE
    yield from node_problems(node, str(site.hop.target))
    if site.node.role is not Role.WORKER:
        yield from static_pod_problems(site, static_pods_on(site))
    spared = {a.removeprefix(_SPARED) for a in site.plan.accepted if a.startswith(_SPARED)}
    yield from daemon_problems(tuple(pods_lately_on(site)), spared)


def node_problems(node: Raw, target: str) -> Iterator[str]:
    """What its own object says against a node, each as a clause."""
    status = node.get("status") or {}
    version = (status.get("nodeInfo") or {}).get("kubeletVersion", "")
    if version != target:
        yield f"its kubelet runs {version or 'an unknown version'} and not {target}"
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    if conditions.get("Ready", {}).get("status") != "True":
        yield f"it is not Ready ({conditions.get('Ready', {}).get('message') or 'no reason given'})"
    for name in _PRESSURES:
        if conditions.get(name, {}).get("status") == "True":
            yield f"it reports {name}"
    for taint in (node.get("spec") or {}).get("taints") or []:
        if taint.get("key") in _GONE_TAINTS:
            yield f"it has the taint {taint['key']}"


def daemon_problems(pods: tuple[Raw, ...], spared: Collection[str]) -> Iterator[str]:
    """DaemonSet pods of a node that are not ready, but for DaemonSets ("namespace/name") that need not be."""
    for pod in pods:
        owner, namespace = controller_of(pod), pod["metadata"]["namespace"]
        if not owner or owner.get("kind") != "DaemonSet" or f"{namespace}/{owner.get('name')}" in spared:
            continue
        if not is_ready(pod):
            yield f"{namespace}/{pod['metadata']['name']} of a DaemonSet is not ready"


def _kubelet_log(site: Site) -> str:
    """The last error of the kubelet's log, where the machine still answers."""
    try:
        lines = site.machine.logs("kubelet").splitlines()
    except LockkeeperError:
        return ""
    errors = [line for line in lines if "rror" in line or "failed" in line or "unknown flag" in line]
    return f" (its log ends with: {errors[-1].strip()[-300:]})" if errors else ""
