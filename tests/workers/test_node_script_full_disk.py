"""A machine whose disk is full: what cannot be kept is refused in words, and no half record is read as a whole one."""

from __future__ import annotations

import errno
import itertools
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cluster.procedure import Verb
from tests.workers.node_bench import SOURCE, Bench, make_bench
from tests.workers.runbook_fixture import Bench as Runbook
from workers.machine import NodeMachine
from workers.node_script.attempts import AttemptState
from workers.runbook import StepBlocked, perform
from workers.ssh import Answer

FULL = Path("/dev/full")  # each write to it ends as one to a full disk does


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "m")


@contextmanager
def full_disk(folder: Path, *, empty_files: bool = False) -> Iterator[None]:
    """A file system of its own for this folder, without a free byte; there may be room for files without any."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {p.name: p.read_text() for p in folder.iterdir() if p.is_file()}
    options = "size=64k,nr_inodes=32,mode=755"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk here")
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
        for name, text in kept.items():
            (folder / name).write_text(text)
        fill(folder, "byte", b"x" * 4096)
        if not empty_files:
            fill(folder, "file", b"")
        yield


def fill(folder: Path, what: str, content: bytes) -> None:
    """Write the same again and again until it finds no room any more."""
    try:
        for number in itertools.count():
            (folder / f".no-{what}-{number}").write_bytes(content)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@pytest.mark.parametrize("empty_files", [True, False])
@pytest.mark.parametrize("full", ["var/lib/lockkeeper", "var/lib/lockkeeper/jobs"])
def test_an_attempt_is_refused_on_a_full_disk_and_never_happened(bench: Bench, full: str, *, empty_files: bool) -> None:
    """Nothing of it runs; with room again the same id may be started, once."""
    bench.finish("op-0", "hold")
    before = bench.log
    with full_disk(bench.root / full, empty_files=empty_files):
        done = bench.run("start", "op-1", "2", "restart-kubelet")
        assert (done.returncode, bench.poll("op-1").state) == (71, AttemptState.ABSENT)
        assert b"cannot be written: check the disk" in done.stderr
        assert bench.log == before
    assert bench.finish("op-1", "restart-kubelet", fence=2).code == 0


@pytest.mark.parametrize("file", ["fence.new", "jobs/op-1/started.new"])
def test_a_record_that_does_not_fit_starts_nothing(bench: Bench, file: str) -> None:
    """Fence and attempt are written down whole before anything runs, or nothing runs."""
    bench.finish("op-0", "hold")
    before = bench.log
    full = fill_up(bench, file)
    done = bench.run("start", "op-1", "2", "restart-kubelet")
    assert (done.returncode, bench.poll("op-1").state) == (71, AttemptState.ABSENT)
    assert b"cannot be written: check the disk." in done.stderr
    assert bench.log == before
    full.unlink()
    assert bench.finish("op-1", "restart-kubelet", fence=2).code == 0


@pytest.mark.parametrize("file", ["gate", "jobs/op-1/out", "jobs/op-1/lock"])
def test_what_cannot_even_be_opened_is_said(bench: Bench, file: str) -> None:
    """A folder stands in its place, or no file is left to be made: the script says so, and not its interpreter."""
    (bench.root / "var/lib/lockkeeper" / file).mkdir(parents=True)
    done = bench.run("start", "op-1", "2", "hold")
    assert (done.returncode, bench.poll("op-1").state) == (71, AttemptState.ABSENT)
    assert b"cannot be written: check the disk." in done.stderr


def test_an_end_that_could_not_be_kept_is_lost_and_not_done(bench: Bench) -> None:
    """The command ran and its exit code found no room: it is looked at and tried anew, never taken for done."""
    bench.program("work", 'echo ran >>"$B/ran"')
    fill_up(bench, "jobs/op-1/rc.new")
    assert bench.answer("start", "op-1", "1", "restart-kubelet") == "STARTED"
    bench.wait_for(lambda: bench.poll("op-1").state is AttemptState.LOST)
    assert bench.answer("start", "op-1", "1", "restart-kubelet") == "LOST"
    assert (bench.home / "ran").read_text() == "ran\n"


def test_an_empty_exit_code_is_none(bench: Bench) -> None:
    """As a crash of the whole machine may leave one on some file systems."""
    bench.finish("op-1", "hold")
    (bench.root / "var/lib/lockkeeper/jobs/op-1/rc").write_text("")
    assert bench.poll("op-1").state is AttemptState.LOST


def fill_up(bench: Bench, file: str) -> Path:
    """Let a file of the script's state end up on a disk without room, as long as it stays in place."""
    path = bench.root / "var/lib/lockkeeper" / file
    for folder in reversed(path.relative_to(bench.root).parents):
        (bench.root / folder).mkdir(mode=0o755, exist_ok=True)
    path.symlink_to(FULL)
    return path


def test_a_package_source_is_switched_whole_or_not_at_all(bench: Bench) -> None:
    """The old file stays, with every byte, and no half one beside it."""
    folder = bench.root / "etc/apt/sources.list.d"
    with full_disk(folder, empty_files=True):
        end = bench.finish("op-1", "set-source", "v1.35")
        assert end.code == 71
        assert b"kubernetes.list cannot be written: check the disk." in end.chunk
        assert (folder / "kubernetes.list").read_text() == SOURCE
        assert not (folder / ".lockkeeper-kubernetes.list").exists()


@dataclass(frozen=True)
class Local:
    """The shell of a machine that is a bench."""

    bench: Bench

    def run(self, argv: tuple[str, ...], *, timeout: float) -> Answer:  # noqa: ARG002 - the seam's signature
        done = self.bench.run(*argv[1:])
        return Answer(done.returncode, done.stdout + done.stderr)


def test_a_driver_blocks_with_what_the_machine_said(bench: Bench) -> None:
    """What could not be written, and where; whoever made room says `retry`."""
    fill_up(bench, "fence.new")
    runbook = Runbook()
    site = runbook.site("w1", Verb.HOLD)
    machine = NodeMachine(Local(bench), "lockkeeper-node", name="w1")
    with pytest.raises(StepBlocked) as blocked:
        perform(replace(site, machine=machine))
    assert blocked.value.finding.code == "node-script-failed"
    assert "w1 refused `start` (exit 71)" in blocked.value.finding.sentence
    assert "/var/lib/lockkeeper/fence cannot be written: check the disk." in blocked.value.finding.sentence
    assert "then `retry`" in blocked.value.finding.remedy
