"""The project's real node script, as rendered for the lab, carries out every verb on the lab's machines."""

import time

import pytest
import yaml

from lab.objects import ObjectStore
from lab.world import World
from tests.machine_fixture import SPEED, Bench

FIRST = (
    "hold", "fetch 1.35.4-1.1", "pull-images v1.35.4", "snapshot-etcd", "set-source v1.35",
    "install-kubeadm 1.35.4-1.1", "plan v1.35.4", "apply v1.35.4", "install-kubelet 1.35.4-1.1", "restart-kubelet",
    "repair", "prune", "unhold",
)  # fmt: skip
WORKER = (
    "hold", "fetch 1.35.4-1.1", "pull-images v1.35.4", "set-source v1.35", "install-kubeadm 1.35.4-1.1",
    "upgrade-node worker v1.35.4", "install-kubelet 1.35.4-1.1", "restart-kubelet",
    "roll-back-kubelet 1.34.7-1.1", "unhold",
)  # fmt: skip


@pytest.fixture
def bench():
    with World.start("small", speed=SPEED) as world:
        bench = Bench(world)
        yield bench
        bench.close()


class Script:
    """The node script of one machine; attempt ids are counted."""

    def __init__(self, bench: Bench, node: str) -> None:
        self.bench, self.node = bench, node
        self.path = bench.world.config()["clusters"]["lab"]["machines"][node]["node_script"]
        self.count = 0

    def ask(self, words: str) -> str:
        return self.bench.ok(self.node, f"sudo -n {self.path} {words}")

    def carry_out(self, verb: str) -> str:
        self.count += 1
        attempt = f"try-{self.node}-{self.count}"
        assert self.ask(f"start {attempt} 1 {verb}") == "STARTED\n"
        end = time.monotonic() + 60
        while (answer := self.ask(f"poll {attempt} 0")).startswith("RUNNING"):
            assert time.monotonic() < end, f"{verb} does not end: {answer}"
            time.sleep(0.02)
        assert answer.startswith("DONE 0 "), f"{verb}: {answer}"
        return answer

    def known(self) -> set[str]:
        return set(self.ask("observe").splitlines())


def test_every_verb_of_an_upgrade_works_on_the_lab(bench):
    """Control plane to the new version; a worker there and its kubelet back again."""
    first, worker = Script(bench, "cp1"), Script(bench, "w1")
    for verb in FIRST:
        first.carry_out(verb)
    for verb in WORKER:
        worker.carry_out(verb)
    snapshot = bench.world.snapshot()
    assert (snapshot["cp1"]["kubelet"], snapshot["cp1"]["apiserver"]) == ("v1.35.4", "v1.35.4")
    assert (snapshot["w1"]["kubelet"], snapshot["w1"]["kubeadm"]) == ("v1.34.7", "v1.35.4")
    assert all(facts["holds"] == ["kubeadm", "kubectl", "kubelet"] for facts in snapshot.values())
    starts = [(r.machine, r.unit) for r in bench.world.exec_log() if r.started]
    assert len(starts) == len(set(starts)) == len(FIRST) + len(WORKER)


def test_a_half_moved_manifest_is_repaired(bench):
    machine, script = bench.world.machines["cp1"], Script(bench, "cp1")
    for verb in ("set-source v1.35", "install-kubeadm 1.35.4-1.1"):
        script.carry_out(verb)
    machine.faults.kubeadm_dies_at.add("kube-apiserver")
    bench.run("cp1", "kubeadm upgrade apply -y v1.35.4")
    machine.faults.kubeadm_dies_at.clear()
    assert "missing-manifest kube-apiserver" in script.known()
    script.carry_out("repair")
    assert "missing-manifest kube-apiserver" not in script.known()
    end = time.monotonic() + 30
    while not bench.world.site.reachable():
        assert time.monotonic() < end, "the API server did not come back"
        time.sleep(0.01)
    script.carry_out("apply v1.35.4")
    assert bench.world.snapshot()["cp1"]["apiserver"] == "v1.35.4"


def test_a_tool_names_the_attempt_that_called_it(bench):
    script = Script(bench, "w1")
    script.carry_out("hold")
    tools = {r.argv[0] for r in bench.world.exec_log() if r.unit == "try-w1-1" and not r.started}
    assert "apt-mark" in tools


def test_an_etcd_image_without_etcdctl_leaves_the_host_s(bench):
    bench.world.machines["cp1"].faults.no_etcdctl = True
    assert "etcdctl host" in Script(bench, "cp1").known()


def test_a_reboot_in_the_middle_is_seen_as_lost():
    """A fetch that waits for dpkg's lock dies with its machine, and nobody takes it for done."""
    with World.start("small", speed=20) as world:
        bench = Bench(world)
        script = Script(bench, "w1")
        world.machines["w1"].faults.dpkg_held_by = "unattended-upgr"
        assert script.ask("start long 1 fetch 1.35.4-1.1") == "STARTED\n"
        assert script.ask("poll long 0").startswith("RUNNING ")
        world.reboot("w1")
        assert script.ask("poll long 0").startswith("LOST ")
        bench.close()


def test_a_pulled_image_is_of_the_declared_repository_and_shows_at_the_node(bench):
    """As a kubelet lists them: who looks at the API finds what the machine has."""
    assert "registry.k8s.io/kube-proxy:v1.34.7" in images_of(bench, "w1")
    bench.world.call(lambda: _declare(bench.world.cluster.store, imageRepository="mirror.lab/k8s"))
    script = Script(bench, "w1")
    script.carry_out("fetch 1.35.4-1.1")
    script.carry_out("pull-images v1.35.4")
    end = time.monotonic() + 60
    while "mirror.lab/k8s/kube-proxy:v1.35.4" not in images_of(bench, "w1"):
        assert time.monotonic() < end, images_of(bench, "w1")
        time.sleep(0.02)
    assert "mirror.lab/k8s/kube-proxy:v1.35.4" not in images_of(bench, "w2")


def _declare(store: ObjectStore, **settings: str) -> None:
    found = store.get("ConfigMap", "kubeadm-config", "kube-system")
    declared = yaml.safe_load(found["data"]["ClusterConfiguration"]) | settings
    data = {"data": {"ClusterConfiguration": yaml.safe_dump(declared)}}
    store.merge("ConfigMap", "kubeadm-config", "kube-system", data)


def images_of(bench: Bench, node: str) -> set[str]:
    found = bench.world.call(lambda: bench.world.cluster.store.get("Node", node))
    return {name for image in found["status"]["images"] for name in image["names"]}
