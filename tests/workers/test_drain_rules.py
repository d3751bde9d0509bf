"""Which pods leave a node, in which order, and which of them need a consent."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.departures import OWNER_LABEL
from cluster.options import Options, PodRule, Treatment
from cluster.procedure import Verb
from tests.workers.drain_fixture import EMPTY_DIR, changed, cordoned_bench
from tests.workers.runbook_fixture import pod
from workers.drain_rules import Fate, judge_pods
from workers.runbook import StepBlocked, perform


def fate(made: dict[str, Any], *, daemon_set: bool, options: Options) -> Fate:
    (judged,) = judge_pods([made], options=options, daemon_set_exists=lambda _, __: daemon_set)
    return judged.fate


def finished(made: dict[str, Any]) -> dict[str, Any]:
    return {**made, "status": {"phase": "Succeeded"}}


UNMANAGED, EMPTYDIR = Options(delete_unmanaged=True), Options(delete_emptydir=True)


@pytest.mark.parametrize(
    ("made", "daemon_set", "options", "expected"),
    [
        (pod("a", "w1"), True, Options(), Fate.LEAVES),
        (pod("a", "w1", kind="DaemonSet"), True, UNMANAGED, Fate.STAYS),
        (pod("a", "w1", kind="DaemonSet"), False, Options(), Fate.NEEDS_UNMANAGED),
        (pod("a", "w1", kind="DaemonSet"), False, UNMANAGED, Fate.LEAVES),
        (finished(pod("a", "w1", kind="DaemonSet")), True, Options(), Fate.LEAVES),
        (changed(pod("a", "w1"), annotations={"kubernetes.io/config.mirror": "x"}), True, Options(), Fate.STAYS),
        (pod("a", "w1", volumes=EMPTY_DIR), True, Options(), Fate.NEEDS_EMPTYDIR),
        (pod("a", "w1", volumes=EMPTY_DIR), True, EMPTYDIR, Fate.LEAVES),
        (pod("a", "w1", volumes=[{"name": "h", "hostPath": {"path": "/x"}}]), True, Options(), Fate.LEAVES),
        (finished(pod("a", "w1", volumes=EMPTY_DIR)), True, Options(), Fate.LEAVES),
        (pod("a", "w1", kind=None), True, Options(), Fate.NEEDS_UNMANAGED),
        (pod("a", "w1", kind=None), True, UNMANAGED, Fate.LEAVES),
        (finished(pod("a", "w1", kind=None)), True, Options(), Fate.LEAVES),
        (pod("a", "w1", kind="Cluster"), True, Options(), Fate.LEAVES),
        (pod("a", "w1", kind=None, volumes=EMPTY_DIR), True, UNMANAGED, Fate.NEEDS_EMPTYDIR),
        (changed(pod("a", "w1", kind=None), deletionTimestamp="now"), True, Options(), Fate.LEAVING),
        (changed(pod("a", "w1", kind="DaemonSet"), deletionTimestamp="now"), True, Options(), Fate.STAYS),
        (changed(pod("a", "w1", kind=None), labels={OWNER_LABEL: "op-1"}), True, Options(), Fate.LEAVES),
    ],
)
def test_kubectls_filters_decide_in_kubectls_order(
    *, made: dict[str, Any], daemon_set: bool, options: Options, expected: Fate
) -> None:
    """Each rule of kubectl's filters, and which of two wins."""
    assert fate(made, daemon_set=daemon_set, options=options) is expected


def test_pods_that_would_be_lost_need_consent_before_any_is_evicted() -> None:
    """All or nothing: one bare pod keeps the others where they are, and the node in service."""
    bench = cordoned_bench(pod("a", "w1"), pod("bare", "w1", kind=None), pod("tmp", "w1", volumes=EMPTY_DIR))
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    assert blocked.value.finding.code == "drain-needs-consent"
    assert "demo/bare" in blocked.value.finding.sentence
    assert "demo/tmp" in blocked.value.finding.sentence
    assert "`accept delete-emptydir delete-unmanaged`" in blocked.value.finding.remedy
    assert not any("/eviction" in line for line in bench.api.log)
    assert "unschedulable" not in bench.api.nodes["w1"]["spec"]


def test_consent_lets_them_go() -> None:
    """What the plan consents to is evicted."""
    options = Options(delete_emptydir=True, delete_unmanaged=True)
    bench = cordoned_bench(pod("bare", "w1", kind=None), pod("tmp", "w1", volumes=EMPTY_DIR), options=options)
    perform(bench.site("w1", Verb.DRAIN))
    assert not {"bare", "tmp"} & set(bench.api.pods)


def ruled(
    name: str, pods: Treatment, node: str = "w1", *, kind: str | None = "ReplicaSet"
) -> tuple[PodRule, dict[str, Any]]:
    """A rule for one pod, and that pod."""
    return PodRule(f"app={name}", pods), pod(name, node, kind=kind)


def test_pods_leave_in_the_order_of_the_plans_rules() -> None:
    """Whoever goes first has gone before the others are asked, whoever goes last is asked when they have gone."""
    (early, first), (late, last) = ruled("proxy", Treatment.FIRST), ruled("broker", Treatment.LAST)
    bench = cordoned_bench(last, pod("web", "w1"), first, options=Options(pod_rules=(early, late)))
    perform(bench.site("w1", Verb.DRAIN))
    assert [line.split("/")[-2] for line in bench.api.log if line.endswith("/eviction")] == ["proxy", "web", "broker"]


def test_pods_that_a_rule_keeps_stay_without_a_consent() -> None:
    """Nothing of them is lost."""
    rule, kept = ruled("gluster", Treatment.STAY, kind=None)
    bench = cordoned_bench(kept, pod("web", "w1"), options=Options(pod_rules=(rule,)))
    assert "static: 1" in perform(bench.site("w1", Verb.DRAIN)).sentence
    assert "gluster" in bench.api.pods


def test_pods_that_shall_finish_are_waited_for_and_never_evicted() -> None:
    """Until their time is over: then the drain says whom it waited for."""
    rule, job = ruled("report", Treatment.FINISH, kind="Job")
    bench = cordoned_bench(job, pod("web", "w1"), options=Options(pod_rules=(rule,), drain_timeout=60))
    with pytest.raises(StepBlocked, match="demo/report is waited for until it ends by itself"):
        perform(bench.site("w1", Verb.DRAIN))
    assert bench.told[0] == "The drain of w1 waits until these end by themselves: demo/report."
    bench.api.pods["report"]["status"]["phase"] = "Succeeded"
    perform(bench.site("w1", Verb.DRAIN))
    assert [line.split("/")[-2] for line in bench.api.log if line.endswith("/eviction")] == ["web", "report"]
