"""One machine over SSH: a kept connection, whole output, and the truth about a command whose link died."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import paramiko

from cluster.errors import MachineUnreachable
from workers.login import HostKeyChanged, HostKeyUnknown, KeyUnusable, LoginRefused, SshTarget, log_in, words

__all__ = [
    "Answer",
    "HostKeyChanged",
    "HostKeyUnknown",
    "KeyUnusable",
    "LoginRefused",
    "Shell",
    "SshShell",
    "SshTarget",
]

CONNECT_TIMEOUT = 10.0  # for TCP, banner, key exchange and login, each
OUTPUT_LIMIT = 64 * 1024 * 1024  # no answer of the node script comes near; a broken machine must not fill our memory
_CHUNK = 64 * 1024
_LOOK = 0.2  # seconds between two looks whether an answer is still waited for


@dataclass(frozen=True, slots=True)
class Answer:
    """What a remote command gave; code None means unknown (the link died, or a signal ended it), never failure."""

    code: int | None
    output: bytes  # stdout and stderr as they came


class Shell(Protocol):
    """Runs one command on one machine."""

    def run(self, argv: tuple[str, ...], *, timeout: float) -> Answer: ...


class SshShell:
    """One connection to one machine, kept and renewed; for one thread at a time."""

    def __init__(self, target: SshTarget, *, give_up: Callable[[], bool] = lambda: False) -> None:
        """Once `give_up()` says so no answer is waited for any more: what became of its command is unknown then."""
        self._target = target
        self._give_up = give_up
        self._transport: paramiko.Transport | None = None

    def run(self, argv: tuple[str, ...], *, timeout: float) -> Answer:
        """Run argv (under sudo where the target says so); raises MachineUnreachable only if it surely did not start."""
        deadline = time.monotonic() + timeout
        command = shlex.join(("sudo", "-n", *argv) if self._target.sudo else argv)
        channel = self._open_channel(timeout)
        try:
            return _exchange(channel, command, deadline, self._give_up)
        finally:
            # A channel that is not at its end means a link of which nothing is known: the next command gets a new one.
            if not channel.exit_status_ready():
                self.close()
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_channel(self, timeout: float) -> paramiko.Channel:
        patience = min(timeout, CONNECT_TIMEOUT)
        if self._transport is not None and self._transport.is_active():
            # Nothing was sent yet, so a kept connection that turns out dead may be replaced in silence.
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                return self._transport.open_session(timeout=patience)
        self.close()
        self._transport = log_in(self._target, patience)
        try:
            return self._transport.open_session(timeout=patience)
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            raise MachineUnreachable(
                f"{self._target.place} accepted the login but opens no session ({words(error)}): look at its sshd."
            ) from error


def _exchange(channel: paramiko.Channel, command: str, deadline: float, give_up: Callable[[], bool]) -> Answer:
    # One stream, drained before the exit code is asked for: two of them, or the code first, dead-lock at 2 MiB.
    output = bytearray()
    try:
        channel.set_combine_stderr(True)
        channel.settimeout(max(0.0, deadline - time.monotonic()))
        channel.exec_command(command)
        for chunk in _chunks(channel, deadline, give_up):
            output += chunk
            if len(output) > OUTPUT_LIMIT:
                return Answer(None, bytes(output))
    except (OSError, EOFError, paramiko.SSHException):
        return Answer(None, bytes(output))
    if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
        return Answer(None, bytes(output))
    code = channel.exit_status
    return Answer(code if code >= 0 else None, bytes(output))


def _chunks(channel: paramiko.Channel, deadline: float, give_up: Callable[[], bool]) -> Iterator[bytes]:
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or give_up():
            raise TimeoutError
        channel.settimeout(min(left, _LOOK))
        with contextlib.suppress(TimeoutError):
            if not (chunk := channel.recv(_CHUNK)):
                return
            yield chunk
