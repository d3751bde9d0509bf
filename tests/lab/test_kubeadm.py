"""kubeadm of the lab, held against recordings: its words, its order, and what it does to the cluster."""

import json
import threading
import time
from collections.abc import Callable
from typing import Self

import pytest
import yaml

from lab.apiserver import Availability
from lab.packages import Package
from lab.scenarios import SCENARIOS, Scenario
from lab.world import World
from tests.machine_fixture import SPEED, Answer, Bench, plain, recorded

HA = Scenario("three", "three control planes and a worker", 3, 1, apps=())


@pytest.fixture(scope="module")
def untouched():
    """A cluster that the tests only ask, or fail to change."""
    with World.start("small", speed=SPEED) as world:
        bench = Bench(world)
        yield bench
        bench.close()


@pytest.fixture
def bench(request):
    with World.start(getattr(request, "param", "small"), speed=SPEED) as world:
        bench = Bench(world)
        yield bench
        bench.close()


def with_kubeadm(bench: Bench, version: str, *nodes: str) -> None:
    """As if that package had been installed."""
    for node in nodes or ("cp1",):
        bench.world.machines[node].packages.put(Package("kubeadm", f"{version}-1.1", held=True))


def tidy(answer: Answer) -> tuple[str, str]:
    return plain(answer.out), plain(answer.err)


def want(name: str) -> tuple[str, str]:
    answer = recorded(name)
    return answer.out, answer.err


def declared(bench: Bench) -> str:
    found = bench.world.call(lambda: bench.world.cluster.store.get("ConfigMap", "kubeadm-config", "kube-system"))
    return yaml.safe_load(found["data"]["ClusterConfiguration"])["kubernetesVersion"]


@pytest.mark.parametrize(
    ("kubeadm", "command", "name"),
    [
        ("1.34.7", "apply -y v1.33.9", "apply-downgrade"),
        ("1.34.7", "apply -y v1.35.4", "apply-old-kubeadm"),
        ("1.36.2", "apply -y v1.36.2", "apply-two-minors"),
        ("1.34.7", "apply -y v1.35", "apply-bad-version"),
        ("1.35.4", "apply v1.35.4 </dev/null", "apply-not-interactive"),
        ("1.34.7", "apply -y", "apply-no-version"),
    ],
)
def test_apply_refuses_in_kubeadm_s_own_words(untouched, kubeadm, command, name):
    with_kubeadm(untouched, kubeadm)
    answer = untouched.run("cp1", f"kubeadm upgrade {command}")
    assert (answer.code, *tidy(answer)) == (1, *want(name))
    assert declared(untouched) == "v1.34.7"


def test_a_worker_has_no_admin_conf(untouched):
    answer = untouched.run("w1", "kubeadm upgrade apply -y v1.35.4")
    assert (answer.code, *tidy(answer)) == (1, *want("apply-on-worker"))


def test_plan_lists_what_the_recording_lists(untouched):
    with_kubeadm(untouched, "1.35.4")
    out = untouched.ok("cp1", "kubeadm upgrade plan v1.35.4")
    assert out == want("08-plan-target")[0]


def test_plan_as_json_is_the_recorded_document(untouched):
    with_kubeadm(untouched, "1.35.4")
    out = untouched.ok("cp1", "kubeadm upgrade plan v1.35.4 -o json")
    assert json.loads(out) == json.loads(recorded("08-plan-json").out)


def test_diff_of_the_next_minor_shows_the_three_images(untouched):
    with_kubeadm(untouched, "1.35.4")
    assert untouched.ok("cp1", "kubeadm upgrade diff v1.35.4") == want("09-diff")[0]


def test_diff_without_a_version_is_silent_about_an_unedited_host(untouched):
    with_kubeadm(untouched, "1.34.7")
    assert "@@" not in untouched.ok("cp1", "kubeadm upgrade diff")


def test_images_are_those_of_the_minor(untouched):
    out = untouched.ok("cp1", "kubeadm config images list --kubernetes-version v1.35.4 -o json")
    assert json.loads(out) == json.loads(recorded("images-list").out)


def test_certificates_are_listed_with_their_last_day(untouched):
    body = json.loads(untouched.ok("cp1", "kubeadm certs check-expiration -o json"))
    assert {c["name"] for c in body["certificates"]} >= {"admin.conf", "apiserver", "etcd-server"}
    assert untouched.run("w1", "kubeadm certs check-expiration -o json").code == 1


def test_a_stopped_kubelet_of_a_control_plane_stops_plan(bench):
    bench.ok("cp1", "systemctl stop kubelet")
    until(lambda: not bench.world.snapshot()["cp1"]["ready"])
    with_kubeadm(bench, "1.35.4")
    answer = bench.run("cp1", "kubeadm upgrade plan v1.35.4")
    assert (answer.code, *tidy(answer)) == (1, *want("plan-cp-notready"))


@pytest.mark.parametrize("verb", ["plan v1.35.4", "apply -y v1.35.4", "node"])
def test_with_the_api_away_kubeadm_ends_at_once(bench, verb):
    """The manifest moved away: connection refused, in the recorded words."""
    with_kubeadm(bench, "1.35.4", "cp1", "w1")
    root = bench.world.machines["cp1"].root
    bench.ok("cp1", f"mv {root}/etc/kubernetes/manifests/kube-apiserver.yaml {root}/root/")
    wait_for(bench, Availability.REFUSED)
    node = "w1" if verb == "node" else "cp1"
    answer = bench.run(node, f"kubeadm upgrade {verb}")
    assert (answer.code, *tidy(answer)) == (1, *want(f"api-down-{verb.split()[0]}"))
    bench.ok("cp1", f"mv {root}/root/kube-apiserver.yaml {root}/etc/kubernetes/manifests/")
    wait_for(bench, Availability.UP)


def wait_for(bench: Bench, availability: Availability) -> None:
    until(lambda: bench.world.cluster.servers["cp1"].availability is availability)


def until(ready: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)


class Watcher:
    """What clients of each API server met while something went on, in order."""

    def __init__(self, bench: Bench) -> None:
        self.seen: dict[str, list[tuple[str, str]]] = {name: [] for name in bench.world.cluster.servers}
        self._bench = bench
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.002):
            for name, server in self._bench.world.cluster.servers.items():
                state = (server.version, str(server.availability))
                if not self.seen[name] or self.seen[name][-1] != state:
                    self.seen[name].append(state)


def test_apply_on_the_only_control_plane(bench):
    """As recorded: 500 while etcd changes, refused while the API server does, then the new version."""
    with_kubeadm(bench, "1.35.4")
    with Watcher(bench) as watcher:
        answer = bench.run("cp1", "kubeadm upgrade apply -y v1.35.4")
    assert (answer.code, plain(answer.out)) == (0, want("11-apply")[0])
    assert watcher.seen["cp1"][:4] == [
        ("v1.34.7", "up"),
        ("v1.34.7", "failing"),
        ("v1.34.7", "up"),
        ("v1.34.7", "refused"),
    ]
    assert watcher.seen["cp1"][-1] == ("v1.35.4", "up")
    assert declared(bench) == "v1.35.4"
    root = bench.world.machines["cp1"].root
    kept = list((root / "etc/kubernetes/tmp").glob("kubeadm-backup-manifests-*/*.yaml"))
    assert sorted(p.name for p in kept) == [
        "etcd.yaml",
        "kube-apiserver.yaml",
        "kube-controller-manager.yaml",
        "kube-scheduler.yaml",
    ]
    again = bench.run("cp1", "kubeadm upgrade apply -y v1.35.4")
    assert (again.code, plain(again.out)) == (0, want("apply-same-version-again")[0])
    images = mirror_images(bench)
    assert images == {
        "etcd:3.6.6-0",
        "kube-apiserver:v1.35.4",
        "kube-controller-manager:v1.35.4",
        "kube-scheduler:v1.35.4",
    }


def mirror_images(bench: Bench) -> set[str]:
    pods = bench.world.call(lambda: bench.world.cluster.store.list("Pod", "kube-system"))
    found = [p for p in pods if p["metadata"].get("labels", {}).get("tier") == "control-plane"]
    return {p["spec"]["containers"][0]["image"].rpartition("/")[2] for p in found}


def test_upgrade_node_before_apply_exits_0_and_stays_at_the_old_version(bench):
    """kubeadm does not guard the order."""
    with_kubeadm(bench, "1.35.4", "w1")
    answer = bench.run("w1", "kubeadm upgrade node")
    assert (answer.code, plain(answer.out)) == (0, want("node-on-worker-before-cp")[0])
    assert declared(bench) == "v1.34.7"


def test_a_control_plane_without_its_manifest_passes_for_a_worker(bench):
    root = bench.world.machines["cp1"].root
    bench.world.machines["cp1"].faults.kubeadm_dies_at.add("kube-apiserver")
    with_kubeadm(bench, "1.35.4")
    assert bench.run("cp1", "kubeadm upgrade apply -y v1.35.4").code == 137
    assert not (root / "etc/kubernetes/manifests/kube-apiserver.yaml").exists()
    wait_for(bench, Availability.REFUSED)
    assert list((root / "etc/kubernetes/tmp").glob("kubeadm-backup-manifests-*/kube-apiserver.yaml"))


@pytest.mark.parametrize("bench", [HA], indirect=True)
def test_with_three_control_planes_only_one_api_server_is_away_and_addons_come_last(bench):
    with_kubeadm(bench, "1.35.4", "cp1", "cp2", "cp3")
    with Watcher(bench) as watcher:
        first = bench.run("cp1", "kubeadm upgrade apply -y v1.35.4")
    assert (first.code, plain(first.out)) == (0, want("ha-02-apply")[0])
    assert watcher.seen["cp2"] == watcher.seen["cp3"] == [("v1.34.7", "up")]
    assert addon_image(bench) == "registry.k8s.io/kube-proxy:v1.34.7"
    assert bench.run("cp2", "kubeadm upgrade node").code == 0
    last = bench.run("cp3", "kubeadm upgrade node")
    assert (last.code, plain(last.out)) == (0, want("ha-07-upgrade-node-cp3-last")[0])
    assert addon_image(bench) == "registry.k8s.io/kube-proxy:v1.35.4"


def addon_image(bench: Bench) -> str:
    found = bench.world.call(lambda: bench.world.cluster.store.get("DaemonSet", "kube-proxy", "kube-system"))
    return found["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.mark.parametrize("bench", ["hand-edited-apiserver"], indirect=True)
def test_a_hand_edited_api_server_hides_the_upgrade_and_apply_puts_it_back(bench):
    """kubeadm believes that API server alone; the declared version's apply quietly restores it."""
    assert bench.world.snapshot()["cp1"]["apiserver"] == "v1.35.4"
    with_kubeadm(bench, "1.35.4")
    assert bench.ok("cp1", "kubeadm upgrade plan v1.35.4") == want("drift-04-plan-new-kubeadm")[0]
    with_kubeadm(bench, "1.34.7")
    drift = bench.ok("cp1", "kubeadm upgrade diff")
    assert "+    image: registry.k8s.io/kube-apiserver:v1.34.7" in drift
    answer = bench.run("cp1", "kubeadm upgrade apply -y v1.34.7")
    assert (answer.code, plain(answer.out)) == (0, want("drift-06-apply-1344")[0])
    assert bench.world.snapshot()["cp1"]["apiserver"] == "v1.34.7"
    assert "@@" not in bench.ok("cp1", "kubeadm upgrade diff")


def test_a_component_that_never_comes_up_is_rolled_back(bench):
    machine = bench.world.machines["cp1"]
    machine.faults.manifest_ignored.add("kube-scheduler")
    with_kubeadm(bench, "1.35.4")
    answer = bench.run("cp1", "kubeadm upgrade apply -y v1.35.4")
    assert answer.code == 1
    assert "static Pod hash for component kube-scheduler on Node cp1 did not change after 5m0s" in answer.err
    assert "kubeadm has tried to recover everything into the earlier state" in answer.err
    assert "kube-apiserver:v1.34.7" in machine.read("/etc/kubernetes/manifests/kube-apiserver.yaml")
    assert declared(bench) == "v1.34.7"


def test_images_that_cannot_be_pulled_stop_apply_before_anything_changes(bench):
    machine = bench.world.machines["cp1"]
    machine.faults.image_pull_fails = True
    with_kubeadm(bench, "1.35.4")
    before = machine.read("/etc/kubernetes/manifests/etcd.yaml")
    answer = bench.run("cp1", "kubeadm upgrade apply -y v1.35.4")
    assert answer.code == 1
    assert "[ERROR ImagePull]: failed to pull image registry.k8s.io/kube-apiserver:v1.35.4" in answer.err
    assert machine.read("/etc/kubernetes/manifests/etcd.yaml") == before


def test_a_killed_kubeadm_stops_where_it_is():
    with World.start("small", speed=60) as world:
        bench = Bench(world)
        with_kubeadm(bench, "1.35.4")
        bench.ok("cp1", "systemd-run --unit=victim -- kubeadm upgrade apply -y v1.35.4")
        machine, etcd = world.machines["cp1"], "registry.k8s.io/etcd:3.6.6-0"
        manifests = machine.root / "etc/kubernetes/manifests"
        until(lambda: (manifests / "etcd.yaml").exists() and etcd in (manifests / "etcd.yaml").read_text())
        bench.ok("cp1", "systemctl kill -s KILL victim")
        assert "v1.34.7" in (manifests / "kube-apiserver.yaml").read_text()
        until(lambda: machine.kubelet.running["etcd"] == etcd)
        time.sleep(0.5)  # 30 s of the lab: a kubeadm that lived would go on 4 s after it has seen the new etcd
        assert "v1.34.7" in (manifests / "kube-apiserver.yaml").read_text()
        assert declared(bench) == "v1.34.7"
        bench.close()


def test_every_scenario_starts_as_it_says():
    for name, scenario in SCENARIOS.items():
        if scenario.state:
            continue  # said finding by finding in tests/workers/test_scenarios.py
        with World.start(name, speed=SPEED) as world:
            snapshot = world.snapshot()
            assert len(snapshot) == scenario.control_planes + scenario.workers
            assert {facts["kubelet"] for facts in snapshot.values()} == {scenario.version}
            assert all(facts["ready"] and not facts["cordoned"] for facts in snapshot.values())
            assert all(facts["holds"] == ["kubeadm", "kubectl", "kubelet"] for facts in snapshot.values())
            servers = {facts["apiserver"] for facts in snapshot.values()} - {""}
            assert servers == {scenario.edited_apiserver or scenario.version}


def test_the_blocked_budget_allows_nothing_until_it_is_lifted():
    with World.start("pdb-blocked", speed=SPEED) as world:

        def allowed() -> int:
            found = world.call(lambda: world.cluster.store.get("PodDisruptionBudget", "ledger", "demo"))
            return found["status"].get("disruptionsAllowed", -1)

        assert allowed() == 0
        world.lift_budget()
        until(lambda: allowed() == 1)
        assert allowed() == 1


def test_the_snapshot_follows_a_foreign_cordon(untouched):
    untouched.world.cordon("w2")
    assert untouched.world.snapshot()["w2"]["cordoned"]
    assert next(m for m in untouched.world.view() if m["name"] == "w2")["cordoned"]
    untouched.world.cordon("w2", cordoned=False)
    assert not untouched.world.snapshot()["w2"]["cordoned"]
