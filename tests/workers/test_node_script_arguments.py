"""The script checks every word itself: nothing else of the caller or the settings ever reaches a tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cluster.errors import LockkeeperError
from tests.workers.node_bench import Bench, make_bench
from workers.node_script import PRODUCTION_PATH, render


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "m")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "No verb"),
        (("rm", "-rf", "/"), "'rm' is not a verb"),
        (("version", "x"), "usage is 'version'"),
        (("poll", "../../etc", "0"), "attempt id"),
        (("poll", "a", "-1"), "offset"),
        (("poll", "a", "1; reboot"), "offset"),
        (("poll", "a", "0", "1.5"), "number of seconds"),
        (("poll", "a", "0", "61"), "60 s at most"),
        (("poll", "a", "0", "1", "2"), "the usage is 'poll ID OFFSET [SECONDS]'"),
        (("snapshot", "a"), "usage is"),
        (("snapshot", "../op-1", "0"), "attempt id"),
        (("snapshot", "/etc/shadow", "0"), "attempt id"),
        (("snapshot", "op-1", "-1"), "offset"),
        (("start", "a", "1"), "usage is"),
        (("start", "a", "07", "hold"), "fence"),
        (("start", "-a", "1", "hold"), "attempt id"),
        (("start", "a" * 81, "1", "hold"), "longer than 80"),
        (("start", "a\nb", "1", "hold"), "attempt id"),
        (("start", "a", "1", "sh"), "'sh' is not something"),
        (("start", "a", "1", "hold", "now"), "usage is"),
        (("start", "a", "1", "apply", "v1.35"), "Kubernetes version"),
        (("start", "a", "1", "apply", "v1.35.4 --force"), "Kubernetes version"),
        (("start", "a", "1", "apply", "v1.35.4\nv1.35.4"), "Kubernetes version"),
        (("start", "a", "1", "install-kubeadm", "1.35.4"), "package version"),
        (("start", "a", "1", "install-kubeadm", "1.35.4-*"), "package version"),
        (("start", "a", "1", "set-source", "1.35"), "minor release"),
        (("start", "a", "1", "upgrade-node", "master", "v1.35.4"), "role"),
        (("offers",), "usage is"),
        (("offers", "v1.35", "$(reboot)"), "minor release"),
        (("logs", "sshd"), "unit"),
        (("logs", "lockkeeper-a b"), "unit"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_sentence(bench: Bench, words: tuple[str, ...], named: str):
    """Exit 64, one line that names the fault, and no tool was called."""
    done = bench.run(*words)
    assert done.returncode == 64
    assert named in done.stderr.decode()
    assert done.stdout == b""
    assert bench.log == []


def test_the_callers_environment_steers_nothing(bench: Bench):
    """PATH, APT_CONFIG and KUBECONFIG of the caller never reach a tool."""
    bench.program("work", "env")
    env = {"PATH": "/nowhere:/usr/bin:/bin", "APT_CONFIG": "/evil", "KUBECONFIG": "/evil", "IFS": "/", "ROOT": "/evil"}
    assert bench.run("start", "op-1", "1", "restart-kubelet", env=env).returncode == 0
    seen = bench.await_end("op-1").chunk.decode()
    assert "evil" not in seen
    assert "nowhere" not in seen
    assert "LOCKKEEPER_ATTEMPT=op-1" in seen


@pytest.mark.parametrize(
    "line",
    [
        "PACKAGE_BASE_URL=https://x/$(reboot)",
        "PACKAGE_BASE_URL=file:///etc",
        "KEY_URL=http://mirror.example/key",
        "PATCHES_DIR=relative",
        "SNAPSHOT_DIR=/var/../etc",
        "SNAPSHOT_EXPORT=maybe",
        "BASE=https://x",
        "touch /tmp/x",
    ],
)
def test_wrong_settings_are_refused(bench: Bench, line: str):
    """The settings are data: a value that is not allowed and a name that is unknown stop everything, exit 78."""
    bench.file("/etc/lockkeeper-node.conf", f"# ours\n\nKEYRING=/etc/k.gpg\n{line}")
    done = bench.run("observe")
    assert done.returncode == 78
    assert done.stderr.decode().count("\n") == 1
    assert bench.log == []


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_settings_that_others_may_change_are_refused(bench: Bench, mode: int):
    """Whoever could write the settings could redirect root's downloads; a group is others, too."""
    bench.file("/etc/lockkeeper-node.conf").chmod(mode)
    assert bench.run("observe").returncode == 78


def test_a_state_folder_that_others_may_change_is_refused(bench: Bench):
    """What an attempt does stands there until its supervisor reads it."""
    bench.file("/var/lib/lockkeeper/fence", "1\n").parent.chmod(0o775)
    done = bench.run("start", "op-1", "1", "hold")
    assert (done.returncode, done.stderr.decode().count("\n")) == (78, 1)
    assert bench.log == []


def test_an_attempt_that_was_rewritten_before_its_start_does_nothing(bench: Bench):
    """Its words are checked again by who carries them out."""
    bench.file("/var/lib/lockkeeper/jobs/op-1/started", "attempt op-1\nfence 1\nboot x\nat 1\ncommand fetch -o=x\n")
    bench.run("supervise", "op-1")
    assert (bench.root / "var/lib/lockkeeper/jobs/op-1/rc").read_text() == "64\n"
    assert bench.log == []


def test_the_production_script_has_its_constants_fixed():
    """Rendered without arguments it works on the whole machine with a fixed PATH."""
    text = render()
    assert "\nROOT=''" in text
    assert f"\nTOOLS='{PRODUCTION_PATH}'" in text
    assert "@ROOT@" not in text


def test_a_folder_that_could_end_the_quotes_is_not_rendered():
    """The two constants stand between quotes."""
    with pytest.raises(LockkeeperError, match="root folder"):
        render(root="/srv/'; reboot; '")


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_it_is_plain_sh(shell: str):
    """Every shell that may be /bin/sh on a Debian machine reads it."""
    if not shutil.which(shell):
        pytest.skip(f"install {shell} to check the node script with it")
    argv = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
    done = subprocess.run(argv, input=render().encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
