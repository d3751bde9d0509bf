"""Debian packages of the lab: the repositories of each minor, and what is installed on one machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from packaging.version import Version

KEY_ID = "80E46FF90ADAAFD0"
KEYRING = "/etc/apt/keyrings/kubernetes-apt-keyring.gpg"
KEYRING_TEXT = f"the lab's public key {KEY_ID}\n"
KUBE_PACKAGES = ("kubeadm", "kubelet", "kubectl")
SIZES = {"kubeadm": "22.1 MB", "kubelet": "27.7 MB", "kubectl": "19.9 MB"}  # as recorded
SUMMARIES = {
    "kubeadm": "Command-line utility for creating a Kubernetes cluster",
    "kubelet": "Node agent for Kubernetes clusters",
    "kubectl": "Command-line utility for interacting with a Kubernetes cluster",
}


class Trust(StrEnum):
    """How the signature of a repository looks to apt."""

    GOOD = "good"
    EXPIRED = "expired"


class PackageState(StrEnum):
    INSTALLED = "installed"
    UNPACKED = "unpacked"  # files are there, not configured: what a killed apt leaves
    HALF_CONFIGURED = "half-configured"


@dataclass
class Repository:
    """All repositories below one base address, one per minor; the lab fetches from it without a network."""

    base: str
    minors: dict[str, tuple[str, ...]]  # "v1.35" → releases like "1.35.4", any order
    reachable: bool = True
    revision: str = "1.1"  # of its packages; whoever builds a release again counts another one
    trust: dict[str, Trust] = field(default_factory=dict)

    def minor_of(self, url: str) -> str | None:
        """`v1.35` of a source line's address, or None when it is another host's."""
        head, _, rest = url.rstrip("/").partition(f"{self.base}/")
        return rest.removesuffix("/deb") if not head and rest.endswith("/deb") else None

    def packages(self, minor: str) -> str:
        """The Packages file of one minor, newest first as apt shows it."""
        rows = [
            f"Package: {name}\nVersion: {release}-{self.revision}\nArchitecture: amd64\n"
            for name in KUBE_PACKAGES
            for release in sorted(self.minors[minor], key=Version, reverse=True)
        ]
        return "\n".join(rows)


def read_packages(text: str) -> Iterator[tuple[str, str]]:
    """(name, version) of each stanza of a Packages file."""
    name = ""
    for line in text.splitlines():
        if line.startswith("Package: "):
            name = line.removeprefix("Package: ")
        elif line.startswith("Version: "):
            yield name, line.removeprefix("Version: ")


def sort_key(version: str) -> tuple[Version, str]:
    """Order of package versions like 1.35.4-1.1."""
    upstream, _, revision = version.partition("-")
    return Version(upstream.partition("+")[0]), revision


@dataclass(frozen=True, slots=True)
class Package:
    """One row of dpkg's status."""

    name: str
    version: str
    state: PackageState = PackageState.INSTALLED
    held: bool = False

    @property
    def abbreviation(self) -> str:
        """The first columns of `dpkg -l`: wanted, status, error."""
        return (
            ("h" if self.held else "i") + {"installed": "i", "unpacked": "U", "half-configured": "F"}[self.state] + " "
        )


class PackageStatus:
    """dpkg's status file of one machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> Mapping[str, Package]:
        if not self._path.exists():
            return {}
        rows = json.loads(self._path.read_text(encoding="utf-8"))
        return {
            row["name"]: Package(row["name"], row["version"], PackageState(row["state"]), row["held"]) for row in rows
        }

    def get(self, name: str) -> Package | None:
        return self.all().get(name)

    def put(self, *packages: Package) -> None:
        self._write({**self.all(), **{p.name: p for p in packages}})

    def _write(self, rows: Mapping[str, Package]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        staged = self._path.with_suffix(".new")
        staged.write_text(json.dumps([asdict(rows[n]) for n in sorted(rows)], indent=1), encoding="utf-8")
        staged.replace(self._path)

    def drop(self, *names: str) -> None:
        """As if they had never been installed."""
        self._write({n: p for n, p in self.all().items() if n not in names})

    def hold(self, name: str, *, held: bool) -> bool:
        """Whether this changed anything."""
        package = self.get(name)
        if package is None or package.held == held:
            return False
        self.put(replace(package, held=held))
        return True

    def holds(self) -> tuple[str, ...]:
        return tuple(sorted(p.name for p in self.all().values() if p.held))

    def interrupted(self) -> tuple[Package, ...]:
        return tuple(p for p in self.all().values() if p.state is not PackageState.INSTALLED)

    def release(self, name: str) -> str:
        """`v1.34.7` of the files that are on the disk, or "" when there are none."""
        package = self.get(name)
        return f"v{package.version.partition('-')[0]}" if package else ""
