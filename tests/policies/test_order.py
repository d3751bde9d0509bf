"""The order of a plan: zones in turn, primaries after the others, our own node last of all; each with its reason."""

from dataclasses import replace

from cluster.examination import Examination
from cluster.operation import OperationState, schedule
from cluster.procedure import Phase, itinerary
from cluster.workloads import Workload, Workloads
from policies.pools import form_pools
from tests.policies_fixture import MASTERS, NOW, draft, make_cluster, make_record, make_report, make_survey
from workers.schedule import find_runnable

ZONE = "topology.kubernetes.io/zone"


def in_zones(**zones):
    """Three control planes, and as many workers in each zone as are named: `a=2` makes a1 and a2."""
    report = make_report()
    worker = report.node("w1")
    nodes = [
        replace(worker, name=f"{zone}{n}", uid=f"uid-{zone}{n}", labels=((ZONE, zone),))
        for zone, count in zones.items()
        for n in range(1, count + 1)
    ]
    return replace(report, nodes=(*(report.node(m) for m in MASTERS), *nodes))


def order_of(report, cluster=None, **more):
    """The workers by their turn."""
    return " ".join(n.name for p in form_pools(report, cluster or make_cluster(), **more)[1:] for n in p.nodes)


def test_a_window_over_equal_zones_has_a_node_of_each():
    """Round robin, by name within each."""
    assert order_of(in_zones(a=2, b=2, c=2)) == "a1 b1 c1 a2 b2 c2"


def test_a_small_zone_is_never_taken_in_one_go():
    """Its nodes are as far from each other as they can be."""
    assert order_of(in_zones(a=2, b=6)) == "b1 a1 b2 b3 b4 a2 b5 b6"


def test_without_zones_the_order_is_that_of_the_names():
    """w2 before w10."""
    assert order_of(make_report()) == "w1 w2"


def test_whoever_goes_last_is_spread_as_well():
    """First the others, then those with primaries, then our own."""
    report = in_zones(a=2, b=2)
    assert order_of(report, last=frozenset({"a1", "b2"}), own=frozenset({"b1", "a1"})) == "a2 b2 a1 b1"


def ours(*nodes):
    labels = (("app.kubernetes.io/name", "lockkeeper"),)
    group = Workload("ops", "Deployment", "worker", labels, nodes=tuple((n, 1) for n in nodes), running=len(nodes))
    return Examination("prod", NOW, workloads=Workloads(groups=(group,)))


def drafted(report, examination=None, **pools):
    names = [n.name for n in report.nodes]
    cluster = make_cluster(machines=dict.fromkeys(names, make_cluster().machines["w1"].model_dump()), pools=pools)
    survey = make_survey()
    machines = tuple(replace(survey.machines[-1], name=n) for n in names if n not in MASTERS)
    survey = replace(survey, machines=(*survey.machines[:3], *machines))
    return draft(report=report, survey=survey, cluster=cluster, examination=examination)


def test_our_own_node_begins_when_every_other_one_is_done_whatever_its_pool():
    """Pools go side by side; the one that we run on waits for all of them."""
    pools = {"first": {"selector": f"{ZONE}=a", "max_unavailable": 2}, "rest": {"selector": "", "max_unavailable": 1}}
    made = drafted(in_zones(a=2, b=1), ours("a1"), **pools)
    assert made.plan.last == ("a1",)
    record = make_record(drafted=made)
    operation = schedule(record, operation_id="op-1", approved_by="grace", now=NOW)

    def at_workers(row, done):
        steps = itinerary(made.plan, made.plan.node(row.node))
        phases = {Phase.AFTER} if row.node in done or row.node in MASTERS else {Phase.WORKERS}
        return replace(row, position=next(n for n, s in enumerate(steps) if s.phase in phases))

    for done, turn in (((), ["a2", "b1"]), (("a2",), ["b1"]), (("a2", "b1"), ["a1"])):
        rows = tuple(at_workers(r, done) for r in operation.rows)
        now_at = replace(operation, state=OperationState.RUNNING, rows=rows)
        assert [n.name for n in find_runnable(made.plan, now_at, in_zones(a=2, b=1), now=NOW).nodes] == turn


def test_a_plan_says_its_order_a_sentence_for_each_reason():
    """Whoever approves it sees why somebody waits."""
    pools = {"all": {"selector": "", "max_unavailable": 4}}
    told = drafted(in_zones(a=2, b=6), ours("b6"), **pools).order
    assert [t for t in told if "cp1 begins" in t]
    assert "all of" not in " ".join(told)
    assert "The pool all takes its zones in turn" in " ".join(told)
    assert told[-1] == "b6 goes last of all: lockkeeper itself runs there, and so it moves only once."
    crowded = {"all": {"selector": "", "max_unavailable": 6}}
    assert "6 away at once may be all of a." in " ".join(drafted(in_zones(a=2, b=6), **crowded).order)


def test_a_plan_says_which_control_planes_have_their_turn_once_more():
    """Of an upgrade that was left; one that only runs an edited API server had none."""
    left = make_report({"cp1": "v1.35.4", "cp2": "v1.35.4", "cp3": "v1.34.7"}, declared="v1.35.4")
    again = (
        "cp1, cp2 run a control plane of v1.35.4 already and go the whole way again: only the end of kubeadm itself "
    )
    assert draft(report=left).order[1] == f"{again}tells that it was through."
    edited = make_report(
        {"cp1": "v1.35.4", "cp2": "v1.34.7", "cp3": "v1.34.7"}, controllers=dict.fromkeys(MASTERS, "v1.34.7")
    )
    for report in (make_report(), edited):
        assert "again" not in " ".join(draft(report=report).order)
