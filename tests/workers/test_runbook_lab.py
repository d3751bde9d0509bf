"""The runbook on the lab: real SSH, the real node script, the real client, and what breaks on the way."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest

from cluster.departures import is_ready
from cluster.findings import Severity, blockers
from cluster.inventory import Snapshots
from cluster.options import Options, WorkerMoves
from cluster.plan import PlanKind
from cluster.procedure import Phase, Verb
from cluster.settings import Settings
from tests.workers.lab_walk import Walk, walking
from tests.workers.runbook_fixture import hop
from workers.runbook import StepBlocked, perform
from workers.surge import MARK

pytestmark = pytest.mark.story
IDENTITY = pyrage.x25519.Identity.generate()


@dataclass(frozen=True)
class Walked:
    """A small cluster before and after every step of its plan; a DaemonSet was broken before, and stayed so."""

    walk: Walk
    warned: set[tuple[str, str]]  # subject and code
    complaint: str  # of the verification that was not told of the broken DaemonSet
    before: dict[str, dict[str, Any]]
    after: dict[str, dict[str, Any]]
    store: Path  # of its snapshots


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    store = tmp_path_factory.mktemp("store")
    with walking("small", "1.35.4") as walk:
        walk.settings = storing(walk.settings, store)
        broken, before = walk.break_daemon_set("demo", "agent"), walk.world.snapshot()
        drafted = walk.draft("v1.35.4")
        unaware, complaint = walk.plan, ""
        walk.plan = replace(unaware, accepted=drafted.plan.accepted)
        for step, name, position in walk.steps():
            if step.verb is Verb.VERIFY_NODE and name == broken:
                with pytest.raises(StepBlocked) as blocked:
                    perform(walk.site(name, position, plan=unaware, settings=impatient(walk.settings)))
                complaint = blocked.value.finding.sentence
            walk.take(name, position)
        warned = {(f.subject, f.code) for f in drafted.findings if f.severity is Severity.WARNING}
        yield Walked(walk, warned, complaint, before, walk.world.snapshot(), store)


def storing(settings: Settings, store: Path) -> Settings:
    snapshots = Snapshots(store=store, recipients=(str(IDENTITY.to_public()),))
    clusters = {n: c.model_copy(update={"snapshots": snapshots}) for n, c in settings.clusters.items()}
    return settings.model_copy(update={"clusters": clusters})


def impatient(settings: Settings) -> Settings:
    return settings.model_copy(update={"waits": settings.waits.model_copy(update={"node_ready": 3.0})})


def test_a_small_cluster_goes_up_one_minor_step_by_step(walked: Walked) -> None:
    """Every step of every node in order; afterwards nothing of ours is left, and nothing was started twice."""
    before, after, starts = walked.before, walked.after, walked.walk.starts()
    assert {after[n]["kubelet"] for n in after} == {"v1.35.4"}
    assert after["cp1"]["apiserver"] == "v1.35.4"
    assert {n: (after[n]["cordoned"], after[n]["holds"]) for n in after} == {
        n: (before[n]["cordoned"], before[n]["holds"]) for n in before
    }
    assert starts
    assert len(starts) == len(set(starts))
    assert not any("lockkeeper-smoke" in pod for node in after.values() for pod in node["pods"])


def test_the_snapshot_before_the_upgrade_is_in_the_store_as_its_machine_has_it(walked: Walked) -> None:
    """Over real SSH and sudo, through the real node script, encrypted; whoever has the key gets each byte back."""
    (stored,) = (walked.store / walked.walk.name).glob("*.db.age")
    assert "etcdutl snapshot restore" in stored.with_name(stored.name.replace(".db.age", ".md")).read_text()
    (taken,) = walked.walk.world.machines["cp1"].path("/var/lib/lockkeeper/snapshots").iterdir()
    assert pyrage.decrypt(stored.read_bytes(), [IDENTITY]) == taken.read_bytes()


def test_a_daemonset_that_was_broken_before_is_warned_of_and_holds_nothing_up(walked: Walked) -> None:
    """The warning goes into the plan; verification asks the DaemonSet's pods of whoever did not accept it."""
    assert ("demo/agent", "daemonset-not-ready") in walked.warned
    assert re.search(r"demo/agent-\w+ of a DaemonSet is not ready", walked.complaint)
    assert {n["kubelet"] for n in walked.after.values()} == {"v1.35.4"}


def test_workers_that_stay_within_the_skew_jump_to_the_last_minor_at_once() -> None:
    """The control plane goes minor by minor; each worker is drained and restarted once."""
    options = Options(delete_emptydir=True, workers=WorkerMoves.WITHIN_SKEW)
    with walking("two-minors", options=options) as walk:
        drafted = walk.draft("v1.36.2")
        assert blockers(drafted.findings) == ()
        walk.plan = drafted.plan
        for _, name, position in walk.steps():
            walk.take(name, position)
        after = walk.world.snapshot()
        assert {after[n][part] for n in after for part in ("kubelet", "kubeadm")} == {"v1.36.2"}
        assert after["cp1"]["apiserver"] == "v1.36.2"
        assert {n: _kubelet_restarts(walk, n) for n in after} == {"cp1": 2, "w1": 1, "w2": 1, "w3": 1}
        assert not any(after[n]["cordoned"] for n in after)


def test_kubelets_at_the_edge_catch_up_with_the_control_plane_before_the_next_hop() -> None:
    """One of the control plane, whose static pods are not touched for it, and one worker; the other one goes later."""
    with walking("small", "1.35.4") as walk:
        for step, name, position in walk.steps():
            if name == "cp1" and step.phase in {Phase.PREPARE, Phase.CONTROL_PLANE}:
                walk.take(name, position)
        assert {n["kubelet"] for n in walk.world.snapshot().values()} == {"v1.34.7"}
        pools = tuple(
            replace(p, nodes=tuple(replace(n, moves=(0, 1) if n.name != "w2" else None) for n in p.nodes))
            for p in walk.plan.pools
        )
        walk.plan = replace(walk.plan, hops=(replace(hop("1.35.4"), whole=False), hop("1.36.2")), pools=pools)
        walk.operation = "op-1ab00002"
        seen = []
        for step, name, position in walk.steps():
            walk.take(name, position)
            if step.verb is Verb.VERIFY_NODE:
                seen.append((name, walk.world.snapshot()[name]["kubelet"]))
        assert seen[:2] == [("cp1", "v1.35.4"), ("w1", "v1.35.4")]
        assert dict(seen) == dict.fromkeys(("cp1", "w1", "w2"), "v1.36.2")


def test_a_single_replica_is_never_away_while_its_node_is_drained() -> None:
    """By the lab's own controllers: the second pod is ready elsewhere before the first one is evicted."""
    labels, path = {"app": "single"}, "/apis/apps/v1/namespaces/demo/deployments"
    pod = {"containers": [{"name": "app", "image": "registry.lab/app:1"}]}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    with walking("small", "1.35.4", options=Options(delete_emptydir=True, surge=True)) as walk:
        walk.kube.post(
            path, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "single"}, "spec": spec}
        )
        node = wait_for(lambda: next((node for node, ready in _singles(walk) if ready), None))
        walk.take(node, walk.position(node, Verb.CORDON))
        away = threading.Event()
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.02):
                if not any(ready for _, ready in _singles(walk)):
                    away.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        walk.take(node, walk.position(node, Verb.DRAIN))
        ended.set()
        watcher.join()
        left = walk.kube.get(f"{path}/single")
        assert not away.is_set()
        assert (left["spec"]["replicas"], left["metadata"]["annotations"].get(MARK)) == (1, None)
        assert {n for n, _ in _singles(walk)}.isdisjoint({node})


def _singles(walk: Walk) -> list[tuple[str, bool]]:
    """Node of each pod of the Deployment that is not ending, and whether it is ready."""
    pods = walk.kube.items("/api/v1/namespaces/demo/pods", {"labelSelector": "app=single"})
    alive = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
    return [(p["spec"].get("nodeName", ""), is_ready(p)) for p in alive]


def wait_for(look: Callable[[], str | None]) -> str:
    deadline = time.monotonic() + 20
    while (found := look()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def _kubelet_restarts(walk: Walk, name: str) -> int:
    return sum(
        record.machine == name and record.argv[0].endswith("systemctl") and record.argv[1:] == ("restart", "kubelet")
        for record in walk.world.exec_log()
    )


def test_a_drain_that_a_budget_blocks_gives_the_node_back_and_goes_on_when_it_is_lifted() -> None:
    """Pod and budget are named; a new attempt succeeds."""
    with walking("pdb-blocked", "1.35.4", options=Options(drain_timeout=2, delete_emptydir=True)) as walk:
        cordon, drain = walk.position("w1", Verb.CORDON), walk.position("w1", Verb.DRAIN)
        walk.take("w1", cordon)
        with pytest.raises(StepBlocked) as blocked:
            walk.take("w1", drain)
        assert blocked.value.uncordoned
        assert "demo/ledger" in blocked.value.finding.sentence
        assert "PodDisruptionBudget demo/ledger" in blocked.value.finding.sentence
        assert not walk.world.snapshot()["w1"]["cordoned"]
        walk.world.lift_budget()
        walk.take("w1", cordon)
        walk.take("w1", drain)
        assert not any("ledger" in pod for pod in walk.world.snapshot()["w1"]["pods"])


def test_a_hand_edited_api_server_is_put_back() -> None:
    """A revert brings the declared version and touches no kubelet."""
    with walking("hand-edited-apiserver", "1.34.7", kind=PlanKind.REVERT) as walk:
        assert walk.world.snapshot()["cp1"]["apiserver"] != "v1.34.7"
        for _, name, position in walk.steps():
            if name == "cp1":
                walk.take(name, position)
        assert walk.world.snapshot()["cp1"]["apiserver"] == "v1.34.7"


def test_a_workers_kubelet_goes_back_and_what_an_ended_run_left_cordoned_gets_its_work_again() -> None:
    """Packages and the running kubelet; its kubeadm, its package source and all other nodes stay as they are."""
    with walking("small", "1.35.4") as walk:
        for verb in (Verb.HOLD, Verb.SET_SOURCE, Verb.CORDON, Verb.DRAIN, Verb.INSTALL_KUBELET, Verb.RESTART_KUBELET):
            walk.take("w1", walk.position("w1", verb))
        walk.take("w1", walk.position("w1", Verb.UNHOLD))
        upgraded = walk.world.snapshot()
        assert (upgraded["w1"]["kubelet"], upgraded["w1"]["cordoned"]) == ("v1.35.4", True)
        pools = tuple(replace(p, nodes=tuple(n for n in p.nodes if n.name == "w1")) for p in walk.plan.pools)
        walk.plan = replace(walk.plan, kind=PlanKind.ROLLBACK, hops=(hop("1.34.7"),), pools=pools)
        walk.operation = "op-1ab00002"
        for _, name, position in walk.steps():
            walk.take(name, position)
        after = walk.world.snapshot()
        assert (after["w1"]["kubelet"], after["w1"]["cordoned"]) == ("v1.34.7", False)
        assert after["w1"]["holds"] == upgraded["w1"]["holds"]
        assert {n: s for n, s in after.items() if n != "w1"} == {n: s for n, s in upgraded.items() if n != "w1"}


def test_a_connection_cut_again_and_again_starts_nothing_twice() -> None:
    """The command runs on, and its end is found."""
    with walking("small", "1.35.4", speed=10) as walk:
        stop = threading.Event()

        def cut() -> None:
            pause = 0.4  # seconds; longer each time, so that a slow host is not cut for ever
            while not stop.wait(pause):
                walk.world.cut_ssh("w1")
                pause *= 1.3

        thread = threading.Thread(target=cut)
        thread.start()
        try:
            for verb in (Verb.HOLD, Verb.FETCH, Verb.SET_SOURCE, Verb.INSTALL_KUBEADM):
                walk.take("w1", walk.position("w1", verb))
        finally:
            stop.set()
            thread.join()
        assert walk.world.snapshot()["w1"]["kubeadm"] == "v1.35.4"
        assert len(walk.starts()) == len(set(walk.starts())) == 4


def test_a_machine_that_reboots_in_the_middle_is_repaired_and_tried_again() -> None:
    """The first attempt is lost, the second one mends what it left and ends well."""
    with walking("small", "1.35.4", speed=4) as walk:
        for verb in (Verb.HOLD, Verb.SET_SOURCE):
            walk.take("w1", walk.position("w1", verb))
        position = walk.position("w1", Verb.INSTALL_KUBEADM)
        done = threading.Event()

        def reboot_in_the_middle() -> None:
            while not done.wait(0.01):
                if any(_installs_kubeadm(record.argv) for record in walk.world.exec_log()):
                    walk.world.reboot("w1")
                    return

        thread = threading.Thread(target=reboot_in_the_middle)
        thread.start()
        try:
            walk.take("w1", position)
        finally:
            done.set()
            thread.join()
        assert walk.world.snapshot()["w1"]["kubeadm"] == "v1.35.4"
        assert walk.attempts["w1", position] == 2


def _installs_kubeadm(argv: tuple[str, ...]) -> bool:
    return argv[0].endswith("apt-get") and "install" in argv and "--download-only" not in argv


def test_what_somebody_else_cordoned_is_drained_and_left_cordoned() -> None:
    """Our annotation never comes onto it."""
    with walking("small", "1.35.4") as walk:
        walk.world.cordon("w1")
        for verb in (Verb.CORDON, Verb.DRAIN, Verb.UNCORDON):
            walk.take("w1", walk.position("w1", verb))
        assert walk.world.snapshot()["w1"]["cordoned"]


def test_a_time_out_that_passed_with_an_earlier_driver_blocks_at_once() -> None:
    """The attempt's recorded start counts."""
    with walking("pdb-blocked", "1.35.4", options=Options(delete_emptydir=True)) as walk:
        walk.take("w1", walk.position("w1", Verb.CORDON))
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        with pytest.raises(StepBlocked, match="900 s"):
            perform(walk.site("w1", walk.position("w1", Verb.DRAIN), started_at=long_ago))
