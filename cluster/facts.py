"""What one machine says of itself, and what its package source offers; stored with its age by the survey."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cluster.certificates import Certificate
from cluster.drift import Drift
from cluster.etcd import EtcdEndpoint, EtcdFacts
from cluster.packages import OldSource, PackageLock, PackageOrigin, Pin, SigningKey
from cluster.report import Unread
from cluster.runtime import Runtime
from cluster.versions import Minor, PackageVersion, ReportedVersion

UPGRADED_PACKAGES = ("kubeadm", "kubelet", "kubectl")


@dataclass(frozen=True, slots=True)
class Package:
    """One package as dpkg has it; `state` is dpkg's abbreviation (`ii`, held `hi`, half-configured `iF`)."""

    name: str
    version: str
    state: str

    @property
    def whole(self) -> bool:
        return self.state[1:2] == "i" and len(self.state) == len("ii")

    @property
    def begun(self) -> bool:
        """Whether dpkg only has to finish it: its files are there, and not whole is at most its configuration."""
        return self.state[1:2] in "UFWti" and len(self.state) == len("ii")


@dataclass(frozen=True, slots=True)
class PackageSource:
    """One enabled package source of Kubernetes: `file` names where, `base` is what precedes the minor."""

    file: str
    base: str
    minor: Minor
    keyring: str  # "-" when the source names none


@dataclass(frozen=True, slots=True)
class Manifest:
    """One static pod's manifest on disk."""

    component: str
    image: str
    sha256: str

    @property
    def tag(self) -> str:
        """What follows the image's colon; "" for an image that is named by digest or without a tag."""
        name = self.image.rpartition("/")[2]
        return "" if "@" in name else name.partition(":")[2]


@dataclass(frozen=True, slots=True)
class KubeletUnit:
    """The kubelet's service as systemd shows it."""

    loaded: bool
    active: bool
    state: str  # "running", "auto-restart", "dead" …
    restarts: int
    started: str  # systemd's own text: it is compared, never computed with


@dataclass(frozen=True, slots=True)
class Room:
    """Space of the file system that a folder is on."""

    place: str
    total_kib: int
    free_kib: int
    mount: str = ""  # of the file system; "" where an older script does not tell


class EtcdTool(StrEnum):
    """Where a usable etcdctl is."""

    CONTAINER = "container"
    HOST = "host"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Everything `observe` told; None and an entry in `unread` where something could not be read."""

    protocol: int
    time: datetime
    boot_id: str
    fence: int
    control_plane: bool
    hostname: str | None = None
    os: str | None = None  # "debian 12"
    kernel: str | None = None
    arch: str | None = None
    cgroup: str | None = None  # "v1", "v2"
    swap: bool | None = None
    reboot_required: bool | None = None  # whether its system asks for a reboot; an older script does not tell
    packages: tuple[Package, ...] = ()
    held: tuple[str, ...] | None = ()
    dpkg_problem: str = ""  # what `dpkg --audit` says; "" is clean
    package_locks: tuple[PackageLock, ...] | None = None  # that somebody held just then; an older script tells none
    sources: tuple[PackageSource, ...] = ()
    pins: tuple[str, ...] = ()  # files that pin Kubernetes packages
    pin_rules: tuple[Pin, ...] = ()
    origins: tuple[PackageOrigin, ...] | None = None
    old_sources: tuple[OldSource, ...] = ()
    keys: tuple[SigningKey, ...] = ()  # in the keyrings of the sources
    unchecked_keys: tuple[str, ...] = ()  # why the keys of a source were not looked at
    unattended_upgrades: bool = False
    kubeadm: ReportedVersion | None = None
    kubelet: ReportedVersion | None = None  # the binary on disk, which need not be the one that runs
    kubectl: ReportedVersion | None = None
    kubelet_unit: KubeletUnit | None = None
    manifests: tuple[Manifest, ...] = ()
    missing_manifests: tuple[str, ...] = ()
    stray_manifests: tuple[str, ...] = ()
    kubelet_flags: str | None = None
    kubelet_extra_args: str = ""
    kubelet_arguments: tuple[tuple[str, str], ...] = ()  # flags of drop-ins and other files: file, arguments
    feature_gates: tuple[tuple[str, str], ...] | None = None  # of the kubelet's configuration on disk: name, value
    kubelet_settings: tuple[tuple[str, str], ...] = ()  # of the same by path; an older script tells fewer
    runtime: Runtime | None = None
    runtime_endpoint: str = ""
    sandbox_image: str = ""  # of containerd's own configuration; "" for its default
    patches: str = "none"  # "present DIR", "missing DIR", "unused DIR", "none"
    upgrade_config: str = ""  # kubeadm's own, where one is configured: "present FILE", "missing FILE"
    passed_over: tuple[tuple[str, str], ...] = ()  # what that file lets kubeadm leave out: setting, names
    hooks: tuple[str, ...] | None = None  # that may be asked for by name; an older script tells none
    tools: tuple[str, ...] = ()  # of containerd, crictl, ctr
    etcdctl: EtcdTool = EtcdTool.NONE
    room: tuple[Room, ...] = ()
    snapshots: Room | None = None  # where etcd's snapshots are kept
    snapshot_export: bool | None = None  # whether they may be streamed off; an older script tells nothing
    etcd_data: str = "/var/lib/etcd"
    etcd_size_kib: int | None = None
    etcd: EtcdFacts | None = None  # on a machine that runs a member of kubeadm's etcd
    outside_etcd: tuple[EtcdEndpoint, ...] = ()  # where its API server keeps its data elsewhere
    certificates: tuple[Certificate, ...] | None = None
    drift: tuple[Drift, ...] | None = None  # None where kubeadm was not asked; () where it would change nothing
    unread: tuple[Unread, ...] = ()

    def package(self, name: str) -> Package | None:
        return next((p for p in self.packages if p.name == name), None)

    def room_of(self, place: str) -> Room | None:
        return next((r for r in self.room if r.place == place), None)


class OfferState(StrEnum):
    """What a package source said of one minor."""

    OFFERED = "offered"
    ABSENT = "absent"
    UNREACHABLE = "unreachable"
    UNSIGNED = "unsigned"
    EXPIRED_KEY = "expired-key"


@dataclass(frozen=True, slots=True)
class Offer:
    """One minor as a machine's package source offers it: the versions of which all three packages are there."""

    minor: Minor
    state: OfferState
    versions: tuple[PackageVersion, ...] = ()  # oldest first
    reason: str = ""

    @property
    def newest(self) -> PackageVersion | None:
        return self.versions[-1] if self.versions else None
