"""What is declared for components, and whether the components of a target would start with it."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml

from cluster.declarations import (
    Argument,
    Declarations,
    Gate,
    read_cluster_configuration,
    read_kubelet_configuration,
    read_proxy_configuration,
)
from cluster.examination import Examination
from cluster.findings import Severity, blockers
from cluster.versions import Minor
from policies.components import check_components
from policies.kubelets import check_kubelet
from policies.removals import read_file
from tests.policies_fixture import FACTS, NOW, codes, draft, make_report

RECORDED = Path(__file__).parents[1] / "recordings" / "cluster" / "before-kubeadm-cm.stdout"
NODE = make_report().node("w1")
READ = Declarations(kubelets_read=True)


def minors(*numbers):
    return tuple(Minor(1, n) for n in numbers)


def recorded(name, key):
    maps = {m["metadata"]["name"]: m["data"] for m in json.loads(RECORDED.read_text(encoding="utf-8"))["items"]}
    return yaml.safe_load(maps[name][key])


def judge(declared, *numbers):
    return [(f.code, f.severity, f.subject) for f in check_components(declared, minors(*numbers))]


def giving(component, name, value=""):
    return Declarations(arguments=(Argument(component, name, value),))


def setting(name, value="true", component="kube-apiserver"):
    return Declarations(gates=(Gate(component, "kubeadm-config's extraArgs of kube-apiserver", name, value),))


def test_a_real_clusters_declarations_are_read():
    """One argument, no gates, etcd of kubeadm's own, and cgroup v1 allowed on purpose."""
    own = read_cluster_configuration(recorded("kubeadm-config", "ClusterConfiguration"))
    assert own == Declarations(
        api_version="kubeadm.k8s.io/v1beta4",
        arguments=(Argument("kube-controller-manager", "allocate-node-cidrs", "false"),),
    )
    kubelet = read_kubelet_configuration(recorded("kubelet-config", "kubelet"))
    assert ("rotateCertificates", "true") in kubelet.kubelet_settings
    assert replace(kubelet, kubelet_settings=()) == Declarations(kubelets_read=True, fail_cgroup_v1=False)
    assert judge(kubelet, 35, 36, 37) == []
    assert judge(own, 35, 36, 37) == []


OLD_FORM = """
apiVersion: kubeadm.k8s.io/v1beta3
apiServer: {extraArgs: {feature-gates: "A=true, B=False", profiling: "false"}}
scheduler: {extraArgs: {v: "4"}}
etcd: {external: {endpoints: ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]}}
featureGates: {PublicKeysECDSA: true}
"""
NEW_FORM = """
apiVersion: kubeadm.k8s.io/v1beta4
apiServer: {extraArgs: [{name: feature-gates, value: "A=true, B=False"}, {name: profiling, value: "false"}]}
scheduler: {extraArgs: [{name: v, value: "4"}]}
etcd: {external: {endpoints: ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]}}
featureGates: {PublicKeysECDSA: true}
"""


@pytest.mark.parametrize("text", [OLD_FORM, NEW_FORM])
def test_arguments_are_read_in_both_forms(text):
    """A map until v1beta3, a list of names and values since."""
    read = read_cluster_configuration(yaml.safe_load(text))
    assert [(a.component, a.name, a.value) for a in read.arguments] == [
        ("kube-apiserver", "feature-gates", "A=true, B=False"),
        ("kube-apiserver", "profiling", "false"),
        ("kube-scheduler", "v", "4"),
    ]
    assert [(g.component, g.name, g.value) for g in read.gates] == [
        ("kube-apiserver", "A", "true"),
        ("kube-apiserver", "B", "false"),
        ("kubeadm", "PublicKeysECDSA", "true"),
    ]
    assert read.external_etcd == ("https://10.0.0.1:2379", "https://10.0.0.2:2379")


def test_pinned_images_and_the_arguments_of_etcd_are_read():
    """Beside the components that Kubernetes makes."""
    text = "etcd: {local: {imageTag: 3.6.11-0, extraArgs: {v: 2}}}\ndns: {imageTag: v1.12.1}\n"
    read = read_cluster_configuration(yaml.safe_load(text))
    assert (read.etcd_tag, read.dns_tag, read.external_etcd) == ("3.6.11-0", "v1.12.1", ())
    assert read.arguments == (Argument("etcd", "v", "2"),)


def test_gates_of_kubelets_and_kube_proxy_are_read_from_their_configurations():
    """Each with the ConfigMap that sets it."""
    kubelet = read_kubelet_configuration({"featureGates": {"A": True}, "failCgroupV1": True})
    assert kubelet.gates == (Gate("kubelet", "the ConfigMap kubelet-config", "A", "true"),)
    assert kubelet.fail_cgroup_v1 is True
    proxy = read_proxy_configuration({"featureGates": {"A": False}})
    assert proxy.gates == (Gate("kube-proxy", "the ConfigMap kube-proxy", "A", "false"),)


SYNCS = giving("kube-controller-manager", "concurrent-service-syncs", "5")
BLOCKED = Severity.BLOCKER


@pytest.mark.parametrize(
    ("declared", "numbers", "found"),
    [
        (SYNCS, (37,), [("removed-argument", BLOCKED, "kube-controller-manager")]),
        (SYNCS, (36, 37), [("removed-argument", BLOCKED, "kube-controller-manager")]),
        (SYNCS, (36,), []),
        (SYNCS, (), []),
        (giving("kube-apiserver", "concurrent-service-syncs"), (37,), []),
        (
            giving("kube-controller-manager", "pod-eviction-timeout", "5m"),
            (35,),
            [("removed-argument", BLOCKED, "kube-controller-manager")],
        ),
        (
            giving("kube-apiserver", "enable-admission-plugins", "NodeRestriction, PodSecurityPolicy"),
            (25,),
            [("removed-argument", BLOCKED, "kube-apiserver")],
        ),
        (giving("kube-apiserver", "enable-admission-plugins", "NodeRestriction"), (25,), []),
        (setting("SidecarContainers"), (36, 37), [("removed-feature-gate", BLOCKED, "kube-apiserver")]),
        (setting("SidecarContainers"), (36,), [("feature-gate-unverified", Severity.NOTE, "feature gates")]),
        (setting("SidecarContainers", "false"), (33,), [("removed-feature-gate", BLOCKED, "kube-apiserver")]),
        (setting("SidecarContainers", "false"), (32,), [("feature-gate-unverified", Severity.NOTE, "feature gates")]),
        (setting("KMSv2"), (32,), [("removed-feature-gate", BLOCKED, "kube-apiserver")]),
        (giving("kube-apiserver", "cloud-config"), (33,), [("removed-argument", BLOCKED, "kube-apiserver")]),
        (setting("HostnameOverride", "false"), (37,), [("removed-feature-gate", BLOCKED, "kube-apiserver")]),
        (setting("HostnameOverride", "true"), (37,), [("feature-gate-unverified", Severity.NOTE, "feature gates")]),
        (
            setting("DeclarativeValidationTakeover", "true", "kube-proxy"),
            (37,),
            [("removed-feature-gate", BLOCKED, "kube-proxy")],
        ),
        (
            setting("PublicKeysECDSA", component="kubeadm"),
            (37,),
            [("removed-feature-gate", Severity.WARNING, "kubeadm")],
        ),
        (setting("PublicKeysECDSA"), (37,), [("feature-gate-unverified", Severity.NOTE, "feature gates")]),
        (setting("SidecarContainers"), (), []),
    ],
)
def test_what_a_minor_of_the_plan_does_not_know_keeps_its_component_from_starting(declared, numbers, found):
    """By component, by what is given and by the newest minor; what nobody looked up is a note, never clean."""
    assert judge(declared, *numbers) == found


@pytest.mark.parametrize(
    ("version", "numbers", "blocked"),
    [
        ("v1beta3", (37,), True),
        ("v1beta3", (37, 38), True),
        ("v1beta3", (36, 37), False),
        ("v1beta3", (36,), False),
        ("v1beta4", (37,), False),
        ("", (37,), False),
    ],
)
def test_an_old_configuration_is_no_obstacle_where_a_kubeadm_on_the_way_rewrites_it(version, numbers, blocked):
    """Those of v1.31 to v1.36 write it anew; v1.37 reads it no more."""
    declared = Declarations(api_version=f"kubeadm.k8s.io/{version}" if version else "")
    expected = [("kubeadm-config-old", BLOCKED, "kubeadm-config")] if blocked else []
    assert judge(declared, *numbers) == expected


def of_kubelet(facts, declared, last=35):
    return [(f.code, f.severity) for f in check_kubelet(NODE, replace(FACTS, **facts), Minor(1, last), declared)]


@pytest.mark.parametrize(
    ("declared", "patches", "last", "found"),
    [
        (replace(READ, fail_cgroup_v1=False), "none", 35, [("cgroup-v1", Severity.WARNING)]),
        (READ, "none", 35, [("cgroup-v1", BLOCKED)]),
        (replace(READ, fail_cgroup_v1=True), "none", 35, [("cgroup-v1", BLOCKED)]),
        (READ, "present /etc/kubernetes/patches", 35, [("cgroup-v1", Severity.WARNING)]),
        (Declarations(), "none", 35, [("cgroup-v1", Severity.WARNING)]),
        (None, "none", 35, [("cgroup-v1", Severity.WARNING)]),
        (READ, "none", 34, []),
    ],
)
def test_cgroup_v1_stops_the_kubelet_unless_somebody_said_that_it_may_stay(declared, patches, last, found):
    """A setting on purpose is a warning; so is what is not known for certain."""
    assert of_kubelet({"cgroup": "v1", "patches": patches}, declared, last) == found


@pytest.mark.parametrize(
    ("arguments", "severity"),
    [
        ({"kubelet_extra_args": "--v=2 --fail-cgroupv1=false"}, Severity.WARNING),
        (
            {"kubelet_arguments": (("/etc/systemd/system/kubelet.service.d/20.conf", "--fail-cgroupv1=false"),)},
            Severity.WARNING,
        ),
        ({"kubelet_flags": "--fail-cgroupv1=false"}, Severity.WARNING),
        ({"kubelet_extra_args": "--fail-cgroupv1=true"}, BLOCKED),
    ],
)
def test_an_argument_of_the_kubelet_lets_it_start_on_cgroup_v1_as_well(arguments, severity):
    """It starts then, whatever kubelet-config says."""
    (found,) = check_kubelet(NODE, replace(FACTS, cgroup="v1", **arguments), Minor(1, 35), READ)
    assert (found.code, found.severity) == ("cgroup-v1", severity)


@pytest.mark.parametrize(
    ("passed_over", "said"),
    [
        ((), True),
        ((("skipPhases", "SystemVerification"),), True),
        ((("ignorePreflightErrors", "CreateJob"),), True),
        ((("ignorePreflightErrors", "CreateJob,systemverification"),), False),
        ((("ignorePreflightErrors", "all"),), False),
    ],
)
@pytest.mark.parametrize("declared", [READ, replace(READ, fail_cgroup_v1=False), None])
def test_kubeadms_own_check_of_cgroup_v1_is_said_as_no_setting_of_the_kubelet_lifts_it(declared, passed_over, said):
    """Whoever set failCgroupV1 alone would see the run stop at kubeadm, in the middle where it is a worker."""
    (found,) = check_kubelet(NODE, replace(FACTS, cgroup="v1", passed_over=passed_over), Minor(1, 35), declared)
    assert ("SystemVerification in ignorePreflightErrors" in found.remedy) is said


def test_a_real_cluster_on_cgroup_v1_may_go_on_as_its_administrators_decided():
    """The recorded one sets failCgroupV1: false."""
    kubelet = read_kubelet_configuration(recorded("kubelet-config", "kubelet"))
    (finding,) = check_kubelet(NODE, replace(FACTS, cgroup="v1"), Minor(1, 35), kubelet)
    assert (finding.severity, "lets it start all the same" in finding.sentence) == (Severity.WARNING, True)


@pytest.mark.parametrize(
    ("facts", "last", "found"),
    [
        ({"kubelet_extra_args": "--v=2 --feature-gates=SidecarContainers=true"}, 37, "removed-feature-gate"),
        ({"kubelet_flags": "--feature-gates=Foo=true,HostnameOverride=false"}, 37, "removed-feature-gate"),
        ({"kubelet_arguments": (("/etc/x", "--feature-gates=SidecarContainers=true"),)}, 37, "removed-feature-gate"),
        ({"kubelet_extra_args": "--feature-gates=SidecarContainers=true"}, 36, ""),
        ({"kubelet_extra_args": "--boot-id-file=/x"}, 37, "removed-flag"),
        ({"feature_gates": (("Foo", "true"),)}, 36, "kubelet-edit-lost"),
        ({"feature_gates": (("KMSv2", "true"),), "patches": "present /p"}, 36, "removed-feature-gate"),
        ({"feature_gates": (("Foo", "true"),), "patches": "present /p"}, 36, ""),
        ({"feature_gates": (("Shared", "true"),)}, 36, ""),
        ({"feature_gates": (("Shared", "false"),)}, 36, "kubelet-edit-lost"),
        ({"kubelet_settings": (("maxPods", "200"),)}, 36, "kubelet-edit-lost"),
        ({"kubelet_settings": (("maxPods", "110"),)}, 36, ""),
        ({"kubelet_settings": (("failSwapOn", "false"),)}, 36, "kubelet-edit-lost"),
        ({"kubelet_settings": (("evictionHard.memory.available", "100Mi"),)}, 36, ""),
        ({"kubelet_settings": (("evictionHard.memory.available", "500Mi"),)}, 36, "kubelet-edit-lost"),
        ({"kubelet_settings": (("authentication.webhook.cacheTTL", "2m0s"),)}, 36, ""),
        ({"kubelet_settings": (("authentication.webhook.cacheTTL", "3m0s"),)}, 36, "kubelet-edit-lost"),
        ({"kubelet_settings": (("clusterDNS.1", "10.96.0.11"),)}, 36, "kubelet-edit-lost"),
        ({"kubelet_settings": (("failSwapOn", "false"),), "patches": "present /p"}, 36, ""),
        ({"kubelet_settings": (("containerRuntimeEndpoint", "unix:///run/other.sock"),)}, 36, ""),
        ({"feature_gates": None}, 36, ""),
    ],
)
def test_a_kubelets_own_gates_are_judged_by_where_they_are_set(facts, last, found):
    """Nobody rewrites its arguments; its configuration is written anew from the ConfigMap."""
    gates = (Gate("kubelet", "the ConfigMap kubelet-config", "Shared", "true"),)
    text = "maxPods: 110\nevictionHard: {memory.available: 100Mi}\nauthentication: {webhook: {cacheTTL: 2m}}\n"
    settings = read_kubelet_configuration(yaml.safe_load(text)).kubelet_settings
    shared = replace(READ, gates=gates, kubelet_settings=settings)
    assert [code for code, _ in of_kubelet(facts, shared, last)] == ([found] if found else [])


def test_a_real_machines_configuration_has_nothing_of_its_own():
    """As kubeadm wrote it from that cluster's ConfigMap; it fills in the runtime's endpoint by the machine."""
    text = (RECORDED.parents[1] / "machines" / "kubelet-config.yaml").read_text(encoding="utf-8")
    own = read_kubelet_configuration(yaml.safe_load(text)).kubelet_settings
    declared = read_kubelet_configuration(recorded("kubelet-config", "kubelet"))
    assert dict(own)["containerRuntimeEndpoint"] != dict(declared.kubelet_settings)["containerRuntimeEndpoint"]
    assert of_kubelet({"kubelet_settings": own}, declared, 35) == []


def test_an_edit_of_one_kubelets_configuration_is_named_by_its_path():
    """As somebody would have to write it into the ConfigMap."""
    own = (("authentication.webhook.cacheTTL", "3m0s"),)
    (finding,) = check_kubelet(NODE, replace(FACTS, kubelet_settings=own), Minor(1, 36), READ)
    assert "authentication.webhook.cacheTTL: 3m0s" in finding.sentence


def test_a_configuration_that_contains_itself_comes_to_an_end():
    """YAML allows it."""
    assert read_kubelet_configuration(yaml.safe_load("a: &a [1, *a]\n")).kubelet_settings[0] == ("a.0", "1")


UNLIMITED = [("kubelet-setting-changes", Severity.WARNING, "eventRecordQPS")]


@pytest.mark.parametrize(
    ("value", "numbers", "found"),
    [
        (0, (36, 37), UNLIMITED),
        (0, (36,), []),
        (0, (38,), []),  # its kubelets know it that way already
        (50, (37,), []),
        (False, (37,), []),
    ],
)
def test_a_value_of_the_kubelets_that_means_something_else_is_told_on_the_way(value, numbers, found):
    """By the minor that changes it, and no other."""
    assert judge(read_kubelet_configuration({"eventRecordQPS": value}), *numbers) == found


def test_an_argument_that_is_taken_away_blocks_a_plan():
    """Said with what is given, to whom, and by whom it is not known."""
    seen = Examination("prod", NOW, declared=giving("kube-controller-manager", "enable-taint-manager", "true"))
    (stop,) = blockers(draft(examination=seen).findings)
    assert stop.sentence == (
        "kubeadm-config gives kube-controller-manager --enable-taint-manager, which is not known from v1.27 on."
    )
    assert codes(blockers(draft().findings)) == []


def test_removals_are_dated_and_in_order():
    """The file says when somebody last looked; no row is there twice."""
    file = read_file()
    assert file.verified_on <= date(2026, 11, 23)
    flags = [(row.component, flag) for row in file.flags for flag in row.flags]
    assert len(flags) == len(set(flags))
    for rows in (file.flags, file.gates, file.kubeadm_gates):
        assert [r.removed for r in rows] == sorted(r.removed for r in rows)
    assert [r.locked for r in file.locked] == sorted(r.locked for r in file.locked)
    gone = {gate: row.removed for row in file.gates for gate in row.gates}
    assert sum(len(row.gates) for row in file.gates) == len(gone)
    locked = {gate: row.locked for row in file.locked for gate in row.gates}
    assert sum(len(row.gates) for row in file.locked) == len(locked)
    assert all(minor < gone[gate] for gate, minor in locked.items() if gate in gone)
