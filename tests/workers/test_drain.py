"""Drain: which pods leave, what each answer to an eviction means, and that a failure gives the node back."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from cluster.departures import OWNER_LABEL
from cluster.errors import ClusterUnreadable
from cluster.operation import Hold
from cluster.options import DrainMode, Options, PodRule, Treatment
from cluster.procedure import Verb
from cluster.report import CORDON_OWNER
from tests.workers.runbook_fixture import OPERATION, Bench, denied, hop, pod
from workers.attachments import Attachments
from workers.drain_rules import Fate, judge_pods
from workers.eviction import Said, read_refusal, selects
from workers.patience import JUST_STARTED
from workers.runbook import StepBlocked, Yielded, perform

FULL = "Cannot evict pod as it would violate the pod's disruption budget."
STRICT = "The disruption budget strict needs 1 healthy pods and has 1 currently"


def fate(made: dict[str, Any], *, daemon_set: bool, options: Options) -> Fate:
    (judged,) = judge_pods([made], options=options, daemon_set_exists=lambda _, __: daemon_set)
    return judged.fate


def changed(made: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**made, "metadata": {**made["metadata"], **metadata}}


def finished(made: dict[str, Any]) -> dict[str, Any]:
    return {**made, "status": {"phase": "Succeeded"}}


UNMANAGED, EMPTYDIR = Options(delete_unmanaged=True), Options(delete_emptydir=True)
EMPTY_DIR = [{"name": "scratch", "emptyDir": {"medium": "Memory"}}]


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


@pytest.mark.parametrize(
    ("error", "said", "again"),
    [
        (denied(404), Said.GONE, None),
        (denied(409), Said.REPLACED, None),
        (denied(429, FULL, cause="DisruptionBudget"), Said.BUDGET, None),
        (denied(429, FULL, cause="DisruptionBudget", retry_after=10), Said.BUDGET, 10),
        (denied(429, "too many requests", retry_after=3), Said.LATER, 3),
        (denied(403, "namespace ends", cause="NamespaceTerminating"), Said.LATER, None),
        (denied(403, "pdb disruptions allowed is negative"), Said.LATER, None),
        (denied(403, "DisruptedPods map too big - too many evictions not confirmed"), Said.LATER, None),
        (denied(403, "cannot create resource pods/eviction"), Said.REFUSED, None),
        (denied(401, "Unauthorized"), Said.REFUSED, None),
        (denied(403, 'admission webhook "x" denied the request: keep it'), Said.NEVER, None),
        (denied(422, "ValidatingAdmissionPolicy 'x' with binding 'y' denied request: keep it"), Said.NEVER, None),
        (denied(500, "This pod has more than one PodDisruptionBudget, which …"), Said.NEVER, None),
        (denied(500, "etcdserver: leader changed"), Said.LATER, None),
        (denied(504, "timeout"), Said.LATER, None),
        (denied(422, "invalid"), Said.NEVER, None),
    ],
)
def test_each_answer_to_an_eviction_has_its_meaning(error: Any, said: Said, again: float | None) -> None:
    """The table of answers, with the server's own wish for the next try."""
    answer = read_refusal(error)
    assert (answer.said, answer.again_after) == (said, again)


def test_the_budget_is_named_as_the_server_names_it() -> None:
    """The budget's name is in the cause's sentence only."""
    assert read_refusal(denied(429, STRICT, cause="DisruptionBudget")).budget == "strict"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "db"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_selector_selects_as_policy_v1_says(*, selector: dict[str, Any] | None, expected: bool) -> None:
    """An empty selector takes every pod, a missing one none."""
    assert selects(selector, {"app": "web"}) is expected


def cordoned_bench(*pods: dict[str, Any], options: Options | None = None) -> Bench:
    bench = Bench(options=options)
    bench.api.pods |= {p["metadata"]["name"]: p for p in pods}
    perform(bench.site("w1", Verb.CORDON))
    return bench


def test_a_node_is_emptied_but_for_what_stays() -> None:
    """Evicted pods are waited for; DaemonSet pods stay and are counted."""
    bench = cordoned_bench(pod("a", "w1"), pod("b", "w1"), pod("d", "w1", kind="DaemonSet"), pod("x", "w2"))
    bench.api.daemon_sets = {"of-d"}
    assert "static: 1" in perform(bench.site("w1", Verb.DRAIN)).sentence
    assert {"d", "x"} <= set(bench.api.pods)
    assert not {"a", "b"} & set(bench.api.pods)


@pytest.mark.parametrize(("tolerations", "evictions"), [([{"operator": "Exists"}], 1), ([], 3)])
def test_a_pod_that_tolerates_the_cordon_is_not_chased(tolerations: list[dict[str, str]], evictions: int) -> None:
    """Evicted, it may come back to this very node: its first self leaves, its next one stays, as kubectl has it."""
    bench = cordoned_bench(pod("agent-1", "w1", tolerations=tolerations))
    evicted = 0
    post = bench.api.post

    def come_again(path: str, body: Any, *rest: Any, **more: Any) -> Any:
        nonlocal evicted
        answer = post(path, body, *rest, **more)
        if path.endswith("/eviction"):
            evicted += 1
            if evicted < 3:
                successor = pod(f"agent-{evicted + 1}", "w1", tolerations=tolerations)
                bench.api.pods[successor["metadata"]["name"]] = successor
        return answer

    bench.api.post = come_again  # type: ignore[method-assign]
    perform(bench.site("w1", Verb.DRAIN))
    assert evicted == evictions


def test_a_refused_budget_is_asked_again_told_once_and_then_passes() -> None:
    """A budget that gives way before the time-out is a wait and no failure."""
    bench = cordoned_bench(pod("a", "w1"))
    refusal = denied(429, STRICT, cause="DisruptionBudget")
    bench.api.answers = [("POST", "/eviction", refusal), ("POST", "/eviction", refusal)]
    perform(bench.site("w1", Verb.DRAIN))
    assert sum("demo/strict" in line for line in bench.told) == 1
    assert sum("/eviction" in line for line in bench.api.log) == 3


def test_a_drain_that_fails_names_pod_and_budget_and_gives_the_node_back() -> None:
    """After the time-out the node works again, and the finding says whom to ask."""
    bench = cordoned_bench(pod("a", "w1"), pod("b", "w1"), options=Options(drain_timeout=60))
    bench.api.always = {"pods/a/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    assert blocked.value.finding.code == "drain-blocked"
    assert blocked.value.uncordoned
    assert "demo/a" in blocked.value.finding.sentence
    assert "demo/strict" in blocked.value.finding.sentence
    assert "unschedulable" not in bench.api.nodes["w1"]["spec"]
    assert CORDON_OWNER not in bench.api.nodes["w1"]["metadata"]["annotations"]


def test_a_drain_takes_the_time_that_people_give_it_while_it_runs() -> None:
    """Asked for only when the plan's own is over: a hundred drains do not read the record at each look."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=60))
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    began, asked = bench.clock.now(), []

    def extension() -> int:
        asked.append((bench.clock.now() - began).total_seconds())
        return 120

    with pytest.raises(StepBlocked, match="within 180 s"):
        perform(replace(bench.site("w1", Verb.DRAIN), extension=extension))
    assert min(asked) > 60
    assert 180 < (bench.clock.now() - began).total_seconds() < 190


def test_what_holds_up_a_drain_is_recorded_when_that_lasts_and_forgotten_when_it_ends() -> None:
    """One pod after the other is usual; after a minute a person should know who is held by what."""
    bench, recorded = cordoned_bench(pod("a", "w1"), pod("b", "w1")), []
    bench.api.always = {"pods/a/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    began, since = bench.clock.now(), []

    def hold(holds: tuple[Hold, ...]) -> None:
        recorded.append(holds)
        since.append((bench.clock.now() - began).total_seconds())
        bench.api.always = {}

    perform(replace(bench.site("w1", Verb.DRAIN), hold=hold))
    assert [[(h.pod, h.by) for h in holds] for holds in recorded] == [
        [("demo/a", "the PodDisruptionBudget demo/strict")],
        [],
    ]
    assert 60 <= since[0] < 70


def test_a_new_driver_goes_on_with_what_was_recorded() -> None:
    """The minute does not begin anew, and nothing is recorded twice."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=60))
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    held = (
        Hold(
            "demo/a", "uid-a", "the PodDisruptionBudget demo/strict", STRICT, bench.clock.now() - timedelta(minutes=1)
        ),
    )
    recorded: list[tuple[Hold, ...]] = []
    with pytest.raises(StepBlocked):
        perform(replace(bench.site("w1", Verb.DRAIN), held=held, hold=recorded.append))
    assert recorded == []


def test_a_pod_that_does_not_end_holds_up_a_drain_too() -> None:
    """Beyond its own time to end: a finalizer, or a machine that hangs."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=600))
    bench.api.slow_to_end = {"a"}
    recorded: list[tuple[Hold, ...]] = []
    with pytest.raises(StepBlocked):
        perform(replace(bench.site("w1", Verb.DRAIN), hold=recorded.append))
    assert [[h.by for h in holds] for holds in recorded] == [["its own end"]]


def test_the_time_out_does_not_begin_anew_with_a_new_driver() -> None:
    """The recorded start of the attempt counts, so an operation that yields often still ends."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=60))
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    site = bench.site("w1", Verb.DRAIN)
    bench.clock.sleep(61)
    before = len(bench.api.log)
    with pytest.raises(StepBlocked, match="60 s"):
        perform(site)
    assert sum("/eviction" in line for line in bench.api.log[before:]) == 1


def test_a_right_that_an_api_server_misses_right_after_its_start_is_no_refusal() -> None:
    """Whichever answers behind the balancer may just have started; the pod leaves when it has found its feet."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.answers = [("POST", "/eviction", denied(403, "cannot create resource pods/eviction"))] * 2
    perform(bench.site("w1", Verb.DRAIN))
    assert "a" not in bench.api.pods


def test_a_right_that_stays_missing_gives_the_node_back_long_before_the_time_out() -> None:
    """The server's own words are the reason."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.always = {"/eviction": denied(403, "cannot create resource pods/eviction")}
    before = bench.clock.now()
    with pytest.raises(StepBlocked, match="cannot create resource pods/eviction") as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    assert blocked.value.uncordoned
    assert JUST_STARTED < (bench.clock.now() - before).total_seconds() < 2 * JUST_STARTED


def test_a_servers_wish_for_a_long_wait_does_not_outlast_a_minute() -> None:
    """Whatever an overloaded server wishes, the drain's own deadline is looked at."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.answers = [("POST", "/eviction", denied(429, "too many requests", retry_after=3600))]
    before = bench.clock.now()
    perform(bench.site("w1", Verb.DRAIN))
    assert 55 < (bench.clock.now() - before).total_seconds() < 70


def test_the_lease_is_asked_for_before_every_single_eviction() -> None:
    """A node full of pods takes a while: a driver that loses its lease meanwhile evicts no further one."""
    bench = cordoned_bench(*(pod(f"a{i}", "w1") for i in range(50)))
    site = bench.site("w1", Verb.DRAIN)
    leases = iter([True] * 10)
    with pytest.raises(Yielded):
        perform(replace(site, may_start=lambda: next(leases, False)))
    assert sum("/eviction" in line for line in bench.api.log) == 10


def test_whether_a_daemonset_is_there_is_asked_once_in_a_drain() -> None:
    """A node has several of them, and a drain looks every two seconds."""
    agent = pod("agent", "w1", kind="DaemonSet")
    bench = cordoned_bench(agent, pod("a", "w1"), options=Options(drain_timeout=60))
    bench.api.daemon_sets = {"of-agent"}
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    with pytest.raises(StepBlocked):
        perform(bench.site("w1", Verb.DRAIN))
    assert sum("/daemonsets/" in line for line in bench.api.log) == 1


def test_an_unready_pod_that_its_budget_holds_has_a_remedy_of_its_own() -> None:
    """One more replica would be as unready: what helps is to mend it, or a budget that lets the unready go."""
    sick = pod("a", "w1")
    sick["status"]["conditions"] = []
    bench = cordoned_bench(sick, options=Options(drain_timeout=60))
    bench.api.always = {"/eviction": denied(429, STRICT, cause="DisruptionBudget")}
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    assert "`unhealthyPodEvictionPolicy: AlwaysAllow`" in blocked.value.finding.remedy


def test_a_pod_that_may_take_longer_than_the_drain_is_told_before_its_eviction() -> None:
    """Databases ask for half an hour."""
    bench = cordoned_bench(pod("db", "w1", terminationGracePeriodSeconds=1800), pod("a", "w1"))
    perform(bench.site("w1", Verb.DRAIN))
    assert [line for line in bench.told if "longer" in line] == [
        "Some pods of w1 may take longer to end than its drain of 900 s: demo/db (1800 s)."
    ]


def test_a_drain_ends_by_what_etcd_holds_and_waits_by_what_the_server_remembers() -> None:
    """A memory that lags makes nobody believe that the node is empty."""
    bench = cordoned_bench(pod("a", "w1"), pod("b", "w1"))
    read, asked = bench.api.items, Counter[str]()

    def lagging(path: str, query: Any = None) -> Any:
        if path != "/api/v1/pods":
            return read(path, query)
        asked[query.get("resourceVersion", "etcd")] += 1
        found = list(read(path, query))
        return [p for p in found if p["metadata"]["name"] != "b"] if "resourceVersion" in query else found

    bench.api.items = lagging  # type: ignore[method-assign]
    perform(bench.site("w1", Verb.DRAIN))
    assert not {"a", "b"} & set(bench.api.pods)
    bench.api.pods["c"] = pod("c", "w1")
    bench.api.slow_to_end = {"c"}
    asked.clear()
    with pytest.raises(StepBlocked):
        perform(bench.site("w1", Verb.DRAIN))
    assert asked["0"] > 100
    assert asked["etcd"] == 1


def test_two_budgets_block_at_once_and_are_both_named() -> None:
    """Such an eviction never succeeds, so nobody waits for it."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.always = {"/eviction": denied(500, "This pod has more than one PodDisruptionBudget, which …")}
    bench.api.budgets = [{"metadata": {"name": n}, "spec": {"selector": {}}} for n in ("one", "two")]
    before = bench.clock.now()
    with pytest.raises(StepBlocked, match="one, two"):
        perform(bench.site("w1", Verb.DRAIN))
    assert (bench.clock.now() - before).total_seconds() < 1


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


def test_a_pod_that_does_not_end_is_named_at_the_time_out() -> None:
    """It is evicted once only; what hangs is its end."""
    bench = cordoned_bench(pod("a", "w1"), options=Options(drain_timeout=60))
    bench.api.slow_to_end = {"a"}
    with pytest.raises(StepBlocked, match="demo/a is being deleted, was to end by now"):
        perform(bench.site("w1", Verb.DRAIN))
    assert sum("/eviction" in line for line in bench.api.log) == 1


def test_a_pod_that_somebody_else_deleted_and_holds_is_named_with_what_holds_it() -> None:
    """A finalizer keeps it for ever, and on an unreachable node nothing ends: both are said."""
    held = changed(pod("a", "w1"), deletionTimestamp="2026-11-23T08:00:00Z", finalizers=["example.org/guard"])
    bench = cordoned_bench(held, options=Options(drain_timeout=60))
    bench.api.nodes["w1"]["spec"]["taints"] = [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    sentence = blocked.value.finding.sentence
    assert "demo/a is being deleted, was to end by 2026-11-23T08:00:00Z" in sentence
    assert "held by its finalizers (example.org/guard)" in sentence
    assert "The node is unreachable" in sentence


def test_a_same_named_successor_is_looked_at_again_and_not_evicted_blindly() -> None:
    """The uid goes with every eviction."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.answers = [("POST", "/eviction", denied(409, "uid differs"))]
    perform(bench.site("w1", Verb.DRAIN))
    assert "a" not in bench.api.pods


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


def test_a_patch_with_minor_only_touches_no_pod_and_no_cordon() -> None:
    """Cordon, drain and uncordon are done by observation."""
    bench = Bench(options=Options(drain=DrainMode.MINOR_ONLY))
    bench.plan = bench.plan.__class__(
        kind=bench.plan.kind,
        identity=bench.plan.identity,
        hops=(hop("1.34.9"),),
        pools=bench.plan.pools,
        options=bench.plan.options,
    )
    bench.api.pods["a"] = pod("a", "w1")
    for verb in (Verb.CORDON, Verb.DRAIN, Verb.UNCORDON):
        perform(bench.site("w1", verb))
    assert not any(line.startswith(("PATCH", "POST")) for line in bench.api.log)


def test_a_minor_is_drained_with_minor_only_too() -> None:
    """The mode speaks of patches alone."""
    bench = Bench(options=Options(drain=DrainMode.MINOR_ONLY))
    perform(bench.site("w1", Verb.CORDON))
    assert bench.api.nodes["w1"]["spec"]["unschedulable"] is True


def test_a_cordon_carries_its_owner_in_the_same_patch() -> None:
    """Nobody can see the node cordoned without seeing for whom."""
    bench = cordoned_bench()
    assert sum(line.startswith("PATCH") for line in bench.api.log) == 1
    assert bench.api.nodes["w1"]["metadata"]["annotations"][CORDON_OWNER] == OPERATION


def test_a_foreign_cordon_stays() -> None:
    """What somebody else cordoned is neither marked as ours nor uncordoned."""
    bench = Bench()
    bench.api.nodes["w1"]["spec"]["unschedulable"] = True
    assert "will stay cordoned" in perform(bench.site("w1", Verb.CORDON)).sentence
    assert "as it was found" in perform(bench.site("w1", Verb.UNCORDON)).sentence
    assert bench.api.nodes["w1"]["spec"]["unschedulable"] is True
    assert not any(line.startswith("PATCH") for line in bench.api.log)


def test_a_foreign_cordon_stays_also_after_a_failed_drain() -> None:
    """Giving the node back is for our own cordon only."""
    bench = Bench()
    bench.api.nodes["w1"]["spec"]["unschedulable"] = True
    bench.api.pods["bare"] = pod("bare", "w1", kind=None)
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    assert not blocked.value.uncordoned
    assert bench.api.nodes["w1"]["spec"]["unschedulable"] is True


def test_a_cordon_that_comes_in_between_is_read_again() -> None:
    """A conflict is no failure: kubelets write their nodes too."""
    bench = Bench()
    bench.api.answers = [("PATCH", "/nodes/w1", denied(409))]
    perform(bench.site("w1", Verb.CORDON))
    assert bench.api.nodes["w1"]["spec"]["unschedulable"] is True


def test_uncordon_removes_cordon_and_mark() -> None:
    """Nothing of ours is left on the node."""
    bench = cordoned_bench()
    perform(bench.site("w1", Verb.UNCORDON))
    assert "unschedulable" not in bench.api.nodes["w1"]["spec"]
    assert bench.api.nodes["w1"]["metadata"]["annotations"] == {}


def test_nothing_is_evicted_without_the_lease() -> None:
    """A driver that lost its lease stops before the side effect."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.leased = False
    with pytest.raises(Yielded):
        perform(bench.site("w1", Verb.DRAIN))
    assert "a" in bench.api.pods


def test_an_absent_api_is_told_once_and_waited_for() -> None:
    """The drain goes on when the API is back."""
    bench = cordoned_bench(pod("a", "w1"))
    bench.api.answers = [("LIST", "/pods", ClusterUnreadable("refused")), ("LIST", "/pods", denied(503))]
    perform(bench.site("w1", Verb.DRAIN))
    assert sum("cannot be read" in line for line in bench.told) == 1


def test_a_rebuilt_node_is_not_touched() -> None:
    """Another uid is another machine, which nobody approved."""
    bench = Bench()
    bench.api.nodes["w1"]["metadata"]["uid"] = "uid-other"
    with pytest.raises(StepBlocked, match="another one than at planning"):
        perform(bench.site("w1", Verb.CORDON))


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
