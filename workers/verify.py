"""Whether a node works with its new kubelet: a fresh lease, the right version, and still up some time later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from math import inf
from typing import Any

from cluster.errors import LockkeeperError
from cluster.facts import KubeletUnit
from cluster.plan import Role
from policies.wording import some_of
from workers.control_plane import Restarts, restarted, restarts_of, static_pod_problems, static_pods_on
from workers.cordon import read_node
from workers.daemons import daemon_ills, daemon_sets, registered_drivers
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


@dataclass(frozen=True, slots=True)
class Ill:
    """What is wrong with a node; what was so before its drain is waited for, but an upgrade need not mend it."""

    text: str  # a clause
    is_old: bool = False


@dataclass
class Watch:
    """What is remembered between two looks: renewals of the lease, and since when all is well."""

    renew_time: str = ""
    renewals: int = -1  # the first sight of it is no renewal
    well_since: datetime | None = None
    unit: KubeletUnit | None = None
    restarts: Restarts = field(default_factory=dict)  # of the static pods, at the last look
    restarts_then: Restarts = field(default_factory=dict)  # and when all was well
    restless: str = "its kubelet"  # what restarted, where the stable time had to begin anew
    sets: tuple[Raw, ...] | None = None  # the cluster's DaemonSets
    told: bool = False

    def begin(self, now: datetime, unit: KubeletUnit | None) -> None:
        self.well_since, self.unit, self.restarts_then = now, unit, self.restarts

    def see_lease(self, renew_time: str) -> None:
        if renew_time != self.renew_time:
            self.renew_time, self.renewals = renew_time, self.renewals + 1


def await_node(site: Site) -> None:
    """Wait until nothing is wrong with the node, and has not been for the stable time with the same kubelet."""
    watch, since = Watch(), site.now()
    while True:
        ills = tuple(ask_api(site, lambda: tuple(_ills(site, watch))))
        new = tuple(i.text for i in ills if not i.is_old)
        if new:
            watch.well_since = None
            _tell_wait(site, watch, new)
        is_late = site.elapsed(since) > site.waits.node_ready + site.waits.stable
        is_stable = not new and _is_stable(site, watch)
        if is_stable and (is_late or not ills):
            _tell_old(site, ills)
            return
        if is_late and not is_stable:
            wrong = "; ".join(new[:_SHOWN]) or f"{watch.restless} keeps restarting"
            raise site.blocked(
                "node-not-healthy",
                f"{site.node.name} is not well {site.waits.node_ready + site.waits.stable:.0f} s after the restart of "
                f"its kubelet: {wrong}{_kubelet_log(site)}.",
                "Correct that on the machine, then `retry`.",
            )
        site.wait(min(site.pause(since, API_LOOK), _until_stable(site, watch)))


def _tell_wait(site: Site, watch: Watch, ills: tuple[str, ...]) -> None:
    if not watch.told and ills != (_LEASE,):  # the lease is waited for on every node: no news
        watch.told = True
        site.tell(f"{site.node.name} is coming up: {next(i for i in ills if i != _LEASE)}; it is waited for.")


def verified_node(site: Site) -> StepDone:
    version = str(site.hop.target)
    return StepDone(f"The kubelet of {site.node.name} runs {version} and stays up.", {"kubelet": version})


def _is_stable(site: Site, watch: Watch) -> bool:
    if watch.well_since is None:
        watch.begin(site.now(), _unit(site))
        return False
    if site.elapsed(watch.well_since) < site.waits.stable:
        return False
    unit, before = _unit(site), watch.unit
    lives = unit is not None and before is not None and unit.active and _runs(unit) == _runs(before)
    if lives and watch.restarts == watch.restarts_then:
        return True
    watch.restless = some_of(restarted(watch.restarts_then, watch.restarts)) if lives else "its kubelet"
    watch.begin(site.now(), unit)  # it restarted in between: the time begins anew
    return False


def _until_stable(site: Site, watch: Watch) -> float:
    """Seconds until it has been well for long enough, where it is well now and has not been for as long."""
    left = 0.0 if watch.well_since is None else site.waits.stable - site.elapsed(watch.well_since)
    return left if left > 0 else inf


def _runs(unit: KubeletUnit) -> tuple[int, str]:
    return unit.restarts, unit.started


def _unit(site: Site) -> KubeletUnit | None:
    facts = Link(site).ask(partial(site.machine.observe, briefly=True), patience=site.waits.node_ready)
    return facts.kubelet_unit


def _ills(site: Site, watch: Watch) -> Iterator[Ill]:
    node = read_node(site)
    lease = site.kube().get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{site.node.name}")
    watch.see_lease(str((lease.get("spec") or {}).get("renewTime", "")))
    # Ready alone may be stale for most of a minute; only the lease tells that this kubelet lives.
    if watch.renewals < RENEWALS:
        yield Ill(_LEASE)
    yield from map(Ill, node_problems(node, str(site.hop.target)))
    if site.node.role is not Role.WORKER:
        pods = static_pods_on(site)
        watch.restarts = restarts_of(pods)
        yield from map(Ill, static_pod_problems(site, pods))
    yield from _daemons(site, node, watch)
    yield from map(Ill, _drivers(site))


def _daemons(site: Site, node: Raw, watch: Watch) -> Iterator[Ill]:
    """Networks and storage: each DaemonSet that wants the node, but for those whose state the plan accepts."""
    if watch.sets is None:
        watch.sets = daemon_sets(site)
    found = daemon_ills(node, pods_lately_on(site), watch.sets)
    if found:
        watch.sets = None  # one of them may be gone by the next look
    spared = {a.removeprefix(_SPARED) for a in site.plan.accepted if a.startswith(_SPARED)}
    for place, text in found.items():
        if place not in spared:
            yield Ill(text, is_old=place in site.as_found.ailing)


def _drivers(site: Site) -> Iterator[str]:
    if site.as_found.drivers:
        gone = set(site.as_found.drivers) - set(registered_drivers(site))
        yield from (f"its CSI driver {name} is not registered again" for name in sorted(gone))


def _tell_old(site: Site, ills: tuple[Ill, ...]) -> None:
    if ills:
        told = some_of(i.text for i in ills)
        site.tell(f"On {site.node.name}, as before its drain: {told}. It is not waited for any longer.")


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


def _kubelet_log(site: Site) -> str:
    """The last error of the kubelet's log, where the machine still answers."""
    try:
        lines = site.machine.logs("kubelet").splitlines()
    except LockkeeperError:
        return ""
    errors = [line for line in lines if "rror" in line or "failed" in line or "unknown flag" in line]
    return f" (its log ends with: {errors[-1].strip()[-300:]})" if errors else ""
