"""The kubelet's flags, the container runtime and the kernel, judged against the plan's newest minor."""

from dataclasses import replace

import pytest

from cluster.runtime import Runtime
from cluster.versions import Minor
from policies.kubelets import check_kubelet
from policies.runtimes import check_runtime, read_file
from tests.policies_fixture import FACTS, draft, make_report, make_survey, reported

W1 = make_report().node("w1")
DROP_IN = "/etc/systemd/system/kubelet.service.d/20-ours.conf"
PAUSE = "--pod-infra-container-image=registry.k8s.io/pause:3.9"


def weighed(findings):
    return {f.code: f.severity.value for f in findings}


@pytest.mark.parametrize(
    ("version", "last", "expected"),
    [
        ("1.5.9", 26, {"runtime-too-old": "blocker"}),
        ("1.5.9", 25, {}),
        ("1.7.28", 35, {}),
        ("1.7.27", 35, {"runtime-not-recommended": "warning"}),
        ("1.7.28", 36, {"runtime-not-recommended": "warning"}),
        ("1.7.28", 38, {"runtime-too-old": "blocker"}),
        ("2.1.9+ds1", 35, {}),
        ("2.1.9+ds1", 36, {"runtime-not-recommended": "warning"}),
        ("2.3.1", 36, {}),
        ("v3.0.0", 36, {}),
        ("2.1.9", 31, {}),
        ("unknown", 36, {}),
    ],
)
def test_containerd_is_held_against_what_its_makers_and_the_kubelet_say(version, last, expected):
    """What the kubelet tolerates is a warning; what it cannot use, or is announced not to, blocks."""
    facts = replace(FACTS, runtime=Runtime("containerd", version))
    assert weighed(check_runtime(W1, facts, Minor(1, last))) == expected


def test_without_a_survey_of_it_the_nodes_own_word_counts():
    """As the API has it; a runtime that is neither containerd nor CRI-O is not judged."""
    node = replace(W1, runtime="containerd://1.5.9")
    assert weighed(check_runtime(node, FACTS, Minor(1, 35))) == {"runtime-too-old": "blocker"}
    assert weighed(check_runtime(replace(W1, runtime="other://1.20.0"), FACTS, Minor(1, 35))) == {}


@pytest.mark.parametrize(
    ("version", "last", "told"),
    [("1.34.9", 35, True), ("1.35.0", 35, False), ("1.36.1", 35, False), ("1.20.0", 35, True), ("unknown", 35, False)],
)
def test_crio_is_wanted_in_the_minor_of_its_kubelet(version, last, told):
    """Its makers have one for each minor of Kubernetes; a newer one is fine."""
    facts = replace(FACTS, runtime=Runtime("cri-o", version))
    found = tuple(check_runtime(W1, facts, Minor(1, last)))
    assert weighed(found) == ({"runtime-not-recommended": "warning"} if told else {})
    assert all(f"Upgrade CRI-O there to 1.{last} " in f.remedy for f in found)
    assert all(f"made for v{version[:4]}: " in f.sentence and f"goes to v1.{last}." in f.sentence for f in found)


@pytest.mark.parametrize(
    ("kubelet", "runtime", "endpoint", "expected"),
    [
        ("v1.23.17", "docker://20.10.0", "", {"dockershim": "blocker"}),
        ("v1.23.17", "docker://20.10.0", "unix:///run/cri-dockerd.sock", {}),
        ("v1.24.0", "docker://20.10.0", "", {}),
        ("v1.23.17", "containerd://1.6.36", "", {}),
    ],
)
def test_docker_below_an_old_kubelet_is_dockershim(kubelet, runtime, endpoint, expected):
    """Unless an adapter of its own stands between them."""
    node = replace(W1, kubelet=reported(kubelet), runtime=runtime)
    assert weighed(check_runtime(node, replace(FACTS, runtime_endpoint=endpoint), Minor(1, 24))) == expected


@pytest.mark.parametrize(
    ("kernel", "last", "warned"),
    [
        ("6.1.0-37-amd64", 35, False),
        ("6.18.44-fc-v669", 35, False),
        ("5.15.0-91-generic", 35, False),
        ("5.14.0-362.el9", 35, True),
        ("4.19.0-27-amd64", 34, False),
        ("4.19.0-27-amd64", 35, True),
        ("7.0", 36, False),
        ("strange", 36, False),
    ],
)
def test_kubeadms_own_warning_about_a_kernel_is_said_before(kernel, last, warned):
    """Only where that kubeadm has the check."""
    found = weighed(check_runtime(W1, replace(FACTS, kernel=kernel), Minor(1, last)))
    assert found == ({"kernel-not-validated": "warning"} if warned else {})


def test_a_sandbox_image_of_the_old_registry_is_said():
    """No pod starts once it is lost there."""
    found = check_runtime(W1, replace(FACTS, sandbox_image="k8s.gcr.io/pause:3.6"), Minor(1, 35))
    assert weighed(found) == {"sandbox-image-old": "warning"}
    assert weighed(check_runtime(W1, replace(FACTS, sandbox_image="registry.k8s.io/pause:3.9"), Minor(1, 35))) == {}


@pytest.mark.parametrize(
    ("kubelet", "changes", "last", "file"),
    [
        ("v1.34.7", {"kubelet_extra_args": PAUSE}, 35, "/etc/default/kubelet"),
        ("v1.34.7", {"kubelet_arguments": ((DROP_IN, f"--v=2 {PAUSE}"),)}, 35, DROP_IN),
        ("v1.34.7", {"kubelet_arguments": ((DROP_IN, PAUSE),)}, 34, ""),
        ("v1.34.7", {"kubelet_flags": PAUSE}, 35, ""),
        ("v1.34.7", {"kubelet_flags": PAUSE}, 34, ""),
        ("v1.26.3", {"kubelet_flags": "--container-runtime=remote"}, 27, "/var/lib/kubelet/kubeadm-flags.env"),
        ("v1.25.3", {"kubelet_flags": "--container-runtime=remote"}, 27, ""),
    ],
)
def test_a_removed_flag_is_said_with_its_file_unless_kubeadm_takes_it_out(kubelet, changes, last, file):
    """kubeadm of one minor alone cleans its own file; what it should have cleaned before stays for ever."""
    node = replace(W1, kubelet=reported(kubelet))
    facts = replace(FACTS, kubelet=reported(kubelet), **changes)
    found = [f for f in check_kubelet(node, facts, Minor(1, last)) if f.code == "removed-flag"]
    assert [f.sentence.partition(" ")[0] for f in found] == ([file] if file else [])


def test_runtime_facts_are_in_order():
    """The last row that counts is the newest."""
    rows = read_file().containerd
    assert [r.since for r in rows.recommended] == sorted(r.since for r in rows.recommended)
    assert [r.since for r in rows.refused] == sorted(r.since for r in rows.refused)
    assert all(r.releases == tuple(sorted(r.releases, reverse=True)) for r in rows.recommended)


def test_a_plan_says_what_a_runtime_is_short_of():
    """By the newest minor that it brings."""
    facts = replace(FACTS, runtime=Runtime("containerd", "1.5.2"))
    assert "runtime-too-old" in {f.code for f in draft(survey=make_survey(facts={"w1": facts})).findings}
