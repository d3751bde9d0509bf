"""etcd, certificates and drift as a control plane's machine tells them, by recorded answers of the real tools."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.certificates import KUBELET, Certificate
from cluster.drift import Drift
from cluster.etcd import EtcdAlarm
from cluster.facts import MachineFacts, Offer, OfferState
from cluster.survey import Survey, SurveyedMachine
from cluster.versions import Minor
from policies.etcd import check_etcd
from policies.machines import check_machine
from policies.origins import Kind, Origin, origin_of
from tests.policies_fixture import NOW, make_report
from tests.workers.node_bench import RECORDINGS, Bench, make_bench
from workers.node_script.survey import parse_facts


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path / "m")
    bench.control_plane()
    return bench


def _facts(bench: Bench) -> MachineFacts:
    return parse_facts(bench.answer("observe"))


def _unread(facts: MachineFacts) -> dict[str, str]:
    return {u.what: u.reason for u in facts.unread}


def _etcdctl(bench: Bench, status: str, members: str = "members", alarms: str = "") -> None:
    """An etcdctl that answers with recordings; what etcd prints on stderr is printed there."""
    rows = {"endpoint status": status, "member list": members, "alarm list": alarms}
    arms = "\n".join(
        f'*"{words}"*) cat "$R/etcd/{name}.stderr" >&2 2>/dev/null; cat "$R/etcd/{name}.stdout" 2>/dev/null;'
        f' [ ! -e "$R/etcd/{name}.stderr" ] || exit 1 ;;'
        for words, name in rows.items()
    )
    bench.tool("etcdctl", f'case "$*" in version) ;;\n{arms}\nesac\nexit 0')


def test_a_member_tells_its_version_its_leader_and_all_members(bench: Bench):
    """Asked with the certificate that kubeadm makes for health checks, at the member's own address."""
    bench.file("/etc/kubernetes/pki/etcd/healthcheck-client.crt")
    etcd = _facts(bench).etcd
    assert etcd is not None
    assert (etcd.version, etcd.healthy, etcd.is_leader, etcd.raft_term, etcd.raft_behind) == (
        "3.5.1",
        True,
        False,
        2,
        0,
    )
    assert (etcd.size_bytes, etcd.quota_share) == (20480, 20480 / 2**31)
    assert [(m.name, m.learner) for m in etcd.members or ()] == [("cp3", False), ("cp1", False), ("cp2", False)]
    assert etcd.leader == (etcd.members or ())[0].ident
    assert etcd.alarms == ()
    (asked,) = [line for line in bench.log if line.startswith("etcdctl") and "endpoint status" in line]
    pki = f"{bench.root}/etc/kubernetes/pki/etcd"
    assert f"--cert {pki}/healthcheck-client.crt --key {pki}/healthcheck-client.key" in asked
    assert "--endpoints https://127.0.0.1:2379 " in asked


def test_an_alarm_is_told_with_the_member_that_raised_it(bench: Bench):
    """It stands among every member's errors too, which makes none of them ill."""
    _etcdctl(bench, "status-no-space", alarms="alarms")
    bench.file("/etc/kubernetes/manifests/etcd.yaml", "    - --quota-backend-bytes=16777216\n")
    etcd = _facts(bench).etcd
    assert etcd is not None
    assert etcd.alarms == (EtcdAlarm("15985099378392235387", "NOSPACE"),)
    assert etcd.healthy
    assert etcd.quota_share > 1


def test_a_learner_that_never_started_is_in_the_list(bench: Bench):
    """It has no name yet."""
    _etcdctl(bench, "status", members="members-learner")
    etcd = _facts(bench).etcd
    assert etcd is not None
    assert [(m.name, m.learner) for m in etcd.members or () if m.learner] == [("", True)]


def test_without_a_quorum_the_member_still_tells_of_itself(bench: Bench):
    """Its peers cannot be listed then; that is said, and nobody waits for the alarms too."""
    _etcdctl(bench, "status-no-leader", members="members-no-quorum")
    facts = _facts(bench)
    assert facts.etcd is not None
    assert (facts.etcd.healthy, facts.etcd.members, facts.etcd.alarms) == (False, None, None)
    assert _unread(facts)["etcd-members"] == "Error: context deadline exceeded"
    assert not [line for line in bench.log if "alarm list" in line]


def test_a_member_that_does_not_answer_is_unread_with_etcdctls_reason(bench: Bench):
    """Its empty list of answers is no answer."""
    _etcdctl(bench, "status-member-gone")
    facts = _facts(bench)
    assert facts.etcd is None
    assert _unread(facts)["etcd-status"].startswith("Failed to get the status of endpoint")


def test_without_etcdctl_the_metrics_address_tells_what_it_can(bench: Bench):
    """The recorded health of a real member; nothing of the other members and of who raised an alarm."""
    _without_etcdctl(bench)
    bench.tool("curl", 'case "$*" in *metrics) cat "$R/etcd/metrics.stdout" ;; *) cat "$R/etcd/health.stdout" ;; esac')
    etcd = _facts(bench).etcd
    assert etcd is not None
    assert (etcd.ident, etcd.version, etcd.healthy, etcd.size_bytes) == ("4883755753530146457", "3.5.1", True, 20480)
    assert (etcd.quota_bytes, etcd.members, etcd.alarms) == (16777216, None, None)
    bench.tool("curl", 'cat "$R/etcd/health-no-space.stdout"')
    etcd = _facts(bench).etcd
    assert etcd is not None
    assert etcd.errors == ("alarm:NOSPACE",)


def test_an_etcd_that_nobody_can_ask_is_unread(bench: Bench):
    """Neither etcdctl nor the metrics address."""
    _without_etcdctl(bench)
    bench.tool("curl", "exit 7")
    facts = _facts(bench)
    assert facts.etcd is None
    assert "no etcdctl" in _unread(facts)["etcd-status"]


def _without_etcdctl(bench: Bench) -> None:
    (bench.home / "tools/etcdctl").unlink()
    if Path("/usr/bin/etcdctl").exists():
        pytest.skip("this machine has an etcdctl of its own: remove etcd-client to run this test")


def test_kubeadms_list_of_certificates_is_read_whole(bench: Bench):
    """As a real kubeadm printed it, warnings before it or not."""
    bench.tool("kubeadm", 'echo "W1123 08:43:57 no network" >&2; cat "$R/machines/certs.stdout"')
    found = _facts(bench).certificates
    assert found is not None
    assert len(found) == 14
    assert found[0] == Certificate("admin.conf", datetime(2027, 11, 23, 8, 43, 57, tzinfo=UTC))
    assert [c.name for c in found if c.authority] == ["ca", "etcd-ca", "front-proxy-ca"]


def test_the_kubelets_own_certificate_is_read_on_every_machine(tmp_path: Path):
    """A worker is asked for nothing else: kubeadm has no list there."""
    bench = make_bench(tmp_path / "w")
    bench.tool("openssl", "echo 'notBefore=Nov  3 08:38:57 2026 GMT'; echo 'notAfter=Nov  3 08:43:57 2027 GMT'")
    bench.file("/var/lib/kubelet/pki/kubelet-client-current.pem")
    since, until = (datetime(year, 11, 3, 8, minute, 57, tzinfo=UTC) for year, minute in ((2026, 38), (2027, 43)))
    assert _facts(bench).certificates == (Certificate(KUBELET, until, since=since),)
    assert not [line for line in bench.log if line.startswith("kubeadm certs")]


def test_certificates_that_kubeadm_cannot_list_are_unread(bench: Bench):
    """With its own words; a missing file's date is none."""
    bench.tool("kubeadm", 'cat "$R/machines/certs-on-worker.stderr" >&2; exit 1')
    facts = _facts(bench)
    assert facts.certificates is None
    assert "couldn't load the private key file" in _unread(facts)["certificates"]


def _kubeadm_diff(bench: Bench, recording: str) -> None:
    bench.program("upgrade", f"cat {RECORDINGS}/machines/{recording}.stdout")


def test_drift_is_what_kubeadm_would_write_otherwise(bench: Bench):
    """Per component its count of lines, and the first of them, from a real kubeadm's answer."""
    _kubeadm_diff(bench, "drift-05-diff")
    drift = _facts(bench).drift
    assert [(d.component, d.count) for d in drift or ()] == [("kube-controller-manager", 2), ("kube-scheduler", 2)]
    assert (drift or ())[1].lines == (
        "-    image: registry.k8s.io/kube-scheduler:v1.34.7",
        "+    image: registry.k8s.io/kube-scheduler:v1.35.4",
    )


def test_no_drift_and_not_asked_are_two_answers(bench: Bench):
    """A kubeadm of another minor writes other manifests anyway: it is not asked."""
    assert _facts(bench).drift == ()
    rows = (bench.home / "packages").read_text().replace("kubeadm 1.34.7", "kubeadm 1.35.4")
    (bench.home / "packages").write_text(rows)
    assert _facts(bench).drift is None
    assert len([line for line in bench.log if line.startswith("kubeadm upgrade diff")]) == 1


def test_secrets_in_a_manifest_stay_on_the_machine(bench: Bench):
    """kubeadm writes proxies with their logins into the environment of static pods."""
    lines = [
        "--- /etc/kubernetes/manifests/kube-apiserver.yaml",
        "+++ new manifest",
        "@@ -30,2 +30 @@",
        "-    - name: HTTPS_PROXY",
        "-      value: http://me:hush@proxy:3128",
        "-    - --webhook=https://me:hush@hook.example/x",
        *(f"-    - --more={n}" for n in range(9)),
    ]
    bench.program("upgrade", "cat <<'END'\n" + "\n".join(lines) + "\nEND")
    assert "hush" not in bench.answer("observe")
    assert _facts(bench).drift == (
        Drift(
            "kube-apiserver",
            12,
            (
                "-    - name: HTTPS_PROXY",
                "-      value: ***",
                "-    - --webhook=https://***@hook.example/x",
                "-    - --more=0",
                "-    - --more=1",
                "-    - --more=2",
            ),
        ),
    )


def test_a_tool_that_hangs_costs_seconds_and_no_survey(bench: Bench):
    """Each has its limit, and the other facts are told."""
    bench.tool("openssl", "exec sleep 60")
    bench.hurry()
    bench.file("/var/lib/kubelet/pki/kubelet-client-current.pem")
    facts = _facts(bench)
    assert _unread(facts)["kubelet-certificate"] == "it did not answer within 1.0 s"
    assert len(facts.certificates or ()) == 14


def test_an_answer_of_an_older_script_is_read_and_said_to_be_older(bench: Bench):
    """The protocol is the same; what it does not tell is unread, and not clean."""
    new = ("tells", "etcd-", "certificates", "kubelet-certificate", "drift")
    text = "\n".join(line for line in bench.answer("observe").splitlines() if not line.startswith(new))
    facts = parse_facts(text)
    assert (facts.etcd, facts.certificates, facts.drift) == (None, None, None)
    assert any(u.reason.startswith("its node script is older than this release") for u in facts.unread)
    assert facts.hostname == _facts(bench).hostname


def test_an_unknown_form_of_an_answer_is_unread(bench: Bench):
    """A later etcdctl may say it otherwise: the rest of the facts counts all the same."""
    bench.tool("etcdctl", """case "$*" in *status*) echo '[{"Endpoint":"x","Status":{}}]' ;; esac""")
    facts = _facts(bench)
    assert facts.etcd is None
    assert "does not know" in _unread(facts)["etcd"]


def test_the_real_openssl_reads_a_real_certificate(tmp_path: Path):
    """Where openssl is installed."""
    bench = make_bench(tmp_path / "w")
    own = bench.file("/var/lib/kubelet/pki/kubelet-client-current.pem")
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "3", "-keyout"),
            tmp_path / "key",
            "-out",
            own,
        ],
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, "install openssl to run this test"
    (certificate,) = _facts(bench).certificates or ()
    assert certificate.until is not None
    assert 2 <= (certificate.until - datetime.now(UTC)).days <= 3


def test_a_real_control_planes_recorded_answers_give_no_false_finding(bench: Bench):
    """Its etcd image has no etcdctl, its packages come from a mirror, its host has cgroup v1: just that is said."""
    _without_etcdctl(bench)
    bench.tool("curl", 'cat "$R/etcd/health.stdout"')
    for path, text in {
        "/proc/sys/kernel/hostname": "cp1\n",
        "/proc/sys/kernel/osrelease": "6.18.44-fc-v669\n",
        "/proc/locks": "1: FLOCK  ADVISORY  WRITE 812 fd:01:131 0 EOF\n",
        "/proc/swaps": "Filename Type Size\n",
        "/etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "/sys/fs/cgroup/memory/tasks": "",
        "/etc/apt/sources.list.d/kubernetes.list": "deb [signed-by=/etc/apt/keyrings/k.gpg] "
        "http://10.77.0.1:8000/core:/stable:/v1.34/deb/ /\n",
        "/var/lib/kubelet/kubeadm-flags.env": 'KUBELET_KUBEADM_ARGS=""\n',
        "/var/lib/kubelet/config.yaml": (RECORDINGS / "machines/kubelet-config.yaml").read_text(encoding="utf-8"),
    }.items():
        bench.file(path, text)
    (bench.home / "holds").write_text("kubeadm\nkubectl\nkubelet\n")
    bench.tool("date", "echo 1795424400")  # the hour of the recording
    facts = _facts(bench)
    assert facts.unread == ()
    assert origin_of(facts) == Origin(Kind.MIRROR, "http://10.77.0.1:8000/core:/stable:")
    node = make_report().node("cp1")
    assert node is not None
    offers = (Offer(Minor(1, 35), OfferState.OFFERED),)
    found = check_machine(node, facts, offers, snapshot=True)
    # The room is that of the host that runs the test.
    assert {f.code for f in found} - {"disk-low", "disk-space"} == {"no-etcdctl", "cgroup-v1"}
    survey = Survey("prod", NOW, (SurveyedMachine("cp1", facts),))
    assert check_etcd(make_report({"cp1": "v1.34.7"}, masters=("cp1",)), survey) == ()
