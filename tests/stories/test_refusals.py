"""What is refused: each with one clear sentence, and with nothing changed."""

import dataclasses
import re
import secrets
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from slack_sdk import WebClient

from bot.decision_desk import approve
from bot.desk import Desk
from bot.plan_desk import ask_for_plan
from cluster.approval import Statement
from cluster.errors import Refused
from cluster.events import Event, Happened
from cluster.findings import Finding, Severity, blockers
from cluster.kube import Kube
from cluster.observe import LEASE
from cluster.operation import OperationState, RowState, schedule
from cluster.plan import PlanStatus
from cluster.queues import Wakeups
from cluster.settings import load_settings
from cluster.signing import load_signing_key, sign_as_bot
from cluster.store import Store
from cluster.store.ledger import key
from cluster.store.records import OPERATION, PLAN, ROW
from lab.configuration import CHANNEL
from lab.redis import RedisServer
from lab.rig import assemble

pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]


@pytest.fixture
def idle(office):
    """Whatever the story does, no machine is told to do anything."""
    starts = sum(1 for r in office.world.exec_log() if r.started)
    yield
    assert sum(1 for r in office.world.exec_log() if r.started) == starts


@pytest.fixture
def untouched(office, idle):
    """Nor is an operation made, or a plan approved."""

    def seen():
        approved = {r.id for r in office.store.plans() if r.status is PlanStatus.APPROVED}
        return {o.id for o in office.store.operations()}, approved

    before = seen()
    yield
    assert seen() == before


def told(record, kind=Happened.PLAN_PROPOSED, **parts):
    sentence = f"{record.id}: {kind}."
    return Event(kind, datetime.now(UTC), record.plan.cluster, sentence, plan_id=record.id, **parts)


def copy_plan(office, record, **changes):
    """The same plan once more, put into Redis as a worker does."""
    again = dataclasses.replace(record, id=f"p-{secrets.token_hex(4)}", **changes)
    office.store.propose(again, told(again))
    return again


def forge_button(office, token, channel=CHANNEL, action="plan_approve"):
    """A message of the bot with a button that carries what one likes; whoever fills its outbox can do so."""
    office.slack.unlimited()  # the bot posts there too, once a second
    client = WebClient(token=office.slack.bot_token, base_url=office.slack.api_url)
    press = {"type": "button", "text": {"type": "plain_text", "text": "Press"}, "action_id": action}
    blocks = [{"type": "actions", "elements": [{**press, "value": token}]}]
    return client.chat_postMessage(channel=channel, text="A plan", blocks=blocks)["ts"]


def approve_in_redis(office, record, signer, **changes):
    """What the bot writes at a click, with a signature by this key; `changes` in what it signs. The operation."""
    now = datetime.now(UTC)
    statement = Statement(
        plan_id=record.id,
        digest=record.digest,
        cluster=record.plan.cluster,
        decision="approve",
        person="grace",
        requester=record.requester,
        at=now,
        expires_at=record.expires_at,
        evidence="approver list",
        operation_id=f"op-{secrets.token_hex(4)}",
    )
    operation = schedule(record, operation_id=statement.operation_id, approved_by="grace", now=now)
    approval = sign_as_bot(dataclasses.replace(statement, **changes), signer)
    event = told(record, Happened.PLAN_APPROVED, operation_id=operation.id)
    office.store.approve(record, approval, operation, event, now)
    return operation.id


def blocked(office, operation_id):
    """The reason why it does not run, with the codes of its findings, once a worker has looked at it."""
    Wakeups.connect(office.rig.redis.url).wake(operation_id)
    state = OperationState.BLOCKED
    reason = office.until(lambda: (o := office.store.operation(operation_id)).state is state and o.reason)
    told = [e.facts["codes"] for _, e in office.store.events(operation_id) if e.kind is Happened.OPERATION_BLOCKED]
    return f"{told[-1]}: {reason}"


@contextmanager
def released(office):
    """Whatever holds the cluster's lock afterwards is released, as a person would."""
    yield
    holder = office.store.lock_holder("lab")
    if holder:
        operation = office.store.operation(holder)
        record = office.store.plan(operation.plan_id)
        office.store.release("lab", holder, "ada", told(record, Happened.LOCK_RELEASED, operation_id=holder))


@contextmanager
def lease_of(office, holder):
    """The Lease in the cluster names somebody else."""
    with Kube.connect("lab", load_settings(office.rig.config).clusters["lab"]) as kube:
        metadata = {"name": "lockkeeper", "namespace": "kube-system"}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        kube.post(LEASE.rpartition("/")[0], {**body, "spec": {"holderIdentity": holder}})
        try:
            yield
        finally:
            kube.delete(LEASE)


def desk_of(config, url):
    return Desk(load_settings(config), Store.connect(url), Wakeups.connect(url))


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/k8s plan banana", "`banana` is not a version"),
        ("/k8s plan v1.34.2", "downgrade"),
        ("/k8s plan v1.35.99", "not offered"),
        ("/k8s plan v1.35.4 nowhere", "no cluster `nowhere`"),
        ("/k8s versions nowhere", "no cluster `nowhere`"),
        ("/k8s verions", "`versions`"),
        ("/k8s plan", "version"),
    ],
)
def test_a_wrong_word_gets_one_sentence(office, typed, words):
    """The sentence says what was wrong with exactly this."""
    before = len(office.slack.ephemerals("U0ADA"))

    def answers():
        said = [office.slack.text(m) for m in office.slack.ephemerals("U0ADA")[before:]]
        return [text for text in said if words.lower() in text.lower()]

    office.slack.say("U0ADA", CHANNEL, typed)
    (said,) = office.until(answers)
    assert "Something went wrong" not in said


@pytest.fixture(scope="module")
def made_before():
    return []


@pytest.fixture
def proposed(office, made_before):
    """A plan that waits: the one of the tests before, or where a newer one took its place, another."""
    if not made_before or office.store.plan(made_before[-1][0].id).status is not PlanStatus.PROPOSED:
        made_before.append(office.plan())
    return made_before[-1]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("user", "words"),
    [
        pytest.param("U0ADA", "own plan", id="own-plan"),
        pytest.param("U0GUS", "guest", id="guest"),
        pytest.param("U0OLGA", "workspace", id="outsider"),
    ],
)
def test_who_may_not_approve_is_told_why(office, proposed, user, words):
    """The requester, a guest and an outsider: three reasons."""
    record, ts = proposed
    assert words in office.click(user, ts, "plan_approve").lower()
    assert office.store.plan(record.id).status is PlanStatus.PROPOSED


@pytest.mark.usefixtures("untouched")
def test_a_member_of_the_workspace_who_is_no_approver_is_told_so(office, proposed):
    """Being in the channel is not enough."""
    record, ts = proposed
    office.slack.directory.change_person("U0GUS", is_guest=False)
    try:
        said = office.click("U0GUS", ts, "plan_approve").lower()
    finally:
        office.slack.directory.change_person("U0GUS", is_guest=True)
    assert "not among the approvers" in said
    assert office.store.plan(record.id).status is PlanStatus.PROPOSED


@pytest.mark.usefixtures("untouched")
def test_a_right_that_was_lost_a_moment_ago_is_gone(office, proposed):
    """An approver who became a guest after a look at the plan is a guest at the click."""
    record, ts = proposed
    office.slack.say("U0GRACE", CHANNEL, "/k8s status")
    office.until(lambda: office.slack.ephemerals("U0GRACE"))
    office.slack.directory.change_person("U0GRACE", is_guest=True)
    try:
        assert "guest" in office.click("U0GRACE", ts, "plan_approve").lower()
    finally:
        office.slack.directory.change_person("U0GRACE", is_guest=False)
    assert office.store.plan(record.id).status is PlanStatus.PROPOSED


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("words", [pytest.param("in its own channel only", id="other-channel")])
def test_a_button_in_another_channel_decides_nothing(office, proposed, words):
    """A plan is decided where its people see it."""
    record, _ = proposed
    place = office.slack.directory.channels["C0RANDOM"]
    office.slack.directory.change_channel("C0RANDOM", members=place.members | {"U0LOCK"})
    ts = forge_button(office, record.token, "C0RANDOM")
    assert words in office.click("U0GRACE", ts, "plan_approve")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("{id}:00000000", "The digest '00000000' is not the one of {id}"),
        ("{id}:", "not one of lockkeeper's"),
        ("p-nowhere:{digest}", "no plan `p-nowhere`"),
    ],
)
def test_a_button_of_another_plan_approves_nothing(office, proposed, token, words):
    """Another digest, none at all, a plan that there is not."""
    record, _ = proposed
    names = {"id": record.id, "digest": record.digest[:8]}
    said = office.click("U0GRACE", forge_button(office, token.format(**names)), "plan_approve")
    assert words.format(**names) in said


@pytest.mark.usefixtures("untouched")
def test_a_blocked_plan_is_not_approved_by_a_button_that_was_made_up(office, proposed):
    """Its card has none; whoever presses another one reads what blocks it."""
    record, _ = proposed
    stop = Finding("node-not-ready", Severity.BLOCKER, "w1", "w1 is not Ready.", "Mend it.")
    made = copy_plan(office, record, findings=(stop,))
    said = office.click("U0GRACE", forge_button(office, made.token), "plan_approve")
    assert f"The plan {made.id} is blocked by node-not-ready." in said


def test_a_rejection_is_of_the_plan_that_was_seen(office, proposed):
    """A button with another digest rejects nothing."""
    record, _ = proposed
    ts = forge_button(office, f"{record.id}:00000000", action="plan_reject")
    office.slack.click("U0LINUS", ts, "plan_reject")
    office.until(lambda: office.slack.views("U0LINUS"))
    said = office.whispered("U0LINUS", lambda: office.slack.submit_view("U0LINUS", values={"text": "No"}))
    assert f"digest of this button is not the one of {record.id}" in said
    assert office.store.plan(record.id).status is PlanStatus.PROPOSED


def test_an_expired_plan_cannot_be_approved(office, proposed):
    """After its hour the plan is only paper, whatever a button says."""
    record, _ = proposed
    old = copy_plan(office, record, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    operations = office.store.operations()
    assert "expired" in office.click("U0GRACE", forge_button(office, old.token), "plan_approve").lower()
    assert office.store.operations() == operations


@pytest.mark.usefixtures("untouched")
def test_four_eyes_are_two_persons_also_by_two_ways(office):
    """Who asked in Slack does not approve on a terminal with their own key."""
    record, _ = office.plan(user="U0GRACE")
    desk = desk_of(office.rig.config, office.rig.redis.url)
    with pytest.raises(Refused, match="your own plan") as refused:
        approve(desk, record, office.rig.directory / "grace.key")
    assert {f.code for f in refused.value.findings} == {"own-plan"}


@pytest.mark.usefixtures("untouched")
def test_what_was_shown_on_the_terminal_is_what_is_signed(office, proposed):
    """The record may change between the look and the signature; then nothing is signed."""
    record, _ = proposed
    shown = dataclasses.replace(record, digest="0" * 64)
    with pytest.raises(Refused, match="is not the one") as refused:
        approve(desk_of(office.rig.config, office.rig.redis.url), shown, office.rig.directory / "linus.key")
    assert "other-digest" in {f.code for f in refused.value.findings}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("code", "approvals", "plan"),
    [
        ("not-an-approver", {"approvers": ("grace",)}, {}),
        ("release-notes-unread", {"confirm_release_notes": True}, {}),
        ("plan-expired", {}, {"expires_at": datetime(2026, 1, 7, tzinfo=UTC)}),
    ],
)
def test_a_terminal_says_no_for_the_same_reasons(office, proposed, code, approvals, plan):
    """Linus, by a file that says otherwise who approves and how, or for a plan that is over."""
    desk = desk_of(office.rig.config, office.rig.redis.url)
    asked = desk.settings.approvals.model_copy(update=approvals)
    desk = dataclasses.replace(desk, settings=desk.settings.model_copy(update={"approvals": asked}))
    record, _ = proposed
    made = copy_plan(office, record, **plan)
    with pytest.raises(Refused) as refused:
        approve(desk, made, office.rig.directory / "linus.key")
    assert [f.code for f in refused.value.findings] == [code]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("begun", [False, True])
def test_an_approval_forged_straight_into_redis_starts_nothing(office, proposed, begun):
    """Whoever can merely write to Redis cannot approve, also with a record that says that it runs already."""
    record, _ = proposed
    with released(office):
        operation_id = approve_in_redis(office, copy_plan(office, record), Ed25519PrivateKey.generate())
        if begun:
            rewrite(office, office.store.operation(operation_id))
        said = blocked(office, operation_id)
        assert "approval-not-genuine" in said
        assert "no valid signature" in said


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("approval-expired", {"at": datetime(2026, 1, 7, tzinfo=UTC)}),
        ("approval-of-another-plan", {"cluster": "elsewhere"}),
        ("approval-of-another-run", {"operation_id": "op-0badcafe"}),
        ("approver-not-entitled", {"person": "gus"}),
    ],
)
def test_what_the_bot_signed_for_something_else_starts_nothing(office, proposed, code, changes):
    """Copied from where it belongs, or signed by a bot that another file told who may approve."""
    record, _ = proposed
    bot_key = load_signing_key((office.rig.directory / "bot.key").read_text())
    with released(office):
        assert code in blocked(office, approve_in_redis(office, copy_plan(office, record), bot_key, **changes))


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("code", ["approval-missing", "plan-not-approved"])
def test_a_run_alone_starts_nothing(office, proposed, code):
    """Also where the bot itself made it: its approval was taken out of Redis, or its plan was put back."""
    bot_key = load_signing_key((office.rig.directory / "bot.key").read_text())
    made = copy_plan(office, proposed[0])
    with released(office):
        operation_id = approve_in_redis(office, made, bot_key)
        if code == "approval-missing":
            office.store.client.delete(key("approval", operation_id))
        else:
            office.store.client.hset(key("plan", made.id), "record", PLAN.dump_json(made).decode())
        assert code in blocked(office, operation_id)


@pytest.mark.usefixtures("idle")
def test_a_plan_of_another_cluster_is_not_carried_out_on_this_one(office, proposed):
    """As after its API address went to another cluster, which has a CA of its own."""
    record, _ = proposed
    other = dataclasses.replace(record.plan, identity=dataclasses.replace(record.plan.identity, ca_hash="0" * 64))
    bot_key = load_signing_key((office.rig.directory / "bot.key").read_text())
    with released(office), Kube.connect("lab", load_settings(office.rig.config).clusters["lab"]) as kube:
        made = copy_plan(office, record, plan=other, digest=other.digest)
        assert "other-cluster" in blocked(office, approve_in_redis(office, made, bot_key))
        kube.delete(LEASE)  # it claims a cluster before it looks at it


def rewrite(office, operation):
    """Say in Redis that the run is in the middle of its first steps."""
    place = key("operation", operation.id)
    running = dataclasses.replace(operation, state=OperationState.RUNNING, rows=(), fence=0, reason="")
    office.store.client.hset(place, "head", OPERATION.dump_json(running).decode())
    for row in operation.rows:
        begun = dataclasses.replace(row, state=RowState.STARTED)
        office.store.client.hset(place, f"row:{row.node}", ROW.dump_json(begun).decode())


@pytest.mark.usefixtures("idle")
def test_another_installation_is_seen_at_the_click_and_by_the_worker(office, proposed):
    """The Lease in the cluster tells: the click is refused, and an approval from just before it starts nothing."""
    record, ts = proposed
    bot_key = load_signing_key((office.rig.directory / "bot.key").read_text())
    with released(office), lease_of(office, "elsewhere/op-1"):
        assert "another installation, `elsewhere/op-1`" in office.click("U0GRACE", ts, "plan_approve")
        assert office.store.plan(record.id).status is PlanStatus.PROPOSED
        operation_id = approve_in_redis(office, copy_plan(office, record), bot_key)
        said = blocked(office, operation_id)
        assert "cluster-locked-elsewhere" in said
        assert "another installation, `elsewhere/op-1`" in said


@pytest.mark.usefixtures("idle")
def test_a_second_click_and_a_second_plan_change_nothing(office, proposed):
    """Approved once is approved; another plan waits until the cluster is free."""
    record, ts = proposed
    second = copy_plan(office, record)
    button = forge_button(office, record.token)
    with released(office), lease_of(office, "demo/op-99999999"):  # a mark without a record: the run stops and asks
        assert "Approved by you" in office.click("U0GRACE", ts, "plan_approve")
        operation_id = office.store.lock_holder("lab")
        assert "already approved by grace" in office.click("U0LINUS", button, "plan_approve")
        locked = office.click("U0LINUS", forge_button(office, second.token), "plan_approve")
        assert f"locked by the operation {operation_id}" in locked
        assert [o.id for o in office.store.operations() if not o.ended] == [operation_id]
        said = blocked(office, operation_id)
        assert "traces-without-record" in said
        assert "nothing is recorded" in said
        assert office.store.plan(second.id).status is PlanStatus.PROPOSED


@pytest.mark.usefixtures("untouched")
def test_unknown_machines_block_the_plan_and_nobody_can_approve_it(office, tmp_path_factory):
    """A host key that is not the pinned one and a node without a machine, both seen at the survey."""
    data = yaml.safe_load(office.rig.config.read_text())
    machines = data["clusters"]["lab"]["machines"]
    machines["w1"]["host_key"] = machines["w2"]["host_key"]
    del machines["w2"]
    folder = tmp_path_factory.mktemp("second")
    config = folder / "lockkeeper.yaml"
    config.write_text(yaml.safe_dump({**data, "installation": "elsewhere"}))
    with RedisServer.start(folder / "redis") as redis:
        worker = assemble(folder, office.world, office.slack, redis, config=config, workers=1).workers[0]
        worker.start()
        try:
            desk = desk_of(config, redis.url)
            record = desk.store.plan(ask_for_plan(desk, "v1.35.4", None, timeout=60).plan_ids[0])
        finally:
            worker.stop()
        stops = {f.subject: f.sentence for f in blockers(record.findings)}
        assert "host key" in stops["w1"]
        assert "w2" in stops
        with pytest.raises(Refused, match="is blocked by") as refused:
            approve(desk, record, office.rig.directory / "grace.key")
        assert {f.code for f in refused.value.findings} == {"plan-blocked"}
        assert desk.store.operations() == ()


def test_no_log_names_a_secret(office):
    """After all of this: no token, no signing key, no address that answers for us."""
    logs = "\n".join(p.log.read_text() for p in office.rig.parts)
    assert office.slack.bot_token not in logs
    assert office.slack.app_token not in logs
    assert "PRIVATE KEY" not in logs
    assert not re.search(r"response_url|trigger_id|/commands/|ticket=", logs)
