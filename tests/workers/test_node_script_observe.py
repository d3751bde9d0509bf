"""`observe` tells every fact that a plan needs, and says of each what could not be read."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from cluster.facts import EtcdTool, MachineFacts, Package, PackageSource
from cluster.packages import PackageLock
from cluster.versions import Minor, ReportedVersion
from tests.workers.node_bench import RECORDINGS, Bench, make_bench
from workers.node_script.lines import UnreadableAnswer
from workers.node_script.survey import parse_facts, parse_offers


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path / "m")
    bench.control_plane()
    bench.file("/proc/sys/kernel/hostname", "cp1\n")
    bench.file("/proc/sys/kernel/osrelease", "6.1.0-27-amd64\n")
    bench.file("/proc/swaps", "Filename Type Size\n")
    bench.file("/proc/locks", "1: POSIX  ADVISORY  WRITE 77 fe:01:99 0 EOF\n")
    bench.file("/etc/os-release", 'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\n')
    bench.file("/sys/fs/cgroup/cgroup.controllers", "cpu")
    bench.file("/var/lib/kubelet/kubeadm-flags.env", 'KUBELET_KUBEADM_ARGS="--pod-infra-container-image=x --a=b"\n')
    bench.file("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--v=2\n")
    bench.file("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n")
    (bench.home / "holds").write_text("kubeadm\nkubelet\n")
    return bench


def _facts(bench: Bench) -> MachineFacts:
    return parse_facts(bench.answer("observe"))


def test_a_healthy_control_plane_tells_everything(bench: Bench):
    """Every fact has its value, and nothing is left unread."""
    facts = _facts(bench)
    assert facts.unread == ()
    assert (facts.hostname, facts.os, facts.kernel, facts.cgroup) == ("cp1", "debian 12", "6.1.0-27-amd64", "v2")
    assert (facts.control_plane, facts.swap, facts.boot_id, facts.fence) == (True, False, "boot-one", 0)
    assert facts.package("kubelet") == Package("kubelet", "1.34.7-1.1", "hi")
    assert facts.held == ("kubeadm", "kubelet")
    assert facts.kubeadm == facts.kubelet == facts.kubectl == ReportedVersion.parse("v1.34.7")
    assert facts.kubelet_unit is not None
    assert (facts.kubelet_unit.active, facts.kubelet_unit.restarts) == (True, 1)
    assert [m.component for m in facts.manifests] == [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ]
    assert facts.manifests[1].tag == "v1.34.7"
    assert facts.sources == (
        PackageSource(
            "/etc/apt/sources.list.d/kubernetes.list",
            "https://pkgs.example/core:/stable:",
            Minor(1, 34),
            "/etc/apt/keyrings/k.gpg",
        ),
    )
    assert facts.kubelet_flags == "--pod-infra-container-image=x --a=b"
    assert facts.kubelet_extra_args == "--v=2"
    assert facts.etcdctl is EtcdTool.HOST
    assert (facts.dpkg_problem, facts.package_locks) == ("", ())
    room = facts.room_of("/var/lib/etcd")
    assert room is not None
    assert 0 < room.free_kib <= room.total_kib


def test_what_cannot_be_read_is_said_with_its_reason(bench: Bench):
    """A tool that fails and a file that is gone are no absences."""
    bench.tool("apt-mark", "echo 'E: locked' >&2; exit 100")
    bench.tool("kubeadm", "echo broken; exit 1")
    bench.tool("systemctl", "echo 'Failed to connect to bus' >&2; exit 1")
    (bench.root / "proc/swaps").unlink()
    facts = _facts(bench)
    reasons = {u.what: u.reason for u in facts.unread}
    assert set(reasons) == {"holds", "kubeadm", "kubelet-unit", "swap", "certificates"}
    assert reasons["holds"] == "E: locked"
    assert (facts.held, facts.kubeadm, facts.kubelet_unit, facts.swap) == (None, None, None, None)


def test_a_tool_that_hangs_is_something_unread_and_no_hanging_survey(bench: Bench):
    """Whichever tool it is: the others are asked all the same, and nothing is taken for clean."""
    for tool in ("dpkg-query", "apt-mark", "dpkg", "kubeadm", "kubelet", "kubectl", "systemctl", "apt-cache", "gpg"):
        bench.tool(tool, "exec sleep 60")
    for tool in ("crictl", "containerd", "etcdctl", "df", "du"):
        bench.tool(tool, "exec sleep 60")
    bench.hurry(0.1)
    facts = _facts(bench)
    reasons = {u.what: u.reason for u in facts.unread}
    assert {"packages", "holds", "dpkg", "kubeadm", "kubelet", "kubectl", "kubelet-unit", "arch"} <= set(reasons)
    assert {"runtime", "origins", "key", "disk", "etcd-size", "etcd-status", "certificates"} <= set(reasons)
    assert "did not answer within 0.1 s" in reasons["packages"]
    assert (facts.dpkg_problem, facts.held) == ("", None)


def test_residue_and_traps_are_found(bench: Bench):
    """Stray and missing manifests, pins, interrupted package work, unattended upgrades."""
    bench.file("/etc/kubernetes/manifests/kube-apiserver.yaml.bak")
    (bench.root / "etc/kubernetes/manifests/kube-scheduler.yaml").unlink()
    bench.file("/etc/apt/preferences.d/kubernetes", "Package: kube*\nPin: version 1.34.*\nPin-Priority: 1001\n")
    bench.file("/etc/apt/apt.conf.d/20auto-upgrades", 'APT::Periodic::Unattended-Upgrade "1";\n')
    (bench.home / "audit").write_text("The following packages are only half configured:\n kubelet\n")
    facts = _facts(bench)
    assert facts.stray_manifests == ("kube-apiserver.yaml.bak",)
    assert facts.missing_manifests == ("kube-scheduler",)
    assert facts.pins == ("/etc/apt/preferences.d/kubernetes",)
    assert facts.unattended_upgrades
    assert facts.dpkg_problem == "The following packages are only half configured: kubelet"


_NO_SUMS = (
    "The following packages are missing the md5sums control file in the\ndatabase, they need to be reinstalled:\n"
    " agent                Somebody's agent\n\n"
    "The following packages have an unknown foreign architecture, which will\ncause dependency issues on front-ends. "
    "This can be fixed by registering\nthe foreign architecture with dpkg --add-architecture:\n agent:i386\n\n"
)
_HALF = (
    "The following packages are only half configured, probably due to problems\nconfiguring them the first time.  "
    "The configuration should be retried using\ndpkg --configure <package> or the configure menu option in dselect:\n"
    " kubelet              For any architecture\n\n"
)


def test_what_dpkg_misses_of_a_package_for_ever_is_no_interrupted_work(bench: Bench):
    """Makers leave out checksums; nothing was interrupted, and `dpkg --configure -a` would not end it."""
    (bench.home / "audit").write_text(_NO_SUMS)
    assert _facts(bench).dpkg_problem == ""
    (bench.home / "audit").write_text(_NO_SUMS + _HALF)
    assert _facts(bench).dpkg_problem.startswith("The following packages are only half configured")
    assert "kubelet For any architecture" in _facts(bench).dpkg_problem
    many = "".join(f" package{n}            One of many\n" for n in range(40))
    (bench.home / "audit").write_text(
        _HALF.rstrip() + f"\n{many}\nThe following packages are only half installed:\n x\n"
    )
    assert "half installed" in _facts(bench).dpkg_problem, "what comes last decides whether the run may go on"


def test_the_administrators_kubeconfig_makes_no_control_plane(bench: Bench):
    """It lies on many a worker; what kubeadm wrote for a controller manager does not."""
    for path in (bench.root / "etc/kubernetes/manifests").iterdir():
        path.unlink()
    assert (_facts(bench).control_plane, len(_facts(bench).missing_manifests)) == (True, 4)
    (bench.root / "etc/kubernetes/controller-manager.conf").unlink()
    assert (_facts(bench).control_plane, _facts(bench).missing_manifests) == (False, ())
    assert bench.finish("op-1", "repair").code == 0


@pytest.mark.parametrize(
    ("servers", "missing"),
    [("https://10.0.0.5:2379,https://10.0.0.6:2379", ()), ("https://127.0.0.1:2379", ("etcd",)), ("", ("etcd",))],
)
def test_an_etcd_elsewhere_misses_no_manifest(bench: Bench, servers: str, missing: tuple[str, ...]):
    """The API server's own flag tells whose etcd it asks; repair leaves an external one alone as well."""
    manifests = bench.root / "etc/kubernetes/manifests"
    (manifests / "etcd.yaml").unlink()
    api = manifests / "kube-apiserver.yaml"
    if servers:
        api.write_text(api.read_text().replace("    image:", f"    - --etcd-servers={servers}\n    image:"))
    assert _facts(bench).missing_manifests == missing
    assert bench.finish("op-1", "repair").code == (66 if missing else 0)


def test_the_room_of_etcd_is_that_of_its_own_folder(bench: Bench):
    """Whoever moved its data has it measured there."""
    etcd = bench.root / "etc/kubernetes/manifests/etcd.yaml"
    etcd.write_text(etcd.read_text().replace("    image:", "    - --data-dir=/data/etcd\n    image:"))
    bench.file("/data/etcd/member/snap/db", "x" * 400_000)
    facts = _facts(bench)
    assert facts.room_of("/data/etcd") is not None
    assert facts.room_of("/var/lib/etcd") is None
    assert facts.snapshots is not None
    assert facts.snapshots.place == "/var/lib/lockkeeper/snapshots"
    assert facts.snapshot_export is True
    assert 0 < facts.snapshots.free_kib <= facts.snapshots.total_kib
    assert facts.etcd_size_kib is not None
    assert facts.etcd_size_kib >= 390


def test_a_disk_that_cannot_be_asked_hides_no_other(bench: Bench):
    """All are asked by one look; where that fails, each by itself."""
    whole = {r.place: r for r in _facts(bench).room}
    bench.tool("df", 'case "$*" in *var/lib/etcd*) exec sleep 60 ;; esac; exec /bin/df "$@"')
    bench.hurry(0.3)
    facts = _facts(bench)
    assert {r.place for r in facts.room} == whole.keys() - {"/var/lib/etcd"}
    assert "/etc/kubernetes" in whole
    assert any(u.what == "disk" and "/var/lib/etcd" in u.reason for u in facts.unread)


def test_a_worker_has_no_manifests_and_misses_none(tmp_path: Path):
    """On a worker an absent control plane is no finding."""
    facts = _facts(make_bench(tmp_path / "w"))
    assert (facts.control_plane, facts.manifests, facts.missing_manifests) == (False, (), ())
    assert facts.etcdctl is EtcdTool.NONE


def test_facts_survive_their_storage(bench: Bench):
    """The survey keeps them as JSON."""
    facts = _facts(bench)
    adapter = TypeAdapter(MachineFacts)
    assert adapter.validate_json(adapter.dump_json(facts)) == facts


def test_a_cut_answer_is_never_taken_for_a_whole_one(bench: Bench):
    """Half a list of holds would be a lie."""
    text = bench.answer("observe")
    with pytest.raises(UnreadableAnswer, match="is cut"):
        parse_facts(text[: len(text) // 2])
    with pytest.raises(UnreadableAnswer, match="is cut"):
        parse_offers("offer v1.35 kubeadm 1.35.4-1.1\n", (Minor(1, 35),))


@pytest.mark.parametrize("line", ["runtime containerd", "time 99999999999999999999", "fence ?", "package kubeadm"])
def test_a_garbled_line_costs_one_machine_and_not_the_survey_of_all(bench: Bench, line: str):
    """It is said of that machine."""
    name, _, _ = line.partition(" ")
    kept = "".join(f"{told}\n" for told in bench.answer("observe").splitlines() if not told.startswith(f"{name} "))
    with pytest.raises(UnreadableAnswer, match="cannot be read"):
        parse_facts(f"{line}\n{kept}")


def test_a_warning_of_sudo_is_no_fact(bench: Bench):
    """sudo speaks on the same stream before the script does."""
    text = "sudo: unable to resolve host cp1: Name or service not known\n" + bench.answer("observe")
    assert parse_facts(text).hostname == "cp1"


def test_a_journal_of_dpkg_that_is_not_merged_counts_as_interrupted(bench: Bench):
    """The audit says nothing of it, and yet apt-get refuses to work until it is repaired."""
    bench.file("/var/lib/dpkg/updates/0003", "Package: kubelet\n")
    assert "journal" in _facts(bench).dpkg_problem
    bench.finish("op-1", "repair")
    assert "dpkg --configure -a --force-confdef --force-confold" in bench.log


@pytest.mark.parametrize(
    ("line", "on"),
    [
        ('APT::Periodic::Unattended-Upgrade "1";', True),
        ('APT::Periodic { Unattended-Upgrade "7"; };', True),
        ('APT::Periodic::Unattended-Upgrade "0";', False),
        ('//APT::Periodic::Unattended-Upgrade "1";', False),
    ],
)
def test_unattended_upgrades_are_noticed_in_whichever_file_of_apt(bench: Bench, line: str, on: bool):  # noqa: FBT001 - a table
    """Owners set it in a file of their own as often as in Debian's."""
    bench.file("/etc/apt/apt.conf.d/99local", line + "\n")
    assert _facts(bench).unattended_upgrades is on


_APT_LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)


def _hold(bench: Bench, pid: int, path: str, *, waits: str = "") -> str:
    """A row of /proc/locks for that file."""
    return f"7: {waits}POSIX  ADVISORY  WRITE {pid} fe:01:{bench.file(path).stat().st_ino} 0 EOF\n"


@pytest.mark.parametrize("path", _APT_LOCKS)
def test_whoever_holds_a_lock_of_apt_is_told_with_its_name_and_age(bench: Bench, path: str):
    """By the kernel's own table: no lock is tried, and one that only waits for it holds nothing."""
    bench.file("/proc/locks", _hold(bench, 4242, path) + _hold(bench, 4243, path, waits="-> "))
    bench.file("/proc/uptime", "9000.50 1.00\n")
    bench.file("/proc/4242/comm", "apt get\n")
    bench.file("/proc/4242/stat", f"4242 (apt get) S {'0 ' * 18}840000 0\n")
    assert _facts(bench).package_locks == (PackageLock(path, 4242, 600, "apt get"),)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="this kernel tells nobody who holds locks")
def test_a_real_lock_is_told_by_the_real_kernel(bench: Bench):
    """Taken as apt takes it, by this very process; gone with it."""
    path = bench.file("/var/lib/dpkg/lock-frontend")
    for name in ("locks", "uptime", str(os.getpid())):
        (bench.root / "proc" / name).unlink(missing_ok=True)
        (bench.root / "proc" / name).symlink_to(f"/proc/{name}")
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        (lock,) = _facts(bench).package_locks or ()
    assert (lock.file, lock.pid) == ("/var/lib/dpkg/lock-frontend", os.getpid())
    assert lock.command in Path("/proc/self/comm").read_text()
    assert lock.seconds is not None
    assert 0 <= lock.seconds < 24 * 3600
    assert _facts(bench).package_locks == ()


@pytest.mark.parametrize(("opened", "held"), [("lock-frontend", 1), ("other", 0)])
def test_a_file_of_the_same_number_on_another_disk_is_no_lock_of_apt(bench: Bench, opened: str, held: int):
    """Where it can be seen what the process has open, that decides."""
    bench.file("/proc/locks", _hold(bench, 4242, "/var/lib/dpkg/lock-frontend"))
    (bench.root / "proc/4242/fd").mkdir(parents=True)
    (bench.root / "proc/4242/fd/3").symlink_to(bench.root / "var/lib/dpkg" / opened)
    assert len(_facts(bench).package_locks or ()) == held


@pytest.mark.parametrize("pid", [0, -1])
def test_a_holder_that_does_not_show_is_told_all_the_same(bench: Bench, pid: int):
    """It may live in a container, or hold its lock by an open file and not as a process."""
    bench.file("/proc/locks", _hold(bench, pid, "/var/lib/dpkg/lock"))
    assert _facts(bench).package_locks == (PackageLock("/var/lib/dpkg/lock", 0),)


def test_locks_that_nobody_could_look_at_are_unread_and_not_free(bench: Bench):
    """Nor does an older script tell that there are none."""
    (bench.root / "proc/locks").unlink()
    facts = _facts(bench)
    assert facts.package_locks is None
    assert "package-locks" in {u.what for u in facts.unread}
    older = bench.answer("observe").replace("tells 4", "tells 2")
    assert any("locks of its packages" in u.what and "older" in u.reason for u in parse_facts(older).unread)


_APPLETS = (
    "awk", "basename", "cut", "date", "df", "du", "env", "find", "grep", "head", "id", "ls", "sed", "sha256sum",
    "sort", "stat", "tail", "timeout", "tr", "wc",
)  # fmt: skip


@pytest.mark.skipif(not shutil.which("busybox"), reason="install busybox to run the node script with it")
def test_busybox_tells_the_same_facts(bench: Bench):
    """A small machine has its shell and its tools; what they answer is the same to the letter."""
    bench.file("/etc/containerd/config.toml", "  sandbox_image = 'registry.k8s.io/pause:3.10.1'\n")
    bench.file("/etc/systemd/system/kubelet.service.d/20.conf", "[Service]\nEnvironment=X=--v=4\n")
    bench.file("/etc/apt/preferences.d/kubernetes", "Package: kube*\nPin: version 1.34.*\nPin-Priority: 1001\n")
    bench.file("/var/lib/kubelet/config.yaml", "featureGates:\n  Foo: true\n")
    bench.program("upgrade", f"cat {RECORDINGS}/machines/drift-05-diff.stdout")
    bench.file("/proc/locks", _hold(bench, 4242, "/var/lib/dpkg/lock"))
    bench.file("/proc/uptime", "9000.50 1.00\n")
    bench.file("/proc/4242/stat", f"4242 (apt get) S {'0 ' * 18}840000 0\n")
    usual = _told(["/bin/sh", str(bench.script), "observe"])
    for applet in _APPLETS:
        (bench.home / "tools" / applet).symlink_to(str(shutil.which("busybox")))
    assert _told(["busybox", "sh", str(bench.script), "observe"]) == usual


def _told(argv: list[str]) -> list[str]:
    """Without what differs from one moment to the next."""
    done = subprocess.run(argv, capture_output=True, check=True, text=True, timeout=100)
    return [
        line for line in done.stdout.splitlines() if line.split()[0] not in {"time", "disk", "snapshots", "etcd-size"}
    ]


def test_a_brief_look_tells_what_the_steps_of_a_run_ask_for(bench: Bench):
    """The same as the whole one of these; it calls fewer than half as many tools."""
    (bench.root / "etc/kubernetes/manifests/kube-scheduler.yaml").unlink()

    def ask(*words: str) -> tuple[list[object], int]:
        before = len(bench.log)
        facts = parse_facts(bench.answer("observe", *words))
        asked = [facts.boot_id, facts.fence, facts.packages, facts.held, facts.dpkg_problem, facts.sources]
        asked += [facts.kubeadm, facts.kubelet, facts.kubelet_unit, facts.missing_manifests, facts.reboot_required]
        return asked, len(bench.log) - before

    (whole, tools), (brief, fewer) = ask(), ask("briefly")
    assert brief == whole
    assert brief[9] == ("kube-scheduler",)
    assert fewer * 2 < tools
