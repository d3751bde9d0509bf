"""Over a real OpenSSH server: pinned keys, whole output, and the truth about a link that dies."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import MachineUnreachable
from tests.workers.node_bench import make_bench
from tests.workers.openssh import SshServer, make_key, start_server
from workers.login import log_in
from workers.machine import NodeMachine
from workers.node_script.attempts import AttemptState, StartKind
from workers.ssh import HostKeyChanged, HostKeyUnknown, KeyUnusable, LoginRefused, SshShell


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    (tmp_path / "sshd").mkdir()
    running = start_server(tmp_path / "sshd")
    yield running
    running.stop()


def test_a_command_is_quoted_once_and_answers_with_its_code(server: SshServer):
    """Words reach the program as they are, whatever a shell would make of them."""
    words = ("a b", "$HOME", "'", '"', "*", "`id`", "\\", "ö", "")
    with SshShell(server.target) as shell:
        answer = shell.run(("printf", "%s|", *words), timeout=20)
        assert answer.output.decode() == "".join(f"{w}|" for w in words)
        assert shell.run(("sh", "-c", "echo out; echo err >&2; exit 3"), timeout=20).code == 3


def test_a_short_command_is_not_held_back(server: SshServer):
    """Small messages leave at once: gathered, each of thousands of commands would take 40 ms more."""
    with log_in(server.target, 20) as transport:
        assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_output_beyond_the_window_comes_whole_on_both_streams(server: SshServer):
    """5 MB on each of two streams do not dead-lock and lose nothing."""
    script = "head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; exit 4"
    with SshShell(server.target) as shell:
        answer = shell.run(("sh", "-c", script), timeout=60)
    assert (answer.code, len(answer.output)) == (4, 10_000_000)


def test_a_machine_without_a_pinned_key_is_refused_with_its_fingerprint(server: SshServer):
    """Nobody's key is trusted on first sight; the text says what to compare and where to set it."""
    target = replace(server.target, host_key=None)
    with (
        SshShell(target) as shell,
        pytest.raises(HostKeyUnknown, match=r"cp1 .* compare SHA256:.*`host_key`") as caught,
    ):
        shell.run(("true",), timeout=20)
    assert str(server.target.host_key) in str(caught.value)


def test_a_changed_host_key_is_refused_with_both_fingerprints(server: SshServer):
    """Nothing is sent to a machine that is not the pinned one: not even our login."""
    target = replace(server.target, host_key="SHA256:" + "A" * 43)
    with SshShell(target) as shell, pytest.raises(HostKeyChanged) as caught:
        shell.run(("true",), timeout=20)
    assert str(server.target.host_key) in str(caught.value)
    assert "AAAA" in str(caught.value)
    assert "Accepted" not in (server.folder / "log").read_text()


def test_any_kind_of_host_key_may_be_the_pinned_one(tmp_path: Path):
    """A server with several keys is known by the one that is pinned, also when it is not the preferred kind."""
    (tmp_path / "sshd").mkdir()
    server = start_server(tmp_path / "sshd", host_keys=("ed25519", "rsa"))
    try:
        with SshShell(server.target) as shell:
            assert shell.run(("true",), timeout=20).code == 0
    finally:
        server.stop()


def test_a_key_that_the_machine_does_not_know_is_said(server: SshServer, tmp_path: Path):
    """The text names the key by path and fingerprint, and what to do with it."""
    fingerprint = make_key(tmp_path / "other")
    target = replace(server.target, key_file=tmp_path / "other")
    with SshShell(target) as shell, pytest.raises(LoginRefused, match="authorized_keys") as caught:
        shell.run(("true",), timeout=20)
    assert fingerprint in str(caught.value)


def test_a_key_that_cannot_be_read_is_said(server: SshServer, tmp_path: Path):
    """A missing file, and one that is no key."""
    (tmp_path / "none").write_text("no key\n")
    for path in (tmp_path / "missing", tmp_path / "none"):
        with SshShell(replace(server.target, key_file=path)) as shell, pytest.raises(KeyUnusable, match="passphrase"):
            shell.run(("true",), timeout=20)


def test_the_key_is_read_again_at_each_connect(server: SshServer, tmp_path: Path):
    """A rotated key takes effect without a restart of the worker."""
    key = tmp_path / "key"
    make_key(key)
    with SshShell(replace(server.target, key_file=key)) as shell:
        with pytest.raises(LoginRefused):
            shell.run(("true",), timeout=20)
        key.write_bytes((server.folder / "user").read_bytes())
        assert shell.run(("true",), timeout=20).code == 0


def test_a_link_that_dies_leaves_the_result_unknown_and_is_renewed(server: SshServer, tmp_path: Path):
    """Unknown is neither success nor failure; the next command gets a new connection."""
    begun = tmp_path / "begun"

    def cut() -> None:
        while not begun.exists():
            time.sleep(0.02)
        time.sleep(0.5)  # what was printed before is on its way
        server.cut()

    with SshShell(server.target) as shell:
        shell.run(("true",), timeout=20)
        cutting = threading.Thread(target=cut, daemon=True)
        cutting.start()
        answer = shell.run(("sh", "-c", f"echo begun; touch {begun}; sleep 60"), timeout=50)
        cutting.join(10)
        assert (answer.code, answer.output) == (None, b"begun\n")
        assert shell.run(("echo", "again"), timeout=20).output == b"again\n"


def test_a_connection_that_died_in_between_is_renewed_in_silence(server: SshServer):
    """Nothing had been sent, so nothing can have happened twice."""
    with SshShell(server.target) as shell:
        shell.run(("true",), timeout=20)
        server.cut()
        assert shell.run(("echo", "again"), timeout=20).code == 0


def test_a_command_that_a_signal_ended_is_unknown(server: SshServer):
    """sshd gives no code for it, and what it did is not known."""
    with SshShell(server.target) as shell:
        assert shell.run(("sh", "-c", "kill -9 $$"), timeout=20).code is None


def test_a_time_out_ends_the_wait_and_the_result_is_unknown(server: SshServer):
    """A machine that hangs never holds a worker for longer than it was told."""
    with SshShell(server.target) as shell:
        begun = time.monotonic()
        assert shell.run(("sleep", "60"), timeout=1).code is None
        assert time.monotonic() - begun < 30
        assert shell.run(("echo", "again"), timeout=20).code == 0


def test_an_answer_is_not_waited_for_once_it_is_given_up(server: SshServer):
    """A worker that must hand over leaves at once; its command is unknown to it, and goes on."""
    leaving = threading.Event()
    with SshShell(server.target, give_up=leaving.is_set) as shell:
        shell.run(("true",), timeout=20)
        threading.Timer(0.5, leaving.set).start()
        begun = time.monotonic()
        assert shell.run(("sleep", "60"), timeout=50).code is None
        assert time.monotonic() - begun < 30


def test_a_frozen_machine_does_not_hold_us(server: SshServer):
    """Its kernel still acknowledges: only our own clock ends the wait."""
    with SshShell(server.target) as shell:
        shell.run(("true",), timeout=20)
        server.freeze(frozen=True)
        try:
            answer = shell.run(("true",), timeout=1)
        except MachineUnreachable:
            answer = None
        assert answer is None or answer.code is None
        server.freeze(frozen=False)


def test_many_at_once_get_in(server: SshServer):
    """sshd drops some before its banner; those are tried again."""
    codes: list[int | None] = []

    def ask() -> None:
        with SshShell(server.target) as shell:
            codes.append(shell.run(("true",), timeout=60).code)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 20


def test_a_machine_that_is_away_is_said(server: SshServer):
    """Connection refused is one sentence with the machine's name and place."""
    server.stop()
    with SshShell(server.target) as shell, pytest.raises(MachineUnreachable, match=r"cp1 \(.*Connection refused"):
        shell.run(("true",), timeout=5)


def test_an_attempt_outlives_every_cut_of_the_link(server: SshServer, tmp_path: Path):
    """Cut three times in mid command: it ran once, its code is kept and its output is whole."""
    bench = make_bench(tmp_path / "m")
    bench.program(
        "work",
        'echo ran >>"$B/ran"; for n in 1 2 3; do echo "before cut $n"; '
        'until [ -e "$B/cut-$n" ]; do sleep 0.02; done; done; exit 3',
    )
    bench.script.chmod(0o755)
    with SshShell(server.target) as shell:
        node = NodeMachine(shell, str(bench.script), name="cp1")
        assert node.start("op-1", 1, "restart-kubelet").kind is StartKind.STARTED
        output, cuts = b"", 0
        while True:
            answer = node.poll("op-1", len(output))
            output += answer.chunk
            if answer.state is not AttemptState.RUNNING and len(output) >= answer.size:
                break
            if output.count(b"\n") > cuts:
                server.cut()
                cuts += 1
                (bench.home / f"cut-{cuts}").touch()
        assert node.start("op-1", 1, "restart-kubelet").code == 3
    assert (answer.code, cuts) == (3, 3)
    assert output == b"before cut 1\nbefore cut 2\nbefore cut 3\n"
    assert (bench.home / "ran").read_text() == "ran\n"
