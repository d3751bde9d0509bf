"""Database clusters by their labels: where primaries are, who goes last, and which batch would take all of one."""

from dataclasses import replace

import pytest

from cluster.examination import Examination
from cluster.findings import Severity
from cluster.options import Options
from cluster.plan import PlanNode, PlanPool, Role
from cluster.report import Budget
from cluster.tally import read_workloads
from policies.databases import check_databases, configured, find_databases, primary_nodes, read_operators
from policies.drains import check_drains
from policies.pools import form_pools
from tests.pods_fixture import PaperLists, make_budget, make_node, make_pod
from tests.policies_fixture import NOW, draft, make_cluster, make_report, see

CNPG = {"cnpg.io/podRole": "instance", "cnpg.io/cluster": "main"}
ZALANDO = {"application": "spilo", "cluster-name": "main"}
CRUNCHY = {"postgres-operator.crunchydata.com/data": "postgres", "postgres-operator.crunchydata.com/cluster": "main"}
PATRONI = {"application": "patroni", "cluster-name": "main"}


def cnpg(*nodes, primary=0, cluster="main"):
    """A CloudNativePG cluster with an instance on each of the nodes."""
    return [
        make_pod(
            f"{cluster}-{n}",
            node,
            owner=f"Cluster/{cluster}",
            labels={
                **CNPG,
                "cnpg.io/cluster": cluster,
                "cnpg.io/instanceName": f"{cluster}-{n}",
                "cnpg.io/instanceRole": "primary" if n == primary else "replica",
            },
        )
        for n, node in enumerate(nodes)
    ]


def databases(*pods):
    return find_databases(read_workloads(PaperLists(pods=pods)), ())


def pool(*names, at_once=1):
    return PlanPool("db", at_once, tuple(PlanNode(n, f"uid-{n}", Role.WORKER) for n in names))


def judge(pods, *pools):
    return {f.code: f for f in check_databases(databases(*pods), pools, "prod")}


@pytest.mark.parametrize(
    ("labels", "operator", "is_primary"),
    [
        ({**CNPG, "cnpg.io/instanceRole": "primary"}, "CloudNativePG", True),
        ({**CNPG, "cnpg.io/instanceRole": "replica"}, "CloudNativePG", False),
        ({**CNPG, "cnpg.io/podRole": "pooler", "cnpg.io/instanceRole": "primary"}, "", False),
        ({**ZALANDO, "spilo-role": "master"}, "Zalando postgres-operator", True),
        ({**ZALANDO, "spilo-role": "replica"}, "Zalando postgres-operator", False),
        (
            {**CRUNCHY, "postgres-operator.crunchydata.com/role": "master"},
            "Crunchy or Percona PostgreSQL operator",
            True,
        ),
        (
            {**CRUNCHY, "postgres-operator.crunchydata.com/role": "primary"},
            "Crunchy or Percona PostgreSQL operator",
            True,
        ),
        ({**PATRONI, "role": "primary"}, "Patroni", True),
        ({**PATRONI, "role": "master"}, "Patroni", True),
        ({"role": "primary", "cluster-name": "main"}, "", False),  # too little to call it a database
        ({"app": "web"}, "", False),
    ],
)
def test_an_operator_is_recognised_by_its_own_labels_alone(labels, operator, is_primary):
    """A role by itself says nothing."""
    found = databases(make_pod("a", labels=labels, owner="StatefulSet/a"))
    assert [d.operator.operator for d in found] == ([operator] if operator else [])
    assert [d.primaries for d in found] == ([("w1",) if is_primary else ()] if operator else [])
    assert primary_nodes(found) == frozenset()  # nobody to hand over to


def test_every_row_of_the_data_says_where_it_comes_from():
    """A source and the day on which it was looked at."""
    assert all(o.sources[0].startswith("https://") and o.verified_on for o in read_operators().databases)


def test_one_database_is_told_with_all_its_instances():
    """Though the labels of each pod differ."""
    (found,) = databases(*cnpg("w1", "w2", "w3", primary=1))
    assert (found.place, found.is_replicated, found.nodes, found.primaries) == (
        "demo/main",
        True,
        ("w1", "w2", "w3"),
        ("w2",),
    )


def test_primaries_are_a_note_with_their_nodes():
    """And it says where the operator does not move them by itself."""
    note = judge(cnpg("w1", "w2"))["database-primaries"]
    assert (note.severity, note.subject) == (Severity.NOTE, "prod")
    assert "demo/main on w1 (CloudNativePG)" in note.sentence
    assert "CloudNativePG moves a primary as soon as its node is cordoned." in note.remedy
    assert "evicted" not in note.remedy
    plain = [
        make_pod(f"p-{n}", f"w{n}", labels={**PATRONI, "role": role}, owner="StatefulSet/p")
        for n, role in ((1, "master"), (2, "replica"))
    ]
    assert (
        "With Patroni another instance takes over when the primary is evicted"
        in judge(plain)["database-primaries"].remedy
    )


def test_a_single_instance_is_a_warning_and_no_primary_to_hand_over():
    """With what is known to help."""
    found = judge(cnpg("w1"))
    assert list(found) == ["database-alone"]
    assert found["database-alone"].severity is Severity.WARNING
    assert "`enablePDB`" in found["database-alone"].remedy


def test_instances_on_one_node_are_a_warning():
    """However many there are."""
    assert "demo/main on w1" in judge(cnpg("w1", "w1", "w1"))["database-on-one-node"].sentence


@pytest.mark.parametrize(
    ("nodes", "at_once", "choose"),
    [
        (("w1", "w2", "w3"), 1, None),
        (("w1", "w2", "w3"), 2, None),
        (("w1", "w2", "w3"), 3, 2),
        (("w1", "w2", "w3"), 9, 2),
        (("w2", "w3"), 2, 1),  # a window of two covers them wherever batches begin
        (("w1", "w4"), 3, None),
        (("w1", "elsewhere"), 9, None),  # one of another pool stays
    ],
)
def test_a_window_that_can_cover_a_whole_database_is_warned_of(nodes, at_once, choose):
    """With the max_unavailable that cannot."""
    finding = judge(cnpg(*nodes), pool("w1", "w2", "w3", "w4", at_once=at_once)).get("database-in-one-batch")
    assert (finding is None) is (choose is None)
    if finding is not None:
        assert (finding.severity, finding.subject) == (Severity.NOTE, "db")
        assert f"`max_unavailable` of {choose} nobody" in finding.remedy


def test_nodes_with_primaries_go_last_in_their_pool():
    """So each primary moves once, onto a node that is done; the same observation makes the same plan."""
    found = Examination("prod", NOW, workloads=read_workloads(PaperLists(pods=cnpg("w1", "w2"))))
    first, again = draft(examination=found).plan, draft(examination=found).plan
    assert [n.name for n in first.pools[-1].nodes] == ["w2", "w1"]
    assert first.digest == again.digest
    assert [n.name for n in draft().plan.pools[-1].nodes] == ["w1", "w2"]


def test_primaries_change_no_pool_and_no_order_of_control_planes():
    """kubeadm's first control plane stays the first."""
    report, cluster = make_report(), make_cluster(pools={"front": {"selector": "tier=front"}})
    nodes = tuple(replace(n, labels=(("tier", "front"),)) if n.name == "w1" else n for n in report.nodes)
    pools = form_pools(replace(report, nodes=nodes), cluster, last=frozenset({"cp1", "w1"}))
    assert [(p.name, [n.name for n in p.nodes]) for p in pools] == [
        ("control-plane", ["cp1", "cp2", "cp3"]),
        ("front", ["w1"]),
        ("other", ["w2"]),
    ]


@pytest.mark.parametrize(
    ("labels", "nodes", "held_up"),
    [
        ({"cnpg.io/instanceRole": "primary"}, ("w1", "w2"), False),
        ({"cnpg.io/instanceRole": "primary"}, ("w1",), True),
        ({}, ("w1", "w2"), True),
    ],
)
def test_a_budget_that_an_operator_lifts_by_moving_the_primary_is_no_warning(labels, nodes, held_up):
    """CloudNativePG's own budget lets the primary go as soon as it is one no more, if there is another instance."""
    raw = make_budget(
        "main-primary",
        {"matchLabels": {"cnpg.io/cluster": "main", **labels}},
        status={"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
    )
    workloads = read_workloads(PaperLists(pods=cnpg(*nodes), budgets=[raw], nodes=[make_node("w1"), make_node("w2")]))
    report = replace(make_report(), budgets=(Budget("demo", "main-primary", 0, 1, 1),))
    seen = see(report, examination=Examination("prod", NOW, workloads=workloads))
    found = {f.code for f in check_drains(seen, make_cluster(), Options(), ())}
    assert ("budget-allows-none" in found) is held_up


OURS = {
    "name": "our own MySQL",
    "member": {"app": "mysql"},
    "cluster": "mysql/cluster",
    "role": "mysql/role",
    "primary": ["primary", "leader"],
}


def test_a_database_of_the_file_is_one_like_those_that_are_known():
    """Found, ordered and told by its labels; part of the plan, and so of its digest."""
    cluster = make_cluster(databases=[OURS])
    labels = {"app": "mysql", "mysql/cluster": "main"}
    pods = [
        make_pod(f"m-{n}", f"w{n}", labels={**labels, "mysql/role": role}, owner="StatefulSet/m")
        for n, role in ((1, "leader"), (2, "replica"))
    ]
    found = read_workloads(PaperLists(pods=pods))
    (database,) = find_databases(found, configured(cluster))
    assert (database.operator.operator, database.place, database.primaries) == ("our own MySQL", "demo/main", ("w1",))
    assert find_databases(found, ()) == ()
    options = Options(databases=configured(cluster))
    seen = see(examination=Examination("prod", NOW, workloads=found))
    told = [f.sentence for f in check_drains(seen, cluster, options, ()) if f.code == "database-primaries"]
    assert told == ["Nodes with database primaries: demo/main on w1 (our own MySQL)."]
    plans = [draft(cluster=cluster, options=o).plan for o in (options, Options())]
    assert plans[0].digest != plans[1].digest
