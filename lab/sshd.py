"""SSH in front of a machine: key-only login, commands in a real /bin/sh, behind a wire that can be cut or go silent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from lab.wire import HOST, Wire, claim_port

if TYPE_CHECKING:
    from lab.machines import Machine

USER = "upgrader"
CHUNK = 1 << 16
CLOSING = 5.0  # real seconds for killed commands to be reaped


class _Gatekeeper(asyncssh.SSHServer):
    """Nobody but our user, and only with a key."""

    def begin_auth(self, username: str) -> bool:
        del username
        return True

    def password_auth_supported(self) -> bool:
        return False


def _kill(pid: int) -> None:
    """End a command and all of its session's first group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


async def _feed(process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process) -> None:
    """Hand the client's input to the command; a lost link is an end of input."""
    if child.stdin is None:
        return
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await process.stdin.read(CHUNK):
            child.stdin.write(data)
            await child.stdin.drain()
    child.stdin.close()


async def _relay(source: asyncio.StreamReader | None, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Send a command's output to the client; when the link is dead, read on, so that the command is not stopped."""
    lost = False
    while source is not None and (data := await source.read(CHUNK)):
        if lost:
            continue
        try:
            sink.write(data)
            await sink.drain()
        except (OSError, asyncssh.Error):
            lost = True


class SshDaemon:
    """The SSH server of one machine, on a loopback port that it keeps."""

    def __init__(self, machine: Machine, authorized: Path) -> None:
        self._machine = machine
        self._authorized = authorized
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._wire = Wire()
        self._server: asyncssh.SSHAcceptor | None = None
        self._front: asyncio.Server | None = None
        self._children: set[int] = set()
        self._commands: set[asyncio.Task[int]] = set()
        self._off = False
        self._claim = claim_port()
        self.port: int = self._claim.getsockname()[1]

    @property
    def fingerprint(self) -> str:
        """SHA256:…, as ssh-keygen -l prints it."""
        return self._key.get_fingerprint()

    async def start(self) -> None:
        await self._listen()
        await self._open_port()

    async def _listen(self) -> None:
        self._server = await asyncssh.create_server(
            _Gatekeeper,
            HOST,
            0,
            server_host_keys=[self._key],
            authorized_client_keys=str(self._authorized),
            process_factory=self._serve,
            encoding=None,
            allow_scp=False,
            server_version="OpenSSH_9.2p1 Debian-2+deb12u7",
            login_timeout=30,
        )
        self._wire.behind = self._server.get_port()

    async def _open_port(self) -> None:
        loop = asyncio.get_running_loop()
        self._front = await loop.create_server(self._wire.accept, HOST, self.port, reuse_address=True)

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run a command as sshd does without a terminal: if the link dies, the command does not."""
        if process.command is None:
            process.stderr.write(b"This machine of the lab gives no interactive shell: name a command.\n")
            process.exit(1)
            return
        if process.get_extra_info("username") != USER:
            process.exit(1)
            return
        # A task of our own: asyncssh may cancel this one with the link, and the child must be waited for.
        command = asyncio.ensure_future(self._run(process, process.command))
        self._commands.add(command)
        command.add_done_callback(self._commands.discard)
        code = await asyncio.shield(command)
        with contextlib.suppress(OSError, asyncssh.Error):
            if code < 0:
                process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
            else:
                process.exit(code)

    async def _run(self, process: asyncssh.SSHServerProcess[bytes], command: str) -> int:
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self._machine.environment(), "SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 22"},
            cwd=self._machine.root / "home/upgrader",
            start_new_session=True,
        )
        self._children.add(child.pid)
        if self._off:  # the power went while the shell was started
            _kill(child.pid)
        feeding = asyncio.ensure_future(_feed(process, child))
        try:
            await asyncio.gather(_relay(child.stdout, process.stdout), _relay(child.stderr, process.stderr))
            return await child.wait()
        finally:
            self._children.discard(child.pid)
            feeding.cancel()

    def cut(self) -> int:
        """Drop all connections now."""
        return self._wire.cut()

    def blackhole(self, *, silent: bool) -> None:
        """Swallow everything in both directions, or stop doing so (what hung before is cut)."""
        if self._wire.silent and not silent:
            self._wire.silent = False
            self._wire.cut()
        self._wire.silent = silent

    async def change_host_key(self) -> None:
        """The machine answers with another key, as after a re-installation, or as an impostor."""
        self._wire.cut()
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        if self._server is not None:
            self._server.close()
        await self._listen()

    def power_off(self) -> None:
        """Connection refused, and every command dies."""
        if self._front is not None:
            self._front.close()
        self._wire.cut()
        self._off = True
        for pid in tuple(self._children):
            _kill(pid)

    async def power_on(self) -> None:
        self._off = False
        await self._open_port()

    async def close(self) -> None:
        self.power_off()
        if self._server is not None:
            self._server.close()
        if self._commands:
            await asyncio.wait(self._commands, timeout=CLOSING)
        self._claim.close()
