"""What waits for a person is posted once, with the choices that apply, and said again while it waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.blocks import BUDGET, text_size
from bot.outbox import Sender
from bot.run_card import CANCEL, EXTEND, PAUSE, RESUME, RETRY, SKIP
from bot.stop_card import render_over, render_reminder, render_stop
from bot.stops import MOST, Stops
from cluster.approval import Approval, SignedWith, Statement
from cluster.errors import InvalidConfig
from cluster.events import Event, Happened
from cluster.inventory import OnCall
from cluster.operation import Hold, NodeRow, OperationState, RowState, Wish, schedule
from cluster.outbox import OutboxItem, OutboxKind
from cluster.procedure import Verb, itinerary
from cluster.store.ledger import key
from lab.slack.lint import lint_blocks
from policies.stops import stops_of, tell_held, tell_stuck
from tests.bot_fixture import CHANNEL, NASTY, NOW, WORKERS, finding, operation, record, settings
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]

ON_CALL = {"mention": "S0ONCALL", "remind_every": "30m"}
SLACK = {
    "bot_token": {"env": "LOCKKEEPER_TEST_BOT_TOKEN"},
    "app_token": {"env": "LOCKKEEPER_TEST_APP_TOKEN"},
    "team_id": "T0HOME",
}
HALF_AN_HOUR = timedelta(minutes=30)
DRAIN = next(n for n, s in enumerate(itinerary(record().plan, record().plan.node("w-1"))) if s.verb is Verb.DRAIN)
DRAIN_OF_A_MASTER = next(
    n for n, s in enumerate(itinerary(record().plan, record().plan.node("cp-1"))) if s.verb is Verb.DRAIN
)
HOLD = Hold("shop/web-1", "uid-1", "the PodDisruptionBudget shop/web", "it needs 2 healthy pods and has 2", NOW)


def with_slack(**slack):
    return settings(slack={**SLACK, **slack})


def held_row(name="w-1", **changes):
    """A worker whose drain waits for a budget."""
    row = NodeRow(name, DRAIN, state=RowState.STARTED, started_at=NOW, cordoned_by_us=True)
    return replace(row, held=(HOLD,), stopped_at=NOW, **changes)


def blocked_row(name="w-1", at=NOW):
    row = NodeRow(name, DRAIN - 1, state=RowState.BLOCKED, finding=finding(), note="It cannot be drained.")
    return replace(row, stopped_at=at)


def with_rows(made, *rows):
    chosen = {r.node: r for r in rows}
    return replace(made, rows=tuple(chosen.get(r.node, r) for r in made.rows))


class Delivery:
    """Takes every post and edit, and remembers them."""

    def __init__(self):
        self.posts, self.edits = [], {}

    def post(self, _, message, thread=""):
        self.posts.append((message, thread))
        return f"{len(self.posts)}.0"

    def edit(self, _, ts, message):
        self.edits[ts] = message


class Bench:
    """A run in Redis, and bots that were just started, each with its own idea of the configuration."""

    def __init__(self, store):
        self.store, self.delivery, self.settings = store, Delivery(), with_slack(on_call=ON_CALL)
        made = record()
        store.propose(made, Event(Happened.PLAN_PROPOSED, NOW, "prod", "A plan.", plan_id=made.id))
        self.run = schedule(made, operation_id="op-1a2b3c4d", approved_by="grace", now=NOW)
        words = (made.id, made.digest, "prod", "approve", "grace", "ada", NOW, made.expires_at, "SSH key", self.run.id)
        approval = Approval(Statement(*words), SignedWith.SSH, "signature")
        store.approve(made, approval, self.run, self.event(Happened.PLAN_APPROVED), NOW)
        card = OutboxItem("post:run", OutboxKind.POST, CHANNEL, f"run:{self.run.id}")
        store.outbox_ingest("0", "1-0", (card,))
        store.outbox_sent("post:run", "the-run", CHANNEL)
        self.move(state=OperationState.RUNNING)

    def event(self, kind):
        return Event(kind, NOW, "prod", "x", plan_id="p-1a2b3c4d", operation_id=self.run.id)

    def move(self, *rows, **changes):
        before = self.store.operation(self.run.id)
        after = with_rows(replace(before, **changes), *rows)
        token = f"test/{len(self.store.events(self.run.id))}"
        self.store.move(before, after, fence=None, events=(self.event(Happened.STEP_WAITED),), token=token)

    def look(self, minutes, bots=2):
        """New bots look and send; what was posted by then."""
        now = NOW + timedelta(minutes=minutes)
        for _ in range(bots):
            Stops(self.settings, self.store).step(now)
        for second in range(4):  # a channel takes a post a second
            Sender(self.settings, self.store, self.delivery, lambda _: None).send_due(now + timedelta(seconds=second))
        return [message.text for message, _ in self.delivery.posts]


@pytest.fixture
def bench(store):
    return Bench(store)


def buttons(message):
    return {
        b["action_id"]: b["value"] for block in message.blocks if block["type"] == "actions" for b in block["elements"]
    }


def mentions(message):
    """Every mention of a message, wherever it stands."""

    def walk(value):
        if isinstance(value, dict):
            if value.get("type") in {"user", "usergroup", "broadcast"}:
                yield value.get("user_id") or value.get("usergroup_id") or "broadcast"
            value = list(value.values())
        if isinstance(value, list | tuple):
            for part in value:
                yield from walk(part)

    return list(walk(list(message.blocks)))


def test_a_held_drain_is_a_post_in_the_thread_that_mentions_and_offers(bench):
    """Who, by what, since when, what then: an edit alone would notify nobody."""
    bench.move(held_row())
    assert len(bench.look(1)) == 1
    message, thread = bench.delivery.posts[0]
    assert thread == "the-run"
    assert mentions(message) == ["S0ONCALL"]
    assert "14:15 UTC" in message.text
    assert "uncordoned, as its kubelet is untouched" in message.text
    assert "shop/web" in str(message.blocks)
    assert "`force-delete shop/web-1`, which a second person allows" in message.text
    assert "`skip w-1` gives the drain up at once" in message.text
    assert set(buttons(message)) == {EXTEND, SKIP, PAUSE, CANCEL}


def test_it_is_said_again_once_in_each_interval_whoever_sends(bench):
    """Two bots that were both just started say it once."""
    bench.move(held_row())
    posted = [len(bench.look(minutes)) for minutes in (0, 10, 29, 30, 31, 59, 60, 61)]
    assert posted == [1, 1, 1, 2, 2, 2, 3, 3]
    assert [mentions(m) for m, _ in bench.delivery.posts] == [["S0ONCALL"]] * 3


def test_it_is_not_said_again_when_it_goes_on_and_its_buttons_go(bench):
    """The message stays in the thread and says what became of it."""
    bench.move(held_row())
    bench.look(0)
    bench.move(NodeRow("w-1", DRAIN + 1))
    assert len(bench.look(31)) == 1
    (edited,) = bench.delivery.edits.values()
    assert "does not wait here any more" in edited.text
    assert not buttons(edited)
    assert bench.store.stops_told() == {}


def test_a_drain_that_was_given_up_is_a_new_post(bench):
    """Held up and blocked are two stops: the second one wants another choice."""
    bench.move(held_row())
    bench.look(0)
    bench.move(blocked_row(at=NOW + timedelta(minutes=15)))
    assert len(bench.look(16)) == 2
    assert buttons(bench.delivery.posts[1][0]) == {
        RETRY: "op-1a2b3c4d w-1",
        SKIP: "op-1a2b3c4d w-1",
        PAUSE: "op-1a2b3c4d",
        CANCEL: "op-1a2b3c4d",
    }


def test_more_time_for_a_drain_is_shown_where_it_is_held_up(bench):
    """The same message: whoever reads it later reads the new end."""
    bench.move(held_row())
    bench.look(0)
    bench.move(held_row(extension=900))
    assert len(bench.look(1)) == 1
    (edited,) = bench.delivery.edits.values()
    assert "14:30 UTC" in edited.text


def test_a_drain_that_a_person_skips_says_so_and_offers_neither_time_nor_a_second_skip(bench):
    """The same message, until the drain has seen it."""
    bench.move(held_row())
    bench.look(0)
    bench.move(held_row(skip_asked_by="grace"))
    assert len(bench.look(1)) == 1
    (edited,) = bench.delivery.edits.values()
    assert "is given up, as grace asked to go on without it: the node is uncordoned" in edited.text
    assert set(buttons(edited)) == {PAUSE, CANCEL}
    assert "given up, as grace asked" in " ".join(tell_held(record().plan, bench.store.operation(bench.run.id)))


def test_a_drain_of_a_control_plane_that_is_held_up_cannot_be_skipped(bench):
    """It is not offered either."""
    row = replace(held_row("cp-1"), position=DRAIN_OF_A_MASTER)
    bench.move(row)
    bench.look(0)
    (message, _), *_ = bench.delivery.posts
    assert set(buttons(message)) == {EXTEND, PAUSE, CANCEL}
    assert "`skip" not in message.text


def test_a_command_that_hangs_is_a_post_that_mentions_says_what_ends_it_and_is_said_again(bench):
    """Nobody but a person can tell whether it hangs: it is not killed, and neither tried anew nor skipped beside it."""
    steps = itinerary(record().plan, record().plan.node("w-1"))
    at = next(n for n, s in enumerate(steps) if s.verb is Verb.UPGRADE_NODE)
    stuck = "Its command `lockkeeper-op-1-n3-s5-a1` has not ended for more than 3600 s; it is not killed."
    bench.move(NodeRow("w-1", at, state=RowState.STARTED, started_at=NOW, stopped_at=NOW, stuck=stuck))
    assert len(bench.look(1)) == 1
    message, thread = bench.delivery.posts[0]
    assert (thread, mentions(message)) == ("the-run", ["S0ONCALL"])
    assert "is stuck while running kubeadm upgrade node" in message.text
    assert "lockkeeper-op-1-n3-s5-a1" in message.text
    assert "look at the machine" in message.text
    assert set(buttons(message)) == {PAUSE, CANCEL}
    assert list(tell_stuck(bench.store.operation(bench.run.id))) == [
        f"w-1 is stuck since 2026-10-14 14:00 UTC. {stuck} Look at the machine."
    ]
    assert len(bench.look(31)) == 2
    (reminder, _) = bench.delivery.posts[1]
    assert mentions(reminder) == ["S0ONCALL"]
    assert "its command has not ended" in reminder.text
    bench.move(NodeRow("w-1", at + 1))
    assert len(bench.look(62)) == 2
    assert "does not wait here any more" in str(bench.delivery.edits)


def test_a_record_that_cannot_be_read_silences_no_other_run(bench):
    """It may be of another release, or forged: the look would fail each second, and nothing be sent ever again."""
    bench.move(held_row())
    place = {"head": "{}", "nodes": "[]", "fence": "0"}
    bench.store.client.hset(key("operation", "op-0"), mapping=place)
    bench.store.client.sadd(key("active"), "op-0", "op-gone")
    bench.store.tell_stop("op-0/w-1", before=None, after=NOW, items=())
    assert len(bench.look(1)) == 1
    assert "op-0/w-1" in bench.store.stops_told()


def test_the_end_of_a_run_ends_its_stops(bench):
    """Nothing is repeated for what is over."""
    bench.move(blocked_row())
    bench.look(0)
    bench.move(state=OperationState.CANCELLING, wish=Wish.CANCEL)
    bench.move(NodeRow("w-1", state=RowState.SKIPPED), state=OperationState.CANCELLED, ended_at=NOW)
    assert len(bench.look(45)) == 1
    assert bench.store.stops_told() == {}


def test_many_stops_are_a_few_posts_and_one_reminder(bench):
    """A mirror that is away blocks all machines at once, and mentions nobody a hundred times."""
    names = ("cp-1", "cp-2", "cp-3", *WORKERS)
    bench.move(*(blocked_row(n) for n in names))
    for minutes in range(3):
        bench.look(minutes)
    assert len(bench.delivery.posts) == MOST
    bench.look(31)
    reminder = bench.delivery.posts[-1][0]
    assert len(bench.delivery.posts) == MOST + 1
    assert "and 2 more, on the card of the run" in str(reminder.blocks)


def test_a_run_that_stands_still_as_a_whole_can_be_resumed(bench):
    """The gate said no: no node is blocked, and still somebody has to choose."""
    bench.move(state=OperationState.BLOCKED, reason="cp-2 is not ready.", stopped_at=NOW)
    bench.look(0)
    assert set(buttons(bench.delivery.posts[0][0])) == {RESUME, CANCEL}


def test_without_an_on_call_nobody_is_mentioned_or_reminded(bench):
    """The post is there all the same."""
    bench.settings = with_slack()
    bench.move(held_row())
    assert [len(bench.look(minutes)) for minutes in (0, 40, 90)] == [1, 1, 1]
    assert mentions(bench.delivery.posts[0][0]) == []


def test_a_reminder_that_slack_did_not_take_is_overtaken_by_the_next(bench):
    """After an outage of a day there is one of them."""
    bench.move(held_row())
    bench.look(0)
    for minutes in range(30, 200, 31):
        Stops(bench.settings, bench.store).step(NOW + timedelta(minutes=minutes))
    assert len(bench.look(201)) == 2


def test_a_cluster_may_have_an_on_call_of_its_own():
    """The one of the whole workspace is for the others; nobody is called for one that is not configured any more."""
    made = with_slack(on_call=ON_CALL)
    assert made.on_call("gone") is None
    assert made.on_call("prod") == OnCall(mention="S0ONCALL", remind_every=1800)
    own = made.clusters["prod"].model_copy(update={"on_call": OnCall(mention="U0GRACE")})
    assert made.model_copy(update={"clusters": {"prod": own}}).on_call("prod").mention == "U0GRACE"


@pytest.mark.parametrize(
    ("on_call", "words"),
    [
        ({"mention": "grace"}, "slack.on_call.mention: must be a person's id"),
        ({"mention": "here"}, "slack.on_call.mention: must be a person's id"),
        ({"mention": "U0GRACE", "remind_every": 5}, "slack.on_call.remind_every"),
        ({"mention": "U0GRACE", "remind_every": "often"}, "slack.on_call.remind_every"),
        ({}, "slack.on_call.mention: is missing"),
    ],
)
def test_an_on_call_that_could_not_be_mentioned_is_refused_at_start(on_call, words):
    """Not found out in the night."""
    with pytest.raises(InvalidConfig, match=words):
        with_slack(on_call=on_call)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": OperationState.PARKED, "reason": "paused by ada", "wished_by": "ada"}, 0),
        ({"state": OperationState.PARKED, "reason": "No window is open.", "goes_on_at": NOW}, 0),
        ({"state": OperationState.PARKED, "reason": "Somebody changed it."}, 1),
        ({"state": OperationState.BLOCKED}, 1),
        ({"state": OperationState.RUNNING}, 0),
        ({"state": OperationState.COMPLETED}, 0),
    ],
)
def test_only_what_nobody_chose_and_no_clock_ends_is_a_stop(changes, expected):
    """Whoever paused a run knows that it stands still."""
    assert len(stops_of(operation(stopped_at=NOW, **changes))) == expected


@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_that_a_cluster_names_becomes_a_mention_or_breaks_a_message(nasty):
    """Pods are named by whoever may make them."""
    holds = tuple(replace(HOLD, pod=nasty, by=nasty, why=nasty, uid=str(n)) for n in range(10))
    row = replace(held_row(), held=holds, note=nasty)
    stuck = replace(blocked_row("w-2"), finding=replace(finding(), sentence=nasty, remedy=nasty), note=nasty)
    run = with_rows(operation(reason=nasty), row, stuck)
    on_call, stops = OnCall(mention="S0ONCALL"), stops_of(run)
    made = [render_stop(record(), run, s, on_call) for s in stops]
    made += [render_reminder(record(), run, stops, on_call), render_over(record(), run, stops[0].key)]
    for message in made:
        assert not lint_blocks(list(message.blocks), "message")
        assert text_size(message.blocks) <= BUDGET
        assert set(mentions(message)) <= {"S0ONCALL"}
        assert "<!" not in message.text
