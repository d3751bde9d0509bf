"""An attempt runs once, detached, and loses no byte; a fence that is too low is refused."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.workers.node_bench import Bench, make_bench
from workers.node_script.attempts import AttemptState, parse_jobs


@pytest.fixture(params=["setsid", "systemd"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "m", systemd=request.param == "systemd")


def test_twenty_racing_starts_run_the_command_once(bench: Bench):
    """Exactly one of them says STARTED, and every other one attaches or sees the end."""
    bench.program("work", 'echo ran >>"$B/ran"; sleep 1')
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: bench.answer("start", "op-1", "3", "restart-kubelet"), range(20)))
    bench.await_end("op-1")
    assert answers.count("STARTED") == 1
    assert set(answers) <= {"STARTED", "ATTACHED", "DONE 0"}
    assert (bench.home / "ran").read_text() == "ran\n"


def test_a_second_start_attaches_and_later_tells_the_exit_code(bench: Bench):
    """The same attempt id never starts a second command, running or ended."""
    bench.program("work", 'while [ ! -e "$B/go" ]; do sleep 0.05; done; exit 7')
    assert bench.answer("start", "op-1", "3", "restart-kubelet") == "STARTED"
    assert bench.answer("start", "op-1", "3", "restart-kubelet") == "ATTACHED"
    assert bench.poll("op-1").state is AttemptState.RUNNING
    (bench.home / "go").touch()
    assert bench.await_end("op-1").code == 7
    assert bench.answer("start", "op-1", "4", "restart-kubelet") == "DONE 7"


def test_a_poll_waits_for_the_end_and_no_longer_than_it_is_told(bench: Bench):
    """Nobody looks again and again: it sleeps at the lock of the attempt, whose end wakes it."""
    bench.program("work", 'while [ ! -e "$B/go" ]; do sleep 0.05; done; exit 7')
    bench.answer("start", "op-1", "3", "restart-kubelet")
    began = time.monotonic()
    assert bench.poll("op-1", seconds=1).state is AttemptState.RUNNING
    assert time.monotonic() - began >= 1
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bench.poll, "op-1", seconds=60)
        (bench.home / "go").touch()
        assert waiting.result(20).code == 7
    assert bench.poll("op-1", seconds=60).code == 7
    assert bench.poll("op-2", seconds=60).state is AttemptState.ABSENT


def test_a_fenced_start_is_refused(bench: Bench):
    """A lower fence than the highest seen starts nothing, attaches to nothing and learns the higher one."""
    bench.finish("op-1", "hold", fence=9)
    before = bench.log
    assert bench.answer("start", "op-2", "8", "hold") == "FENCED 9"
    assert bench.answer("start", "op-1", "8", "hold") == "FENCED 9"
    assert bench.log == before
    assert bench.poll("op-2").state is AttemptState.ABSENT


def test_output_comes_byte_for_byte_over_any_offsets(bench: Bench):
    """Bytes that are no UTF-8, and more than one answer holds, arrive whole and once."""
    wanted = bytes(range(256)) * 700 + b"\xff\xfe no newline at the end"
    (bench.home / "bytes").write_bytes(wanted)
    bench.program("work", 'cat "$B/bytes"; exit 3')
    end = bench.finish("op-1", "restart-kubelet")
    assert (end.code, end.size) == (3, len(wanted))
    got = b""
    while len(got) < end.size:
        chunk = bench.poll("op-1", len(got)).chunk
        assert 0 < len(chunk) <= 65536
        got += chunk
    assert got == wanted
    assert bench.poll("op-1", 10**9).chunk == b""


def test_a_killed_attempt_is_lost_and_never_run_again(bench: Bench):
    """When nothing of it lives and there is no exit code, that is said, and the id is used up."""
    bench.program("work", 'echo ran >>"$B/ran"; echo $$ >"$B/pid"; exec sleep 100')
    bench.answer("start", "op-1", "3", "restart-kubelet")
    bench.wait_for((bench.home / "pid").exists)
    os.killpg(os.getsid(int((bench.home / "pid").read_text())), signal.SIGKILL)
    bench.wait_for(lambda: bench.poll("op-1").state is AttemptState.LOST)
    assert bench.answer("start", "op-1", "3", "restart-kubelet") == "LOST"
    assert (bench.home / "ran").read_text() == "ran\n"


def test_an_attempt_whose_shell_alone_was_killed_still_counts_as_running(bench: Bench):
    """kubeadm may go on without its supervisor: until it ends, nobody may take the attempt for lost."""
    bench.program("work", 'echo $$ >"$B/pid"; while [ ! -e "$B/go" ]; do sleep 0.05; done')
    bench.answer("start", "op-1", "3", "restart-kubelet")
    bench.wait_for((bench.home / "pid").exists)
    os.kill(os.getsid(int((bench.home / "pid").read_text())), signal.SIGKILL)
    assert bench.poll("op-1").state is AttemptState.RUNNING
    (bench.home / "go").touch()
    bench.wait_for(lambda: bench.poll("op-1").state is AttemptState.LOST)


def test_an_attempt_that_a_reboot_ended_is_lost(bench: Bench):
    """A new boot id means that nothing of the attempt lives; one with an exit code stays done."""
    bench.program("work", "exec sleep 100")
    bench.finish("op-0", "hold")
    bench.answer("start", "op-1", "3", "restart-kubelet")
    bench.file("/proc/sys/kernel/random/boot_id", "boot-two\n")
    states = {job.attempt: job.state for job in parse_jobs(bench.answer("list"))}
    assert states == {"op-0": AttemptState.DONE, "op-1": AttemptState.LOST}
    assert bench.poll("op-1").boot_id == "boot-two"


@pytest.mark.parametrize(
    ("state", "code", "before", "after"),
    [
        ("stopping", 143, AttemptState.RUNNING, AttemptState.LOST),
        ("running", 143, AttemptState.DONE, AttemptState.DONE),
        ("stopping", 1, AttemptState.DONE, AttemptState.DONE),
        ("stopping", 0, AttemptState.DONE, AttemptState.DONE),
    ],
)
def test_an_attempt_that_ends_with_its_machine_is_lost_after_the_boot(
    tmp_path: Path, state: str, code: int, before: AttemptState, after: AttemptState
):
    """A reboot in good order ends what runs by a signal; what ends by itself or by a person meanwhile has its code."""
    bench = make_bench(tmp_path / "m", systemd=True)
    verbs = "case $1 in is-system-running) echo {} ;; is-active) echo active ;; *) exit {} ;; esac"
    bench.tool("systemctl", verbs.format(state, code))
    bench.answer("start", "op-1", "3", "restart-kubelet")
    assert bench.poll("op-1", 0, 60).state is before  # answered when nothing of it lives any more
    bench.tool("systemctl", verbs.format("running", 0))
    bench.file("/proc/sys/kernel/random/boot_id", "boot-two\n")
    assert bench.poll("op-1").state is after


def test_a_hangup_of_the_caller_does_not_reach_the_attempt(bench: Bench):
    """The attempt has a session of its own: whatever happens to the link, it goes on."""
    bench.program("work", 'echo $$ >"$B/pid"; while [ ! -e "$B/go" ]; do sleep 0.05; done; echo end')
    bench.answer("start", "op-1", "3", "restart-kubelet")
    bench.wait_for((bench.home / "pid").exists)
    pid = int((bench.home / "pid").read_text())
    assert os.getsid(pid) != os.getsid(0)
    os.kill(pid, signal.SIGHUP)
    (bench.home / "go").touch()
    end = bench.await_end("op-1")
    assert (end.code, end.chunk.splitlines()[0]) == (0, b"end")


def test_a_unit_name_that_systemd_refuses_starts_nothing(tmp_path: Path):
    """The second guard: a unit of that name without our record is an error in a sentence, and nothing runs."""
    bench = make_bench(tmp_path / "m", systemd=True)
    (bench.home / "units/lockkeeper-op-1").mkdir()
    done = bench.run("start", "op-1", "3", "hold")
    assert done.returncode == 71
    assert b"already loaded" in done.stderr
    assert bench.poll("op-1").state is AttemptState.ABSENT
    assert not [line for line in bench.log if line.startswith("apt-mark")]


def test_nothing_is_begun_on_a_machine_that_goes_down_and_all_of_it_after_the_boot(tmp_path: Path):
    """systemd takes no unit any more: that is no fault of the machine, which is asked again as if it were away."""
    bench = make_bench(tmp_path / "m", systemd=True)
    refused = bench.home / "units/lockkeeper-op-1"
    refused.mkdir()
    bench.tool("systemctl", "echo stopping")
    done = bench.run("start", "op-1", "3", "hold")
    assert done.returncode == 75
    assert b"nothing is begun before its next boot" in done.stderr
    refused.rmdir()
    bench.tool("systemctl", "echo running")
    assert bench.finish("op-1", "hold", fence=3).code == 0


def test_nothing_is_attempted_twice_through_the_inner_verb(bench: Bench):
    """`supervise` is no way round `start`: an ended attempt and an unknown one are refused."""
    bench.finish("op-1", "hold")
    before = bench.log
    assert bench.run("supervise", "op-1").returncode == 70
    assert bench.run("supervise", "op-2").returncode == 66
    assert bench.log == before
