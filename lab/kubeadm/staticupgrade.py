"""How kubeadm exchanges the static pods of one control-plane machine, and puts them back when that fails."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab.kubeadm.session import NAMESPACE, Session, failure
from lab.kubelet import Kubelet
from lab.staticpods import Seat, render
from lab.toolbox import ToolError

MANIFESTS = "/etc/kubernetes/manifests"
TMP = "/etc/kubernetes/tmp"
PATIENCE = 300.0  # lab seconds for a mirror pod to change
LEAST_PATIENCE = 30.0  # real seconds: a fast lab on a slow host is no failed upgrade
CERTIFICATES = {
    "etcd": ("etcd-server", "etcd-peer", "etcd-healthcheck-client"),
    "kube-apiserver": ("apiserver", "apiserver-kubelet-client", "front-proxy-client", "apiserver-etcd-client"),
    "kube-controller-manager": ("controller-manager.conf",),
    "kube-scheduler": ("scheduler.conf",),
}


class KilledError(ToolError):
    """kubeadm itself died in the middle, as by the OOM killer."""

    def __init__(self) -> None:
        super().__init__("Killed\n", 137)


@dataclass(slots=True)
class StaticUpgrade:
    """One pass over the four components."""

    session: Session
    kubelet: Kubelet
    version: str
    backup: str = ""
    moved: list[str] = field(default_factory=list)

    @property
    def seat(self) -> Seat:
        return self.kubelet.seat

    async def run(self) -> None:
        """etcd first, then API server, controller manager and scheduler."""
        say, stamp = self.session.call.out, self.session.stamp()
        staged = f"{TMP}/kubeadm-upgraded-manifests{time.time_ns() % 10**10}"
        say(f'[upgrade/staticpods] Writing new Static Pod manifests to "{staged}"\n')
        self.backup = f"{TMP}/kubeadm-backup-manifests-{stamp}"
        for folder in (staged, self.backup, f"{TMP}/kubeadm-backup-etcd-{stamp}/etcd"):
            self._path(folder).mkdir(parents=True, exist_ok=True)
        for component in self.seat.components:
            self._path(f"{staged}/{component}.yaml").write_text(
                render(component, self.version, self.seat), encoding="utf-8"
            )
        await self.session.call.pause(1)
        equal = {c: self._equal(c) for c in self.seat.components}
        for component in self.seat.components:
            say(f'[upgrade/staticpods] Preparing for "{component}" upgrade\n')
            if equal[component] and (component != "etcd" or all(equal.values())):
                say(f"[upgrade/staticpods] Current and new manifests of {component} are equal, skipping upgrade\n")
            else:
                await self._exchange(component, staged, restart=equal[component])
            if component == "etcd":
                say("[upgrade/etcd] Waiting for etcd to become available\n")
        shutil.rmtree(self._path(staged))
        self._renew("admin.conf")

    def _path(self, path: str) -> Path:
        return self.session.machine.path(path)

    def _equal(self, component: str) -> bool:
        path = self._path(f"{MANIFESTS}/{component}.yaml")
        return path.exists() and path.read_text(encoding="utf-8") == render(component, self.version, self.seat)

    def _renew(self, name: str) -> None:
        """A renewed certificate has a new date: the file's time stands for it."""
        self.session.machine.write(f"/etc/kubernetes/pki/.renewed/{name}", f"{int(time.time())}\n")

    async def _exchange(self, component: str, staged: str, *, restart: bool) -> None:
        say, call = self.session.call.out, self.session.call
        for name in CERTIFICATES[component]:
            say(f"[upgrade/staticpods] Renewing {name} certificate\n")
            self._renew(name)
        target, kept = f"{MANIFESTS}/{component}.yaml", f"{self.backup}/{component}.yaml"
        if restart:
            say(f'[upgrade/staticpods] Restarting the etcd static pod and backing up its manifest to "{kept}"\n')
            shutil.copy(self._path(target), self._path(kept))
        else:
            say(f'[upgrade/staticpods] Moving new manifest to "{target}" and backing up old manifest to "{kept}"\n')
        before = self.kubelet.generation(component)
        if not restart:
            if self._path(target).exists():
                self._path(target).replace(self._path(kept))
            if component in self.session.machine.faults.kubeadm_dies_at:
                raise KilledError
            self._path(f"{staged}/{component}.yaml").replace(self._path(target))
        self.moved.append(component)
        say("[upgrade/staticpods] Waiting for the kubelet to restart the component\n")
        say("[upgrade/staticpods] This can take up to 5m0s\n")
        if restart:
            self.kubelet.bounce(component)
        if not await self._changed(component, before):
            await self._roll_back(component)
        await call.pause(3)
        found = sum(self._has_pod(component, name) for name in self.session.view.control_planes())
        say(f"[apiclient] Found {found} Pods for label selector component={component}\n")
        say(f'[upgrade/staticpods] Component "{component}" upgraded successfully!\n')

    def _has_pod(self, component: str, name: str) -> bool:
        return self.session.view.store.get("Pod", f"{component}-{name}", NAMESPACE) is not None

    async def _changed(self, component: str, before: int) -> bool:
        """Wait until the mirror pod is another one; the API may be away meanwhile."""
        real = time.monotonic()
        waited = 0.0
        while waited < PATIENCE or time.monotonic() - real < LEAST_PATIENCE:
            if self.kubelet.generation(component) > before and self.session.view.reachable():
                return True
            await self.session.call.pause(1)
            waited += 1
            if component in self.session.machine.faults.manifest_ignored and waited >= PATIENCE:
                return False
        return False

    async def _roll_back(self, component: str) -> None:
        """Move the old manifests of everything touched back, then fail in kubeadm's words."""
        for name in self.moved:
            kept = self._path(f"{self.backup}/{name}.yaml")
            if kept.exists():
                shutil.copy(kept, self._path(f"{MANIFESTS}/.{name}.yaml"))
                self._path(f"{MANIFESTS}/.{name}.yaml").replace(self._path(f"{MANIFESTS}/{name}.yaml"))
        node = self.session.machine.name
        if self.session.view.reachable():
            reason = f"static Pod hash for component {component} on Node {node} did not change after 5m0s"
        else:
            get = self.session.unreachable(f"{NAMESPACE}/pods/{component}-{node}")
            reason = f"failed to obtain static Pod hash for component {component} on Node {node}: {get}"
        etcd = "fatal error when trying to upgrade the etcd cluster, rolled the state back to pre-upgrade state: "
        begin = etcd if component == "etcd" else ""
        raise failure(
            f"error execution phase control-plane: couldn't complete the static pod upgrade: {begin}"
            "couldn't upgrade control plane. kubeadm has tried to recover everything into the earlier state. "
            f"Errors faced: {reason}"
        )
