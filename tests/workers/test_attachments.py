"""The volumes of a drained node: waited for while somebody could still unmount them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from cluster.errors import ClusterUnreadable
from cluster.options import Options
from cluster.procedure import Verb
from tests.workers.drain_fixture import cordoned_bench
from tests.workers.runbook_fixture import Bench, denied, pod
from workers.attachments import Attachments
from workers.runbook import StepBlocked, perform


def test_volumes_are_waited_for_and_those_of_pods_that_stay_are_not() -> None:
    """A volume still attached holds the step until the time-out."""
    bench = cordoned_bench(options=Options(drain_timeout=60))
    source = {"persistentVolumeName": "pv-1"}
    bench.api.attachments = [{"spec": {"nodeName": "w1", "source": source}, "status": {"attached": True}}]
    with pytest.raises(StepBlocked, match="pv-1"):
        perform(bench.site("w1", Verb.DRAIN))
    bench.api.pods["log"] = pod("log", "w1", kind="DaemonSet", volumes=[{"persistentVolumeClaim": {"claimName": "c"}}])
    bench.api.daemon_sets = {"of-log"}
    bench.api.claims = {"c": "pv-1"}
    perform(bench.site("w1", Verb.DRAIN))


def test_the_volumes_of_an_unreachable_node_are_not_waited_for() -> None:
    """Nobody there could unmount them; it is said."""
    bench = cordoned_bench()
    source = {"persistentVolumeName": "pv-1"}
    bench.api.attachments = [{"spec": {"nodeName": "w1", "source": source}, "status": {"attached": True}}]
    bench.api.nodes["w1"]["spec"]["taints"] = [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]
    perform(bench.site("w1", Verb.DRAIN))
    assert any("the detachment of 1 volume is not waited for" in line for line in bench.told)


def test_one_list_of_attachments_serves_every_node_that_waits() -> None:
    """As old as one look at the most; a failure is not repeated by those who waited for it."""
    bench, shared = Bench(), Attachments()
    bench.api.attachments = [
        {"spec": {"nodeName": f"n{i}", "source": {"persistentVolumeName": f"pv-{i}"}}, "status": {"attached": True}}
        for i in range(50)
    ]

    def look(node: str) -> tuple[str, ...]:
        return shared.on(node, lambda: bench.api.items("/volumeattachments"), now=bench.clock.now, max_age=2)

    assert [look(f"n{i}") for i in range(50)] == [(f"pv-{i}",) for i in range(50)]
    assert len(bench.api.log) == 1
    bench.api.attachments = []
    bench.clock.sleep(2)
    assert look("n7") == ()
    bench.clock.sleep(2)
    bench.api.answers = [("LIST", "/volumeattachments", ClusterUnreadable("refused"))]
    with pytest.raises(ClusterUnreadable):
        look("n7")
    assert look("n7") == ()
    assert len(bench.api.log) == 4


def test_those_who_wait_for_a_list_that_fails_do_not_ask_again() -> None:
    """An API that hangs would be asked by one node after the other, each for its whole time-out."""
    bench, shared = Bench(), Attachments()
    asked, waits = threading.Event(), threading.Event()
    reads: list[str] = []

    def fail() -> list[dict[str, Any]]:
        reads.append("read")
        asked.set()
        waits.wait(5)
        raise ClusterUnreadable("it hangs")

    def now() -> datetime:
        moment = bench.clock.now()
        if asked.is_set():
            waits.set()  # the second one has come, and its question is older than the answer
        return moment

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(shared.on, "w1", fail, now=now, max_age=2)
        asked.wait(5)
        second = pool.submit(shared.on, "w2", fail, now=now, max_age=2)
        assert isinstance(first.exception(5), ClusterUnreadable)
        assert isinstance(second.exception(5), ClusterUnreadable)
    assert reads == ["read"]


def test_a_volume_that_a_staying_pod_made_for_itself_is_not_waited_for() -> None:
    """Its claim is named after pod and volume; it would be waited for on every node that its DaemonSet runs on."""
    bench = cordoned_bench(options=Options(drain_timeout=60))
    source = {"persistentVolumeName": "pv-1"}
    bench.api.attachments = [{"spec": {"nodeName": "w1", "source": source}, "status": {"attached": True}}]
    ephemeral = {"name": "buffer", "ephemeral": {"volumeClaimTemplate": {}}}
    bench.api.pods["log"] = pod("log", "w1", kind="DaemonSet", volumes=[ephemeral])
    bench.api.daemon_sets = {"of-log"}
    bench.api.claims = {"log-buffer": "pv-1"}
    before = bench.clock.now()
    perform(bench.site("w1", Verb.DRAIN))
    assert (bench.clock.now() - before).total_seconds() < 1


def test_a_volume_without_an_object_of_its_own_is_named_by_its_attachment() -> None:
    """The wait ends, and the sentence says what to look at and what to do with what a driver left behind."""
    bench = cordoned_bench(options=Options(drain_timeout=60))
    spec = {"nodeName": "w1", "source": {"inlineVolumeSpec": {}}}
    bench.api.attachments = [{"metadata": {"name": "csi-7"}, "spec": spec, "status": {"attached": True}}]
    with pytest.raises(StepBlocked, match="csi-7") as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    assert "delete it" in blocked.value.finding.remedy
    assert blocked.value.uncordoned


def test_a_cluster_without_volumes_to_attach_waits_for_none() -> None:
    """Whether the list is empty, is not served, or is not shown to us."""
    for answer in ((), ("GET", "/volumeattachments", denied(404, "not found")), ("GET", "/vol", denied(403, "no"))):
        bench = cordoned_bench()
        bench.api.answers = [answer] if answer else []
        perform(bench.site("w1", Verb.DRAIN))
        assert sum("volumeattachments" in line for line in bench.api.log) == 1
