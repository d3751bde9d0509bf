"""A link that fails while we log in says nothing of our key: the machine is unreachable, it did not refuse us."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from cluster.errors import MachineUnreachable
from workers.login import LoginRefused, SshTarget, log_in

PATIENCE = 3.0


class Doorkeeper(paramiko.ServerInterface):
    """Takes no key; before it says so, it does what the test wants."""

    def __init__(self, on_key: Callable[[], object]) -> None:
        self._on_key = on_key

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        del username, key
        self._on_key()
        return paramiko.AUTH_FAILED


@contextmanager
def door(folder: Path, on_key: Callable[[paramiko.Transport], object]) -> Iterator[SshTarget]:
    """An SSH server for one connection, which the test meets between the key and the answer."""
    for name in ("host", "user"):
        text = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        (folder / name).write_bytes(text)
    host_key = paramiko.Ed25519Key(filename=str(folder / "host"))
    served: list[paramiko.Transport] = []

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            transport = paramiko.Transport(peer)
            served.append(transport)
            transport.add_server_key(host_key)
            transport.start_server(event=threading.Event(), server=Doorkeeper(lambda: on_key(transport)))

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        yield SshTarget("w1", "127.0.0.1", port, "keeper", folder / "user", host_key.fingerprint)
        thread.join()
    for transport in served:
        transport.close()


def test_a_link_that_dies_before_the_answer_is_no_refusal(tmp_path: Path):
    """The machine may take the key at the next try."""
    with door(tmp_path, lambda transport: transport.sock.close()) as target, pytest.raises(MachineUnreachable) as told:
        log_in(target, PATIENCE)
    assert not isinstance(told.value, LoginRefused)
    assert "broke off the login" in str(told.value)


def test_a_machine_that_goes_silent_before_the_answer_is_no_refusal(tmp_path: Path):
    """As when it freezes, or swaps."""
    over = threading.Event()
    with door(tmp_path, lambda _: over.wait(60)) as target:
        with pytest.raises(MachineUnreachable) as told:
            log_in(target, PATIENCE)
        over.set()
    assert not isinstance(told.value, LoginRefused)


def test_a_key_that_is_not_taken_is_a_refusal(tmp_path: Path):
    """The machine itself said no."""
    with door(tmp_path, lambda _: None) as target, pytest.raises(LoginRefused, match="authorized_keys"):
        log_in(target, PATIENCE)
