"""A private root for the real apt and dpkg: signed repositories on loopback, small real packages, the node script."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.workers.node_bench import Bench

NEEDED = ("apt-get", "apt-cache", "apt-mark", "dpkg", "dpkg-deb", "dpkg-query", "gpg", "gpgv")
MISSING = tuple(tool for tool in NEEDED if shutil.which(tool) is None)
OFFERED = {"v1.34": ("1.34.7-1.1",), "v1.35": ("1.35.3-1.1", "1.35.4-1.1")}
NEEDY = "1.35.4-1.1"  # its kubelet depends on a package of the distribution
_PROGRAM = {
    "kubeadm": "echo v{release}",
    "kubelet": "echo Kubernetes v{release}",
    "conntrack": "true",
    "kubectl": """echo '{{"clientVersion": {{"gitVersion": "v{release}"}}}}'""",
}
OURS = ("kubeadm", "kubectl", "kubelet")
# dpkg runs no maintainer script in these packages, so it needs neither root nor a whole system in its root.
_TOOLS = {
    "apt-get": 'exec /usr/bin/apt-get -c "$B/apt.conf" "$@"',
    "apt-cache": 'exec /usr/bin/apt-cache -c "$B/apt.conf" "$@"',
    "apt-mark": 'exec /usr/bin/apt-mark -c "$B/apt.conf" "$@"',
    "dpkg": 'PATH=$PATH:/usr/sbin:/sbin exec /usr/bin/dpkg --root="$B/root" --force-not-root "$@"',
    "dpkg-query": 'exec /usr/bin/dpkg-query --admindir="$B/root/var/lib/dpkg" "$@"',
    "kubeadm": 'exec "$B/root/usr/bin/kubeadm" "$@"',
    "kubelet": 'exec "$B/root/usr/bin/kubelet" "$@"',
    "kubectl": 'exec "$B/root/usr/bin/kubectl" "$@"',
    "systemctl": "[ $1 != is-active ] || echo active",
}
_FOLDERS = (
    "etc/apt/apt.conf.d etc/apt/keyrings etc/apt/preferences.d etc/apt/sources.list.d etc/apt/trusted.gpg.d "
    "var/cache/apt/archives/partial var/lib/apt/lists/partial var/lib/dpkg/info var/lib/dpkg/updates "
    "var/lib/dpkg/triggers var/log/apt"
)


@dataclass(frozen=True)
class AptRoot(Bench):
    """A bench whose package tools are real."""

    base: str = ""  # the community's address, here on loopback

    @property
    def keyring(self) -> Path:
        return self.root / "etc/apt/keyrings/k.gpg"

    def source(self, options: str | None = None, name: str = "kubernetes.list", base: str | None = None) -> Path:
        signed = f"signed-by={self.keyring}" if options is None else options
        return self.file(
            f"/etc/apt/sources.list.d/{name}", f"deb [{signed}] {base or self.base}/core:/stable:/v1.34/deb/ /\n"
        )

    def installed(self) -> dict[str, str]:
        """Package → state and version, as dpkg has it."""
        asked = [str(self.home / "tools/dpkg-query"), "-W", "-f=${Package} ${db:Status-Abbrev} ${Version}\n"]
        rows = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
        return {name: f"{state} {version}" for name, state, version in (row.split() for row in rows)}


def _call(*words: str | Path, home: Path | None = None) -> bytes:
    env = None if home is None else {"GNUPGHOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run([str(w) for w in words], capture_output=True, check=True, env=env).stdout


def _build(folder: Path, name: str, version: str) -> tuple[Path, str]:
    """One package, and its paragraph in the index."""
    tree = folder / f"{name}-{version}"
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <n@x>\nDescription: {name}\n"
    if version == NEEDY and name == "kubelet":
        control += "Depends: conntrack\n"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(control)
    (tree / "usr/bin").mkdir(parents=True)
    program = tree / "usr/bin" / name
    program.write_text("#!/bin/sh\n" + _PROGRAM[name].format(release=version.partition("-")[0]) + "\n")
    program.chmod(0o755)
    package = folder / f"{name}_{version}_all.deb"
    _call("dpkg-deb", "--root-owner-group", "-b", tree, package)
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    facts = f"Filename: all/{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"
    return package, control + facts


def _publish(  # noqa: PLR0917 - each is another thing
    folder: Path, versions: tuple[str, ...], work: Path, gnupg: Path, key: str, names: Iterable[str] = OURS
) -> None:
    """A flat repository as the community lays it out: all/, Packages, InRelease."""
    (folder / "all").mkdir(parents=True)
    paragraphs = []
    for version in versions:
        for name in names:
            package, paragraph = _build(work, name, version)
            package.rename(folder / "all" / package.name)
            shutil.rmtree(work / f"{name}-{version}")
            paragraphs.append(paragraph)
    index = "\n".join(paragraphs).encode()
    sums = []
    for name, data in (("Packages", index), ("Packages.gz", gzip.compress(index))):
        (folder / name).write_bytes(data)
        sums.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n")
    (folder / "Release").write_text("Date: Sat, 01 Nov 2025 10:00:00 UTC\nSHA256:\n" + "".join(sums))
    _call("gpg", "--batch", "-u", key, "--clearsign", "-o", folder / "InRelease", folder / "Release", home=gnupg)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing: apt's own words are what the tests read."""


@contextmanager
def serve(work: Path) -> Iterator[str]:
    """The repositories of OFFERED under /, and under /other the same signed by a key that nobody has."""
    gnupg = work / "gnupg"
    gnupg.mkdir(mode=0o700)
    for key in ("ours", "other"):
        made = ("--passphrase", "", "--quick-gen-key", f"{key} <{key}@x>", "ed25519", "sign", "never")
        _call("gpg", "--batch", *made, home=gnupg)
    (work / "k.gpg").write_bytes(_call("gpg", "--export", "ours@x", home=gnupg))
    for minor, versions in OFFERED.items():
        _publish(work / "www/core:/stable:" / minor / "deb", versions, work, gnupg, "ours@x")
    _publish(work / "www/other/core:/stable:/v1.35/deb", OFFERED["v1.35"], work, gnupg, "other@x")
    _publish(work / "www/distribution", ("1.4.7-1",), work, gnupg, "ours@x", ("conntrack",))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(work / "www")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        _call("gpgconf", "--kill", "gpg-agent", home=gnupg)


def make_apt_root(home: Path, base: str, key: Path) -> AptRoot:
    """A machine with kubeadm, kubelet and kubectl 1.34.7 installed from its own source."""
    root = AptRoot(home, base)
    (home / "tools").mkdir(parents=True)
    for name, body in _TOOLS.items():
        root.tool(name, body)
    for folder in _FOLDERS.split():
        (root.root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("status", "available", "diversions", "statoverride", "info/format"):
        root.file(f"/var/lib/dpkg/{name}", "1\n" if name == "info/format" else "")
    shutil.copy(key, root.keyring)
    (home / "apt.conf").write_text(
        f'Dir "{root.root}";\nDir::State::status "{root.root}/var/lib/dpkg/status";\n'
        f'Dir::Log "{root.root}/var/log/apt";\n'
        f'Dir::Bin::methods "/usr/lib/apt/methods";\nDir::Bin::dpkg "{home}/tools/dpkg";\n'
        'APT::Sandbox::User "root";\nAcquire::http::Proxy "DIRECT";\nAcquire::Retries::Delay "false";\n'
        'DPkg::Use-Pty "false";\n'
        "#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n#clear DPkg::Pre-Install-Pkgs;\n"
        "#clear DPkg::Post-Invoke;\n#clear DPkg::Pre-Invoke;\n"
    )
    root.file("/proc/sys/kernel/random/boot_id", "boot-one\n")
    root.install_script()
    root.source()
    root.file("/etc/apt/sources.list", f"deb [signed-by={root.keyring}] {base}/distribution/ /\n")
    apt = str(home / "tools/apt-get")
    _call(apt, "update")
    _call(apt, "install", "-y", *(f"{name}=1.34.7-1.1" for name in OURS))
    return root
