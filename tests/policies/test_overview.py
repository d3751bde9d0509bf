"""What a report says is wrong, on recordings of a real cluster and on reports that were bent by hand."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.certificates import Certificate
from cluster.deprecation import DeprecatedApi, DeprecatedUse
from cluster.facts import Package
from cluster.findings import Severity
from cluster.operation import OperationState
from cluster.report import AddOn, Unread
from cluster.survey import ApiUse
from cluster.versions import KubeVersion, Minor
from policies.overview import look_over
from tests.policies_fixture import (
    FACTS,
    MASTERS,
    NOW,
    codes,
    make_cluster,
    make_report,
    make_survey,
    reported,
    with_node,
)
from tests.recorded_api import READ_AT, recorded_report

AGED = {"release-ended", "release-ending", "patches-behind", "source-behind", "not-surveyed"}
MACHINE = {"address": "10.0.0.1", "key_file": "/key", "host_key": "SHA256:" + "a" * 43}
POOLS = {"workers": {"selector": "!node-role.kubernetes.io/control-plane"}}


def look(report, survey=None, *, cluster=None, known=None, now=NOW):
    return look_over(report, survey, cluster or make_cluster(), installation="lockkeeper", known=known or {}, now=now)


def wrong(report, survey=None, **more):
    """Every code but those of mere age."""
    return sorted(set(codes(look(report, survey, **more).findings)) - AGED)


@pytest.mark.parametrize(
    ("stage", "found", "servers"),
    [
        ("before", [], "API server v1.34.7; kubelets v1.34.7;"),
        ("applied", ["kube-proxy-behind"], "API server v1.35.4; kubelets v1.34.7;"),
        ("after", [], "API server v1.35.4; kubelets v1.35.4;"),
        ("drift", ["hand-edited-apiserver"], "API server v1.35.4; kubelets v1.34.7;"),
        ("mixed", ["kubeadm-config-ahead"], "API servers v1.35.4 and v1.34.7; kubelets v1.34.7;"),
    ],
)
def test_a_real_cluster_is_told_as_it_was(stage, found, servers):
    """Before, after the apply while kube-proxy still rolls out, after the upgrade, edited by hand, and half way."""
    report = recorded_report(stage)
    cluster = make_cluster(machines={n.name: MACHINE for n in report.nodes})
    seen = look(report, cluster=cluster, now=READ_AT)
    assert sorted(set(codes(seen.findings)) - AGED) == found
    assert seen.meaning.startswith(servers)
    assert (seen.maker, seen.unread) == ("kubeadm", ())


def test_a_sound_cluster_has_nothing_wrong():
    """Three control planes, two workers, and a survey of this morning."""
    assert wrong(make_report(), make_survey()) == []


HALF = make_report("v1.34.7", {"w1": "v1.34.6"})
EMULATING = replace(
    make_report("v1.35.4", "v1.34.7"),
    api_servers=tuple(replace(s, emulation=Minor(1, 34)) for s in make_report("v1.35.4").api_servers),
)
PROXY = AddOn("kube-proxy", "registry.k8s.io/kube-proxy:v1.34.6", ("w1", "w2"))


@pytest.mark.parametrize(
    ("report", "found"),
    [
        (HALF, ["pool-versions-differ"]),
        (make_report("v1.34.7", {"cp1": "v1.34.6", "cp2": "v1.34.6"}), ["pool-versions-differ"]),
        (make_report("v1.34.7", {"w1": "v1.34.6", "w2": "v1.34.6"}), []),
        (replace(make_report(), add_ons=(PROXY,)), ["kube-proxy-behind"]),
        (replace(make_report(), add_ons=(replace(PROXY, image="kube-proxy:v1.34.7"),)), []),
        (replace(make_report(), add_ons=(replace(PROXY, image="kube-proxy@sha256:0"),)), []),
        (
            replace(make_report(dict(zip(MASTERS, ("v1.34.7", "v1.34.6", "v1.34.6"), strict=True))), add_ons=(PROXY,)),
            ["kubeadm-config-behind"],
        ),
        (with_node(make_report(), "w1", cordoned=True), ["foreign-cordon"]),
        (with_node(make_report(), "w1", ready=False), ["node-not-ready"]),
        (
            replace(make_report(), nodes=(*make_report().nodes[:-1], replace(make_report().nodes[-1], name="w9"))),
            ["machine-missing", "machine-without-node"],
        ),
        (make_report("v1.37.1", "v1.33.13"), ["kubelet-too-old"]),
        (EMULATING, ["api-server-emulates"]),
    ],
)
def test_what_drifted_apart_is_a_finding_of_its_own(report, found):
    """Each under its own code."""
    cluster = make_cluster(pools=POOLS)
    assert [c for c in wrong(report, cluster=cluster) if not c.startswith("static-pod")] == found


def test_the_fewer_kubelets_of_a_pool_are_named():
    """And the remedy is the plan that finishes what was begun."""
    (finding,) = (f for f in look(HALF, cluster=make_cluster(pools=POOLS)).findings if f.code == "pool-versions-differ")
    assert finding.sentence == "The pool workers runs kubelets v1.34.7 (1 node) and v1.34.6 on w1."
    assert "plan v1.34.7" in finding.remedy


LEASED = replace(make_report(), lease_holder="lockkeeper/op-1", declared=KubeVersion.parse("v1.35.4"))


def test_a_run_in_hand_is_told_and_what_it_moves_is_not_called_drift():
    """Half way is where it is meant to be; a lock that nobody knows of is another thing."""
    seen = look(LEASED, known={"op-1": OperationState.RUNNING})
    assert [f.severity for f in seen.findings if f.code == "run-in-hand"] == [Severity.NOTE]
    assert wrong(LEASED, known={"op-1": OperationState.RUNNING}) == ["run-in-hand"]
    assert wrong(LEASED, known={"op-1": OperationState.COMPLETED}) == ["kubeadm-config-ahead", "lease-left"]
    assert wrong(LEASED) == ["kubeadm-config-ahead", "traces-without-record"]
    assert wrong(replace(LEASED, lease_holder="other/op-9")) == ["cluster-locked-elsewhere"]


INTERRUPTED = replace(FACTS, packages=(Package("kubelet", "1.34.7-1.1", "iF"),))


def test_machines_are_told_by_the_last_survey_with_its_moment():
    """What they said then may have been mended since."""
    (finding,) = (
        f for f in look(make_report(), make_survey(facts={"w1": INTERRUPTED})).findings if f.code == "dpkg-interrupted"
    )
    assert finding.sentence.endswith("(Surveyed 2026-11-23 12:00 UTC.)")


def test_an_old_survey_is_not_judged():
    """After a day its facts are shown only."""
    survey = make_survey(facts={"w1": INTERRUPTED})
    assert wrong(make_report(), survey, now=NOW + timedelta(hours=25)) == []


def test_a_machine_that_was_upgraded_after_the_survey_is_not_judged_by_it():
    """Its packages are others now: that the kubelet is newer than what was installed then is no finding."""
    old = replace(FACTS, kubelet=reported("v1.33.2"), kubectl=reported("v1.31.0"))
    survey = make_survey(facts=dict.fromkeys((*MASTERS, "w1", "w2"), old))
    assert wrong(make_report(), survey) == []
    later = (FACTS.packages[0], replace(FACTS.packages[1], version="1.34.9-1.1"), FACTS.packages[2])
    current = make_survey(facts={"w1": replace(FACTS, kubelet=reported("v1.34.9"), packages=later)})
    assert wrong(make_report(), current) == ["installed-not-running"]


def test_another_distribution_is_reported_without_a_blocker():
    """Nothing is wrong with it; only no plan is possible, and no kubeadm-config is missing there."""
    gone = Unread("kubeadm-config", "404")
    report = replace(
        make_report("v1.36.4", "v1.36.4"),
        declared=gone,
        has_kubeadm_config=False,
        static_pods=(),
        unread=(gone, Unread("daemon sets", "refused")),
    )
    report = with_node(report, "w1", kubelet=reported("v1.36.4+k3s1"))
    seen = look(report)
    assert [(f.code, f.severity) for f in seen.findings] == [("not-kubeadm", Severity.NOTE)]
    assert (seen.maker, [u.what for u in seen.unread]) == ("k3s", ["daemon sets"])


def test_a_cluster_without_an_inventory_is_one_note():
    """Somebody wants its report alone: nothing is wrong with each of its nodes."""
    (finding,) = (f for f in look(make_report(), cluster=make_cluster(machines={})).findings if "machine" in f.code)
    assert (finding.code, finding.severity, finding.subject) == ("machine-missing", Severity.NOTE, "prod")


USE = DeprecatedUse(DeprecatedApi("policy", "v1beta1", "podsecuritypolicies", Minor(1, 40)), ("cp1",))
SILENT = Unread("use of deprecated APIs on cp2", "It does not answer.")


@pytest.mark.parametrize(
    ("apis", "found"),
    [
        (None, [("not-examined", Severity.WARNING)]),
        (ApiUse(NOW), []),
        (ApiUse(NOW, (USE,)), [("deprecated-api-in-use", Severity.NOTE)]),
        (ApiUse(NOW, (), (SILENT,)), [("not-examined", Severity.WARNING)]),
    ],
)
def test_who_asks_for_deprecated_apis_is_told_as_it_was_last_read(apis, found):
    """With the moment; a report reads no metrics itself."""
    seen = look(make_report(), replace(make_survey(), apis=apis))
    told = [f for f in seen.findings if f.code in {"deprecated-api-in-use", "not-examined"}]
    assert [(f.code, f.severity) for f in told] == found
    assert apis is None or all("(Read 2026-" in f.sentence for f in told)


def test_an_ending_certificate_is_told_by_the_last_survey():
    """With the moment of the survey."""
    soon = Certificate("apiserver", NOW + timedelta(days=3))
    seen = look(
        make_report(), make_survey(facts={"cp1": replace(FACTS, control_plane=True, certificates=(soon,), time=NOW)})
    )
    (told,) = (f for f in seen.findings if f.code == "certificate-expiring")
    assert "(Surveyed 2026-" in told.sentence


@pytest.mark.parametrize(
    ("survey", "said"),
    [
        (None, "The machines of prod were never asked"),
        (replace(make_survey(), read_at=NOW - timedelta(days=2)), "The machines of prod were last asked on 2026-"),
        (make_survey(), ""),
    ],
)
def test_what_nobody_looked_at_is_not_clean(survey, said):
    """A report says that it does not know."""
    told = [f.sentence for f in look(make_report(), survey).findings if f.code == "not-surveyed"]
    assert [t.startswith(said) for t in told] == ([True] if said else [])


def test_a_machine_that_could_not_be_surveyed_is_told():
    """As a warning: nothing of it is known."""
    machines = tuple(
        replace(m, facts=Unread("machine", "It refused the key.")) if m.name == "w1" else m
        for m in make_survey().machines
    )
    seen = look(make_report(), replace(make_survey(), machines=machines))
    (told,) = (f for f in seen.findings if f.code == "machine-unreadable")
    assert (told.severity, told.subject) == (Severity.WARNING, "w1")
    assert "It refused the key." in told.sentence
