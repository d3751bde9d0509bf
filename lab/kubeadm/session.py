"""What every kubeadm command begins with: who runs it, which cluster it sees, and which version it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import yaml

from lab.machines import Machine
from lab.objects import ObjectStore
from lab.staticpods import KUBE_COMPONENTS, minor_of
from lab.toolbox import Invocation, ToolError

STACK = "To see the stack trace of this error execute with --v=5 or higher\n"
NAMESPACE = "kube-system"
NO_MANIFEST = (
    "the control plane seems to be Static Pod-hosted, but some of the manifests don't seem to exist on disk. "
    "This probably means you're running 'kubeadm upgrade' on a remote machine, which is not supported for a "
    "Static Pod-hosted cluster. Manifest files not found: "
)


class ClusterView(Protocol):
    """What kubeadm can see of the cluster from one machine."""

    @property
    def store(self) -> ObjectStore: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def job_fails(self) -> bool: ...
    def reachable(self) -> bool: ...
    def served_version(self, machine: str) -> str: ...
    def control_planes(self) -> Sequence[str]: ...
    def alarms(self) -> Sequence[tuple[str, str]]: ...


def failure(text: str, code: int = 1) -> ToolError:
    """An error as kubeadm prints it."""
    return ToolError(f"error: {text}\n{STACK}", code)


def preflight_failure(problems: Sequence[tuple[str, str]], last: str) -> ToolError:
    """The list of failed checks."""
    rows = "".join(f"\t[ERROR {name}]: {text}\n" for name, text in problems)
    return ToolError(
        f"[preflight] Some fatal errors occurred:\n{rows}"
        "[preflight] If you know what you are doing, you can make a check non-fatal with "
        f"`--ignore-preflight-errors=...`\nerror: {last}\n{STACK}"
    )


def release(version: str) -> tuple[int, int, int]:
    """(1, 35, 4) of v1.35.4."""
    major, minor, patch = version.removeprefix("v").split(".")
    return int(major), int(minor), int(patch)


@dataclass(slots=True)
class Session:
    """One run of kubeadm."""

    call: Invocation
    view: ClusterView
    version: str  # kubeadm's own

    @property
    def machine(self) -> Machine:
        return self.call.machine

    def klog(self, level: str, where: str, text: str) -> None:
        now = datetime.now(UTC).strftime("%m%d %H:%M:%S.%f")
        self.call.err(f"{level}{now}    1503 {where}] {text}\n")

    def stamp(self) -> str:
        """The time in the names of backup folders."""
        return datetime.now(UTC).strftime("%Y-%m-%d-%H-%M-%S")

    def need_file(self, name: str) -> None:
        if not self.machine.path(name).exists():
            raise failure(
                f'couldn\'t create a Kubernetes client from file "{name}": failed to load admin kubeconfig: '
                f"open {name}: no such file or directory"
            )

    def unreachable(self, path: str) -> str:
        """client-go's words when the API server's port is closed."""
        endpoint = self.view.endpoint
        url = f"https://{endpoint}/api/v1/namespaces/{path}?timeout=10s"
        return f'Get "{url}": dial tcp {endpoint}: connect: connection refused'

    def say_reading(self, prefix: str) -> None:
        self.call.out(
            f'[{prefix}] Reading configuration from the "kubeadm-config" ConfigMap in namespace "kube-system"...\n'
            f"[{prefix}] Use 'kubeadm init phase upload-config kubeadm --config your-config-file' to re-upload it.\n"
        )

    def configuration(self, blame: str) -> dict[str, Any]:
        """The ClusterConfiguration; `blame` stands before the text of a failure."""
        if not self.view.reachable():
            raise failure(
                f"{blame}failed to get config map: {self.unreachable(f'{NAMESPACE}/configmaps/kubeadm-config')}"
            )
        found = self.view.store.get("ConfigMap", "kubeadm-config", NAMESPACE)
        if found is None:
            raise failure(f'{blame}failed to get config map: configmaps "kubeadm-config" not found')
        data: dict[str, Any] = yaml.safe_load(found["data"]["ClusterConfiguration"])
        return data

    def check_supported(self, declared: str, blame: str) -> None:
        """kubeadm works on clusters of its own minor and the one before."""
        lowest = (release(self.version)[0], release(self.version)[1] - 1, 0)
        if release(declared) < lowest:
            floor = ".".join(str(n) for n in lowest)
            raise failure(
                f"{blame}this version of kubeadm only supports deploying clusters with the control plane version >= "
                f"{floor}. Current version: {declared}"
            )

    def health_problems(self) -> list[tuple[str, str]]:
        """CreateJob, ControlPlaneNodesReady and StaticPodManifest."""
        away = [
            name
            for name in self.view.control_planes()
            if (node := self.view.store.get("Node", name)) is None or not is_ready(node)
        ]
        found = []
        if away:
            found.append(
                ("ControlPlaneNodesReady", f"there are NotReady control-planes in the cluster: [{' '.join(away)}]")
            )
        folder = self.machine.path("/etc/kubernetes/manifests")
        lost = [f"/etc/kubernetes/manifests/{c}.yaml" for c in KUBE_COMPONENTS if not (folder / f"{c}.yaml").exists()]
        if lost:
            found.append(("StaticPodManifest", NO_MANIFEST + " ".join(lost)))
        return found

    async def check_health(self, last: str) -> None:
        """The cluster health checks; a Job that never ends takes its whole minute."""
        if self.view.job_fails:
            await self.call.pause(60)
            number = int(datetime.now(UTC).timestamp() * 1000)
            job = f'Job "upgrade-health-check-{number}" in the namespace "kube-system"'
            problem = f"{job} did not complete in 1m0s: no condition of type Complete"
            raise preflight_failure([("CreateJob", problem)], last)
        await self.call.pause(4)
        if problems := self.health_problems():
            raise preflight_failure(problems, last)

    def skew(self, target: str) -> tuple[list[str], list[str]]:
        """(fatal, skippable) errors of a target version."""
        cluster = self.view.served_version(self.machine.name)
        wanted, own, now = release(target), release(self.version), release(cluster)
        fatal, soft = [], []
        if wanted[1] > now[1] + 1:
            fatal.append(
                f'Specified version to upgrade to "{target}" is too high; kubeadm can upgrade only 1 minor version at '
                "a time"
            )
        if wanted[1] > own[1]:
            fatal.append(
                f'Specified version to upgrade to "{target}" is at least one minor release higher than the kubeadm '
                f"minor release ({wanted[1]} > {own[1]}). Such an upgrade is not supported"
            )
        elif wanted > own:
            soft.append(
                f'Specified version to upgrade to "{target}" is higher than the kubeadm version "{self.version}". '
                "Upgrade kubeadm first using the tool you used to install kubeadm"
            )
        if own[1] > wanted[1]:
            minor = minor_of(self.version).removeprefix("v")
            soft.append(f"Kubeadm version {self.version} can only be used to upgrade to Kubernetes version {minor}")
        return fatal, soft


def is_ready(node: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
