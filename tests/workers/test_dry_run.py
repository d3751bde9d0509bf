"""A dry run asks the API server of the lab for each pod that a plan would move, and moves none."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.dry_run_text import dry_run_text, render_dry_run
from cluster.dry_run import Hindrance, Hold
from cluster.errors import KubeDenied, Refused
from cluster.events import Event, Happened
from cluster.kube import Kube
from cluster.observe import read_identity, read_nodes
from cluster.options import DrainMode, Options
from cluster.plan import PlanKind, PlanNode, PlanPool, PlanStatus, Role
from cluster.procedure import Verb, itinerary
from cluster.requests import request_dry_run
from cluster.settings import Settings
from cluster.versions import KubeVersion
from lab.pki import write_kubeconfig
from lab.scenarios import App, Scenario
from lab.world import World
from policies.drained import check_living, drains, tell_dry_run
from tests.bot_fixture import NOW, WORKERS, plan, record
from tests.redis_fixture import redis_server, redis_url, store
from tests.stories.test_rights import rendered, rules_of
from workers.drain_rules import Fate, PodFate
from workers.dry_run import Rehearsal, _trial, answer_dry_run, try_plan
from workers.eviction import evict

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module


HELD = Scenario(
    "held",
    "a pod under two budgets, a budget that lets nobody go, data that would be lost, and a pod of nobody's",
    1,
    3,
    apps=(App("web", 3, 1, second_budget=True), App("ledger", 1, 1), App("scratch", 2, emptydir=True)),
    bare_pods=("debug",),
)


@pytest.fixture(scope="module")
def world():
    """With an account that has the rights of the chart's worker and no others."""
    with World.start(HELD, speed=50) as running:
        rules = list(rules_of("lockkeeper-worker", rendered()))
        running.call(lambda: running.cluster.identities.admit("worker", "worker", rules))
        path = running.kubeconfig.with_name("worker.kubeconfig")
        write_kubeconfig(path, running.cluster.balancer.url, running.cluster.authority, "worker", user="worker")
        yield running


@pytest.fixture
def settings(world):
    config = world.config()
    config["clusters"]["lab"]["kubeconfig"] = str(world.kubeconfig.with_name("worker.kubeconfig"))
    return Settings.model_validate(
        {**config, "people": {"ada": {}, "grace": {}}, "approvals": {"approvers": ["grace"]}}
    )


def planned(settings, **options):
    """A plan over all nodes of the lab, as they are."""
    with Kube.connect("lab", settings.clusters["lab"]) as kube:
        nodes, identity = read_nodes(kube), read_identity(kube)
    roles = {True: Role.FIRST_CONTROL_PLANE, False: Role.WORKER}
    all_nodes = tuple(PlanNode(n.name, n.uid, roles[n.control_plane]) for n in nodes)
    pools = PlanPool("control-plane", 1, all_nodes[:1]), PlanPool("workers", 1, all_nodes[1:])
    return replace(plan(), identity=identity, pools=pools, options=Options(**options))


def ask(store, settings, made):
    store.propose(made, Event(Happened.PLAN_PROPOSED, NOW, "lab", "A plan.", plan_id=made.id))
    request = request_dry_run(made, "r-00000001", "ada", NOW)
    store.put_request(request, Event(Happened.DRY_RUN_ASKED, NOW, "lab", "ada asked.", plan_id=made.id))
    return answer_dry_run(request, settings=settings, store=store, now=NOW)


def shape(world):
    """Every pod with its whole object, and every budget's numbers: what an eviction would change."""
    kinds = ("Pod", "PodDisruptionBudget")
    return world.call(lambda: {kind: world.cluster.store.list(kind) for kind in kinds})


def by_reason(trials):
    held = {}
    for trial in trials:
        for h in trial.hindrances:
            held[h.hold, h.by] = held.get((h.hold, h.by), 0) + h.count
    return held


def test_the_server_judges_each_pod_that_would_move_and_none_moves(world, store, settings):
    """By the rights of the chart; what holds a pod is named: its budget, the server's refusal, or a consent."""
    before = shape(world)
    answer = ask(store, settings, record(plan=planned(settings), expires_at=NOW + timedelta(hours=1)))
    after = shape(world)
    made = answer.dry_run
    assert [p["metadata"]["uid"] for p in before["Pod"]] == [p["metadata"]["uid"] for p in after["Pod"]]
    assert not any("deletionTimestamp" in p["metadata"] for p in after["Pod"])
    assert [b["status"] for b in before["PodDisruptionBudget"]] == [b["status"] for b in after["PodDisruptionBudget"]]
    assert [t.node for t in made.nodes] == ["cp1", "w1", "w2", "w3"]
    assert by_reason(made.nodes) == {
        (Hold.BUDGET, "demo/ledger"): 1,
        (Hold.REFUSED, "more than one PodDisruptionBudget selects it, which evictions do not allow"): 3,
        (Hold.CONSENT, "delete-emptydir"): 2,
        (Hold.CONSENT, "delete-unmanaged"): 1,
    }
    assert made.leaving >= 1
    assert store.answer("r-00000001") == answer
    told = store.events(made.plan_id)[-1][1]
    assert (told.kind, told.sentence) == (Happened.DRY_RUN_FINISHED, tell_dry_run(made))


def test_the_consents_of_the_plan_count_and_nodes_that_are_gone_are_named(world, store, settings):
    """A node that was rebuilt is another one: nothing of it is tried."""
    whole = planned(settings, delete_emptydir=True, delete_unmanaged=True)
    first, last = whole.pools[1].nodes[0], whole.pools[1].nodes[-1]
    nodes = (replace(first, uid="another"), *whole.pools[1].nodes[1:-1], replace(last, name="w9"))
    made = ask(
        store, settings, record(plan=replace(whole, pools=(whole.pools[0], replace(whole.pools[1], nodes=nodes))))
    )
    untried = {t.node: t.not_tried for t in made.dry_run.nodes if t.not_tried}
    assert untried["w9"] == "It is no longer in the cluster."
    assert "another one than at planning" in untried[first.name]
    assert Hold.CONSENT not in {hold for hold, _ in by_reason(made.dry_run.nodes)}
    assert "2 nodes could not be tried" in tell_dry_run(made.dry_run)


def test_a_plan_that_nobody_will_carry_out_is_refused_in_one_sentence(store, settings):
    """So is one whose cluster does not answer."""
    refused = ask(store, settings, record(plan=plan(), status=PlanStatus.EXPIRED))
    assert refused.refusal.startswith("The plan p-1a2b3c4d is expired")
    assert store.feed()[-1][1].kind is Happened.REQUEST_REFUSED


class Post:
    """Remembers what was posted; a real server's answers are in the lab."""

    def __init__(self, answer=None):
        self.sent, self.answer = [], answer

    def post(self, path, body, query):
        self.sent.append((path, body, query))
        if self.answer:
            raise self.answer
        return {}


@pytest.mark.parametrize("body", [{}, {"deleteOptions": {"dryRun": []}}, {"kind": "Pod", "spec": {}}])
def test_nothing_is_posted_without_the_mark_of_a_trial(body):
    """Whatever is posted, and whoever forgot it: in the query and in the body."""
    sink = Post()
    Rehearsal(sink).post("/api/v1/anything", body, {"dryRun": "", "fieldManager": "x"})
    ((_, sent, query),) = sink.sent
    assert query == {"dryRun": "All", "fieldManager": "x"}
    assert sent["deleteOptions"]["dryRun"] == ["All"]


def test_an_eviction_by_a_rehearsal_keeps_its_precondition():
    """The pod that was judged, not a successor of its name; and there is no verb that could change anything else."""
    sink = Post()
    evict(Rehearsal(sink), PodFate("demo", "web-1", "uid-1", Fate.LEAVES))
    assert sink.sent[0][1]["deleteOptions"] == {"preconditions": {"uid": "uid-1"}, "dryRun": ["All"]}
    assert {name for name in dir(Rehearsal) if not name.startswith("_")} == {"nodes", "pods", "get", "post"}


V134, V135, V136 = (KubeVersion.parse(f"v1.{minor}.2") for minor in (34, 35, 36))


@pytest.mark.parametrize(
    ("kubelet", "mode", "kind", "drained"),
    [
        (V134, DrainMode.ALWAYS, PlanKind.UPGRADE, True),
        (None, DrainMode.MINOR_ONLY, PlanKind.UPGRADE, True),
        (V134, DrainMode.MINOR_ONLY, PlanKind.UPGRADE, True),
        (V135, DrainMode.MINOR_ONLY, PlanKind.UPGRADE, False),
        (V135, DrainMode.ALWAYS, PlanKind.UPGRADE, True),
        (KubeVersion.parse("v1.35.4"), DrainMode.ALWAYS, PlanKind.UPGRADE, True),
        (KubeVersion.parse("v1.35.4"), DrainMode.MINOR_ONLY, PlanKind.UPGRADE, False),
        (V134, DrainMode.ALWAYS, PlanKind.REVERT, False),
    ],
)
def test_a_node_is_drained_as_its_steps_would_drain_it(kubelet, mode, kind, drained):
    """With `drain: always` also one that runs the target already; a patch in place never."""
    made = plan(kind)
    made = replace(made, options=Options(drain=mode))
    assert drains(made, made.pools[1].nodes[0], kubelet) is drained


def test_a_drain_that_was_does_not_come_again():
    """Of a plan that is carried out already, only the drains ahead of each node are tried."""
    made = replace(plan(), options=Options(drain=DrainMode.ALWAYS))
    node = made.pools[1].nodes[0]
    way = [step.verb for step in itinerary(made, node)]
    assert drains(made, node, V134, way.index(Verb.DRAIN))
    assert not drains(made, node, V134, way.index(Verb.DRAIN) + 1)


@pytest.mark.parametrize("status", [s for s in PlanStatus if s not in {PlanStatus.PROPOSED, PlanStatus.APPROVED}])
def test_a_closed_plan_has_no_drains_to_try(status):
    """Its status is named."""
    with pytest.raises(Refused, match=f"is {status}"):
        check_living(record(status=status))


def test_a_busy_server_is_not_taken_for_a_refusal():
    """What is not known is said to be that; the names of pods do not make one answer into many."""
    pods = [PodFate("demo", f"web-{n}", f"uid-{n}", Fate.LEAVES) for n in range(7)]
    busy = KubeDenied("too many requests", status=429, body={})
    hook = "admission webhook guard.example.org does not support dry run"
    said = {p.uid: evict(Rehearsal(Post(busy)), p) for p in pods[:3]}
    for p in pods[3:]:
        denied = KubeDenied(f'pods "{p.name}" is forbidden: {hook}', status=400, body={})
        said[p.uid] = evict(Rehearsal(Post(denied)), p)
    first, second = _trial("w1", pods, said).hindrances
    assert {first.hold, second.hold} == {Hold.UNANSWERED}
    assert (first.count, second.count) in {(3, 4), (4, 3)}
    assert isinstance(first, Hindrance)


class OnPaper:
    """An API that shows these nodes and pods, and lets everybody go."""

    def __init__(self, nodes, pods):
        self._nodes, self._pods = nodes, pods

    def rows(self, *_, **__):
        for node in self._nodes:
            yield {"Name": node.name, "Status": "Ready", "Version": "v1.34.7"}, {"name": node.name, "uid": node.uid}

    def items(self, *_, **__):
        return iter(self._pods)

    def get(self, path):
        raise KubeDenied(f"{path} is not there", status=404, body={})

    def post(self, *_, **__):
        return {}


def on(node, name="web", **changes):
    owner = {"kind": "ReplicaSet", "name": "web", "controller": True}
    metadata = {"namespace": "demo", "name": name, "uid": f"uid-{name}", "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {}} | changes


MALFORMED = [
    on(WORKERS[0], "odd", metadata={"namespace": "demo", "name": "odd", "ownerReferences": 7}),
    on(WORKERS[0], "odd", metadata={"namespace": "demo", "name": "odd", "annotations": 7}),
    on(WORKERS[0], "odd", status=7),
]


@pytest.mark.parametrize("pod", MALFORMED)
def test_a_malformed_pod_is_named_on_its_node_and_stops_nothing(pod):
    """All others are tried, and the verdict is not clear."""
    made = record(plan=plan())
    nodes = [n for pool in made.plan.pools for n in pool.nodes]
    tried = try_plan(Rehearsal(OnPaper(nodes, [pod, on(WORKERS[0])])), made, NOW)
    assert tried.leaving == 1
    assert by_reason(tried.nodes).popitem()[0][0] is Hold.NOT_UNDERSTOOD
    assert not tried.is_clear
    assert "demo/odd" in dry_run_text(tried)
    assert "demo/odd" in str(render_dry_run(tried).blocks)


@pytest.mark.parametrize("pod", ["a pod", on(WORKERS[0], "odd", spec=[1]), on([WORKERS[0]], "odd")])
def test_a_pod_whose_node_cannot_be_told_is_named_beside_them(pod):
    """It may be on any of them."""
    made = record(plan=plan())
    nodes = [n for pool in made.plan.pools for n in pool.nodes]
    tried = try_plan(Rehearsal(OnPaper(nodes, [pod, on(WORKERS[0])])), made, NOW)
    name = "without a name" if isinstance(pod, str) else "demo/odd"
    assert (tried.leaving, tried.held, tried.is_clear) == (1, 0, False)
    assert f"not every pod was understood (the Pod {name})" in tell_dry_run(tried)
    assert name in dry_run_text(tried)
    assert name in str(render_dry_run(tried).blocks)
