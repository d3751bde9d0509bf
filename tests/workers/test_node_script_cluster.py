"""kubeadm, kubelet and etcd on the machine: the guards that kubeadm itself does not have."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.workers.node_bench import Bench, make_bench
from workers.node_script.survey import parse_facts

SKIPPED = 'echo "[upgrade/control-plane] Skipping phase. Not a control plane node."'


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path / "m")
    bench.control_plane()
    return bench


def _install(bench: Bench, version: str) -> None:
    rows = (bench.home / "packages").read_text()
    (bench.home / "packages").write_text(rows.replace("kubeadm 1.34.7", f"kubeadm {version}"))


def _kubeadm_writes(bench: Bench, version: str) -> None:
    manifest = f"{bench.root}/etc/kubernetes/manifests/kube-apiserver.yaml"
    bench.program("upgrade", f"sed -i s/v1.34.7/{version}/ {manifest}")


@pytest.mark.parametrize(
    "verb", [("plan", "v1.35.4"), ("apply", "v1.35.4"), ("upgrade-node", "control-plane", "v1.35.4")]
)
def test_another_kubeadm_than_the_plans_is_refused(bench: Bench, verb: tuple[str, ...]):
    """An old kubeadm plans a newer target with exit 0: the script asks for its version first."""
    end = bench.finish("op-1", *verb)
    assert end.code == 70
    assert b"'v1.34.7' and not v1.35.4" in end.chunk
    assert not [line for line in bench.log if line.startswith("kubeadm upgrade")]


@pytest.mark.parametrize("verb", [("apply", "v1.35.4"), ("upgrade-node", "control-plane", "v1.35.4")])
def test_a_control_plane_with_a_missing_manifest_is_not_taken_for_a_worker(bench: Bench, verb: tuple[str, ...]):
    """kubeadm would skip it silently with exit 0."""
    _install(bench, "1.35.4")
    (bench.root / "etc/kubernetes/manifests/kube-apiserver.yaml").unlink()
    end = bench.finish("op-1", *verb)
    assert end.code == 70
    assert b"run 'repair' first" in end.chunk


def test_a_skipped_control_plane_is_an_error(bench: Bench):
    """kubeadm's own words are read, whatever its exit code."""
    _install(bench, "1.35.4")
    bench.program("upgrade", SKIPPED)
    assert bench.finish("op-1", "upgrade-node", "control-plane", "v1.35.4").code == 70


def test_a_worker_may_skip_what_it_does_not_have(tmp_path: Path):
    """The same words are right on a worker; its version is still checked."""
    bench = make_bench(tmp_path / "w")
    _install(bench, "1.35.4")
    bench.program("upgrade", SKIPPED)
    assert bench.finish("op-1", "upgrade-node", "worker", "v1.35.4").code == 0
    assert bench.finish("op-2", "upgrade-node", "worker", "v1.36.0").code == 70


def test_a_worker_in_name_only_is_refused(bench: Bench):
    """A machine with control-plane manifests is never upgraded as a worker."""
    _install(bench, "1.35.4")
    assert bench.finish("op-1", "upgrade-node", "worker", "v1.35.4").code == 70


def test_upgrade_node_before_apply_is_noticed(bench: Bench):
    """kubeadm re-applies the old version with exit 0; the manifest shows it."""
    _install(bench, "1.35.4")
    bench.program("upgrade", "exit 0")
    end = bench.finish("op-1", "upgrade-node", "control-plane", "v1.35.4")
    assert end.code == 70
    assert b"says v1.34.7 and not v1.35.4" in end.chunk


def test_apply_passes_the_patches_of_the_settings(bench: Bench):
    """Without them every patched manifest would revert; a folder that is missing stops it."""
    _install(bench, "1.35.4")
    _kubeadm_writes(bench, "v1.35.4")
    bench.file("/etc/lockkeeper-node.conf", "PATCHES_DIR=/etc/kubernetes/patches\n")
    assert bench.finish("op-1", "apply", "v1.35.4").code == 66
    (bench.root / "etc/kubernetes/patches").mkdir()
    assert bench.finish("op-2", "apply", "v1.35.4").code == 0
    assert f"kubeadm upgrade apply -y v1.35.4 --patches {bench.root}/etc/kubernetes/patches" in bench.log


@pytest.mark.parametrize("verb", [("apply", "v1.35.4"), ("upgrade-node", "control-plane", "v1.35.4")])
def test_kubeadms_own_configuration_is_passed_on_where_there_is_one(bench: Bench, verb: tuple[str, ...]):
    """In the place of flags that it does not go with; what it says stays kubeadm's matter."""
    _install(bench, "1.35.4")
    _kubeadm_writes(bench, "v1.35.4")
    bench.file("/etc/lockkeeper-node.conf", "UPGRADE_CONFIG=/etc/kubernetes/upgrade.yaml\n")
    end = bench.finish("op-1", *verb)
    assert (end.code, b"is missing" in end.chunk) == (66, True)
    path = bench.file("/etc/kubernetes/upgrade.yaml", "apply: {patches: {directory: /etc/kubernetes/patches}}\n")
    path.chmod(0o644)
    assert bench.finish("op-2", *verb).code == 0
    assert any(line.endswith(f"--config {path}") and "--patches" not in line for line in bench.log)


def test_a_configuration_that_kubeadm_would_not_take_or_that_forces_is_refused(bench: Bench):
    """Before anything is changed."""
    bench.file("/etc/lockkeeper-node.conf", "UPGRADE_CONFIG=/etc/kubernetes/upgrade.yaml\n")
    forms = ("apply: {forceUpgrade: true}\n", '{"apply": {"forceUpgrade": true}}\n', "apply:\n  'forceUpgrade' : Yes\n")
    for number, text in enumerate(forms):
        bench.file("/etc/kubernetes/upgrade.yaml", text).chmod(0o644)
        assert b"forceUpgrade" in bench.finish(f"op-f{number}", "apply", "v1.34.7").chunk
    bench.file("/etc/kubernetes/upgrade.yaml", "# forceUpgrade: true\nnode:\n  dryRun: true\n").chmod(0o644)
    assert b"would change nothing" in bench.finish("op-d", "upgrade-node", "control-plane", "v1.34.7").chunk
    bench.file("/etc/kubernetes/upgrade.yaml", "apply: {}\n").chmod(0o666)
    assert b"could be changed by others" in bench.finish("op-2", "apply", "v1.34.7").chunk
    bench.file("/etc/kubernetes/upgrade.yaml", "apply: {}\n").chmod(0o644)
    _install(bench, "1.30.4")
    assert b"takes no UpgradeConfiguration" in bench.finish("op-3", "apply", "v1.30.4").chunk
    assert not [line for line in bench.log if line.startswith("kubeadm upgrade")]
    bench.file("/etc/lockkeeper-node.conf", "UPGRADE_CONFIG=/a.yaml\nPATCHES_DIR=/etc/kubernetes/patches\n")
    assert bench.run("observe").returncode == 78


def test_what_kubeadms_own_configuration_leaves_out_is_observed(bench: Bench):
    """Lists in one line and in several, each once; comments and empty ones are none."""
    bench.file("/etc/lockkeeper-node.conf", "UPGRADE_CONFIG=/etc/u.yaml\n")
    bench.file(
        "/etc/u.yaml",
        "apply: {ignorePreflightErrors: [CreateJob, 'Swap'], skipPhases: []} # skipPhases: [x]\n# skipPhases: [y]\n"
        'node:\n  ignorePreflightErrors:\n    - CreateJob  # slow\n    - "Mem"\n  etcdUpgrade: true\n'
        "  skipPhases:\n  - addon/coredns\nplan:\n  ignorePreflightErrors: [CreateJob,Swap]\n",
    )
    assert parse_facts(bench.answer("observe")).passed_over == (
        ("ignorePreflightErrors", "CreateJob,Swap"),
        ("ignorePreflightErrors", "CreateJob"),
        ("ignorePreflightErrors", "Mem"),
        ("skipPhases", "addon/coredns"),
    )


@pytest.mark.parametrize(
    ("settings", "folders", "told"),
    [
        ("", (), ["patches none"]),
        ("", ("/etc/kubernetes/patches",), ["patches none"]),  # nothing is in it
        ("", ("/etc/kubernetes/patches/x",), ["patches unused /etc/kubernetes/patches"]),
        ("PATCHES_DIR=/p", (), ["patches missing /p"]),
        ("PATCHES_DIR=/p", ("/p",), ["patches present /p"]),
        ("UPGRADE_CONFIG=/etc/none.yaml", (), ["upgrade-config missing /etc/none.yaml", "patches none"]),
        ("UPGRADE_CONFIG=/etc/u.yaml", ("/a",), ["upgrade-config present /etc/u.yaml", "patches missing /b"]),
        ("UPGRADE_CONFIG=/etc/u.yaml", ("/a", "/b"), ["upgrade-config present /etc/u.yaml", "patches present /a"]),
    ],
)
def test_what_kubeadm_is_given_is_observed(bench: Bench, settings: str, folders: tuple[str, ...], told: list[str]):
    """Also the folders that its own configuration names: one that is missing is what counts."""
    bench.file("/etc/lockkeeper-node.conf", f"{settings}\n")
    config = "apply:\n  patches:\n    directory: /a\nnode: {patches: {directory: '/b'}}\n"
    bench.file("/etc/u.yaml", config)
    for folder in folders:
        (bench.root / folder[1:]).mkdir(parents=True)
    lines = bench.answer("observe").splitlines()
    assert [line for line in lines if line.startswith(("patches ", "upgrade-config "))] == told


def test_kubeadm_is_never_forced_and_always_told_its_version(bench: Bench):
    """By force it passes over its own checks, and without a version `plan` looks for one in the internet."""
    _install(bench, "1.35.4")
    _kubeadm_writes(bench, "v1.35.4")
    verbs = (
        ("plan", "v1.35.4"),
        ("apply", "v1.35.4"),
        ("revert", "v1.35.4"),
        ("upgrade-node", "control-plane", "v1.35.4"),
    )
    for number, verb in enumerate(verbs):
        assert bench.finish(f"op-{number}", *verb).code == 0
    told = [line.removeprefix("kubeadm upgrade ") for line in bench.log if line.startswith("kubeadm upgrade")]
    assert told == ["plan v1.35.4", "apply -y v1.35.4", "apply -y v1.35.4", "node"]


def test_the_kubelets_drop_in_is_read_anew_before_its_restart(bench: Bench):
    """It belongs to kubeadm's package: otherwise the new kubelet would start with the arguments of before."""
    assert bench.finish("op-1", "restart-kubelet").code == 0
    told = [line for line in bench.log if line.startswith("systemctl ")]
    assert told[:2] == ["systemctl daemon-reload", "systemctl restart kubelet"]


def test_the_exit_code_of_kubeadm_is_the_attempts(bench: Bench):
    """A failed apply is told with kubeadm's own code and words."""
    _install(bench, "1.35.4")
    bench.program("upgrade", "echo '[upgrade/apply] FATAL: no'; exit 1")
    end = bench.finish("op-1", "apply", "v1.35.4")
    assert (end.code, end.chunk) == (1, b"[upgrade/apply] FATAL: no\n")


def test_a_revert_needs_a_kubeadm_of_the_same_minor(bench: Bench):
    """A newer one would upgrade what should only be put back."""
    manifest = bench.root / "etc/kubernetes/manifests/kube-apiserver.yaml"
    manifest.write_text(manifest.read_text().replace("v1.34.7", "v1.35.4"))
    bench.program("upgrade", f"sed -i s/v1.35.4/v1.34.7/ {manifest}")
    assert bench.finish("op-1", "revert", "v1.34.7").code == 0
    _install(bench, "1.35.4")
    assert bench.finish("op-2", "revert", "v1.34.7").code == 70


def test_a_hook_of_the_settings_runs_before_its_verb_and_may_stop_it(bench: Bench):
    """Hooks are files of root in the folder that root named."""
    bench.file("/etc/lockkeeper-node.conf", "HOOKS=/etc/lockkeeper/hooks\n")
    bench.file("/etc/lockkeeper/hooks/before-restart-kubelet", "#!/bin/sh\necho no; exit 5\n").chmod(0o755)
    end = bench.finish("op-1", "restart-kubelet")
    assert end.code == 70
    assert b"no\n" in end.chunk
    assert not [line for line in bench.log if "restart" in line]


def test_a_hook_that_others_may_change_does_not_run(bench: Bench):
    """Nor does its verb: root runs what root wrote."""
    bench.file("/etc/lockkeeper-node.conf", "HOOKS=/etc/lockkeeper/hooks\n")
    bench.file("/etc/lockkeeper/hooks/before-restart-kubelet", "#!/bin/sh\necho ran\n").chmod(0o775)
    end = bench.finish("op-1", "restart-kubelet")
    assert end.code == 78
    assert b"ran\n" not in end.chunk
    assert not [line for line in bench.log if "restart" in line]


def test_a_snapshot_is_taken_on_the_host_verified_and_private(bench: Bench):
    """Where the etcd container has no etcdctl, the host's is used."""
    end = bench.finish("op-1", "snapshot-etcd")
    assert end.code == 0, end.chunk
    snapshot = bench.root / "var/lib/lockkeeper/snapshots/etcd-op-1.db"
    assert snapshot.read_text() == "snapshot\n"
    assert snapshot.parent.stat().st_mode & 0o77 == 0
    assert [line for line in bench.log if line.startswith("etcdutl snapshot status")]


def test_a_folder_of_others_for_snapshots_stays_as_it_is(bench: Bench):
    """Only the snapshot is made private: whoever names /var/backups does not mean to close it."""
    bench.file("/etc/lockkeeper-node.conf", "SNAPSHOT_DIR=/var/backups\n")
    folder = bench.root / "var/backups"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    bench.tool(
        "etcdctl", 'case "$*" in *"snapshot save"*) for last; do :; done; echo x >"$last"; chmod 644 "$last" ;; esac'
    )
    assert bench.finish("op-1", "snapshot-etcd").code == 0
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "etcd-op-1.db").stat().st_mode & 0o777 == 0o600


def test_a_snapshot_is_taken_in_the_container_where_it_has_etcdctl(bench: Bench):
    """The container sees the machine's /var/lib/etcd under the same name."""
    bench.tool(
        "crictl",
        f"""shift 2; case $1 in ps) echo abc ;; exec) shift 2
case "$*" in *"snapshot save"*) for last; do :; done; echo inside >"{bench.root}$last" ;; esac ;; esac""",
    )
    assert bench.finish("op-1", "snapshot-etcd").code == 0
    assert (bench.root / "var/lib/lockkeeper/snapshots/etcd-op-1.db").read_text() == "inside\n"
    assert not [line for line in bench.log if line.startswith("etcdctl")]
    asked = [line for line in bench.log if line.startswith("crictl")]
    assert all(line.startswith("crictl -r unix:///run/containerd/containerd.sock ") for line in asked)
    assert "--label io.kubernetes.pod.namespace=kube-system" in asked[0]


def test_containerds_own_tool_gets_at_etcdctl_where_crictl_is_missing(bench: Bench):
    """The runtime lists containers that have ended as well, and only the running one has an etcd to ask."""
    (bench.home / "tools/crictl").unlink()
    bench.tool(
        "ctr",
        f"""shift 4; case "$1 $2" in
"tasks list") printf 'TASK PID STATUS\\ngone 0 STOPPED\\nabc 812 RUNNING\\nabcd 9 RUNNING\\n' ;;
"containers list") printf 'gone\\nabc\\n' ;;
"tasks exec") shift 5; case "$*" in
    "etcdctl version") echo etcdctl version: 3.6.4 ;;
    *"snapshot save"*) for last; do :; done; echo inside >"{bench.root}$last" ;;
    *"endpoint status"*) cat "$R/etcd/status.stdout" ;;
    *"member list"*) cat "$R/etcd/members.stdout" ;;
    esac ;; esac""",
    )
    answer = bench.answer("observe")
    assert ("etcdctl container" in answer, "etcd-members " in answer) == (True, True)
    assert bench.finish("op-1", "snapshot-etcd").code == 0
    assert (bench.root / "var/lib/lockkeeper/snapshots/etcd-op-1.db").read_text() == "inside\n"
    asked = [line for line in bench.log if line.startswith("ctr ")]
    assert all(line.startswith("ctr -a /run/containerd/containerd.sock -n k8s.io ") for line in asked)
    execs = [line for line in asked if " tasks exec " in line]
    assert execs
    assert all(re.search(r" --exec-id lockkeeper-\d+ abc etcd(ctl|utl) ", line) for line in execs)
    assert not [line for line in bench.log if line.startswith("etcdctl")]


def test_a_snapshot_that_cannot_be_verified_is_a_failure(bench: Bench):
    """A backup that nobody can read is none."""
    bench.tool("etcdutl", 'case "$*" in *status*) exit 1 ;; esac')
    assert bench.finish("op-1", "snapshot-etcd").code == 70
    assert not list((bench.root / "var/lib/etcd").glob("lockkeeper-*"))


@pytest.mark.skipif(Path("/usr/bin/etcdutl").exists(), reason="remove etcd-client: its etcdutl would verify")
def test_a_snapshot_that_no_tool_can_verify_is_kept_and_said(bench: Bench):
    """etcdctl of 3.6 cannot, and older images bring no etcdutl: that is no reason to have no backup."""
    (bench.home / "tools/etcdutl").unlink()
    save = 'case "$*" in *"snapshot save"*) for last; do :; done; echo snapshot >"$last" ;; esac'
    bench.tool("etcdctl", save)
    end = bench.finish("op-1", "snapshot-etcd")
    assert end.code == 0
    assert b"not verified since there is no etcdutl" in end.chunk
    assert (bench.root / "var/lib/lockkeeper/snapshots/etcd-op-1.db").read_text() == "snapshot\n"


def test_the_machines_own_etcdutl_verifies_what_the_image_cannot(bench: Bench):
    """The container writes into a folder of the machine."""
    bench.tool(
        "crictl",
        f"""shift 2; case $1 in ps) echo abc ;; exec) shift 2
case "$*" in etcdutl*) exit 127 ;;
*"snapshot save"*) for last; do :; done; echo inside >"{bench.root}$last" ;; esac ;; esac""",
    )
    assert bench.finish("op-1", "snapshot-etcd").code == 0
    assert [line for line in bench.log if line.startswith("etcdutl snapshot status")]


@pytest.mark.parametrize("place", ["/var/lib/etcd", "/var/lib/lockkeeper/snapshots"])
def test_a_snapshot_needs_its_room_before_it_begins(bench: Bench, place: str):
    """A disk that etcd fills with its own backup is how etcd dies: nothing is begun, and the figures are said."""
    bench.file("/var/lib/etcd/member/snap/db", "x" * 3_000_000)
    (bench.root / "var/lib/lockkeeper/snapshots").mkdir(parents=True)
    bench.tool(
        "df",
        f"""for last; do :; done; case $last in {bench.root}{place}) free=1024 ;; *) free=9000000 ;; esac
printf 'h\\n/dev/a 9000000 1 %s 1%% /\\n' "$free" """,
    )
    end = bench.finish("op-1", "snapshot-etcd")
    assert end.code == 70
    assert f"at {place}, where 1 MiB are free".encode() in end.chunk
    assert not [line for line in bench.log if "snapshot save" in line]


def test_what_a_killed_snapshot_left_among_etcds_data_goes(bench: Bench):
    """kubeadm would copy it each time."""
    for left in ("var/lib/etcd/lockkeeper-op-0.db.part", "var/lib/lockkeeper/snapshots/etcd-op-0.db.part"):
        bench.file(f"/{left}", "half")
    assert bench.finish("op-1", "snapshot-etcd").code == 0
    left = [p.name for p in bench.root.glob("var/lib/*/**/*.db*")]
    assert left == ["etcd-op-1.db"]


@pytest.mark.parametrize("verb", [("apply", "v1.35.4"), ("upgrade-node", "control-plane", "v1.35.4")])
def test_kubeadms_copy_of_etcd_needs_its_room_before_it_begins(bench: Bench, verb: tuple[str, ...]):
    """kubeadm itself looks at no disk."""
    _install(bench, "1.35.4")
    bench.tool("df", "printf 'h\\n/dev/a 9 9 1024 1%% /\\n'")
    bench.file("/var/lib/etcd/member/snap/db", "x" * 3_000_000)
    end = bench.finish("op-1", *verb)
    assert end.code == 70
    assert b"kubeadm's copy of etcd needs 3 MiB at /etc/kubernetes/tmp, where 1 MiB are free" in end.chunk
    assert not [line for line in bench.log if line.startswith("kubeadm upgrade")]


def test_without_etcdctl_the_exit_code_says_so(bench: Bench):
    """69 is the blocker that a named consent lifts; a machine without etcd has it too."""
    (bench.home / "tools/etcdctl").unlink()
    if Path("/usr/bin/etcdctl").exists():
        pytest.skip("this machine has an etcdctl of its own: remove etcd-client to run this test")
    assert bench.finish("op-1", "snapshot-etcd").code == 69
    (bench.root / "etc/kubernetes/manifests/etcd.yaml").unlink()
    assert b"runs no etcd" in bench.finish("op-2", "snapshot-etcd").chunk


def test_a_half_moved_manifest_comes_back_from_the_newest_backup(bench: Bench):
    """As kubeadm left it between its two moves; the folder never holds a second copy."""
    manifest = bench.root / "etc/kubernetes/manifests/kube-scheduler.yaml"
    manifest.unlink()
    for stamp, text in (("2026-11-22-09-00-52", "old"), ("2026-11-23-09-00-52", "new")):
        bench.file(f"/etc/kubernetes/tmp/kubeadm-backup-manifests-{stamp}/kube-scheduler.yaml", text)
    (bench.home / "audit").write_text("half configured\n")
    assert bench.finish("op-1", "repair").code == 0
    assert manifest.read_text() == "new"
    assert len(list(manifest.parent.iterdir())) == 4
    assert "dpkg --configure -a --force-confdef --force-confold" in bench.log
    before = len(bench.log)
    assert bench.finish("op-2", "repair").code == 0
    assert bench.log[before:] == ["dpkg --audit"]


def test_a_manifest_without_any_backup_is_said(bench: Bench):
    """Nothing is invented."""
    (bench.root / "etc/kubernetes/manifests/kube-scheduler.yaml").unlink()
    assert bench.finish("op-1", "repair").code == 66


def test_pruning_keeps_the_newest_three_of_each_kind(bench: Bench):
    """Backups of kubeadm are never removed by kubeadm."""
    for day in range(1, 7):
        bench.file(f"/etc/kubernetes/tmp/kubeadm-backup-etcd-2026-11-0{day}-00-00-00/etcd/x")
        bench.file(f"/var/lib/lockkeeper/snapshots/etcd-op-{day}.db")
        bench.file(f"/var/lib/lockkeeper/snapshots/etcd-2026-11-0{day}.db")  # the owner's
        unnamed = bench.file(f"/etc/kubernetes/tmp/kubeadm-upgraded-manifests{9 - day}/x").parent  # by no order
        os.utime(unnamed, (day, day))
    bench.file("/etc/kubernetes/tmp/mine/x")
    assert bench.finish("op-1", "prune").code == 0
    kept = [p.name for p in (bench.root / "var/lib/lockkeeper/snapshots").iterdir()]
    assert len([name for name in kept if "op-" in name]) == 3
    assert len([name for name in kept if "2026" in name]) == 6
    left = sorted(p.name for p in (bench.root / "etc/kubernetes/tmp").iterdir())
    backups = [f"kubeadm-backup-etcd-2026-11-0{d}-00-00-00" for d in (4, 5, 6)]
    assert left == [*backups, *(f"kubeadm-upgraded-manifests{n}" for n in (3, 4, 5)), "mine"]


def _fetched_kubeadm(bench: Bench, body: str) -> None:
    """In apt's archives, not installed yet."""
    text = f'mkdir -p "$3/usr/bin"; cat >"$3/usr/bin/kubeadm" <<\'END\'\n#!/bin/sh\n{body}\nEND\n'
    bench.tool("dpkg-deb", text + 'chmod 0755 "$3/usr/bin/kubeadm"')
    bench.file("/var/cache/apt/archives/kubeadm_1.35.4-1.1_amd64.deb")


_LISTS = "printf '%s\\n' r.example/kube-apiserver:v1.35.4 r.example/kube-proxy:v1.35.4 r.example/pause:3.10.1"
_DECLARED = """apiVersion: kubeadm.k8s.io/v1beta4
etcd:
  local:
    imageTag: 3.6.11-0
imageRepository: r.example
kind: ClusterConfiguration
kubernetesVersion: v1.34.7"""
_SOCKET = "unix:///run/crio/crio.sock"


def _two_runtimes(bench: Bench) -> None:
    bench.file("/var/lib/kubelet/config.yaml", 'containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock"\n')
    flags = f'KUBELET_KUBEADM_ARGS="--v=1 --container-runtime-endpoint={_SOCKET} --node-ip=::1"\n'
    bench.file("/var/lib/kubelet/kubeadm-flags.env", flags)


def test_a_worker_pulls_its_two_images_from_where_the_cluster_has_them(tmp_path: Path):
    """By the fetched kubeadm of the target, into the runtime that the kubelet uses, and no other image."""
    bench = make_bench(tmp_path / "w")
    bench.tool("crictl", "")
    bench.tool("kubectl", f"cat <<'END'\n{_DECLARED}\nEND")
    assert bench.finish("op-1", "pull-images", "v1.35.4").code == 66
    _fetched_kubeadm(bench, f'cat "$5" >"{bench.home}/config"; {_LISTS}')
    _two_runtimes(bench)
    assert bench.finish("op-2", "pull-images", "v1.35.4").code == 0
    assert [line for line in bench.log if line.startswith("crictl") and " pull " in line] == [
        f"crictl -r {_SOCKET} -i {_SOCKET} pull r.example/kube-proxy:v1.35.4",
        f"crictl -r {_SOCKET} -i {_SOCKET} pull r.example/pause:3.10.1",
    ]
    declared, init = yaml.safe_load_all((bench.home / "config").read_text())
    assert declared == {**yaml.safe_load(_DECLARED), "kubernetesVersion": "v1.35.4"}
    assert init["apiVersion"] == declared["apiVersion"]
    assert init["nodeRegistration"] == {"criSocket": _SOCKET}
    (read,) = [line for line in bench.log if line.startswith("kubectl")]
    assert f"--kubeconfig {bench.root}/etc/kubernetes/kubelet.conf" in read
    assert list((bench.root / "var/lib/lockkeeper/tmp").iterdir()) == []


def _here(bench: Bench, *images: str) -> None:
    rows = "".join(f"{name} {tag} 1 1MB\\n" for name, _, tag in (i.rpartition(":") for i in images))
    bench.tool("crictl", f"""case $* in *" images") printf 'IMAGE TAG ID SIZE\\n{rows}' ;; esac""")


def test_images_that_are_here_are_asked_of_no_registry(bench: Bench):
    """A site without one brings them by hand, and kubeadm would ask for every one of them all the same."""
    bench.tool("kubectl", f"cat <<'END'\n{_DECLARED}\nEND")
    _fetched_kubeadm(bench, f'echo "$*" >>"{bench.home}/log"; {_LISTS}')
    listed = ("r.example/kube-apiserver:v1.35.4", "r.example/kube-proxy:v1.35.4", "r.example/pause:3.10.1")
    _here(bench, *listed[:2])
    assert bench.finish("op-1", "pull-images", "v1.35.4").code == 0
    assert any("config images pull" in line for line in bench.log)
    (bench.home / "log").unlink()
    _here(bench, *listed)
    end = bench.finish("op-2", "pull-images", "v1.35.4")
    assert (end.code, b"Every image is here." in end.chunk) == (0, True)
    assert not any(" pull " in line for line in bench.log)


def test_a_worker_pulls_only_what_it_has_not(tmp_path: Path):
    """Of its two."""
    bench = make_bench(tmp_path / "w")
    bench.tool("kubectl", f"cat <<'END'\n{_DECLARED}\nEND")
    _fetched_kubeadm(bench, _LISTS)
    _here(bench, "r.example/pause:3.10.1")
    assert bench.finish("op-1", "pull-images", "v1.35.4").code == 0
    pulled = [line.rpartition(" ")[2] for line in bench.log if line.startswith("crictl") and " pull " in line]
    assert pulled == ["r.example/kube-proxy:v1.35.4"]


def test_a_control_plane_lets_kubeadm_pull_what_apply_will_use(bench: Bench):
    """An etcd or a DNS of the owner's choice counts: kubeadm reads the same declaration both times."""
    bench.tool("kubectl", f"cat <<'END'\n{_DECLARED}\nEND")
    _fetched_kubeadm(bench, f'echo "$*" >>"{bench.home}/log"; {_LISTS}')
    assert bench.finish("op-1", "pull-images", "v1.35.4").code == 0
    listed, pulled = [line.split() for line in bench.log if line.startswith("config images")]
    assert (listed[2], pulled[2]) == ("list", "pull")
    assert listed[3:] == pulled[3:]
    assert pulled[3] == "--config"
    assert len(pulled) == len(("config", "images", "pull", "--config", "FILE"))


@pytest.mark.parametrize(
    ("kubectl", "kubeadm"),
    [("echo 'Unable to connect to the server' >&2; exit 1", _LISTS), ("exec sleep 60", _LISTS), (None, _LISTS),
     (f"cat <<'END'\n{_DECLARED}\nEND", f'case "$*" in *--config*) echo strict >&2; exit 1 ;; esac; {_LISTS}')],
)  # fmt: skip
def test_images_are_pulled_by_what_the_machine_has_where_the_declaration_is_of_no_use(
    bench: Bench, kubectl: str | None, kubeadm: str
):
    """It is said; the images that run here tell the repository, and the settings outweigh them."""
    if kubectl is None:
        (bench.home / "tools/kubectl").unlink()
    else:
        bench.tool("kubectl", kubectl)
    bench.script.write_text(bench.script.read_text().replace("timeout -k 1 20 kubectl", "timeout 0.2 kubectl"))
    _fetched_kubeadm(bench, f'echo "$*" >>"{bench.home}/log"; {kubeadm}')
    end = bench.finish("op-1", "pull-images", "v1.35.4")
    assert (end.code, b"cannot be used here" in end.chunk) == (0, True)
    flags = "--kubernetes-version v1.35.4 --image-repository registry.k8s.io"
    assert f"config images pull {flags} --cri-socket unix:///run/containerd/containerd.sock" in bench.log


def test_a_snapshot_already_taken_by_this_attempt_is_kept(bench: Bench):
    """Taking effect twice gives the same file."""
    bench.file("/var/lib/lockkeeper/snapshots/etcd-op-1.db", "first")
    assert bench.finish("op-1", "snapshot-etcd").code == 0
    assert not [line for line in bench.log if line.startswith("etcdctl")]


def test_reading_verbs_hand_on_kubeadms_answer(bench: Bench):
    """`diff` and `certs` are what kubeadm prints, with its exit code."""
    bench.tool("kubeadm", 'echo "$*"; exit 3')
    done: list[subprocess.CompletedProcess[bytes]] = [bench.run("diff"), bench.run("certs")]
    assert [d.stdout for d in done] == [b"upgrade diff\n", b"certs check-expiration -o json\n"]
    assert {d.returncode for d in done} == {3}
