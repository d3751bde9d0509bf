"""One machine of the lab: a directory tree that looks like a host, with tools that change it and SSH in front of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.clock import LabClock
from lab.packages import PackageStatus, Repository
from lab.toolbox import ExecLog
from lab.units import Units

if TYPE_CHECKING:
    from lab.kubeadm.session import ClusterView
    from lab.kubelet import Kubelet
    from lab.sshd import SshDaemon

BOOT_SECONDS = 25.0
_HOLDER = 4242  # the process that holds dpkg's lock, where one does
_UP = 86_400 * 40  # seconds since the boot, where somebody asks
FOLDERS = (
    "etc/apt/sources.list.d",
    "etc/apt/preferences.d",
    "etc/apt/keyrings",
    "etc/default",
    "etc/kubernetes/manifests",
    "etc/kubernetes/pki",
    "home/upgrader",
    "proc/sys/kernel/random",
    "root",
    "run/systemd/system",
    "sys/fs/cgroup",
    "tmp",
    "usr/local/sbin",
    "var/cache/apt/archives/partial",
    "var/lib/apt/lists/partial",
    "var/lib/dpkg",
    "var/lib/kubelet",
    "var/lib/lockkeeper",
    "var/log/journal",
)


@dataclass(slots=True)
class Faults:
    """What is wrong with a machine at the moment; tests and scenarios switch it."""

    disk_full: set[str] = field(default_factory=set)  # names of tools
    dpkg_held_by: str = ""  # a process that holds dpkg's lock, like "unattended-upgr"
    image_pull_fails: bool = False
    images_missing: set[str] = field(default_factory=set)  # "kube-proxy:v1.35.4", as no registry has them
    no_etcdctl: bool = False  # the etcd image has none
    etcd_alarms: tuple[str, ...] = ()  # NOSPACE, CORRUPT
    etcd_bytes: int = 0  # of its database, when it is not a small one
    etcd_learner: bool = False  # a member was added and never started
    etcd_away: set[str] = field(default_factory=set)  # endpoints of an etcd elsewhere that do not answer
    etcd_behind: int = 0  # entries that its member has not applied yet
    certificate_days: int | None = None  # until kubeadm's certificates that were not renewed end
    authority_days: int | None = None  # until the CAs end
    certificates_missing: set[str] = field(default_factory=set)
    certificates_external: bool = False  # the CAs' keys are elsewhere
    key_days: int | None = None  # until the key of the package source ends
    free_kib: int | None = None  # on its one disk, when that is not roomy
    runtime: str = ""  # containerd's release, when it is not the usual one
    kubelet_fails: bool = False  # it does not come up after its next start
    kubeadm_dies_at: set[str] = field(default_factory=set)  # killed with this component's manifest moved out
    manifest_ignored: set[str] = field(default_factory=set)  # components that never come up at their new manifest


@dataclass
class Machine:
    """A host: its tree, its packages and units, and what runs on it."""

    name: str
    root: Path
    address: str
    control_plane: bool
    clock: LabClock
    repository: Repository
    log: ExecLog
    lacks: frozenset[str] = frozenset()  # tools that are not installed here
    faults: Faults = field(default_factory=Faults)
    running: set[asyncio.Future[int]] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    kubelet: Kubelet | None = None
    view: ClusterView | None = None
    ssh: SshDaemon | None = None
    program: Callable[[str, str], str] | None = None  # the text of a tool's program of another version
    up: bool = True

    def __post_init__(self) -> None:
        self.tools = self.root / "tools"
        self.packages = PackageStatus(self.root / "var/lib/dpkg/status.json")
        self.dpkg_lock = asyncio.Lock()
        self.units = Units(self)
        self._tasks: set[asyncio.Task[None]] = set()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something happen after the tool that asked for it has ended."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def path(self, text: str) -> Path:
        """Where a path that a command names is on this disk; scripts rendered with a root name it with the root."""
        if text.startswith(f"{self.root}/") or text == str(self.root):
            return Path(text)
        return self.root / text.lstrip("/")

    def shown(self, path: Path) -> str:
        """The path as the machine itself would print it."""
        return f"/{path.relative_to(self.root)}"

    def read(self, path: str) -> str:
        return self.path(path).read_text(encoding="utf-8")

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Write a file whole, by a rename in its own folder, as the programs that are simulated do."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.parent / f".{target.name}.new"
        staged.write_text(text, encoding="utf-8")
        staged.chmod(mode)
        staged.replace(target)
        return target

    def doing(self) -> str:
        """The verb of the node script that runs now, or ""."""
        for name in self.units.running():
            started = self.root / "var/lib/lockkeeper/jobs" / name.removeprefix("lockkeeper-") / "started"
            if started.is_file():
                lines = started.read_text(encoding="utf-8").splitlines()
                return next((line.removeprefix("command ") for line in lines if line.startswith("command ")), "")
        return ""

    @property
    def boot_id(self) -> str:
        return self.read("/proc/sys/kernel/random/boot_id").strip()

    def furnish(self) -> None:
        """Lay the tree of a fresh Debian host."""
        for folder in FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self.new_boot_id()
        self.write("/proc/sys/kernel/hostname", f"{self.name}\n")
        self.write("/proc/sys/kernel/osrelease", "6.1.0-37-amd64\n")
        self.write("/proc/locks", "")
        self.write("/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
        self.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n")
        self.write("/etc/hostname", f"{self.name}\n")
        self.write("/etc/machine-id", uuid.uuid4().hex + "\n")
        self.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=\n")
        self.write(
            "/etc/os-release",
            'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\n'
            'VERSION="12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\n',
        )
        self.write("/etc/lockkeeper-node.conf", f"PACKAGE_BASE_URL={self.repository.base}\n")

    def hold_packages(self, command: str, seconds: int) -> None:
        """Let a process that began so long ago hold dpkg's lock, as its /proc shows it."""
        self.faults.dpkg_held_by = command
        inode = self.write("/var/lib/dpkg/lock-frontend", "", 0o640).stat().st_ino
        self.write("/proc/locks", f"1: POSIX  ADVISORY  WRITE {_HOLDER} fe:01:{inode} 0 EOF\n")
        self.write("/proc/uptime", f"{_UP}.00 {_UP}.00\n")
        self.write(f"/proc/{_HOLDER}/comm", f"{command[:15]}\n")
        began = (_UP - seconds) * 100
        self.write(f"/proc/{_HOLDER}/stat", f"{_HOLDER} ({command[:15]}) S {'0 ' * 18}{began} 0\n")

    def new_boot_id(self) -> None:
        self.write("/proc/sys/kernel/random/boot_id", f"{uuid.uuid4()}\n")

    def environment(self) -> dict[str, str]:
        """What a process of this machine starts with: nothing of the host's own environment."""
        return {
            "PATH": f"{self.tools}:/usr/bin:/bin",
            "HOME": str(self.root / "home/upgrader"),
            "USER": "upgrader",
            "LOGNAME": "upgrader",
            "LANG": "C.UTF-8",
            "SHELL": "/bin/sh",
        }

    async def reboot(self) -> None:
        """Power goes and comes back: everything that ran is gone, the boot id is another one."""
        self.up = False
        if self.ssh is not None:
            self.ssh.power_off()
        self.units.power_off()
        for work in tuple(self.running):
            work.cancel()
        if self.kubelet is not None:
            await self.kubelet.power_off()
        await self.clock.sleep(BOOT_SECONDS)
        self.new_boot_id()
        self.path("/run/reboot-required").unlink(missing_ok=True)  # /run is memory
        self.up = True
        self.units.power_on()
        if self.kubelet is not None:
            await self.kubelet.power_on()
        if self.ssh is not None:
            await self.ssh.power_on()

    async def close(self) -> None:
        """End everything that this machine started."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.units.close()
        for work in tuple(self.running):
            work.cancel()
        if self.kubelet is not None:
            await self.kubelet.close()
