"""SSH in front of a machine: key-only login, commands in a real /bin/sh, and a wire that can be cut or go silent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, cast

import asyncssh

if TYPE_CHECKING:
    from lab.machines import Machine

USER = "upgrader"
HOST = "127.0.0.1"
CHUNK = 1 << 16


class _Pump(asyncio.Protocol):
    """One direction of a connection through the wire."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.transport: asyncio.Transport | None = None
        self.other: _Pump | None = None
        self.waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.wire.pumps.add(self)

    def data_received(self, data: bytes) -> None:
        if self.wire.silent:
            return  # swallowed: the peer sees neither an answer nor an end
        if self.other is None or self.other.transport is None:
            self.waiting.append(data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.wire.pumps.discard(self)
        if self.other is not None and self.other.transport is not None and not self.wire.silent:
            self.other.transport.close()


class Wire:
    """The network in front of an SSH server: forwards, cuts, or swallows everything."""

    def __init__(self) -> None:
        self.silent = False
        self.pumps: set[_Pump] = set()
        self.behind = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self) -> asyncio.Protocol:
        near = _Pump(self)
        task = asyncio.ensure_future(self._connect(near))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return near

    async def _connect(self, near: _Pump) -> None:
        if self.silent:
            return
        try:
            _, far = await asyncio.get_running_loop().create_connection(lambda: _Pump(self), HOST, self.behind)
        except OSError:
            if near.transport is not None:
                near.transport.abort()
            return
        near.other, far.other = far, near
        if far.transport is not None:
            for data in near.waiting:
                far.transport.write(data)
        near.waiting.clear()

    def cut(self) -> int:
        """Drop every connection at once; returns how many there were."""
        pumps = tuple(self.pumps)
        for pump in pumps:
            if pump.transport is not None:
                pump.transport.abort()
        return len(pumps) // 2


class _Gatekeeper(asyncssh.SSHServer):
    """Nobody but our user, and only with a key."""

    def begin_auth(self, username: str) -> bool:
        del username
        return True

    def password_auth_supported(self) -> bool:
        return False


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
        self.port = 0

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
        self._front = await loop.create_server(self._wire.accept, HOST, self.port)
        self.port = self._front.sockets[0].getsockname()[1]

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run a command as sshd does without a terminal: if the link dies, the command does not."""
        if process.command is None:
            process.stderr.write(b"This machine of the lab gives no interactive shell: name a command.\n")
            process.exit(1)
            return
        if process.get_extra_info("username") != USER:
            process.exit(1)
            return
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            process.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**self._machine.environment(), "SSH_CONNECTION": "127.0.0.1 1 127.0.0.1 22"},
            cwd=self._machine.root / "home/upgrader",
            start_new_session=True,
        )
        self._children.add(child.pid)
        feeding = asyncio.ensure_future(_feed(process, child))
        try:
            await asyncio.gather(_relay(child.stdout, process.stdout), _relay(child.stderr, process.stderr))
            code = await child.wait()
        finally:
            self._children.discard(child.pid)
            feeding.cancel()
        with contextlib.suppress(OSError, asyncssh.Error):
            if code < 0:
                process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
            else:
                process.exit(code)

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
        for pid in tuple(self._children):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    async def power_on(self) -> None:
        await self._open_port()

    async def close(self) -> None:
        self.power_off()
        if self._server is not None:
            self._server.close()
