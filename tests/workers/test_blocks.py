"""What stops a step has its own code, under which docs/findings.md says what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.doctor import examine_store
from cluster.errors import ClusterUnreadable, MachineUnreachable
from cluster.inventory import Machine
from cluster.operation import Operation
from cluster.procedure import Verb
from cluster.store import Store
from tests.policies_fixture import NOW, SETTINGS
from tests.workers.runbook_fixture import Bench, denied
from workers import doctor
from workers.claim import Claim
from workers.machine import NodeScriptFailed
from workers.node_script.attempts import StartAnswer
from workers.runbook import StepBlocked, perform
from workers.survey import parallel


def blocked_by(bench: Bench, node: str, verb: Verb, *, attempt: int = 1) -> str:
    with pytest.raises(StepBlocked) as caught:
        perform(bench.site(node, verb, attempt=attempt))
    assert caught.value.finding.remedy
    return caught.value.finding.code


@pytest.mark.parametrize(
    ("node", "verb", "code"),
    [
        ("w1", Verb.HOLD, "package-step-failed"),
        ("w1", Verb.FETCH, "package-step-failed"),
        ("w1", Verb.PULL_IMAGES, "images-not-pulled"),
        ("cp1", Verb.SNAPSHOT_ETCD, "etcd-snapshot-failed"),
        ("w1", Verb.SET_SOURCE, "package-step-failed"),
        ("cp1", Verb.APPLY, "kubeadm-failed"),
        ("w1", Verb.INSTALL_KUBELET, "package-step-failed"),
        ("w1", Verb.RESTART_KUBELET, "kubelet-not-restarted"),
        ("cp1", Verb.PRUNE, "backups-not-removed"),
    ],
)
def test_a_command_that_ends_with_an_error_blocks_under_its_own_code(node: str, verb: Verb, code: str) -> None:
    """By what it was to do, whatever it said."""
    bench = Bench()
    bench.machines[node].ends[verb.value] = (1, b"no\n")
    assert blocked_by(bench, node, verb) == code


def test_what_a_crash_left_and_nobody_can_mend_blocks() -> None:
    """The repair that comes first failed itself."""
    bench = Bench()
    bench.machines["cp1"].missing = ("kube-apiserver",)
    bench.machines["cp1"].ends["repair"] = (1, b"no\n")
    assert blocked_by(bench, "cp1", Verb.APPLY, attempt=2) == "repair-failed"


def gone(bench: Bench) -> None:
    del bench.api.nodes["w1"]


def joined_again(bench: Bench) -> None:
    bench.api.nodes["w1"]["metadata"]["uid"] = "uid-other"


def written_all_the_time(bench: Bench) -> None:
    bench.api.answers = [("PATCH", "/nodes/w1", denied(409)) for _ in range(99)]


def away(bench: Bench) -> None:
    bench.api.always = {"/nodes/w1": ClusterUnreadable("no route to it")}


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (gone, "node-gone"),
        (joined_again, "node-replaced"),
        (written_all_the_time, "node-contended"),
        (away, "api-unreadable"),
    ],
)
def test_a_node_that_cannot_be_cordoned_blocks_with_the_reason(spoil: Callable[[Bench], None], code: str) -> None:
    """Each wants another remedy."""
    bench = Bench()
    spoil(bench)
    assert blocked_by(bench, "w1", Verb.CORDON) == code


def test_a_node_script_that_fails_itself_blocks() -> None:
    """It is no failure of what it was asked to do."""
    bench = Bench()

    def fail(*_: object) -> StartAnswer:
        raise NodeScriptFailed("w1: the node script ended with 3", code=3)

    bench.w1.start = fail  # type: ignore[method-assign]
    assert blocked_by(bench, "w1", Verb.HOLD) == "node-script-failed"


def test_a_result_that_is_undone_at_once_blocks() -> None:
    """A cordon that somebody takes away in the same moment."""
    bench = Bench()

    bench.api.patch = lambda *_: {}  # type: ignore[method-assign]
    assert blocked_by(bench, "w1", Verb.CORDON) == "step-undone"


def test_a_node_that_does_not_become_ready_blocks() -> None:
    """It stays cordoned, for whoever looks."""
    bench = Bench()
    bench.api.nodes["w1"]["status"]["conditions"] = [{"type": "Ready", "status": "False", "message": "no CNI"}]
    assert blocked_by(bench, "w1", Verb.VERIFY_NODE) == "node-not-healthy"


def test_a_control_plane_that_does_not_become_whole_blocks() -> None:
    """Its API server still runs the old version."""
    assert blocked_by(Bench(), "cp1", Verb.VERIFY_CONTROL_PLANE) == "control-plane-unhealthy"


class BusyLease:
    """A Lease that somebody else writes between each reading and writing."""

    def get(self, _: str) -> dict[str, Any]:
        raise denied(404)

    def post(self, *_: object) -> None:
        raise denied(409)


def test_a_lease_that_changes_all_the_time_is_not_taken() -> None:
    """Nobody knows whose it is."""
    operation = cast("Operation", SimpleNamespace(id="op-1", cluster="prod", plan_id="p-1"))
    claim = Claim("lockkeeper", operation, lambda: cast("Any", BusyLease()), cast("Store", None))
    found = claim.acquire(NOW, lambda: None)
    assert found is not None
    assert found.code == "cluster-lock-contended"


class Told(Store):
    """A Redis that says of itself what it is told to say."""

    def __init__(self, version: str) -> None:
        self.version, self.where = version, "Redis"

    def ask(self, call: Callable[[Any], Any]) -> Any:
        facts = {"redis_version": self.version, "aof_enabled": "1", "maxmemory_policy": "noeviction"}
        return call(SimpleNamespace(info=lambda _: facts))


@pytest.mark.parametrize(("version", "found"), [("6.0.16", ["redis-too-old"]), ("6.2.0", []), ("8.0.1", [])])
def test_an_old_redis_is_refused(version: str, found: list[str]) -> None:
    """It lacks what a wake-up needs in order not to be lost."""
    assert [f.code for f in Told(version).check()] == found


@contextmanager
def knock(name: str, machine: Machine) -> Iterator[Any]:
    if name == "w1":
        raise MachineUnreachable("w1 does not answer")
    yield SimpleNamespace(version=lambda: 1)


def test_the_doctor_names_each_machine_that_is_not_well() -> None:
    """The others of a cluster are one note: of thousands nobody reads a line each."""
    seen = doctor.examine(SETTINGS, now=NOW, connect=cast("Any", knock))
    told = {f.code: (f.subject, f.sentence) for f in seen}
    assert told["machine-unreachable"][0] == "w1"
    assert "cluster-unreadable" in told
    well = len(SETTINGS.clusters["prod"].machines) - 1
    assert told["machines-ready"][0] == "prod"
    assert f"{well} machine" in told["machines-ready"][1]
    assert "cp1" in told["machines-ready"][1]


def test_the_doctor_asks_thousands_of_machines_as_wide_as_a_survey() -> None:
    """A few at once would take an hour; here as many as of 1,600 are asked wait for each other."""
    cluster = SETTINGS.clusters["prod"]
    machines = {f"w{n}": cluster.machines["w1"] for n in range(1600)}
    settings = SETTINGS.model_copy(update={"clusters": {"prod": cluster.model_copy(update={"machines": machines})}})
    together, mine = threading.Barrier(parallel(1600)), threading.local()

    @contextmanager
    def meet(_name: str, _machine: Machine) -> Iterator[Any]:
        if not hasattr(mine, "met"):
            mine.met = True
            together.wait(20)
        yield SimpleNamespace(version=lambda: 1)

    seen = doctor.examine(settings, now=NOW, connect=cast("Any", meet))
    (ready,) = (f.sentence for f in seen if f.code == "machines-ready")
    assert "1600 machines of prod" in ready


def test_a_redis_that_is_away_is_a_finding() -> None:
    """`doctor` goes on to what else there is."""
    (found,) = examine_store(Store.connect("redis://127.0.0.1:1"), NOW)
    assert found.code == "redis-unreachable"
