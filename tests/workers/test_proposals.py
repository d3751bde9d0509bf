"""A request becomes a plan, its revert, or one sentence: on the lab's cluster and machines, kept in a real Redis."""

import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from cluster.difference import Part
from cluster.errors import StoreUnavailable
from cluster.events import Event, Happened
from cluster.facts import OfferState
from cluster.findings import Severity, blockers
from cluster.observe import observe
from cluster.operation import OperationState, schedule
from cluster.plan import PlanKind, PlanStatus
from cluster.procedure import itinerary
from cluster.report import Unread
from cluster.requests import PlanRequest
from cluster.settings import Settings
from cluster.store.ledger import key
from cluster.store.records import OPERATION
from cluster.versions import Minor, PackageVersion, ReportedVersion
from lab.world import World
from policies.estimates import NO_PAST
from tests.engine_fixture import approve
from tests.redis_fixture import redis_server, redis_url, store
from workers.past import read_past
from workers.proposals import Eyes, propose
from workers.survey import run_survey

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def world():
    with World.start("small", speed=50) as running:
        yield running


@pytest.fixture(scope="module")
def edited():
    with World.start("hand-edited-apiserver", speed=50) as running:
        yield running


def settings_of(world):
    people = {"people": {"ada": {}, "grace": {}}, "approvals": {"approvers": ["grace"], "expire_after": 600}}
    return Settings.model_validate({**world.config(), **people})


def ask(world, store, target, *, request_id="r-00000001", settings=None, now=NOW, eyes=None, **changes):
    """Put a request and have it answered, as the worker's job does."""
    usual = {"kind": "plan", "cluster": "lab", "person": "ada", "channel": "C0OPS"}
    request = PlanRequest(id=request_id, target=target, at=NOW, **{**usual, **changes})
    event = Event(Happened.PLAN_REQUESTED, NOW, request.cluster, "ada asked.", person="ada")
    store.put_request(request, event)
    return propose(request, settings=settings or settings_of(world), store=store, now=now, eyes=eyes)


def test_a_plan_is_kept_with_its_digest_and_told(world, store):
    """The record is what people see and approve; the survey is kept beside it."""
    answer = ask(world, store, "v1.35")
    (plan_id,) = answer.plan_ids
    record = store.plan(plan_id)
    assert record.status is PlanStatus.PROPOSED
    assert record.digest == record.plan.digest
    assert str(record.plan.target) == "v1.35.4"
    assert (record.requester, record.channel, record.request_id) == ("ada", "C0OPS", "r-00000001")
    assert (record.expires_at - NOW).total_seconds() == 600
    assert blockers(record.findings) == ()
    assert store.answer("r-00000001") == answer
    assert [e.kind for _, e in store.events(plan_id)] == [Happened.PLAN_PROPOSED]
    survey = store.survey("lab")
    assert {m.name for m in survey.machines} == {"cp1", "w1", "w2"}


def test_a_plan_tells_where_its_images_are_and_is_blocked_by_one_that_is_nowhere(world, store):
    """Of all that kubeadm will take, before anything is pulled; what nobody could check is approved as such."""
    (made,) = ask(world, store, "v1.35.4").plan_ids
    (there,) = [f for f in store.plan(made).findings if f.code == "images-on-offer"]
    assert "kube-scheduler:v1.35.4" in there.sentence
    faults = world.machines["cp1"].faults
    faults.images_missing = {"kube-scheduler:v1.35.4"}
    try:
        (made,) = ask(world, store, "v1.35.4", request_id="r-00000002").plan_ids
    finally:
        faults.images_missing = set()
    (lacking,) = blockers(store.plan(made).findings)
    assert (lacking.code, lacking.subject) == ("image-not-offered", "registry.k8s.io/kube-scheduler:v1.35.4")
    faults.image_pull_fails = True
    try:
        (made,) = ask(world, store, "v1.35.4", request_id="r-00000003").plan_ids
    finally:
        faults.image_pull_fails = False
    record = store.plan(made)
    assert blockers(record.findings) == ()
    assert "images-not-checked" in record.plan.accepted
    assert any("Could not resolve host" in f.sentence for f in record.findings if f.code == "images-not-checked")


def test_a_second_plan_shows_what_is_another_way_and_takes_the_place_of_the_first(world, store):
    """Whoever read the older one reads what changed; only the newer one can be approved."""
    (first,) = ask(world, store, "v1.35.4").plan_ids
    (second,) = ask(world, store, "v1.35.4", request_id="r-00000002", overrides={"drain_timeout": 60}).plan_ids
    assert store.plan(first).difference is None
    assert store.plan(first).status is PlanStatus.VOID
    difference = store.plan(second).difference
    assert difference.plan_id == first
    assert [(c.part, c.subject, c.before, c.after) for c in difference.changes] == [
        (Part.OPTION, "drain timeout", "900", "60")
    ]


def test_a_new_look_at_the_cluster_voids_a_plan_that_it_moved_away_from(world, store):
    """Also where what was asked for is refused; a look that shows nothing new leaves the plan alone."""
    (made,) = ask(world, store, "v1.35.4").plan_ids
    ask(world, store, "", request_id="r-00000002", kind="survey", now=NOW + timedelta(minutes=1))
    assert store.plan(made).status is PlanStatus.PROPOSED

    def observe_moved(*args, **changes):
        report = observe(*args, **changes)
        (server,) = report.api_servers
        moved = replace(server, version=ReportedVersion.parse("v1.35.0"))
        return replace(report, api_servers=(moved,))

    eyes = Eyes(observe=observe_moved)
    moment = NOW + timedelta(minutes=2)
    ask(world, store, "v1.35.99", request_id="r-00000003", now=moment, eyes=eyes)
    voided = store.plan(made)
    assert (voided.status, voided.decided_at) == (PlanStatus.VOID, moment)
    assert voided.reason == "The API server on cp1 is v1.35.0, and was v1.34.7 when the plan was made."
    assert store.events(made)[-1][1].kind is Happened.PLAN_VOIDED
    assert store.sighting("lab").basis.api_server_of == {"cp1": "v1.35.0"}


def test_an_answer_given_twice_makes_one_plan(world, store):
    """A worker may die between its writes, and another does the request again."""
    first = ask(world, store, "v1.35.4")
    assert ask(world, store, "v1.35.4").plan_ids == first.plan_ids
    assert len(store.plans("lab")) == 1


@pytest.mark.parametrize(
    ("target", "words", "codes"),
    [
        ("v1.33.1", "downgrade", ["downgrade"]),
        ("v1.34.2", "downgrade", ["downgrade"]),
        ("v1.34.7", "Nothing to do", []),
        ("v1.35.99", "not offered", ["package-not-offered"]),
        ("banana", "is not a version", []),
    ],
)
def test_a_target_that_cannot_be_is_refused_in_one_sentence(world, store, target, words, codes):
    """Nothing is planned, and the refusal is told."""
    answer = ask(world, store, target)
    assert words in answer.refusal
    assert [f.code for f in answer.findings] == codes
    assert answer.plan_ids == ()
    assert store.plans("lab") == ()
    assert store.feed()[-1][1].kind is Happened.REQUEST_REFUSED


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster": "nowhere"}, "no cluster `nowhere`"),
        ({"overrides": {"speed": 9}}, "no option speed"),
        ({"overrides": {"drain_timeout": "soon"}}, "drain_timeout cannot be `soon`"),
        ({"kind": "revert"}, "Nothing to revert"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_one_sentence(world, store, changes, words):
    """The same way."""
    assert words in ask(world, store, "v1.35.4", **changes).refusal


def test_options_of_the_request_override_the_clusters(world, store):
    """They are part of the intent."""
    (plan_id,) = ask(world, store, "v1.35.4", overrides={"drain_timeout": 60, "delete_emptydir": True}).plan_ids
    options = store.plan(plan_id).plan.options
    assert (options.drain_timeout, options.delete_emptydir, options.delete_unmanaged) == (60, True, False)
    assert store.plan(plan_id).asked == ("delete-emptydir",)  # what has a word of its own


def test_an_unknown_host_key_blocks_the_plan_in_the_machines_own_words(world, store):
    """It is found at the survey, before anything is done."""
    settings = settings_of(world)
    config = settings.model_dump(mode="json", exclude_none=True)
    config["clusters"]["lab"]["machines"]["w1"]["host_key"] = "SHA256:" + "x" * 43
    answer = ask(world, store, "v1.35.4", settings=Settings.model_validate(config))
    (stop,) = blockers(answer.findings)
    assert (stop.code, stop.subject) == ("machine-unreadable", "w1")
    assert "host key" in stop.sentence


def test_a_machine_that_refuses_ssh_blocks_what_depends_on_it_alone(world, store):
    """Everything else is read and judged; without that worker there is a plan."""
    config = settings_of(world).model_dump(mode="json", exclude_none=True)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        config["clusters"]["lab"]["machines"]["w1"]["port"] = closed.getsockname()[1]
    settings = Settings.model_validate(config)
    answer = ask(world, store, "v1.35.4", settings=settings)
    (stop,) = blockers(answer.findings)
    assert (stop.code, stop.subject) == ("machine-unreadable", "w1")
    read = {m.name: not isinstance(m.facts, Unread) for m in store.survey("lab").machines}
    assert read == {"cp1": True, "w1": False, "w2": True}
    others = ask(world, store, "v1.35.4", request_id="r-00000002", settings=settings, without=("blocked",))
    assert blockers(others.findings) == ()
    assert [n.name for n in store.plan(others.plan_ids[0]).plan.left_out] == ["w1"]


def test_a_node_without_a_machine_blocks_the_plan(world, store):
    """The inventory is what can be worked on."""
    config = settings_of(world).model_dump(mode="json", exclude_none=True)
    del config["clusters"]["lab"]["machines"]["w2"]
    answer = ask(world, store, "v1.35.4", settings=Settings.model_validate(config))
    assert [(f.code, f.subject) for f in blockers(answer.findings)] == [("machine-missing", "w2")]


def test_a_cluster_that_cannot_be_read_is_refused(world, store, tmp_path):
    """One sentence with the reason, and the request is answered."""
    config = settings_of(world).model_dump(mode="json", exclude_none=True)
    config["clusters"]["lab"]["kubeconfig"] = str(tmp_path / "none")
    answer = ask(world, store, "v1.35.4", settings=Settings.model_validate(config))
    assert "cannot be used" in answer.refusal
    assert store.open_requests() == ()


def test_machines_are_surveyed_also_where_their_cluster_cannot_be_read(world, store, tmp_path):
    """Over SSH they tell what they tell; what their sources were asked for last is asked for again."""
    ask(world, store, "", kind="survey")
    before = store.survey("lab")
    config = settings_of(world).model_dump(mode="json", exclude_none=True)
    config["clusters"]["lab"]["kubeconfig"] = str(tmp_path / "none")
    settings = Settings.model_validate(config)
    answer = ask(
        world, store, "", request_id="r-00000002", kind="survey", settings=settings, now=NOW + timedelta(hours=1)
    )
    assert [(f.code, f.severity) for f in answer.findings] == [("nodes-unread", Severity.BLOCKER)]
    assert "cannot be used" in answer.findings[0].sentence
    survey = store.survey("lab")
    assert (survey.read_at, survey.apis) == (NOW + timedelta(hours=1), before.apis)
    assert survey.machine("w1").offers == before.machine("w1").offers
    assert not any(isinstance(m.facts, Unread) for m in survey.machines)


def test_a_hand_edited_control_plane_gets_its_revert_beside_the_blocked_plan(edited, store):
    """The upgrade may not be approved; the revert may."""
    answer = ask(edited, store, "v1.35.4")
    upgrade, revert = (store.plan(i) for i in answer.plan_ids)
    assert [f.code for f in blockers(upgrade.findings)] == ["hand-edited-apiserver"]
    assert revert.plan.kind is PlanKind.REVERT
    assert str(revert.plan.target) == "v1.34.7"
    assert blockers(revert.findings) == ()
    assert {f.code for f in answer.findings if f.severity is Severity.BLOCKER} == {"hand-edited-apiserver"}


def test_a_revert_can_be_asked_for_by_itself(edited, store):
    """Without a target."""
    (plan_id,) = ask(edited, store, "", kind="revert").plan_ids
    assert store.plan(plan_id).plan.kind is PlanKind.REVERT


def test_a_survey_is_kept_and_told_without_a_plan(world, store):
    """What the next minors offer, too."""
    answer = ask(world, store, "", kind="survey")
    assert (answer.plan_ids, answer.refusal) == ((), "")
    offers = store.survey("lab").machine("w1").offers
    assert [str(o.minor) for o in offers] == ["v1.34", "v1.35", "v1.36"]
    assert store.feed()[-1][1].kind is Happened.SURVEY_FINISHED


def test_without_redis_a_request_stays_open(world):
    """A refusal would be an answer; there is nobody to keep it."""

    class Away:
        def save_survey(self, _):
            raise StoreUnavailable("Redis is away.")

    request = PlanRequest("r-1", "plan", "lab", "v1.35.4", "ada", "", NOW)
    with pytest.raises(StoreUnavailable):
        propose(request, settings=settings_of(world), store=Away(), now=NOW)


def test_a_survey_asks_every_machine_and_keeps_each_failure_apart(world):
    """One that swallows every packet does not cost the others their answer."""
    settings = settings_of(world).clusters["lab"]
    config = settings.model_dump(mode="json", exclude_none=True)
    config["machines"]["w1"]["port"] = 1
    survey = run_survey("lab", settings.model_validate(config), (Minor(1, 35), Minor(1, 60)), NOW)
    assert isinstance(survey.machine("w1").facts, Unread)
    assert "w1" in survey.machine("w1").facts.reason
    facts = survey.facts("cp1")
    assert facts.control_plane
    assert str(facts.kubeadm) == "v1.34.7"
    assert [o.state for o in survey.machine("w2").offers] == [OfferState.OFFERED, OfferState.ABSENT]
    assert survey.age(NOW).total_seconds() == 0


def test_an_estimate_rests_on_what_earlier_runs_of_the_cluster_took(world, store):
    """Those that have ended, and no other cluster's; the record says so."""
    (first,) = ask(world, store, "v1.35.4").plan_ids
    record = store.plan(first)
    assert record.estimate_grounds == "from documented figures"
    for number in range(5):
        run = replace(schedule(record, operation_id=f"op-0000000{number}", approved_by="grace", now=NOW), rows=())
        keep_ended(store, run, lambda step, n=number: NOW + timedelta(hours=n, seconds=10 * step))
    (second,) = ask(world, store, "v1.35.4", request_id="r-00000002").plan_ids
    assert store.plan(second).estimate_grounds.startswith(
        "from 10 earlier workers, 5 earlier kubelets of control planes"
    )
    assert store.plan(second).estimate[1] < record.estimate[1]
    assert [c.subject for c in store.plan(second).difference.changes if c.part is Part.ESTIMATE]
    assert read_past(store, "another") == NO_PAST


def test_a_rollback_goes_by_the_runs_on_record_and_waits_for_the_one_in_hand(world, store):
    """The machine's source is asked for what the run found there; a control plane is refused without asking anybody."""
    assert "restore-runbook" in ask(world, store, "", kind="rollback", workers=("cp1",)).refusal
    never = ask(world, store, "", request_id="r-00000002", kind="rollback", workers=("w1",))
    assert "is not known" in never.refusal
    (made,) = ask(world, store, "v1.35.4", request_id="r-00000003").plan_ids
    record = store.plan(made)
    installed = PackageVersion.parse("1.34.7-1.1")
    hop = replace(record.plan.hops[0], target=installed.version, kubelet=installed)
    plan = replace(record.plan, hops=(hop,))
    basis = replace(record.basis, kubelets=tuple((name, "v1.34.6") for name, _ in record.basis.kubelets))
    approve(store, replace(record, id="p-earlier", plan=plan, digest=plan.digest, basis=basis), "op-earlier")
    held = ask(world, store, "", request_id="r-00000004", kind="rollback", workers=("w1",))
    assert "op-earlier is in hand on `lab`" in held.refusal
    told = Event(Happened.LOCK_RELEASED, NOW, "lab", "Released.", operation_id="op-earlier")
    store.release("lab", "op-earlier", "ada", told)
    (back,) = ask(world, store, "", request_id="r-00000005", kind="rollback", workers=("w1",)).plan_ids
    drafted = store.plan(back)
    assert (drafted.plan.kind, str(drafted.plan.hops[0].kubelet)) == (PlanKind.ROLLBACK, "1.34.6-1.1")
    assert blockers(drafted.findings) == ()
    assert [n.name for n in drafted.plan.nodes] == ["w1"]


def keep_ended(store, run, moment):
    """A run on record that has ended, with the events of its steps, each at the `moment` of its number."""
    plan = store.plan(run.plan_id).plan
    ended = replace(run, state=OperationState.COMPLETED)
    place = key("operation", run.id)
    store.ask(lambda r: r.hset(place, mapping={"head": OPERATION.dump_json(ended).decode(), "nodes": "[]"}))
    store.ask(lambda r: r.zadd(key("operations", "of", "lab"), {run.id: moment(0).timestamp()}))
    told = count()
    for node in plan.nodes:
        for step in itinerary(plan, node):
            name = f"{step.hop}/{step.phase}/{step.verb}"
            for kind in (Happened.STEP_STARTED, Happened.STEP_FINISHED):
                number = next(told)
                event = Event(kind, moment(number), "lab", "x", run.plan_id, run.id, node.name, name)
                store.append(event, f"{run.id}/{number}")
