"""What a drain would meet, table by table: whom it would lose, whom it cannot move, who has nowhere else to go."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import ClusterUnreadable
from cluster.examination import Examination
from cluster.findings import Severity, blockers
from cluster.options import DrainMode, Options
from cluster.report import Budget, DaemonSet, Unread
from cluster.tally import read_workloads
from policies.drafting import recheck
from policies.drains import check_drains
from policies.wording import some_of
from tests.pods_fixture import PaperLists, make_budget, make_node, make_pod, make_volume, requesting
from tests.policies_fixture import MASTERS, NOW, codes, draft, make_cluster, make_report, see, v

RECORDINGS = Path(__file__).parents[1] / "recordings" / "cluster"
LABELS = {
    **{name: {"node-role.kubernetes.io/control-plane": ""} for name in MASTERS},
    "w1": {"zone": "a", "disk": "ssd"},
    "w2": {"zone": "b"},
}
TAINT = ("node-role.kubernetes.io/control-plane", "NoSchedule")
NODES = (*(make_node(n, taints=(TAINT,)) for n in MASTERS), make_node("w1"), make_node("w2"))
ONE_AT_A_TIME = make_cluster()
BOTH_AT_ONCE = make_cluster(pools={"all": {"selector": "", "max_unavailable": 2}})


def report(**changes):
    """The usual one, its nodes with labels and host names."""
    usual = make_report()
    named = {n.name: {"kubernetes.io/hostname": n.name, **LABELS[n.name]} for n in usual.nodes}
    return replace(usual, nodes=tuple(replace(n, labels=tuple(named[n.name].items())) for n in usual.nodes), **changes)


def examined(pods=(), *, nodes=NODES, **lists):
    return Examination("prod", NOW, workloads=read_workloads(PaperLists(pods=pods, nodes=nodes, **lists)))


def meet(pods=(), *, seen_by=None, options=None, minors=(), cluster=ONE_AT_A_TIME, left_out=frozenset(), **lists):
    """The findings by code."""
    seen = see(seen_by or report(), examination=examined(pods, **lists))
    found = tuple(check_drains(seen, cluster, options or Options(), minors, left_out))
    assert len({(f.code, f.subject) for f in found}) == len(found)
    return {f.code: f for f in found}


def budgets_of(*raw):
    """The report's view of the same budgets."""
    read = read_workloads(PaperLists(budgets=raw)).guards
    return tuple(Budget(g.namespace, g.name, g.allowed, g.needed, g.expected) for g in read)


EMPTYDIR = {"volumes": [{"name": "scratch", "emptyDir": {}}]}
HOSTNAME = "kubernetes.io/hostname"


def required(kind, terms):
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


def on(key, *values):
    """Required node affinity."""
    return required(
        "nodeAffinity",
        {"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "In", "values": list(values)}]}]},
    )


def two(**spec):
    return [make_pod("a", "w1", **spec), make_pod("b", "w2", **spec)]


def test_the_pods_of_a_worker_that_is_left_out_are_not_told():
    """They stay where they are, also where others of their controller leave."""
    found = meet(two(**EMPTYDIR), left_out=frozenset({"w1"}))
    assert found["emptydir-pods"].sentence == (
        "1 pod with data in an emptyDir, which a drain deletes: demo/web (on w2)."
    )


def test_a_sound_cluster_has_nothing_to_say():
    """Two replicas that may run anywhere, and a budget that lets one go."""
    labels = {"app": "web"}
    raw = make_budget("web", {"matchLabels": labels})
    assert meet(two(labels=labels), budgets=[raw], seen_by=report(budgets=budgets_of(raw))) == {}


def test_a_recording_of_a_real_cluster_gives_the_pods_that_kubectl_stopped_for():
    """`kubectl drain` without its flag named the two pods of demo/scratch; the rest of that cluster is sound."""
    lists = {
        name: json.loads((RECORDINGS / f"before-{name}.stdout").read_text(encoding="utf-8"))["items"]
        for name in ("pods", "nodes", "pdb")
    }
    labels = {n["metadata"]["name"]: tuple(n["metadata"]["labels"].items()) for n in lists["nodes"]}
    nodes = tuple(replace(n, labels=labels[n.name]) for n in report().nodes if n.name in labels)
    daemons = (DaemonSet("demo", "agent", 3, 3), DaemonSet("kube-system", "kube-proxy", 3, 3))
    seen_by = replace(report(), nodes=nodes, daemon_sets=daemons)
    found = meet(lists["pods"], nodes=lists["nodes"], budgets=lists["pdb"], seen_by=seen_by)
    assert list(found) == ["emptydir-pods"]
    assert "demo/scratch (on w1, w2)" in found["emptydir-pods"].sentence


@pytest.mark.parametrize(
    ("pods", "code", "severity", "words"),
    [
        ([make_pod("tmp", **EMPTYDIR), make_pod("tmp2", "w2", **EMPTYDIR)], "emptydir-pods", "warning", "2 pods"),
        ([make_pod("bare", owner="")], "unmanaged-pods", "warning", "demo/bare (on w1)"),
        ([make_pod("a")], "single-replica", "note", "1 workload with a single replica: demo/web (on w1)"),
        (two(nodeSelector={HOSTNAME: "w1"})[:1], "pinned-pods", "note", "demo/web (on w1)"),
        (two(**on("disk", "ssd"))[:1], "pinned-pods", "note", "demo/web (on w1)"),
    ],
)
def test_each_matter_is_told_once_with_its_workloads_and_nodes(pods, code, severity, words):
    """One finding for a cluster, however many pods it is about."""
    found = meet(pods)[code]
    assert (found.severity, found.subject) == (severity, "prod")
    assert words in found.sentence


@pytest.mark.parametrize(
    "pods",
    [
        [make_pod("once", owner="Job/once")],
        [make_pod("a"), make_pod("b", "")],  # the second one waits for a node
        [make_pod("agent", owner="DaemonSet/agent")],
        [make_pod("bare", owner="")],
    ],
)
def test_what_is_no_single_replica_is_not_called_one(pods):
    """Jobs, pods that somebody else has a second of, and pods that nobody brings back."""
    assert "single-replica" not in meet(pods)


@pytest.mark.parametrize(
    ("option", "code", "pod"),
    [
        ("delete_emptydir", "emptydir-pods", make_pod("tmp", **EMPTYDIR)),
        ("delete_unmanaged", "unmanaged-pods", make_pod("bare", owner="")),
    ],
)
def test_without_consent_the_word_to_accept_is_named_and_with_it_what_is_lost(option, code, pod):
    """The same words as the drain itself uses."""
    word = option.replace("_", "-")
    asked, given = meet([pod])[code], meet([pod], options=Options(**{option: True}))[code]
    assert f"`accept {word}`" in asked.remedy
    assert f"Consented to with `{word}`" in given.remedy
    assert (asked.sentence, asked.severity) == (given.sentence, given.severity)


def test_a_local_volume_keeps_its_pod_waiting():
    """A volume that both nodes reach does not."""
    volumes = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    found = meet([make_pod("db-0", owner="StatefulSet/db", **volumes)], volumes=[make_volume("pv", "data", "w1")])
    assert "demo/db (on w1)" in found["volumes-on-one-node"].sentence
    zoned = make_volume("pv", "data", "w1")
    zoned["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] = ["w1", "w2"]
    assert "volumes-on-one-node" not in meet(two(**volumes), volumes=[zoned])


def test_two_budgets_over_one_pod_block_and_nothing_else_does():
    """The server refuses such an eviction for ever; the plan says so again before its first step."""
    pods = two(labels={"app": "web"})
    guards = [make_budget("all", {}), make_budget("web", {"matchLabels": {"app": "web"}})]
    found = meet(pods, budgets=guards)["two-budgets"]
    assert (found.severity, found.subject) == (Severity.BLOCKER, "demo/all and web")
    assert "demo/web on w1, w2" in found.sentence
    pending = [{**p, "status": {"phase": "Pending"}} for p in pods]
    assert "two-budgets" not in meet(pending, budgets=guards)  # the server asks no budget for these
    sound, bad = examined(pods), examined(pods, budgets=guards)
    plan = draft(report=report(), examination=sound).plan
    assert recheck(plan, see(report(), examination=sound), ONE_AT_A_TIME) == ()
    assert [f.code for f in recheck(plan, see(report(), examination=bad), ONE_AT_A_TIME)] == ["two-budgets"]


def test_the_recorded_budgets_of_a_pod_that_could_not_be_evicted_block():
    """The real server answered 500 to the eviction of demo/twice."""
    budgets = json.loads((RECORDINGS / "evictions-pdb.stdout").read_text(encoding="utf-8"))["items"]
    pods = [make_pod(name, labels={"app": name}, owner=f"StatefulSet/{name}") for name in ("strict", "twice", "web")]
    found = meet(pods, budgets=budgets, seen_by=report(budgets=budgets_of(*budgets)))
    assert found["two-budgets"].subject == "demo/twice-a and twice-b"
    assert blockers(found.values()) == (found["two-budgets"],)


NEVER = {"disruptionsAllowed": 0, "currentHealthy": 3, "desiredHealthy": 3}
SICK = {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 2}
JUST = {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2}


@pytest.mark.parametrize(
    ("budget", "code", "words"),
    [
        ({"status": NEVER, "minAvailable": 3}, "budget-allows-none", "scale up, or relax"),
        (
            {"status": NEVER, "minAvailable": "100%"},
            "budget-allows-none",
            "`minAvailable: 100%` more replicas do not help",
        ),
        (
            {"status": NEVER, "minAvailable": None, "maxUnavailable": 0},
            "budget-allows-none",
            "`maxUnavailable: 0` more replicas",
        ),
        ({"status": JUST}, "budget-allows-none", "back to health"),
        ({"status": SICK}, "budget-guards-unhealthy", "AlwaysAllow"),
        ({"status": SICK, "unhealthyPodEvictionPolicy": "AlwaysAllow"}, "budget-allows-none", "back to health"),
        ({"status": {**SICK, "observedGeneration": 0}}, "budget-not-observed", "describe poddisruptionbudget web"),
    ],
)
def test_a_budget_that_lets_nobody_go_says_why_and_what_helps(budget, code, words):
    """Each cause has its own remedy, and a budget one finding, which names pods and nodes."""
    labels = {"app": "web"}
    raw = make_budget("web", {"matchLabels": labels}, **budget)
    found = meet(two(labels=labels), budgets=[raw], seen_by=report(budgets=budgets_of(raw)))
    assert list(found) == [code]
    assert found[code].severity is Severity.WARNING
    assert words in found[code].remedy
    assert code == "budget-not-observed" or "It guards demo/web on w1, w2." in found[code].sentence


@pytest.mark.parametrize("lost", ["pods", "budgets", "volumes", "nodes"])
def test_what_could_not_be_read_is_a_warning_and_judges_nothing(lost):
    """Above all not the room of a cluster whose nodes were not seen."""
    lists = {"pods": two(), "nodes": NODES, lost: ClusterUnreadable("The API said 403.")}
    found = meet(**lists)
    assert list(found) == ["workloads-unread"]
    assert found["workloads-unread"].severity is Severity.WARNING
    assert "403" in found["workloads-unread"].sentence


AGENT = make_pod("agent", owner="DaemonSet/agent")


@pytest.mark.parametrize(
    ("pod", "changes", "told"),
    [
        (AGENT, {"daemon_sets": (DaemonSet("demo", "agent", 1, 1),)}, False),
        (AGENT, {}, True),
        (AGENT, {"daemon_sets": (DaemonSet("other", "agent", 1, 1),)}, True),
        (AGENT, {"unread": (Unread("daemon sets", "403"),)}, False),
        ({**AGENT, "metadata": {**AGENT["metadata"], "deletionTimestamp": "now"}}, {}, False),
    ],
)
def test_a_pod_of_a_daemonset_that_is_gone_wants_the_consent_that_its_drain_asks_for(pod, changes, told):
    """As kubectl has it; where the DaemonSets were not read nothing is said."""
    found = meet([pod], seen_by=report(**changes))
    assert ("daemonset-gone" in found) is told
    assert not told or "`accept delete-unmanaged`" in found["daemonset-gone"].remedy


def test_malformed_objects_are_counted_and_named():
    """The others are judged."""
    found = meet([*two(), make_pod("odd", containers=requesting("much"))])
    assert list(found) == ["objects-malformed"]
    assert "1 object could not be understood" in found["objects-malformed"].sentence
    assert "demo/odd (ValueError: `much`" in found["objects-malformed"].sentence


def test_where_nobody_is_drained_nothing_of_it_is_said():
    """A patch that restarts kubelets in place, and a revert; a hop to another minor drains."""
    pods, patch = [make_pod("bare", owner="", **EMPTYDIR)], Options(drain=DrainMode.MINOR_ONLY)
    assert meet(pods, options=patch, minors=(v("v1.34.9").minor,)) == {}
    assert "unmanaged-pods" in meet(pods, options=patch, minors=(v("v1.35.4").minor,))
    assert "unmanaged-pods" in meet(pods, options=Options(), minors=(v("v1.34.9").minor,))
    seen = see(report(), examination=examined(pods))
    assert tuple(check_drains(seen, ONE_AT_A_TIME, None, ())) == ()


def test_the_plan_carries_the_warnings_that_people_approve():
    """They are part of what is approved, by their codes."""
    drafted = draft(report=report(), examination=examined([make_pod("bare", owner="", **EMPTYDIR)]))
    assert {"emptydir-pods", "unmanaged-pods"} <= set(codes(drafted.findings))
    assert drafted.plan.accepted == ("emptydir-pods", "unmanaged-pods")


def test_many_names_are_a_few_and_a_number():
    """Sentences stay short for thousands of workloads."""
    assert some_of([]) == ""
    assert some_of("abca") == "a, b, c"
    assert some_of(map(str, range(9))) == "0, 1, 2, 3, 4 and 4 more"
