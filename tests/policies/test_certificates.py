"""Certificates and manifests on one machine, judged by its own clock."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.certificates import KUBELET, Certificate
from cluster.drift import Drift
from policies.certificates import check_certificates
from policies.manifests import check_manifests
from tests.policies_fixture import FACTS, NOW, make_report
from tests.workers.node_bench import RECORDINGS
from workers.node_script.lines import Lines
from workers.node_script.readings import read_certificates, read_drift

CP1 = make_report().node("cp1")
YEAR = timedelta(days=365)


def in_days(name, days, **changes):
    return Certificate(name, NOW + timedelta(days=days), **changes)


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [
        (in_days("apiserver", 200), []),
        (in_days("apiserver", 29), [("certificate-expiring", "warning")]),
        (in_days("apiserver", -1), [("certificate-expired", "blocker")]),
        (in_days("super-admin.conf", -1), [("certificate-expired", "warning")]),
        (in_days("ca", 300, authority=True), [("ca-expiring", "warning")]),
        (in_days("ca", 3000, authority=True), []),
        (in_days("ca", -1, authority=True), [("certificate-expired", "blocker")]),
        (in_days("apiserver", 200, external=True), [("certificates-external", "note")]),
        (Certificate("admin.conf", None), [("certificate-missing", "warning")]),
        (Certificate("super-admin.conf", None), []),
        (in_days(KUBELET, 20, since=NOW + timedelta(days=20) - YEAR), [("certificate-expiring", "warning")]),
        (in_days(KUBELET, 20, since=NOW - timedelta(days=10)), []),
    ],
)
def test_certificates_weigh_by_what_would_fail(certificate, expected):
    """A kubelet's that is meant to live a month is not always about to end."""
    facts = replace(FACTS, time=NOW, certificates=(certificate,))
    assert [(f.code, f.severity.value) for f in check_certificates(CP1, facts)] == expected


def test_a_real_list_gives_no_finding_in_its_first_months_and_one_sentence_in_its_last():
    """Eleven leaves that end together are one finding, a few of them named."""
    text = (RECORDINGS / "machines/certs.stdout").read_text(encoding="utf-8")
    listed = read_certificates(Lines("certificates " + " ".join(text.split())))
    assert list(check_certificates(CP1, replace(FACTS, time=NOW, certificates=listed))) == []
    (finding,) = check_certificates(CP1, replace(FACTS, time=NOW + YEAR - timedelta(days=10), certificates=listed))
    assert "admin.conf on 2027-11-23" in finding.sentence
    assert "and 6 more" in finding.sentence


def drift_codes(*drift, patches="none"):
    facts = replace(FACTS, control_plane=True, drift=drift, patches=patches)
    return [(f.code, f.severity.value) for f in check_manifests(CP1, facts)]


EDITED = Drift("kube-apiserver", 1, ("-    - --audit-log-path=/var/log/audit.log",))


def test_what_was_edited_by_hand_is_said_with_its_lines():
    """Patches make it a note: kubeadm's comparison leaves them out."""
    assert drift_codes() == []
    assert drift_codes(EDITED) == [("manifest-drift", "warning")]
    assert drift_codes(EDITED, patches="present /etc/kubernetes/patches") == [("manifest-drift", "note")]
    (finding,) = check_manifests(CP1, replace(FACTS, control_plane=True, drift=(EDITED,)))
    assert "--audit-log-path=/var/log/audit.log" in finding.sentence


def drift_of(recording):
    """A recorded answer of kubeadm, as the node script hands it on."""
    lines, component, counts = [], "", Counter()
    for line in (RECORDINGS / f"machines/{recording}.stdout").read_text(encoding="utf-8").splitlines():
        if line.startswith("--- /"):
            component = line.rpartition("/")[2].removesuffix(".yaml")
        elif component and line[0] in "-+" and not line.startswith("+++"):
            counts[component] += 1
            lines.append(f"drift-line {component} {line}")
    told = [f"drift {name} {count}" for name, count in counts.items()]
    return read_drift(Lines("\n".join(["drift-by v1.34.7", *lines, *told])))


def test_another_version_alone_is_no_drift():
    """What compares versions says that, as for this recording of a real kubeadm; another registry is drift."""
    recorded = drift_of("drift-05-diff")
    assert len(recorded) == 2
    assert drift_codes(*recorded) == []
    moved = replace(recorded[0], lines=(recorded[0].lines[0], "+    image: registry.example/kube-scheduler:v1.34.7"))
    assert drift_codes(moved) == [("manifest-drift", "warning")]


def test_what_was_declared_and_never_applied_is_told_from_what_was_edited():
    """Recorded: somebody gave the API server a flag in kubeadm-config that does not exist."""
    facts = replace(FACTS, control_plane=True, drift=drift_of("rollback-02-diff"))
    (finding,) = check_manifests(CP1, facts)
    assert "kube-apiserver on cp1 is not what kubeadm would write at the declared version (+ - --no-such-flag=1)" in (
        finding.sentence
    )
    assert "never applied" in finding.remedy
