"""Package work: throw-away lists for looking and fetching, exact versions, holds as they were before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cluster.facts import OfferState
from cluster.versions import Minor
from tests.workers.node_bench import SOURCE, STUBS, Bench, make_bench
from workers.node_script.survey import parse_offers

LIST = "/etc/apt/sources.list.d/kubernetes.list"

# What apt-get prints, by what is wrong; it exits 0 when it cannot reach a repository.
UPDATES = [
    ("W: Failed to fetch http://h/InRelease  Could not connect to h:80\nW: Some index files failed", 0, "unreachable"),
    ("E: The repository 'http://h/v1.37/deb  Release' does not have a Release file.", 100, "absent"),
    ("W: GPG error: NO_PUBKEY 80E4\nE: The repository 'http://h  InRelease' is not signed.", 100, "unsigned"),
    ("W: GPG error: EXPKEYSIG 2346 isv\nE: The repository 'http://h InRelease' is not signed.", 100, "expired-key"),
    ("E: Sub-process /usr/bin/sqv returned an error code (1): Expired on 2024-11-02", 100, "expired-key"),
    ("E: The method driver /usr/lib/apt/methods/https could not be found.", 100, "unreachable"),
]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "m")


def test_offers_name_the_versions_that_all_three_packages_have(bench: Bench):
    """A version of which the kubelet is not there yet cannot be upgraded to."""
    rows = [("kubeadm", "1.35.4-1.1"), ("kubelet", "1.35.4-1.1"), ("kubectl", "1.35.4-1.1"), ("kubeadm", "1.35.10-1.1")]
    rows += [(p, "1.35.10-1.2") for p in ("kubeadm", "kubelet", "kubectl")]
    lines = [f"   {p} | {v} | https://pkgs.example/core:/stable:/v1.35/deb  Packages" for p, v in rows]
    (bench.home / "madison").write_text("\n".join(lines))
    offer, *_ = parse_offers(bench.answer("offers", "v1.35"), (Minor(1, 35),))
    assert [str(v) for v in offer.versions] == ["1.35.4-1.1", "1.35.10-1.2"]
    assert str(offer.newest) == "1.35.10-1.2"


@pytest.mark.parametrize(("said", "code", "kind"), UPDATES)
def test_what_is_wrong_with_a_source_is_told_apart(bench: Bench, said: str, code: int, kind: str):
    """Unreachable, absent, unsigned and expired are four answers, each with apt's own reason."""
    (bench.home / "update.out").write_text(said)
    (bench.home / "update.rc").write_text(str(code))
    (offer,) = parse_offers(bench.answer("offers", "v1.37"), (Minor(1, 37),))
    assert offer.state is OfferState(kind)
    assert offer.reason == " ".join(said.splitlines()[0].split())


@pytest.mark.parametrize("verb", [("fetch", "1.35.4-1.1"), ("set-source", "v1.35"), ("install-kubelet", "1.35.4-1.1")])
@pytest.mark.parametrize("failures", [1, 3])
def test_a_mirror_that_fails_for_a_moment_is_asked_again_and_said(bench: Bench, verb: tuple[str, ...], failures: int):
    """By a new apt, as the old one remembers who refused it; one that goes on failing is a failure."""
    away = """echo x >>"$B/tries"; if [ "$(wc -l <"$B/tries")" -le FAILURES ]; then
    echo 'W: Failed to fetch http://h/v1.35/deb/x  Connection refused' >&2
    case $1 in update) exit 0 ;; *) exit 100 ;; esac; fi"""
    bench.tool("apt-get", away.replace("FAILURES", str(failures)) + "\n" + STUBS["apt-get"])
    end = bench.finish("op-1", *verb)
    said = end.chunk.count(b"and is asked again: W: Failed to fetch http://h/v1.35/deb/x")
    assert (end.code == 0, said) == (failures == 1, min(failures, 2))


def test_looking_at_offers_touches_no_source_of_the_machine(bench: Bench):
    """The list is thrown away: afterwards every file of apt is as before and no folder is left."""
    bench.answer("offers", "v1.35", "v1.36")
    assert (bench.root / LIST[1:]).read_text() == SOURCE
    assert list((bench.root / "var/lib/lockkeeper/tmp").iterdir()) == []
    asked = [line for line in bench.log if line.startswith("apt")]
    assert asked
    assert all("Dir::Etc::SourceParts=/dev/null" in line for line in asked)


def test_a_list_that_was_left_behind_goes_with_the_next_look(bench: Bench):
    """A look whose caller is gone ends where it wanted to answer; one that may still be in use stays."""
    folder = bench.root / "var/lib/lockkeeper/tmp"
    bench.answer("offers", "v1.35")
    for name, days in (("old", 3), ("young", 0)):
        (folder / name / "lists").mkdir(parents=True)
        moment = time.time() - days * 86_400
        os.utime(folder / name, (moment, moment))
    assert bench.answer("offers", "v1.35").endswith("end offers")
    assert [path.name for path in folder.iterdir()] == ["young"]


def test_fetching_asks_for_exact_versions_of_what_is_installed(bench: Bench):
    """kubectl is optional on a node; nothing is installed that was not there."""
    rows = (bench.home / "packages").read_text().replace("hi kubectl 1.34.7-1.1\n", "")
    (bench.home / "packages").write_text(rows)
    assert bench.finish("op-1", "fetch", "1.35.4-1.1").code == 0
    (fetch,) = [line for line in bench.log if "--download-only" in line]
    assert [w for w in fetch.split() if "1.35.4" in w] == ["kubeadm=1.35.4-1.1", "kubelet=1.35.4-1.1"]
    assert "1.34.7-1.1" in (bench.home / "packages").read_text()


def test_switching_the_source_changes_the_minor_and_nothing_else(bench: Bench):
    """Options, comments and other repositories of the same host stay; a copy of the old file is kept."""
    text = SOURCE + "# deb https://pkgs.example/core:/stable:/v1.30/deb/ /\n"
    other = "deb https://pkgs.example/addons:/cri-o:/stable:/v1.34/deb/ /\n"
    bench.file(LIST, text)
    bench.file("/etc/apt/sources.list.d/crio.list", other)
    assert bench.finish("op-1", "set-source", "v1.35").code == 0
    assert (bench.root / LIST[1:]).read_text() == text.replace("v1.34", "v1.35")
    assert (bench.root / "etc/apt/sources.list.d/crio.list").read_text() == other
    (kept,) = (bench.root / "var/lib/lockkeeper/sources").glob("*kubernetes.list")
    assert kept.read_text() == text


def test_a_login_in_the_address_of_a_mirror_stays_where_it_was(bench: Bench):
    """In a file that only root may read, and in none of our answers; what is written for apt is as private."""
    path = bench.file(LIST, SOURCE.replace("https://pkgs", "https://me:secret@pkgs"))
    path.chmod(0o600)
    assert bench.finish("op-1", "set-source", "v1.35").code == 0
    assert "me:secret@pkgs.example/core:/stable:/v1.35/deb/" in path.read_text()
    assert path.stat().st_mode & 0o77 == 0
    (ours,) = (bench.root / "var/lib/lockkeeper/sources").glob("update.list")
    assert ours.stat().st_mode & 0o77 == 0
    told = bench.answer("observe")
    assert "https://pkgs.example/core:/stable: v1.35" in told
    assert "secret" not in told


def test_a_source_in_the_main_list_is_switched_and_its_neighbours_stay(bench: Bench):
    """Some write it into /etc/apt/sources.list; the distribution's own lines there are none of ours."""
    (bench.root / LIST[1:]).unlink()
    debian = "deb http://deb.example.org/debian bookworm main\n"
    path = bench.file("/etc/apt/sources.list", debian + SOURCE)
    assert bench.finish("op-1", "set-source", "v1.35").code == 0
    assert path.read_text() == debian + SOURCE.replace("v1.34", "v1.35")
    assert not list(path.parent.glob(".lockkeeper-*"))


def test_a_deb822_source_is_switched_too(bench: Bench):
    """Newer machines have `.sources` files."""
    (bench.root / LIST[1:]).unlink()
    text = "Types: deb\nURIs: https://pkgs.k8s.io/core:/stable:/v1.34/deb/\nSuites: /\nSigned-By: /etc/apt/k.gpg\n"
    path = bench.file("/etc/apt/sources.list.d/kubernetes.sources", text)
    assert bench.finish("op-1", "set-source", "v1.35").code == 0
    assert path.read_text() == text.replace("v1.34", "v1.35")
    bench.run("offers", "v1.36")
    line = next(line for line in bench.log if "Acquire::http::Timeout" in line)
    assert "kubernetes.sources" in line


@pytest.mark.parametrize(("said", "code", "kind"), UPDATES)
def test_a_source_that_cannot_be_used_is_put_back(bench: Bench, said: str, code: int, kind: str):
    """Also when apt-get itself exits 0: the machine keeps the source that it had."""
    (bench.home / "update.out").write_text(said)
    (bench.home / "update.rc").write_text(str(code))
    end = bench.finish("op-1", "set-source", "v1.35")
    assert end.code == 69
    assert kind.encode() in end.chunk
    assert (bench.root / LIST[1:]).read_text() == SOURCE


def test_a_machine_without_a_source_is_told_what_to_add(bench: Bench):
    """Nothing is invented for it."""
    (bench.root / LIST[1:]).unlink()
    end = bench.finish("op-1", "set-source", "v1.35")
    assert end.code == 66
    assert b"add one like 'deb" in end.chunk


def test_our_own_mirror_counts_as_a_source(bench: Bench):
    """PACKAGE_BASE_URL names a base that looks like nothing known, dots and all."""
    bench.file("/etc/lockkeeper-node.conf", "PACKAGE_BASE_URL=http://mirror.example/k8s\n")
    path = bench.file(LIST, "deb http://mirror.example/k8s/v1.34/deb/ /\ndeb http://mirrorxexample/k8s/v1.34/deb/ /\n")
    assert bench.finish("op-1", "set-source", "v1.35").code == 0
    assert path.read_text().split() == (
        ["deb", "http://mirror.example/k8s/v1.35/deb/", "/", "deb", "http://mirrorxexample/k8s/v1.34/deb/", "/"]
    )


def test_another_package_manager_at_work_is_waited_for(bench: Bench):
    """unattended-upgrades holds a lock for a while every day: that is no reason to stop an upgrade."""
    busy = """case "$*" in *Acquire::http::Timeout* | showhold) ;; *) if [ -e "$B/busy" ]; then
    rm "$B/busy"; echo 'E: Could not get lock /x/lock. It is held by process 7' >&2; exit 100; fi ;; esac"""
    for tool in ("apt-get", "apt-mark"):
        bench.tool(tool, f"{busy}\n{STUBS[tool]}")
    for attempt, verb in (("op-1", ("fetch", "1.35.4-1.1")), ("op-2", ("set-source", "v1.35")), ("op-3", ("hold",))):
        (bench.home / "busy").write_text("")
        end = bench.finish(attempt, *verb)
        assert (end.code, b"another package manager" in end.chunk) == (0, True)


def test_a_killed_installation_costs_no_hold(bench: Bench):
    """apt-get drops the hold of what it installs; whoever goes on afterwards holds it again."""
    bench.finish("op-1", "hold")
    (bench.home / "holds").write_text("")
    assert bench.finish("op-2", "install-kubelet", "1.34.7-1.1").code == 0
    assert set((bench.home / "holds").read_text().split()) == {"kubeadm", "kubelet", "kubectl"}


def test_a_package_that_is_half_installed_is_asked_for_again(bench: Bench):
    """dpkg was killed while it unpacked: to name the package is what mends it."""
    rows = (bench.home / "packages").read_text().replace("hi kubelet", "iHR kubelet")
    (bench.home / "packages").write_text(rows)
    bench.finish("op-1", "install-kubelet", "1.35.4-1.1")
    (install,) = [line for line in bench.log if line.startswith("apt-get install")]
    assert "kubelet=1.35.4-1.1" in install


def test_a_rollback_that_did_nothing_is_not_called_done(bench: Bench):
    """What counts is which kubelet is installed in the end."""
    bench.tool("apt-get", "")
    assert bench.finish("op-1", "roll-back-kubelet", "1.33.1-1.1").code == 70
    assert "systemctl restart kubelet" not in bench.log


def test_a_new_key_is_taken_back_with_the_source(bench: Bench):
    """A key that does not fit would cost the machine the source that it had."""
    ring = bench.file("/etc/apt/keyrings/k.gpg", "old")
    bench.file(
        "/etc/lockkeeper-node.conf", "KEY_URL=https://pkgs.example/Release.key\nKEYRING=/etc/apt/keyrings/k.gpg\n"
    )
    bench.tool("curl", """while [ "$1" != -o ]; do shift; done; printf '\\231new' >"$2" """)
    assert bench.finish("op-1", "set-source", "v1.35").code == 0
    assert ring.read_bytes() == b"\x99new"
    ring.write_text("old")
    (bench.home / "update.out").write_text("E: The repository is not signed.")
    (bench.home / "update.rc").write_text("100")
    assert bench.finish("op-2", "set-source", "v1.36").code == 69
    assert ring.read_text() == "old"


_KEPT = """for word; do case $word in Dir::Etc::SourceList=*) cat "${word#*=}" >>"$B/lists" ;; esac; done"""
_FETCHED = """while [ "$1" != -o ]; do shift; done; printf '\\231new' >"$2" """


@pytest.mark.parametrize("verb", ["offers", "fetch", "set-source"])
def test_the_key_is_refreshed_from_the_newest_minor_before_anything_is_checked_with_it(bench: Bench, verb: str):
    """One that has expired on the machine must not keep a plan from being made, nor a run from its packages."""
    bench.file("/etc/lockkeeper-node.conf", "KEY_URL=https://pkgs.example/MINOR/deb/Release.key\n")
    bench.tool("apt-get", f"{_KEPT}\n{STUBS['apt-get']}")
    bench.tool("curl", _FETCHED)
    match verb:
        case "offers":
            bench.answer("offers", "v1.35")
        case "fetch":
            assert bench.finish("op-1", "fetch", "1.35.4-1.1").code == 0
        case _:
            assert bench.finish("op-1", "set-source", "v1.35").code == 0
            assert (bench.root / "etc/apt/keyrings/k.gpg").read_bytes() == b"\x99new"
    assert any(line.endswith("https://pkgs.example/v1.35/deb/Release.key") for line in bench.log)
    if verb != "set-source":  # whose list is the machine's own, with the keyring that was just renewed
        assert "/fresh.gpg] https://pkgs.example/core:/stable:/v1.35/deb/ /" in (bench.home / "lists").read_text()


def test_a_way_back_is_checked_with_the_newest_key_as_well(bench: Bench):
    """Old minors publish a copy of the key that has expired."""
    bench.file("/etc/lockkeeper-node.conf", "KEY_URL=https://pkgs.example/MINOR/deb/Release.key\n")
    bench.tool("curl", _FETCHED)
    assert bench.finish("op-1", "roll-back-kubelet", "1.33.1-1.1").code == 0
    assert any(line.endswith("https://pkgs.example/v1.34/deb/Release.key") for line in bench.log)


def test_a_key_behind_a_proxy_comes_the_way_that_apt_goes(bench: Bench):
    """Nobody else on the machine need know of it."""
    bench.file("/etc/lockkeeper-node.conf", "KEY_URL=https://pkgs.example/Release.key\n")
    bench.tool("curl", "exit 7")
    helper = bench.file("/usr/lib/apt/apt-helper", """#!/bin/sh\nprintf '\\231%s' "$1 $2" >"$3"\n""")
    helper.chmod(0o755)
    assert bench.finish("op-1", "set-source", "v1.35").code == 0
    ring = bench.root / "etc/apt/keyrings/k.gpg"
    assert ring.read_bytes() == b"\x99download-file https://pkgs.example/Release.key"


def test_without_its_address_the_machines_own_key_is_asked(bench: Bench):
    """A site behind a wall goes on with what it has."""
    bench.file("/etc/lockkeeper-node.conf", "KEY_URL=https://pkgs.example/Release.key\n")
    bench.tool("apt-get", f"{_KEPT}\n{STUBS['apt-get']}")
    bench.tool("curl", "exit 6")
    bench.answer("offers", "v1.35")
    assert "signed-by=/etc/apt/keyrings/k.gpg" in (bench.home / "lists").read_text()


def test_a_page_in_place_of_the_key_changes_nothing(bench: Bench):
    """A proxy's log-in page, say, with the code 200."""
    ring = bench.file("/etc/apt/keyrings/k.gpg", "old")
    bench.file("/etc/lockkeeper-node.conf", "KEY_URL=https://pkgs.example/Release.key\n")
    bench.tool("curl", """while [ "$1" != -o ]; do shift; done; echo '<html>' >"$2" """)
    end = bench.finish("op-1", "set-source", "v1.35")
    assert (end.code, b"must be an OpenPGP key" in end.chunk) == (69, True)
    assert ring.read_text() == "old"
    assert (bench.root / LIST[1:]).read_text() == SOURCE


def test_a_disabled_source_is_none_and_each_source_has_its_own_key(bench: Bench):
    """In deb822 form, names in any case, the key before or after the address, or written out."""
    (bench.root / LIST[1:]).unlink()
    uri = "https://pkgs.k8s.io/core:/stable:"
    text = (
        f"Types: deb\nURIs: {uri}/v1.32/deb/\nSuites: /\nenabled: No\nSigned-By: /a.gpg\n\n"
        f"Types: deb\nsigned-by: /b.gpg\nuris: {uri}/v1.33/deb/\nSuites: /\n\n"
        f"Types: deb\n# Signed-By: /c.gpg\nURIs: {uri}/v1.34/deb/\nSuites: /\nSigned-By:\n -----BEGIN PGP\n /d\n"
    )
    bench.file("/etc/apt/sources.list.d/kubernetes.sources", text)
    rows = [line.split()[2:] for line in bench.answer("observe").splitlines() if line.startswith("source ")]
    assert rows == [[uri, "v1.33", "/b.gpg"], [uri, "v1.34", "-"]]


@pytest.mark.parametrize("before", [(), ("kubeadm", "kubectl", "kubelet"), ("cri-tools", "kubelet")])
def test_holds_are_afterwards_as_they_were_before(bench: Bench, before: tuple[str, ...]):
    """Whatever the owner held, also after a second `hold` of a retried operation."""
    (bench.home / "holds").write_text("".join(f"{p}\n" for p in before))
    bench.finish("op-1", "hold")
    bench.finish("op-2", "hold")
    held = set((bench.home / "holds").read_text().split())
    assert held >= {"kubeadm", "kubelet", "kubectl"}
    assert bench.finish("op-3", "unhold").code == 0
    assert set((bench.home / "holds").read_text().split()) == set(before)
    assert b"no holds to restore" in bench.finish("op-4", "unhold").chunk


def test_nothing_else_asks_or_restarts_while_packages_are_installed(bench: Bench):
    """needrestart would restart the runtime under its pods, and a question would wait for ever."""
    bench.tool("apt-get", f"""echo "$DEBIAN_FRONTEND $NEEDRESTART_MODE" >>"$B/env"\n{STUBS["apt-get"]}""")
    assert bench.finish("op-1", "install-kubelet", "1.35.4-1.1").code == 0
    assert set((bench.home / "env").read_text().splitlines()) == {"noninteractive l"}
    (install,) = [line for line in bench.log if line.startswith("apt-get install")]
    assert "--force-confdef" in install
    assert "--force-confold" in install


def test_what_is_not_installed_is_neither_held_nor_released(bench: Bench):
    """kubectl is optional on a node, and apt-mark fails on a package that it does not know."""
    rows = (bench.home / "packages").read_text().replace("hi kubectl 1.34.7-1.1\n", "")
    (bench.home / "packages").write_text(rows)
    assert bench.finish("op-1", "hold").code == 0
    assert bench.finish("op-2", "unhold").code == 0
    assert not [line for line in bench.log if line.startswith("apt-mark") and "kubectl" in line]


def test_a_failed_install_leaves_the_holds(bench: Bench):
    """The trap restores them on every way out, and the exit code is apt's."""
    (bench.home / "holds").write_text("kubeadm\nkubelet\n")
    bench.tool("apt-get", ': >"$B/holds"; exit 100')
    assert bench.finish("op-1", "install-kubelet", "1.35.4-1.1").code == 100
    assert set((bench.home / "holds").read_text().split()) == {"kubeadm", "kubelet"}


def test_an_installed_version_is_not_installed_again(bench: Bench):
    """A step that took effect before is quick and changes nothing."""
    assert bench.finish("op-1", "install-kubeadm", "1.35.4-1.1").code == 0
    assert bench.finish("op-2", "install-kubeadm", "1.35.4-1.1").code == 0
    assert bench.finish("op-3", "install-kubelet", "1.34.7-1.1").code == 0
    installs = [line for line in bench.log if line.startswith("apt-get install")]
    assert len(installs) == 1
    assert "kubeadm=1.35.4-1.1" in installs[0]


def test_another_kubeadm_on_the_path_is_noticed(bench: Bench):
    """What counts is what kubeadm says of itself, not what its package says."""
    bench.tool("kubeadm", "echo v1.33.1")
    end = bench.finish("op-1", "install-kubeadm", "1.35.4-1.1")
    assert end.code == 70
    assert b"'v1.33.1' and not v1.35.4" in end.chunk


def test_rolling_a_kubelet_back_uses_a_throw_away_list(bench: Bench):
    """The machine's source is a minor ahead by then, and stays there."""
    bench.finish("op-1", "install-kubelet", "1.35.4-1.1")
    assert bench.finish("op-2", "roll-back-kubelet", "1.34.7-1.1").code == 0
    assert "kubelet 1.34.7-1.1" in (bench.home / "packages").read_text()
    back = [line for line in bench.log if "--allow-downgrades" in line]
    assert len(back) == 1
    assert "SourceParts=/dev/null" in back[0]
    assert "systemctl restart kubelet" in bench.log
