"""The node script reboots its machine once per attempt, and says first which boot it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers.node_bench import STUBS, Bench, make_bench
from workers.node_script.attempts import AttemptState
from workers.node_script.survey import parse_facts

# the whole machine gets a signal when it goes down, the attempt as well
_GOES_DOWN = """case $1 in reboot) kill -TERM "$PPID"; exit 0 ;; esac
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = make_bench(tmp_path)
    made.tool("systemctl", _GOES_DOWN + STUBS["systemctl"])
    return made


def test_the_boot_that_is_left_is_told_before_the_machine_goes_down(bench: Bench):
    """Its words outlast the reboot, and the signal of a shutdown is no failure."""
    end = bench.finish("op-1", "reboot")
    assert (end.state, end.code) == (AttemptState.DONE, 0)
    assert end.chunk == b"[lockkeeper] rebooting from boot boot-one\n"
    bench.file("/proc/sys/kernel/random/boot_id", "boot-two\n")
    assert bench.answer("start", "op-1", "1", "reboot") == "DONE 0"
    assert (bench.poll("op-1").boot_id, bench.poll("op-1").chunk) == ("boot-two", end.chunk)
    assert [line for line in bench.log if line.startswith("systemctl")] == ["systemctl reboot"]


def test_a_machine_whose_boot_cannot_be_told_is_not_rebooted(bench: Bench):
    """Nobody could say when it is back."""
    (bench.root / "proc/sys/kernel/random/boot_id").unlink()
    end = bench.finish("op-1", "reboot")
    assert end.code == 66
    assert not [line for line in bench.log if "reboot" in line]


@pytest.mark.parametrize("place", ["/run/reboot-required", "/var/run/reboot-required", ""])
def test_what_asks_for_a_reboot_is_told(bench: Bench, place: str):
    """By Debian's own sign, wherever its /run is."""
    if place:
        bench.file(place)
    assert parse_facts(bench.answer("observe")).reboot_required is bool(place)
