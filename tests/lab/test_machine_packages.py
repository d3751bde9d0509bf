"""apt and dpkg of the lab's machines, held against recordings of real ones."""

import time

import pytest

from lab.packages import Trust
from lab.world import World
from tests.machine_fixture import SPEED, Bench, plain, recorded

LIST = "/etc/apt/sources.list.d/kubernetes.list"


@pytest.fixture
def bench():
    with World.start("small", speed=SPEED) as world:
        bench = Bench(world)
        yield bench
        bench.close()


def set_minor(bench: Bench, minor: str) -> None:
    machine = bench.world.machines["w1"]
    machine.write(LIST, machine.read(LIST).replace("/v1.34/", f"/{minor}/"))


def test_a_repository_that_cannot_be_reached_is_a_mere_warning(bench):
    """apt-get update exits 0 and keeps the old lists."""
    bench.world.site.repository.reachable = False
    answer = bench.run("w1", "sudo -n apt-get update")
    want = recorded("apt-update-repo-down")
    assert (answer.code, plain(answer.out), plain(answer.err)) == (0, want.out.replace("v1.34", "v1.34"), want.err)
    assert "1.34.7-1.1" in bench.ok("w1", "apt-cache madison kubeadm")


def test_a_minor_that_does_not_exist_exits_100(bench):
    set_minor(bench, "v1.37")
    answer = bench.run("w1", "apt-get update")
    assert answer.code == 100
    assert plain(answer.err) == recorded("apt-update-minor-missing").err


def test_a_missing_key_exits_100(bench):
    set_minor(bench, "v1.35")
    bench.world.machines["w1"].path("/etc/apt/keyrings/kubernetes-apt-keyring.gpg").unlink()
    answer = bench.run("w1", "apt-get update")
    want = recorded("apt-update-no-key")
    assert (answer.code, plain(answer.out), plain(answer.err)) == (100, want.out, want.err)


def test_an_expired_key_is_named(bench):
    bench.world.site.repository.trust["v1.34"] = Trust.EXPIRED
    answer = bench.run("w1", "apt-get update")
    assert answer.code == 100
    assert "EXPKEYSIG" in answer.err


def test_held_packages_do_not_move(bench):
    """-y alone does not change a hold, and the words are apt's."""
    set_minor(bench, "v1.35")
    bench.ok("w1", "apt-get update")
    answer = bench.run("w1", "apt-get install -y kubeadm='1.35.4-*'")
    want = recorded("apt-install-held")
    assert (answer.code, answer.err) == (100, want.err)
    assert answer.out.splitlines()[:7] == want.out.splitlines()[:7]
    assert bench.ok("w1", "kubeadm version -o short") == "v1.34.7\n"


def test_a_version_that_is_not_offered_is_not_found(bench):
    answer = bench.run("w1", "apt-get install -y kubeadm=1.35.4-1.1")
    assert (answer.code, answer.err) == (100, recorded("apt-install-version-missing").err)


def test_an_update_and_an_install_change_the_programs(bench):
    set_minor(bench, "v1.35")
    bench.ok("w1", "apt-get update && apt-mark unhold kubelet kubectl")
    bench.ok("w1", "apt-get install -y kubelet='1.35.4-*' kubectl='1.35.4-*'")
    assert bench.ok("w1", "kubelet --version") == "Kubernetes v1.35.4\n"
    assert bench.ok("w1", "apt-mark showhold") == "kubeadm\n"
    shown = bench.ok("w1", "systemctl show kubelet -p NeedDaemonReload,ActiveState; systemctl daemon-reload")
    assert shown == "ActiveState=active\nNeedDaemonReload=yes\n"
    assert "NeedDaemonReload=no" in bench.ok("w1", "systemctl show kubelet -p NeedDaemonReload")


def test_a_downgrade_needs_to_be_allowed(bench):
    bench.ok("w1", "apt-mark unhold kubelet && apt-get update")
    refused = bench.run("w1", "apt-get install -y kubelet=1.34.6-1.1")
    assert refused.code == 100
    bench.ok("w1", "apt-get install -y --allow-downgrades kubelet=1.34.6-1.1")
    assert bench.ok("w1", "kubelet --version") == "Kubernetes v1.34.6\n"


def test_a_throw_away_list_touches_nothing_of_the_machine(bench):
    """Packages of the next minor are listed and fetched, and the machine's own lists stay what they are."""
    own = "-o Dir::Etc::SourceList=$HOME/next.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$HOME/lists"
    bench.ok("w1", f"sed s#/v1.34/#/v1.36/# {bench.world.machines['w1'].root}{LIST} >$HOME/next.list")
    before = bench.ok("w1", "apt-cache madison kubeadm")
    bench.ok("w1", f"apt-get update {own}")
    assert "1.36.2-1.1" in bench.ok("w1", f"apt-cache madison kubeadm {own}")
    bench.ok("w1", f"apt-get install -y -d --allow-change-held-packages {own} kubeadm=1.36.2-1.1")
    assert bench.ok("w1", "apt-cache madison kubeadm") == before
    archive = bench.world.machines["w1"].path("/var/cache/apt/archives/kubeadm_1.36.2-1.1_amd64.deb")
    bench.ok("w1", f"dpkg-deb -x {archive} $HOME/unpacked")
    assert (
        bench.ok("w1", "$HOME/unpacked/usr/bin/kubeadm version -o short; kubeadm version -o short")
        == "v1.36.2\nv1.34.7\n"
    )


def test_a_held_lock_is_waited_for_and_then_named(bench):
    bench.ok("w1", "apt-mark unhold kubelet && apt-get update")
    bench.world.machines["w1"].faults.dpkg_held_by = "unattended-upgr"
    answer = bench.run("w1", "apt-get install -y -o DPkg::Lock::Timeout=5 --allow-downgrades kubelet=1.34.6-1.1")
    assert answer.code == 100
    assert "It is held by process 4242 (unattended-upgr)" in answer.err


def test_an_apt_that_is_killed_leaves_dpkg_interrupted():
    """Whoever kills apt between unpacking and configuring finds what dpkg itself says."""
    with World.start("small", speed=1) as world:  # at real speed there is time to kill it
        bench = Bench(world)
        machine = world.machines["w1"]
        bench.ok("w1", "apt-mark unhold kubelet && apt-get update")
        bench.ok("w1", "systemd-run --unit=victim -- apt-get install -y --allow-downgrades kubelet=1.34.6-1.1")
        end = time.monotonic() + 20
        while not machine.packages.interrupted() and time.monotonic() < end:
            time.sleep(0.001)
        bench.ok("w1", "systemctl kill -s KILL victim")
        assert bench.ok("w1", "kubelet --version") == "Kubernetes v1.34.6\n"
        assert "not yet configured" in bench.ok("w1", "dpkg --audit")
        refused = bench.run("w1", "apt-get install -y kubectl")
        assert refused.code == 100
        assert "dpkg was interrupted" in refused.err
        bench.ok("w1", "dpkg --configure -a")
        assert bench.ok("w1", "dpkg --audit") == ""
        bench.close()


@pytest.mark.parametrize("command", ["apt-get frobnicate", "apt-get install --no-such kubeadm", "dpkg --purge kubeadm"])
def test_what_the_real_tool_would_not_take_is_refused(bench, command):
    assert bench.run("w1", command).code in {2, 100}
