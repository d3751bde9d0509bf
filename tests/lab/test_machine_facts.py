"""What is wrong with a machine of the lab shows in its facts as on a real one, and in the findings of a plan."""

import pytest

from cluster.survey import Survey, SurveyedMachine
from lab.world import World
from policies.etcd import check_etcd
from policies.machines import check_machine
from tests.machine_fixture import SPEED, Bench
from tests.policies_fixture import NOW, make_report
from workers.node_script.survey import parse_facts

SCHEDULER = "/etc/kubernetes/manifests/kube-scheduler.yaml"
REPORT = make_report({"cp1": "v1.34.7"}, masters=("cp1",))


@pytest.fixture(scope="module")
def bench():
    with World.start("small", speed=SPEED) as world:
        bench = Bench(world)
        yield bench
        bench.close()


def facts_of(bench, node="cp1"):
    path = bench.world.config()["clusters"]["lab"]["machines"][node]["node_script"]
    return parse_facts(bench.ok(node, f"sudo -n {path} observe"))


def found(bench):
    """Every finding about the first control plane."""
    facts = facts_of(bench)
    survey = Survey("prod", NOW, (SurveyedMachine("cp1", facts),))
    findings = (*check_machine(REPORT.node("cp1"), facts, (), snapshot=True), *check_etcd(REPORT, survey))
    return {f.code for f in findings}


def test_a_sound_machine_has_no_finding_and_nothing_unread(bench):
    """Neither a control plane nor a worker."""
    assert found(bench) == set()
    assert [facts_of(bench, node).unread for node in ("cp1", "w1")] == [(), ()]


@pytest.mark.parametrize(
    ("fault", "value", "codes"),
    [
        ("etcd_alarms", ("NOSPACE",), {"etcd-alarm"}),
        ("etcd_learner", True, {"etcd-learner"}),
        ("etcd_bytes", 1900 << 20, {"etcd-database-large"}),
        ("certificate_days", 10, {"certificate-expiring"}),
        ("certificate_days", -1, {"certificate-expired"}),
        ("key_days", 10, {"signing-key-expiring"}),
        ("key_days", -1, {"signing-key-expired"}),
        ("free_kib", 600 << 10, {"disk-low"}),
        ("free_kib", 1 << 10, {"disk-low", "disk-space"}),
    ],
)
def test_a_fault_shows_as_its_finding(bench, fault, value, codes):
    """And is gone with the fault."""
    faults = bench.world.machines["cp1"].faults
    sound = getattr(faults, fault)
    setattr(faults, fault, value)
    try:
        assert found(bench) == codes
    finally:
        setattr(faults, fault, sound)


def test_etcd_is_asked_at_its_metrics_address_where_there_is_no_etcdctl(bench):
    """An alarm is seen there too, though not whose it is."""
    machine = bench.world.machines["cp1"]
    machine.faults.no_etcdctl, machine.faults.etcd_alarms = True, ("NOSPACE",)
    kept = (machine.tools / "etcdctl").read_bytes()
    (machine.tools / "etcdctl").unlink()
    try:
        assert found(bench) == {"no-etcdctl", "etcd-alarm"}
    finally:
        machine.faults.no_etcdctl, machine.faults.etcd_alarms = False, ()
        (machine.tools / "etcdctl").write_bytes(kept)
        (machine.tools / "etcdctl").chmod(0o755)


@pytest.mark.parametrize(
    ("path", "text", "codes"),
    [
        (
            "/etc/apt/sources.list.d/old.list",
            "deb https://apt.kubernetes.io/ kubernetes-xenial main\n",
            {"source-frozen"},
        ),
        (
            "/etc/apt/preferences.d/kube",
            "Package: kube*\nPin: version 1.34.*\nPin-Priority: 1001\n",
            {"version-pinned"},
        ),
    ],
)
def test_what_an_owner_left_in_a_file_shows_as_its_finding(bench, path, text, codes):
    """By the same files as on a real machine."""
    machine = bench.world.machines["cp1"]
    machine.write(path, text)
    try:
        assert found(bench) == codes
    finally:
        machine.path(path).unlink()


def test_a_removed_flag_in_a_drop_in_stands_in_the_way_of_the_minor_that_removed_it(bench):
    """With the name of the file that nobody cleans."""
    machine = bench.world.machines["cp1"]
    path = "/etc/systemd/system/kubelet.service.d/20-ours.conf"
    machine.write(path, '[Service]\nEnvironment="X=--pod-infra-container-image=pause"\n')
    facts = facts_of(bench)
    machine.path(path).unlink()
    assert facts.kubelet_arguments == ((path, "--pod-infra-container-image=pause"),)


def test_a_manifest_edited_by_hand_shows_as_drift(bench):
    """As the lab's kubeadm compares it; the lines are in the sentence."""
    machine = bench.world.machines["cp1"]
    before = machine.read(SCHEDULER)
    machine.write(SCHEDULER, before.replace("    - kube-scheduler\n", "    - kube-scheduler\n    - --v=9\n"))
    try:
        assert found(bench) == {"manifest-drift"}
    finally:
        machine.write(SCHEDULER, before)
