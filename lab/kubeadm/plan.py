"""kubeadm upgrade plan and diff."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.kubeadm.session import NAMESPACE, Session, failure, preflight_failure, release
from lab.staticpods import COMPANIONS, KUBE_COMPONENTS, diff, minor_of, render, tag_of

RULE = "_" * 69
_CONFIGS = (("kubeproxy.config.k8s.io", "v1alpha1"), ("kubelet.config.k8s.io", "v1beta1"))
_TAIL = f"""{RULE}


The table below shows the current state of component configs as understood by this version of kubeadm.
Configs that have a "yes" mark in the "MANUAL UPGRADE REQUIRED" column require manual config upgrade or
resetting to kubeadm defaults before a successful upgrade can be performed. The version to manually
upgrade to is denoted in the "PREFERRED VERSION" column.

API GROUP                 CURRENT VERSION   PREFERRED VERSION   MANUAL UPGRADE REQUIRED
kubeproxy.config.k8s.io   v1alpha1          v1alpha1            no
kubelet.config.k8s.io     v1beta1           v1beta1             no
{RULE}

"""


@dataclass(frozen=True, slots=True)
class Row:
    """One component of one node, as both forms of the plan list it."""

    name: str
    current: str
    new: str
    node: str = ""

    def as_json(self) -> dict[str, str]:
        body = {"name": self.name, "currentVersion": self.current, "newVersion": self.new}
        return {**body, "nodeName": self.node} if self.node else body


async def plan(session: Session, target: str | None, *, as_json: bool) -> int:
    """Print what an upgrade would change; nothing is changed."""
    say = (lambda _: None) if as_json else session.call.out
    session.need_file("/etc/kubernetes/admin.conf")
    say("[preflight] Running pre-flight checks.\n")
    await session.call.pause(0.2)
    if not session.view.reachable():
        text = session.unreachable(f"{NAMESPACE}/configmaps/coredns")
        raise preflight_failure(
            [("CoreDNSUnsupportedPlugins", text), ("CoreDNSMigration", text)], "preflight checks failed"
        )
    if not as_json:
        session.say_reading("upgrade/config")
    declared = session.configuration("[upgrade/init config] FATAL: ")["kubernetesVersion"]
    session.check_supported(declared, "[upgrade/init config] FATAL: ")
    say("[upgrade] Running cluster health checks\n")
    await session.check_health("[upgrade/health] FATAL: preflight checks failed")
    if target is None:
        target = await _own_version(session)
    cluster = session.view.served_version(session.machine.name)
    say("[upgrade] Fetching available versions to upgrade to\n")
    say(f"[upgrade/versions] Cluster version: {cluster.removeprefix('v')}\n")
    say(f"[upgrade/versions] kubeadm version: {session.version}\n")
    say(f"[upgrade/versions] Target version: {target}\n")
    if release(target) >= release(cluster):
        say(f"[upgrade/versions] Latest version in the {minor_of(cluster)} series: {target}\n")
    say("\n")
    if release(target) > release(cluster):
        _print(session, target, cluster, as_json=as_json)
    return 0


async def _own_version(session: Session) -> str:
    """Without a network, kubeadm falls back to its own version."""
    for label in ("stable", f"stable-{minor_of(session.version).removeprefix('v')}"):
        url = f"https://dl.k8s.io/release/{label}.txt"
        session.klog(
            "W",
            "version.go:108",
            f'could not fetch a Kubernetes version from the internet: unable to get URL "{url}": Get "{url}": '
            "dial tcp: lookup dl.k8s.io: connection refused",
        )
        session.klog("W", "version.go:109", f"falling back to the local client version: {session.version}")
        await session.call.pause(2)
    return session.version


def component_rows(session: Session, target: str) -> tuple[list[Row], list[Row]]:
    """(kubelets, the rest) in kubeadm's order."""
    store = session.view.store
    kubelets = [
        Row("kubelet", node["status"]["nodeInfo"]["kubeletVersion"], target, node["metadata"]["name"])
        for node in store.list("Node")
    ]
    old, new = COMPANIONS[minor_of(_addon(session, "DaemonSet", "kube-proxy"))], COMPANIONS[minor_of(target)]
    own = COMPANIONS[minor_of(session.version)]
    rest = [Row(c, tag, target, node) for c in KUBE_COMPONENTS for node, tag in _running(session, c)]
    rest.append(Row("kube-proxy", _addon(session, "DaemonSet", "kube-proxy").removeprefix("v"), target))
    # kubeadm knows only the CoreDNS of its own release.
    rest.append(Row("CoreDNS", _addon(session, "Deployment", "coredns") or old.coredns, own.coredns))
    rest.extend(Row("etcd", tag, new.etcd, node) for node, tag in _running(session, "etcd"))
    return kubelets, rest


def _running(session: Session, component: str) -> Iterable[tuple[str, str]]:
    for name in session.view.control_planes():
        pod = session.view.store.get("Pod", f"{component}-{name}", NAMESPACE)
        if pod is not None:
            yield name, pod["spec"]["containers"][0]["image"].rpartition(":")[2]


def _addon(session: Session, kind: str, name: str) -> str:
    found = session.view.store.get(kind, name, NAMESPACE)
    return found["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2] if found else ""


def _print(session: Session, target: str, cluster: str, *, as_json: bool) -> None:
    kubelets, rest = component_rows(session, target)
    if as_json:
        rest.insert(len(rest) - sum(r.name == "etcd" for r in rest), Row("kubeadm", session.version, target))
        session.call.out(_document(cluster, [*kubelets, *rest]))
        return
    out = session.call.out
    out(
        "Components that must be upgraded manually after you have upgraded the control plane with "
        "'kubeadm upgrade apply':\n"
    )
    out(_table(kubelets))
    out(f"\nUpgrade to the latest version in the {minor_of(cluster)} series:\n\n")
    out(_table(rest))
    out(f"\nYou can now apply the upgrade by executing the following command:\n\n\tkubeadm upgrade apply {target}\n\n")
    if release(target) > release(session.version):
        out(f"Note: Before you can perform this upgrade, you have to update kubeadm to {target}.\n\n")
    out(_TAIL)


def _table(rows: list[Row]) -> str:
    """Columns as Go's tabwriter aligns them: three blanks apart, at least ten wide."""
    cells = [("COMPONENT", "NODE", "CURRENT", "TARGET"), *((r.name, r.node, r.current, r.new) for r in rows)]
    widths = [max(10, max(len(c[i]) for c in cells) + 3) for i in range(3)]
    return "".join("".join(c[i].ljust(widths[i]) for i in range(3)) + f"{c[3]}\n" for c in cells)


def _document(cluster: str, rows: list[Row]) -> str:
    body: dict[str, Any] = {
        "kind": "UpgradePlan",
        "apiVersion": "output.kubeadm.k8s.io/v1alpha3",
        "availableUpgrades": [
            {"description": f"version in the {minor_of(cluster)} series", "components": [r.as_json() for r in rows]}
        ],
        "configVersions": [
            {"group": g, "currentVersion": v, "preferredVersion": v, "manualUpgradeRequired": False}
            for g, v in _CONFIGS
        ],
    }
    return json.dumps(body, indent=4) + "\n"


async def show_diff(session: Session, target: str | None) -> int:
    """Compare this host's manifests with those that kubeadm would write; etcd is left out, as in life."""
    session.need_file("/etc/kubernetes/admin.conf")
    session.say_reading("upgrade/diff")
    declared = session.configuration("")["kubernetesVersion"]
    await session.call.pause(0.2)
    seat = session.machine.kubelet.seat if session.machine.kubelet else None
    for component in KUBE_COMPONENTS:
        path = f"/etc/kubernetes/manifests/{component}.yaml"
        if seat is None or not session.machine.path(path).exists():
            raise failure(f"the specified version or manifest path {path} is not readable")
        old = session.machine.read(path)
        if tag_of(old) or target:
            session.call.out(diff(old, render(component, target or declared, seat), path))
    return 0
