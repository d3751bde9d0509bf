"""All pods folded into workloads: what counts where, what is left out, what is said of the malformed."""

import json
from pathlib import Path

import pytest

from cluster.errors import ClusterUnreadable
from cluster.kube import Kube
from cluster.labels import Operator, Requirement
from cluster.placements import read_placement, read_requests
from cluster.quantities import parse_quantity
from cluster.tally import read_workloads
from cluster.workloads import NodeTerm, Taint, Toleration
from tests.pods_fixture import PaperLists, make_budget, make_node, make_pod, make_volume, requesting

RECORDINGS = Path(__file__).parents[1] / "recordings" / "cluster"


def recorded(name):
    return json.loads((RECORDINGS / f"{name}.stdout").read_text(encoding="utf-8"))["items"]


def read(**lists):
    return read_workloads(PaperLists(**lists))


def changed(pod, **metadata):
    return {**pod, "metadata": {**pod["metadata"], **metadata}}


def test_a_real_cluster_is_folded_as_it_was():
    """Three Deployments, their budget and three nodes; DaemonSets and static pods only take room."""
    found = read(pods=recorded("before-pods"), nodes=recorded("before-nodes"), budgets=recorded("before-pdb"))
    assert (found.malformed, found.examples, found.unread) == (0, (), ())
    assert [(g.kind, g.place, g.nodes, g.emptydir, g.budgets) for g in found.groups] == [
        ("Deployment", "demo/scratch", (("w1", 1), ("w2", 1)), True, ()),
        ("Deployment", "demo/web", (("w1", 1), ("w2", 2)), False, ("web",)),
        ("Deployment", "kube-system/coredns", (("cp1", 2),), False, ()),
    ]
    (web,) = found.guards
    assert (web.demand, web.allowed, web.healthy, web.needed, web.expected, web.lag) == (
        "minAvailable: 2",
        1,
        3,
        2,
        3,
        "",
    )
    cp1, w1, _ = found.nodes
    assert cp1.taints == (Taint("node-role.kubernetes.io/control-plane", "", "NoSchedule"),)
    assert dict(w1.allocatable)["memory"] == parse_quantity("24581684Ki")
    assert dict(w1.used)["pods"] == 4_000  # scratch, web, and one of each DaemonSet


@pytest.mark.parametrize(
    ("pod", "groups"),
    [
        (make_pod("a"), 1),
        (make_pod("a", owner="StatefulSet/db"), 1),
        (make_pod("a", owner=""), 1),
        (make_pod("a", owner="DaemonSet/agent"), 0),
        (changed(make_pod("a"), annotations={"kubernetes.io/config.mirror": "x"}), 0),
        (changed(make_pod("a"), labels={"lockkeeper.dev/operation": "op-1"}), 0),
        (changed(make_pod("a"), deletionTimestamp="2026-11-23T08:44:12Z"), 0),
        ({**make_pod("a"), "status": {"phase": "Succeeded"}}, 0),
    ],
)
def test_only_what_a_drain_evicts_is_a_workload(pod, groups):
    """kubectl's filters; what ends or stays is nobody's concern."""
    assert len(read(pods=[pod]).groups) == groups


def test_what_stays_on_a_node_takes_room_there_and_what_has_ended_does_not():
    """Room is what is left beside all of them."""
    pods = [
        make_pod("agent", owner="DaemonSet/agent", containers=requesting("1")),
        make_pod("web", containers=requesting("500m", "1Gi")),
        {**make_pod("job", owner="Job/once", containers=requesting("2")), "status": {"phase": "Failed"}},
        make_pod("new", "", containers=requesting("3")),
    ]
    found = read(pods=pods, nodes=[make_node("w1"), make_node("w2")])
    assert dict(found.nodes[0].used) == {"cpu": 1_500, "memory": parse_quantity("1152Mi"), "pods": 2_000}
    assert found.nodes[1].used == ()
    assert sum(g.waiting for g in found.groups) == 1


def test_pods_of_one_deployment_are_one_workload_by_the_deployments_name():
    """The ReplicaSet's name is the Deployment's and the hash of its template, which the pods carry as a label."""
    labels = {"app": "web", "pod-template-hash": "76db68c6d"}
    pods = [
        make_pod(f"web-{n}", node, owner="ReplicaSet/web-76db68c6d", labels=labels)
        for n, node in enumerate(("w1", "w2", "w1"))
    ]
    (group,) = read(pods=pods).groups
    assert (group.kind, group.place, group.nodes, group.running, group.count) == (
        "Deployment",
        "demo/web",
        (("w1", 2), ("w2", 1)),
        3,
        3,
    )


def test_labels_of_single_pods_do_not_split_a_stateful_set():
    """Yet a budget may select by them."""
    pods = [
        make_pod(
            f"db-{n}", owner="StatefulSet/db", labels={"app": "db", "statefulset.kubernetes.io/pod-name": f"db-{n}"}
        )
        for n in range(3)
    ]
    first = {"matchLabels": {"statefulset.kubernetes.io/pod-name": "db-0"}}
    found = read(pods=pods, budgets=[make_budget("first", first)])
    assert sorted((g.budgets, g.count) for g in found.groups) == [((), 2), (("first",), 1)]


def test_each_pod_knows_the_budgets_that_select_it():
    """Of its own namespace; an empty selector selects all of it, none selects nothing."""
    budgets = [
        make_budget("web", {"matchLabels": {"app": "web"}}),
        make_budget("all", {}),
        make_budget("front", {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
        make_budget("nobody", None),
        make_budget("elsewhere", {}, namespace="other"),
    ]
    found = read(pods=[make_pod("a", labels={"app": "web"})], budgets=budgets)
    assert found.groups[0].budgets == ("all", "web")


@pytest.mark.parametrize(
    ("status", "lag"),
    [
        ({}, ""),
        ({"observedGeneration": 0}, "its controller has not looked at its last change yet"),
        (
            {
                "conditions": [
                    {"type": "DisruptionAllowed", "reason": "SyncFailed", "message": "found no controller ref"}
                ]
            },
            "found no controller ref",
        ),
    ],
)
def test_a_budget_says_why_its_status_is_not_that_of_its_spec(status, lag):
    """A controller that lags or fails."""
    assert read(budgets=[make_budget("web", {}, status=status)]).guards[0].lag == lag


def test_a_pod_is_where_its_volumes_can_be_reached():
    """By the claim that the volume is bound to, a generic ephemeral one included."""
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "tmp", "ephemeral": {}}]
    found = read(
        pods=[make_pod("a", volumes=volumes)],
        volumes=[make_volume("pv-1", "data", "w1"), make_volume("pv-2", "a-tmp", "w1")],
    )
    here = (NodeTerm((Requirement("kubernetes.io/hostname", Operator.IN, ("w1",)),)),)
    assert found.groups[0].placement.volumes == (here, here)


BROKEN = [
    {},
    {"metadata": {"name": "a", "namespace": "demo"}},
    {"metadata": None, "spec": {}},
    {**make_pod("a"), "spec": {"containers": None, "nodeName": "w1"}},
    make_pod("a", containers=requesting("much")),
    make_pod("a", tolerations="all of them"),
    make_pod("a", owner="DaemonSet/agent", namespace=None),
    make_pod(
        "a", affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [7]}}}
    ),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_malformed_pod_is_counted_and_said_and_the_others_are_read(broken):
    """And it takes no room that it did not ask for in words that we read."""
    found = read(pods=[make_pod("b"), broken, make_pod("c", "w2")], nodes=[make_node("w1")])
    assert found.malformed == 1
    assert len(found.examples) == 1
    assert found.groups[0].count == 2
    assert dict(found.nodes[0].used)["pods"] == 1_000


def test_thousands_of_malformed_objects_are_a_number_and_a_few_examples():
    """Not a list of all."""
    found = read(pods=[make_pod(f"p{n}", containers=requesting("x" * 1000)) for n in range(1000)])
    assert found.malformed == 1000
    assert len(found.examples) == 5
    assert max(map(len, found.examples)) <= 200


@pytest.mark.parametrize("lost", ["pods", "nodes", "budgets", "volumes"])
def test_what_cannot_be_read_is_said_and_the_rest_is_there(lost):
    """Each list for itself."""
    lists = {"pods": [make_pod("a")], "nodes": [make_node("w1")], "budgets": [make_budget("b", {})], "volumes": []}
    found = read(**lists | {lost: ClusterUnreadable("The API said 403.")})
    assert [u.reason for u in found.unread] == ["The API said 403."]
    assert bool(found.groups) is (lost != "pods")
    assert bool(found.guards) is (lost != "budgets")
    assert bool(found.nodes) is (lost != "nodes")


def init(cpu, **more):
    return {"name": "init", "resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": requesting("100m")}, 100),
        ({"containers": requesting("100m") + requesting("200m")}, 300),
        ({"containers": requesting("100m"), "initContainers": [init("1"), init("2")]}, 2_000),
        ({"containers": requesting("3"), "initContainers": [init("1"), init("2")]}, 3_000),
        ({"containers": requesting("1"), "initContainers": [init("500m", restartPolicy="Always")]}, 1_500),
        ({"containers": requesting("1"), "initContainers": [init("1", restartPolicy="Always"), init("2")]}, 3_000),
        ({"containers": requesting("1"), "overhead": {"cpu": "250m"}}, 1_250),
        ({"containers": requesting("1"), "resources": {"requests": {"cpu": "700m"}}}, 700),
    ],
)
def test_a_pod_asks_for_what_the_scheduler_counts(spec, cpu):
    """Containers together, init containers one after the other beside the sidecars, overhead, the whole pod's own."""
    assert dict(read_requests(spec))["cpu"] == cpu


def test_a_placement_keeps_what_the_scheduler_insists_on_and_nothing_else():
    """Preferences and soft spreads decide nothing here."""
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}
    pod = make_pod(
        "a",
        labels={"app": "web", "pod-template-hash": "1"},
        nodeSelector={"disk": "ssd"},
        tolerations=[{"operator": "Exists"}, {"key": "gpu", "value": "yes", "effect": "NoSchedule"}],
        affinity={
            "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]},
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [term, {**term, "namespaceSelector": {}}],
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}],
            },
        },
        topologySpreadConstraints=[
            {**term, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["pod-template-hash"]},
            {**term, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"},
        ],
    )
    placement = read_placement(pod, ())
    assert placement.selector == (NodeTerm((Requirement("disk", Operator.IN, ("ssd",)),)),)
    assert placement.affinity == ()
    assert placement.tolerations == (
        Toleration("", "", "", exists=True),
        Toleration("gpu", "yes", "NoSchedule", exists=False),
    )
    (spread,), (apart,) = placement.spreads, placement.apart
    assert [r.key for r in spread.selector.requirements] == ["app", "pod-template-hash"]
    assert apart.namespaces == ("demo",)


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        (Toleration("", "", "", exists=True), True),
        (Toleration("gpu", "", "", exists=True), True),
        (Toleration("gpu", "yes", "NoSchedule", exists=False), True),
        (Toleration("gpu", "no", "NoSchedule", exists=False), False),
        (Toleration("gpu", "", "NoExecute", exists=True), False),
        (Toleration("other", "", "", exists=True), False),
    ],
)
def test_a_toleration_covers_its_key_its_value_and_its_effect(toleration, tolerated):
    """An empty key or effect stands for each one."""
    assert toleration.tolerates(Taint("gpu", "yes", "NoSchedule")) is tolerated


class OnePage(Kube):
    """An API whose only page has these items."""

    def __init__(self, *items):
        self._page = {"items": list(items)}

    def _pages(self, *_, **__):
        yield self._page


def test_an_object_without_metadata_gets_through_the_pages_to_where_it_is_counted():
    """Whoever pages looks at a UID in it."""
    found = read_workloads(OnePage({"metadata": None, "spec": {}}))
    assert (found.malformed, found.unread) == (3, ())  # as a budget, a node and a pod; a volume needs no name
    assert "something without a name" in found.examples[0]
