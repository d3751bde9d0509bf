"""systemd of the lab's machines, held against recordings of systemd 252."""

import time

import pytest

from lab.toolbox import HAS_PERL, client, write_program
from lab.world import World
from tests.machine_fixture import Bench, recorded

SHOWN = "ActiveState,SubState,Result,ExecMainCode,ExecMainStatus"


@pytest.fixture(scope="module")
def bench():
    with World.start("small", speed=50) as world:
        bench = Bench(world)
        yield bench
        bench.close()


def until_ended(bench: Bench, unit: str) -> None:
    end = time.monotonic() + 20
    while "SubState=running" in bench.ok("w1", f"systemctl show {unit} -p SubState") and time.monotonic() < end:
        time.sleep(0.01)


def keys(text: str) -> list[str]:
    return [line.partition("=")[0] for line in text.splitlines()]


def test_a_running_unit_shows_what_systemd_shows(bench):
    bench.ok("w1", "systemd-run --unit=run-1 --property=Type=exec -- sleep 30")
    wanted = f"{SHOWN},MainPID,InvocationID,ExecMainStartTimestamp"
    shown = bench.ok("w1", f"systemctl show run-1 -p {wanted}")
    want = recorded("unit-03-show-running").out
    assert keys(shown) == keys(want)
    for line in ("Result=success", "ActiveState=active", "SubState=running", "ExecMainStatus=0"):
        assert line in shown.splitlines()
    assert bench.run("w1", "systemctl kill -s KILL run-1").code == 0


def test_a_unit_starts_once_also_after_it_failed(bench):
    out = bench.world.machines["w1"].root / "tmp/once.out"
    start = f"systemd-run --unit=once --property=StandardOutput=append:{out} -- sh -c 'echo one; exit 3'"
    bench.ok("w1", start)
    until_ended(bench, "once")
    again = bench.run("w1", start)
    assert again.code == 1
    assert again.err == recorded("unit-05-start-again-after-failure").err.replace("lockkeeper-op1-w2-s3-a1", "once")
    shown = bench.ok("w1", f"systemctl show once -p {SHOWN}")
    assert {"Result=exit-code", "ExecMainCode=1", "ExecMainStatus=3", "ActiveState=failed"} <= set(shown.splitlines())
    assert out.read_text() == "one\n"
    log = [r for r in bench.world.exec_log() if r.unit == "once"]
    assert [(r.started, r.refused, r.exit) for r in log] == [(True, False, 3), (False, True, 1)]


def test_a_unit_that_remains_keeps_its_result(bench):
    bench.ok("w1", "systemd-run --unit=kept --property=RemainAfterExit=yes -- true")
    until_ended(bench, "kept")
    assert bench.ok("w1", f"systemctl show kept -p {SHOWN}") == recorded("unit-10-show-success").out


def test_a_collected_unit_is_gone_with_its_result(bench):
    bench.ok("w1", "systemd-run --collect --unit=gone -- sh -c 'exit 4'")
    until_ended(bench, "gone")
    shown = bench.ok("w1", "systemctl show gone -p LoadState,ActiveState,Result,ExecMainStatus")
    assert shown == recorded("unit-14-collect").out


def test_an_unknown_unit_looks_like_a_success(bench):
    """The trap of the recordings: only LoadState tells."""
    shown = bench.ok("w1", "systemctl show lockkeeper-none -p LoadState,ActiveState,Result,ExecMainStatus")
    assert shown == recorded("unit-16-unknown-unit").out


def test_a_program_that_is_not_there_cannot_be_started(bench):
    answer = bench.run("w1", "systemd-run --unit=b -- /nonexistent/x")
    assert (answer.code, answer.err) == (1, recorded("unit-15-bad-command").err)


def test_a_unit_survives_the_session_that_started_it(bench):
    out = bench.world.machines["w1"].root / "tmp/survivor.out"
    bench.ok("w1", f"systemd-run --unit=survivor -- sh -c 'sleep 0.3; echo alive >{out}'")
    assert bench.world.cut_ssh() > 0
    bench.noticed_cut()
    until_ended(bench, "survivor")
    assert out.read_text() == "alive\n"


def test_a_unit_starts_with_a_clean_environment(bench):
    out = bench.world.machines["w1"].root / "tmp/env.out"
    bench.ok("w1", f"SECRET=1 systemd-run --unit=env -- sh -c 'env >{out}'")
    until_ended(bench, "env")
    names = set(keys(out.read_text()))
    assert "SECRET" not in names
    assert {"PATH", "INVOCATION_ID"} <= names
    assert not names & {"VIRTUAL_ENV", "PYTHONPATH", "REDIS_URL"}


def test_a_stopped_kubelet_is_said(bench):
    bench.ok("w2", "systemctl stop kubelet")
    assert bench.run("w2", "systemctl is-active kubelet").out == "inactive\n"
    bench.ok("w2", "systemctl start kubelet")
    assert bench.ok("w2", "systemctl is-active kubelet; systemctl is-enabled kubelet") == "active\nenabled\n"


def test_a_reboot_ends_units_and_changes_the_boot_id(bench):
    machine = bench.world.machines["w1"]
    before = machine.boot_id
    bench.ok("w1", "systemd-run --unit=doomed -- sleep 600")
    bench.world.reboot("w1")
    assert machine.boot_id != before
    assert "LoadState=not-found" in bench.ok("w1", "systemctl show doomed -p LoadState")
    assert bench.ok("w1", "systemctl is-active kubelet") == "active\n"


@pytest.mark.parametrize("perl", [True, False])
def test_a_tool_is_the_same_program_in_both_languages(bench, perl):
    """Hosts without perl get slower tools that do the same."""
    if perl and not HAS_PERL:
        pytest.skip("install perl-base to have the quicker tools")
    path = bench.world.machines["w1"].root / "home/upgrader/apt-mark"
    socket = bench.world.site.toolbox.socket
    write_program(path, client("apt-mark", machine="w1", socket=socket, perl=perl))
    answer = bench.run("w1", "LOCKKEEPER_ATTEMPT=me $HOME/apt-mark showhold; $HOME/apt-mark hold 'no such'; echo $?")
    assert (answer.out, answer.err) == (
        "kubeadm\nkubectl\nkubelet\n100\n",
        "E: Unable to locate package no such\nE: No packages found\n",
    )
    assert bench.world.exec_log()[-2].unit == "me"
