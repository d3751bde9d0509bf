"""
A login to exactly the pinned machine, with our own key and nothing else; every wait ends.

* MachineUnreachable     (cluster/errors.py) no session; its text says which machine, and why
  x HostKeyUnknown       no host key is pinned for it
  x HostKeyChanged       it shows another host key than the pinned one
  x LoginRefused         it does not take our key
  x KeyUnusable          our private key cannot be read
"""

from __future__ import annotations

import logging
import random
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import paramiko

from cluster.errors import MachineUnreachable
from cluster.inventory import Machine

DEAD_PEER = 15  # seconds; a keepalive of SSH alone was seen to miss a frozen peer for minutes
BANNER_TRIES = 6  # sshd drops connections before its banner when many log in at once (MaxStartups)

# paramiko logs the traceback of every failure that is raised here as a sentence.
logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)

_WEAK = {
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
    "macs": ["hmac-sha1", "hmac-sha1-96", "hmac-md5", "hmac-md5-96"],
}
_LINK_LOST = ("transport shut down or saw EOF", "timeout.")  # as paramiko words it; a refusal ends otherwise
# The pin names one key, a server may have several: each kind is tried before the key counts as changed.
_HOST_KEY_KINDS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)


class HostKeyUnknown(MachineUnreachable):
    """No host key is pinned for the machine."""


class HostKeyChanged(MachineUnreachable):
    """The machine shows another host key than the pinned one."""


class LoginRefused(MachineUnreachable):
    """The machine does not take our key."""


class KeyUnusable(MachineUnreachable):
    """Our private key cannot be read."""


@dataclass(frozen=True, slots=True)
class SshTarget:
    """Where a machine is and how we know it."""

    name: str
    address: str
    port: int
    user: str
    key_file: Path
    host_key: str | None  # "SHA256:…", as ssh-keygen -l prints it
    sudo: bool = True

    @classmethod
    def of(cls, name: str, machine: Machine) -> SshTarget:
        return cls(name, machine.address, machine.port, machine.user, machine.key_file, machine.host_key, machine.sudo)

    @property
    def place(self) -> str:
        return f"{self.name} ({self.user}@{self.address}:{self.port})"


def log_in(target: SshTarget, patience: float) -> paramiko.Transport:
    """A logged-in transport to exactly the machine that is pinned."""
    key = _own_key(target)
    seen: list[str] = []
    for kinds in _HOST_KEY_KINDS:
        transport = _handshake(target, kinds, patience)
        if transport is None:
            continue  # the server has no host key of this kind
        try:
            seen.append(transport.get_remote_server_key().fingerprint)
            if seen[-1] == target.host_key:
                _authenticate(transport, target, key)
                return transport
        except BaseException:
            transport.close()
            raise
        transport.close()
        if not target.host_key:
            raise HostKeyUnknown(
                f"No host key is pinned for {target.place}: compare {seen[-1]} with `ssh-keygen -lf` on the machine "
                "itself, then set it as `host_key`."
            )
    if not seen:
        raise MachineUnreachable(f"{target.place} has no host key of a kind that we accept: give it an ed25519 one.")
    raise HostKeyChanged(
        f"{target.place} shows the host key {' and '.join(seen)} instead of {target.host_key}: find out why; pin the "
        "new one as `host_key` only if the machine was reinstalled."
    )


def _own_key(target: SshTarget) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(target.key_file)
    except (OSError, ValueError, TypeError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        # A key with a passphrase is a TypeError or PasswordRequiredException, by its format.
        raise KeyUnusable(
            f"The private key {target.key_file} for {target.place} cannot be used ({words(error)}): give a readable "
            "key without passphrase."
        ) from error


def _handshake(target: SshTarget, kinds: tuple[str, ...], patience: float) -> paramiko.Transport | None:
    """A transport after key exchange, not logged in; None when the server has no host key of these kinds."""
    for attempt in range(1, BANNER_TRIES + 1):
        transport = paramiko.Transport(_socket(target, patience), disabled_algorithms=_WEAK)
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = patience
        transport.set_keepalive(DEAD_PEER // 3)
        transport.get_security_options().key_types = kinds
        try:
            transport.start_client(timeout=patience)
        except paramiko.ssh_exception.IncompatiblePeer as error:
            transport.close()
            if "host key" in str(error):
                return None
            raise MachineUnreachable(f"{target.place} offers only algorithms that we refuse ({error}).") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            transport.close()
            if attempt == BANNER_TRIES:
                raise MachineUnreachable(
                    f"{target.place} ended the SSH handshake {BANNER_TRIES} times ({words(error)}): look at its sshd."
                ) from error
            # Apart from each other, or those that were dropped together come back together.
            time.sleep(attempt * (0.1 + 0.4 * random.random()))  # noqa: S311 - no secret depends on it
        else:
            if transport.initial_kex_done:
                return transport
            transport.close()  # start_client only returns when its time is over
            raise MachineUnreachable(
                f"{target.place} took the connection and said nothing for {patience:.0f} s: look at the machine."
            )
    return None


def _socket(target: SshTarget, patience: float) -> socket.socket:
    try:
        sock = socket.create_connection((target.address, target.port), timeout=patience)
    except OSError as error:
        raise MachineUnreachable(
            f"{target.place} cannot be reached ({words(error)}): is the machine up, and is its address right?"
        ) from error
    # A command is several short messages each way: gathered, as TCP does by itself, they cost 40 ms more.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_PEER // 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, DEAD_PEER // 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return sock


def _authenticate(transport: paramiko.Transport, target: SshTarget, key: paramiko.PKey) -> None:
    try:
        also_wanted = transport.auth_publickey(target.user, key)
    except (OSError, EOFError, paramiko.SSHException) as error:
        # paramiko calls a link that died, and one that went silent, a failed authentication too.
        if isinstance(error, paramiko.AuthenticationException) and not str(error).endswith(_LINK_LOST):
            raise _refused(target, key, words(error)) from error
        raise MachineUnreachable(f"{target.place} broke off the login ({words(error)}): look at its sshd.") from error
    if also_wanted:
        raise _refused(target, key, f"it also wants {', '.join(also_wanted)}")


def _refused(target: SshTarget, key: paramiko.PKey, why: str) -> LoginRefused:
    return LoginRefused(
        f"{target.place} does not accept the key {target.key_file} ({key.fingerprint}; {why}): add its public half "
        "to the authorized_keys of that user."
    )


def words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
