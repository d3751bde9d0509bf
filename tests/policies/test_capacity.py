"""Whether the pods of a batch fit elsewhere: room, taints, selectors, spreads and company, each in a small cluster."""

from dataclasses import replace

import pytest

from cluster.findings import Severity
from cluster.plan import PlanNode, PlanPool, Role
from cluster.tally import read_workloads
from policies.capacity import check_capacity
from policies.places import Places
from tests.pods_fixture import PaperLists, make_node, make_pod, requesting
from tests.policies_fixture import make_report

ZONES = {"w1": "a", "w2": "a", "w3": "b", "w4": "b"}
HOSTNAME = "kubernetes.io/hostname"


def report(zones, **changes):
    """A cluster of worker nodes alone, each with its zone; `changes` are of single nodes."""
    usual = make_report()
    labels = {n: ((HOSTNAME, n), ("zone", z)) for n, z in zones.items()}
    nodes = [replace(usual.nodes[-1], name=n, labels=labels[n], **changes.get(n, {})) for n in zones]
    return replace(usual, nodes=tuple(nodes))


def judge(pods, *, nodes=None, at_once=1, zones=ZONES, changes=None):
    """The finding about the one pool of all nodes, None where every batch fits."""
    raw = [make_node(n, **(nodes or {}).get(n, {})) for n in zones]
    members = tuple(PlanNode(n, f"uid-{n}", Role.WORKER) for n in zones)
    seen_by = report(zones, **(changes or {}))
    found = read_workloads(PaperLists(pods=pods, nodes=raw))
    assert found.malformed == 0
    findings = tuple(check_capacity(found, (PlanPool("all", at_once, members),), seen_by, Places(seen_by)))
    return findings[0] if findings else None


def each(count, node, name="web", **spec):
    labels = {"app": name}
    return [
        make_pod(f"{name}-{node}-{n}", node, owner=f"StatefulSet/{name}", labels=labels, **spec) for n in range(count)
    ]


def everywhere(count, **spec):
    return [pod for node in ZONES for pod in each(count, node, **spec)]


FULL, HALF = {"containers": requesting("3")}, {"containers": requesting("1500m")}


@pytest.mark.parametrize(
    ("pods", "at_once", "short"),
    [
        (everywhere(1, **HALF), 1, False),  # 1.5 of 4 cores everywhere: two more find room
        (everywhere(1, **HALF), 2, False),
        (everywhere(1, **HALF), 3, True),  # three into the one that is left
        (everywhere(1, **FULL), 1, True),
        (everywhere(1, containers=requesting("10m", "5Gi")), 1, True),
        (everywhere(1), 3, False),  # without requests only their number counts
        (everywhere(30), 2, False),
        (everywhere(60), 2, True),  # 240 pods, 110 on each of two nodes
        (each(3, "w1", **HALF), 1, False),
        ([], 2, False),
    ],
)
def test_requests_must_fit_into_what_is_left_on_the_other_nodes(pods, at_once, short):
    """Cores, memory and the number of pods."""
    assert (judge(pods, at_once=at_once) is not None) is short


def test_the_finding_names_pool_batch_workload_and_number():
    """An estimate, and a warning: nobody is kept from a plan by it."""
    finding = judge(each(1, "w1", "small") + everywhere(1, name="big", **FULL), at_once=2)
    assert (finding.code, finding.severity, finding.subject) == ("capacity-short", Severity.WARNING, "all")
    assert "Batch 1 of the pool all (w1, w2): by our estimate 2 pods would not fit" in finding.sentence
    assert "demo/big (2 pods, no room)" in finding.sentence
    assert "demo/small" not in finding.sentence
    assert "lower `max_unavailable`" in finding.remedy


def test_a_batch_that_does_not_fit_at_all_is_a_short_sentence():
    """The first few workloads, and that there may be more."""
    pods = [p for n in range(40) for p in each(1, "w1", f"app{n}", **FULL)]
    sentence = judge(pods, at_once=3, nodes={"w4": {"cpu": "0"}}).sentence
    assert "at least 5 pods" in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize(
    ("gone", "short"),
    [({"ready": False}, True), ({"cordoned": True}, True), ({}, False)],
)
def test_nodes_that_take_nobody_are_no_room(gone, short):
    """A node that is not Ready, or that somebody cordoned."""
    pods = [p for n in ("w1", "w2", "w3") for p in each(1, n, **FULL)]
    assert (judge(pods, changes={"w4": gone}) is not None) is short


@pytest.mark.parametrize(
    ("spec", "short"),
    [
        ({}, True),
        ({"tolerations": [{"key": "gpu", "operator": "Exists"}]}, False),
        ({"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]}, True),
        ({"tolerations": [{"operator": "Exists"}]}, False),
    ],
)
def test_a_taint_keeps_off_whoever_does_not_tolerate_it(spec, short):
    """Where every other node is tainted."""
    tainted = {n: {"taints": (("gpu", "NoSchedule"),)} for n in ("w2", "w3", "w4")}
    finding = judge(each(1, "w1", **spec), nodes=tainted)
    assert (finding is not None) is short
    assert not short or "no other node suits" in finding.sentence


ZONE_A = {"nodeSelector": {"zone": "a"}}


@pytest.mark.parametrize(
    ("pods", "at_once", "words"),
    [
        (each(1, "w1", **ZONE_A), 1, None),
        (each(1, "w1", **ZONE_A), 2, "no other node suits"),
        (each(1, "w1", **ZONE_A, **HALF) + each(1, "w2", "big", **FULL), 1, "no room"),
        (each(1, "w1", nodeSelector={HOSTNAME: "w1"}), 1, None),  # pinned: it has a note of its own
    ],
)
def test_a_pod_goes_only_where_its_selector_lets_it(pods, at_once, words):
    """And who may run on one node alone is not told of twice."""
    finding = judge(pods, at_once=at_once)
    assert (finding is None) is (words is None)
    assert words is None or words in finding.sentence


def affinity(**term):
    """Required node affinity of one term."""
    terms = {"nodeSelectorTerms": [term]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


@pytest.mark.parametrize(
    ("term", "short"),
    [
        ({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["b"]}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "disk", "operator": "Exists"}]}, True),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w2", "w3"]}]}, False),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w1", "w2"]}]}, True),
        ({}, True),  # a term without a demand matches no node
    ],
)
def test_required_node_affinity_is_kept(term, short):
    """With w1 and w2 away together."""
    assert (judge(each(1, "w1", **affinity(**term)), at_once=2) is not None) is short


def apart(topology, app="web"):
    term = {"topologyKey": topology, "labelSelector": {"matchLabels": {"app": app}}}
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def spread(topology, skew=1):
    rule = {"topologyKey": topology, "maxSkew": skew, "labelSelector": {"matchLabels": {"app": "web"}}}
    return {"topologySpreadConstraints": [rule]}


@pytest.mark.parametrize(
    ("pods", "at_once", "short"),
    [
        (everywhere(1, **apart(HOSTNAME)), 1, True),  # each node has one already
        (each(1, "w1", **apart(HOSTNAME)) + each(1, "w2", **apart(HOSTNAME)), 1, False),
        (each(1, "w1", **apart(HOSTNAME)) + each(1, "w2", **apart(HOSTNAME)), 2, False),  # one each on w3 and w4
        (each(1, "w1", **apart("zone")) + each(1, "w3", **apart("zone")), 1, False),  # w1's goes to w2
        (each(1, "w1", **apart("zone")) + each(1, "w3", **apart("zone")), 2, True),  # zone b has one
        (each(1, "w1", **apart(HOSTNAME, "other")) + everywhere(1, name="other"), 1, True),
        (each(1, "w1", **apart("rack")), 1, False),  # no node has such a label: no domain, no company
    ],
)
def test_required_anti_affinity_is_kept(pods, at_once, short):
    """Against those that stay, and among those that move."""
    assert (judge(pods, at_once=at_once) is not None) is short


@pytest.mark.parametrize(
    ("pods", "at_once", "short"),
    [
        (everywhere(1, **spread("zone")), 1, False),
        (everywhere(1, **spread("zone")), 2, True),  # zone a is away: at most one more in b than in a
        (everywhere(1, **spread("zone", 4)), 2, False),
        (everywhere(1, **spread(HOSTNAME)), 1, True),  # the empty node counts, and the others have one each
        (everywhere(1, **spread(HOSTNAME, 2)), 1, False),
        (each(2, "w1", **spread("zone")) + each(2, "w3", **spread("zone")), 1, False),
        (each(1, "w1", **spread("rack")), 1, True),  # a node without the label takes nobody
    ],
)
def test_an_insisted_spread_is_kept(pods, at_once, short):
    """Domains that are empty because their nodes are away count as empty ones."""
    assert (judge(pods, at_once=at_once) is not None) is short


def test_pods_that_do_not_come_back_need_no_room():
    """Those without a controller."""
    assert judge([make_pod("bare", "w1", owner="", containers=requesting("4"))], at_once=3) is None
