"""Where packages come from, what pins them and which keys sign them, by the recorded apt and the real gpg."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.facts import MachineFacts
from cluster.packages import OldSource, PackageOrigin, Pin, SigningKey
from tests.workers.node_bench import Bench, make_bench
from workers.node_script.survey import parse_facts

SOURCE = "http://10.77.0.1:8000/core:/stable:/v1.34/deb"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "m")


def _facts(bench: Bench) -> MachineFacts:
    return parse_facts(bench.answer("observe"))


def test_the_source_of_each_installed_package_is_told(bench: Bench):
    """By the answer of a real apt with a mirror as its source."""
    assert _facts(bench).origins == tuple(
        PackageOrigin(name, "1.34.7-1.1", (SOURCE,)) for name in ("kubeadm", "kubelet", "kubectl")
    )


def test_a_source_that_went_on_to_another_minor_no_longer_has_what_is_installed(bench: Bench):
    """Recorded after the source was switched and before the package was."""
    bench.tool("apt-cache", 'cat "$R/machines/apt-policy-next-minor.stdout"')
    assert _facts(bench).origins == (PackageOrigin("kubeadm", "1.35.4-1.1", ()),)


def test_a_package_of_the_distribution_has_its_address(bench: Bench):
    """With its priority, phased updates and a pin of its own around it."""
    bench.tool(
        "apt-cache",
        """cat <<'END'
kubelet:
  Installed: 1.34.2-0ubuntu1
  Candidate: 1.34.3-0ubuntu1
  Package pin: 1.34.3-0ubuntu1
  Version table:
     1.34.3-0ubuntu1 990 (phased 10%)
        500 http://archive.example/ubuntu noble-updates/main amd64 Packages
 *** 1.34.2-0ubuntu1 -10
        500 http://archive.example/ubuntu noble/main amd64 Packages
        100 /var/lib/dpkg/status
END""",
    )
    assert _facts(bench).origins == (PackageOrigin("kubelet", "1.34.3-0ubuntu1", ("http://archive.example/ubuntu",)),)


def test_an_apt_that_fails_is_unread(bench: Bench):
    """And not a machine whose packages come from nowhere."""
    bench.tool("apt-cache", "exit 100")
    facts = _facts(bench)
    assert facts.origins is None
    assert "origins" in {u.what for u in facts.unread}


def test_the_repositories_that_were_given_up_are_found_where_they_are_enabled(bench: Bench):
    """In both forms of a source; one that is commented out or disabled counts for nothing."""
    old, older = "https://apt.kubernetes.io/", "http://packages.cloud.google.com/apt"
    folder = "/etc/apt/sources.list.d"
    bench.file(f"{folder}/old.list", f"# deb {older} x main\ndeb [arch=amd64] {old} kubernetes-xenial main\n")
    stanza = f"Types: deb\nURIs: {older}\nSuites: kubernetes-xenial\nComponents: main\n"
    bench.file(f"{folder}/older.sources", f"{stanza}Enabled: no\n\n{stanza}")
    assert _facts(bench).old_sources == (
        OldSource(f"{folder}/old.list", old),
        OldSource(f"{folder}/older.sources", older),
    )


def test_a_pin_is_told_with_its_rule_and_its_priority(bench: Bench):
    """Those of other packages are nobody's business here."""
    path = "/etc/apt/preferences.d/kubernetes"
    bench.file(
        path,
        "Explanation: ours\nPackage: kubelet kubeadm\nPin: version 1.34.*\nPin-Priority: 1001\n\n"
        "Package: nginx\nPin: release a=stable\nPin-Priority: 900\n\n"
        "Package: kube*\nPin: origin pkgs.example\nPin-Priority: -1\n",
    )
    assert _facts(bench).pin_rules == (
        Pin(path, ("kubelet", "kubeadm"), "version 1.34.*", 1001),
        Pin(path, ("kube*",), "origin pkgs.example", -1),
    )


def test_the_keys_of_a_source_are_told_with_their_end(bench: Bench):
    """Asked so that gpg needs no home and leaves nothing behind."""
    (key,) = _facts(bench).keys
    assert key == SigningKey("/etc/apt/keyrings/k.gpg", "234654DA9A296436", datetime(2026, 12, 29, tzinfo=UTC))
    (asked,) = [line for line in bench.log if line.startswith("gpg")]
    assert "--no-keyring --lock-never" in asked


def test_keys_that_nobody_looked_at_are_said(bench: Bench):
    """The source names none, the file is gone, gpg cannot read it."""
    bench.file("/etc/apt/sources.list.d/kubernetes.list", "deb https://pkgs.k8s.io/core:/stable:/v1.34/deb/ /\n")
    assert _facts(bench).unchecked_keys == ("the package source names no key file",)
    keyed = "deb [signed-by=/etc/apt/keyrings/gone.gpg] https://pkgs.k8s.io/core:/stable:/v1.34/deb/ /\n"
    bench.file("/etc/apt/sources.list.d/kubernetes.list", keyed)
    assert {u.what: u.reason for u in _facts(bench).unread}["key"].startswith("/etc/apt/keyrings/gone.gpg")


@pytest.mark.skipif(not shutil.which("gpg"), reason="install gnupg to read a real keyring")
def test_the_real_gpg_reads_a_real_keyring_and_leaves_no_trace(bench: Bench, tmp_path: Path):
    """A key without an end among others is one that never expires."""
    home = tmp_path / "h"  # short: gpg's sockets lie in it
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--passphrase", ""]
    try:
        for user, life in (("short", "2d"), ("long", "never")):
            subprocess.run([*gpg, "--quick-gen-key", user, "ed25519", "sign", life], check=True, capture_output=True)
        exported = subprocess.run([*gpg, "--export"], check=True, capture_output=True).stdout
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)
    bench.file("/etc/apt/keyrings/k.gpg").write_bytes(exported)
    bench.tool("gpg", 'exec /usr/bin/gpg "$@"')
    short, long = _facts(bench).keys
    assert short.until is not None
    assert 0 < (short.until - datetime.now(UTC)).days < 3
    assert long.until is None
    assert not [name for name in ("pubring.kbx", "trustdb.gpg", ".#lk") if (Path("/") / name).exists()]
