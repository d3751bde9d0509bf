"""Hooks that are asked for: only root's own executables, by their name, and with nothing of the caller's making."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.node_bench import Bench, make_bench
from workers.node_script.attempts import AttemptState
from workers.node_script.survey import parse_facts

FOLDER = "/etc/lockkeeper/hooks"
ASKED = ("hook", "leave-balancer", "pre-drain", "v1.35.4", "300")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = make_bench(tmp_path)
    made.file("/etc/lockkeeper-node.conf", f"HOOKS={FOLDER}\n")
    hook(made, "leave-balancer", 'echo "$0 $* $LOCKKEEPER_ATTEMPT"')
    return made


def hook(bench: Bench, name: str, body: str, mode: int = 0o755) -> Path:
    path = bench.file(f"{FOLDER}/{name}", f"#!/bin/sh\n{body}\n")
    path.parent.chmod(0o755)
    path.chmod(mode)
    return path


def test_a_hook_learns_the_moment_the_version_and_the_attempt(bench: Bench):
    """And runs once, however often it is asked for."""
    end = bench.finish("op-1", *ASKED)
    assert (end.state, end.code) == (AttemptState.DONE, 0)
    assert end.chunk.decode() == (
        f"[lockkeeper] running the hook {FOLDER}/leave-balancer pre-drain v1.35.4\n"
        f"{bench.root}{FOLDER}/leave-balancer pre-drain v1.35.4 op-1\n"
    )
    assert bench.answer("start", "op-1", "1", *ASKED) == "DONE 0"


def test_its_exit_code_is_the_attempts(bench: Bench):
    """With its own words."""
    hook(bench, "leave-balancer", "echo the balancer says no; exit 5")
    end = bench.finish("op-1", *ASKED)
    assert (end.code, end.chunk.splitlines()[-1]) == (5, b"the balancer says no")


def test_a_hook_that_hangs_is_ended(bench: Bench):
    """Nobody waits for it longer than was approved."""
    hook(bench, "leave-balancer", "exec sleep 100")
    end = bench.finish("op-1", *ASKED[:-1], "1")
    assert end.code == 70
    assert b"did not end within 1 s" in end.chunk


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("missing", 66, b"is not there"),
        ("writable", 78, b"could be changed by others"),
        ("plain", 66, b"not executable"),
    ],
)
def test_what_is_not_roots_own_executable_does_not_run(bench: Bench, name: str, code: int, why: bytes):
    """Root runs what root wrote."""
    hook(bench, "writable", "echo ran", 0o775)
    hook(bench, "plain", "echo ran", 0o644)
    end = bench.finish("op-1", "hook", name, *ASKED[2:])
    assert end.code == code
    assert why in end.chunk
    assert b"ran\n" not in end.chunk


def test_a_link_out_of_the_folder_is_not_followed(bench: Bench):
    """It is not what root put there."""
    (bench.root / FOLDER.lstrip("/") / "shell").symlink_to("/bin/sh")
    assert bench.finish("op-1", "hook", "shell", *ASKED[2:]).code == 78


def test_a_machine_that_allows_none_runs_none(bench: Bench):
    """By its own settings."""
    bench.file("/etc/lockkeeper-node.conf", "")
    end = bench.finish("op-1", *ASKED)
    assert end.code == 66
    assert b"names no folder" in end.chunk


@pytest.mark.parametrize(
    "words",
    [
        ("../../bin/sh", *ASKED[2:]),
        ("before-apply", *ASKED[2:]),
        ("a;reboot", *ASKED[2:]),
        ("", *ASKED[2:]),
        ("leave-balancer", "$(reboot)", "v1.35.4", "300"),
        ("leave-balancer", "pre-drain", "latest", "300"),
        ("leave-balancer", "pre-drain", "v1.35.4", "1m"),
        ("leave-balancer", "pre-drain", "v1.35.4"),
    ],
)
def test_nothing_else_of_the_callers_reaches_it(bench: Bench, words: tuple[str, ...]):
    """No path, no moment that there is not, no text."""
    done = bench.run("start", "op-1", "1", "hook", *words)
    assert done.returncode == 64
    assert not bench.log


def test_what_may_be_asked_for_is_told(bench: Bench):
    """And what may not is left out; a machine without a folder tells that it has none."""
    hook(bench, "before-apply", "")
    hook(bench, "writable", "", 0o775)
    hook(bench, "plain", "", 0o644)
    hook(bench, "tell-pager", "")
    assert parse_facts(bench.answer("observe")).hooks == ("leave-balancer", "tell-pager")
    bench.file("/etc/lockkeeper-node.conf", "")
    assert parse_facts(bench.answer("observe")).hooks == ()
