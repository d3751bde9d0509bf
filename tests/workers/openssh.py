"""A real OpenSSH server on a loopback port, with its own host key and the one user key that it takes."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from workers.ssh import SshTarget


@dataclass
class SshServer:
    """`target` is how to reach it; `cut` ends every session at once, as a link that dies does."""

    process: subprocess.Popen[bytes]
    target: SshTarget
    folder: Path

    def cut(self) -> None:
        """Kill the processes of all open sessions; the server itself goes on."""
        for pid in _descendants(self.process.pid):
            _signal(pid, signal.SIGKILL)

    def freeze(self, *, frozen: bool) -> None:
        """Stop answering without closing anything, server and sessions alike."""
        for pid in (self.process.pid, *_descendants(self.process.pid)):
            _signal(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def stop(self) -> None:
        self.freeze(frozen=False)
        self.cut()
        self.process.kill()
        self.process.wait()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
        os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    """sshd's own processes below the listener; commands of sessions are left to the test."""
    found = []
    for line in subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, check=True).stdout.splitlines():
        child, parent, name = line.split(maxsplit=2)
        if int(parent) == pid and name.startswith(b"sshd"):
            found += [int(child), *_descendants(int(child))]
    return found


def make_key(path: Path, kind: str = "ed25519") -> str:
    """A new key pair without passphrase; answers its fingerprint."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    shown = subprocess.run(["ssh-keygen", "-lf", f"{path}.pub"], check=True, capture_output=True, text=True).stdout
    return shown.split()[1]


def start_server(folder: Path, *, host_keys: tuple[str, ...] = ("ed25519",)) -> SshServer:
    sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if sshd is None or shutil.which("ssh-keygen") is None:
        pytest.skip("install openssh-server to run the SSH tests against the real thing")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd run by root wants its folder
    folder.chmod(0o700)
    pins = [make_key(folder / f"host_{kind}", kind) for kind in host_keys]
    make_key(folder / "user")
    (folder / "authorized_keys").write_bytes((folder / "user.pub").read_bytes())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [f"HostKey {folder}/host_{kind}" for kind in host_keys] + [
        "ListenAddress 127.0.0.1",
        f"Port {port}",
        f"AuthorizedKeysFile {folder}/authorized_keys",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "StrictModes no",  # pytest's folders are below a temporary one that others may write
        "UsePAM no",
        "PidFile none",
    ]
    (folder / "config").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sshd, "-D", "-e", "-f", f"{folder}/config"], stdin=subprocess.DEVNULL, stderr=log)
    target = SshTarget("cp1", "127.0.0.1", port, getpass.getuser(), folder / "user", pins[-1], sudo=False)
    server = SshServer(process, target, folder)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        if process.poll() is not None:
            break
        time.sleep(0.05)
    server.process.kill()
    raise AssertionError((folder / "log").read_text())
