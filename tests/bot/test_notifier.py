"""A run is told in one message and its thread, whatever happens to Slack, to Redis or to the bot."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from bot.notifier import Notifier, items_for
from bot.outbox import in_groups
from bot.run_card import EXTEND, PAUSE, RETRY
from bot.run_thread import render_line
from bot.terminal import render_events
from cluster.approval import Approval, SignedWith, Statement
from cluster.events import Event, Happened
from cluster.operation import Hold, Operation, OperationState, RowState, Wish, schedule
from cluster.outbox import OutboxKind
from cluster.plan import PlanRecord
from cluster.procedure import Verb, itinerary
from cluster.requests import PlanRequest
from tests.bot_desk import ADA, GRACE, GUS, Desk, desk, quiet_desk
from tests.bot_fixture import CHANNEL, NOW, finding
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["desk", "quiet_desk", "redis_server", "redis_url", "store"]


class Run:
    """An approved plan whose driver is the test."""

    def __init__(self, place: Desk) -> None:
        self.desk = place
        self.record: PlanRecord = place.propose()
        now = place.now()
        self.operation: Operation = schedule(self.record, operation_id="op-1a2b3c4d", approved_by="grace", now=now)
        made, run = self.record, self.operation.id
        words = (made.id, made.digest, "prod", "approve", "grace", "ada", now, made.expires_at, "SSH key", run)
        approval = Approval(Statement(*words), SignedWith.SSH, "signature")
        place.store.approve(made, approval, self.operation, self.event(Happened.PLAN_APPROVED, "Approved."), now)
        self.fence = place.store.take_lease(run, "test", 60_000)
        self.told = 0

    def event(self, kind: Happened, sentence: str, **more: str) -> Event:
        run = self.operation.id
        return Event(kind, self.desk.now(), "prod", sentence, self.record.id, run, **more)  # type: ignore[arg-type]

    def tell(self, kind: Happened, sentence: str, **more: str) -> None:
        self.told += 1
        self.desk.store.append(self.event(kind, sentence, **more), f"test/{self.told}")

    def move(self, kind: Happened, sentence: str, **changes: object) -> None:
        before = self.desk.store.operation(self.operation.id)
        after = replace(before, **changes)  # type: ignore[arg-type]
        self.told += 1
        events = (self.event(kind, sentence),)
        self.desk.store.move(before, after, fence=self.fence, events=events, token=f"test/{self.told}")

    def card(self) -> str:
        """The text of the run's own message."""
        ts = self.desk.store.message(f"run:{self.operation.id}")
        found = [m for m in self.desk.slack.messages(CHANNEL) if ts and m["ts"] == ts.ts]
        return self.desk.slack.text(found[0]) if found else ""

    def thread(self) -> str:
        posted = self.desk.store.message(f"run:{self.operation.id}")
        lines = self.desk.slack.thread(CHANNEL, posted.ts) if posted else []
        return "\n".join(self.desk.slack.text(m) for m in lines)

    def shows(self, words: str) -> None:
        self.desk.slack.wait_for(lambda _: words.lower() in self.card().lower())

    def tells(self, words: str) -> None:
        self.desk.slack.wait_for(lambda _: words.lower() in self.thread().lower())


def event(kind: Happened, **more: str) -> Event:
    return Event(kind, NOW, "prod", "x", "p-1", "op-1", **more)  # type: ignore[arg-type]


def test_an_approval_edits_the_plan_and_posts_the_run():
    """A new message notifies, an edit does not; the plan's card stays the record of the decision."""
    items = items_for("1-0", event(Happened.PLAN_APPROVED), CHANNEL)
    assert [(i.kind, i.card_key, i.thread_of) for i in items] == [
        (OutboxKind.EDIT, "plan:p-1", ""),
        (OutboxKind.POST, "", "plan:p-1"),
        (OutboxKind.POST, "run:op-1", ""),
    ]


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (Happened.STEP_STARTED, ["edit:run:op-1"]),
        (Happened.STEP_WAITED, ["edit:run:op-1", "line:1-0"]),
        (Happened.OPERATION_BLOCKED, ["edit:run:op-1", "line:1-0", "result:1-0"]),
        (Happened.OPERATION_COMPLETED, ["edit:run:op-1", "line:1-0", "result:1-0"]),
        (Happened.OPERATION_PARKED, ["edit:run:op-1", "line:1-0", "result:1-0"]),
    ],
)
def test_every_event_moves_the_card_and_some_are_told(kind, sent):
    """What stops a run, and its end, come as messages of their own."""
    assert [i.id for i in items_for("1-0", event(kind), CHANNEL)] == sent


def test_what_another_release_told_is_told_in_its_own_words():
    """After a way back to an older release nothing of a run or a plan is silent, though this one has no sign for it."""
    praised = replace(event(Happened("node-praised")), sentence="w-1 was praised.")
    assert [i.id for i in items_for("1-0", praised, CHANNEL)] == ["edit:run:op-1", "line:1-0"]
    assert [i.thread_of for i in items_for("1-0", replace(praised, operation_id=""), CHANNEL)] == ["plan:p-1"]
    assert "w-1 was praised." in render_line(praised, None).text
    assert "w-1 was praised." in render_events([praised])


def test_what_we_stumble_over_silences_nothing_else(store):
    """One event, or a look at what stands still: the events after it are told, and what waits is sent."""
    sent = []

    def channel_of(cluster):
        if cluster == "odd":
            raise LookupError(cluster)
        return CHANNEL

    def stumble(_):
        raise LookupError

    sender = SimpleNamespace(send_due=lambda *_: sent.append(len(store.outbox_pending())))
    stops = SimpleNamespace(step=stumble)
    notifier = Notifier(store, sender, "bot", channel_of, lambda: NOW, stops=stops)
    for cluster in ("odd", "prod"):
        store.append(replace(event(Happened.STEP_WAITED), cluster=cluster), cluster)
    with pytest.raises(LookupError):
        notifier.turn()
    assert sent == [2]
    assert store.outbox_cursor() == store.feed_end()


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_worker_whose_clock_is_wrong_by_hours_loses_no_line(store, hours):
    """What it tells counts from when Redis took it, by the bot's own clock."""
    sender = SimpleNamespace(send_due=lambda *_: None)
    notifier = Notifier(store, sender, "bot", lambda _: CHANNEL, lambda: NOW)
    store.append(replace(event(Happened.STEP_WAITED), at=NOW + timedelta(hours=hours)), "told")
    notifier.turn()
    assert {i.kind for i in store.outbox_pending()} == {OutboxKind.EDIT, OutboxKind.POST}
    for item in store.outbox_pending():
        assert item.not_before <= NOW < NOW + timedelta(minutes=1) < item.expires_at


def test_what_a_step_waits_for_is_stale_before_a_result_is():
    """After an outage nobody is flooded with waits that are over."""
    waits = items_for("1-0", event(Happened.STEP_WAITED), CHANNEL)[1]
    result = items_for("2-0", event(Happened.OPERATION_COMPLETED), CHANNEL)[2]
    assert waits.expires_at < NOW + timedelta(minutes=5) < NOW + timedelta(hours=12) < result.expires_at


def test_lines_of_one_thread_go_together_and_cards_go_first():
    """Slack takes one message a second and channel."""
    pending = [i for n in range(5) for i in items_for(f"{n}-0", event(Happened.STEP_WAITED), CHANNEL)]
    pending += items_for("9-0", event(Happened.PLAN_PROPOSED), CHANNEL)
    groups = in_groups(pending)
    assert [len(g) for g in groups if g[0].thread_of] == [5]
    assert groups[0][0].card_key == "plan:p-1"
    assert groups[-1][0].kind is OutboxKind.EDIT


def test_a_run_is_one_message_that_is_edited_and_its_thread(desk):
    """Steps in the card, nodes in the thread, the end in the channel."""
    run = Run(desk)
    run.shows("0 of 7 machines")
    run.move(Happened.OPERATION_STARTED, "The upgrade starts.", state=OperationState.RUNNING)
    run.shows("Running")
    row = desk.store.operation(run.operation.id).row("w-1")
    steps = itinerary(run.record.plan, run.record.plan.node("w-1"))
    at = next(n for n, s in enumerate(steps) if s.verb is Verb.DRAIN)
    rows = tuple(
        replace(row, position=at, state=RowState.STARTED, note="waits for web-1") if r.node == "w-1" else r
        for r in desk.store.operation(run.operation.id).rows
    )
    run.move(Happened.STEP_STARTED, "Draining.", rows=rows)
    run.shows("w-1 draining: waits for web-1")
    run.tell(Happened.STEP_WAITED, "The budget `shop/web` allows no eviction of `shop/web-1`.", node="w-1")
    run.tells("The budget shop/web allows no eviction")
    run.tell(Happened.STEP_FINISHED, "Uncordoned.", node="w-1", step="0/workers/uncordon")
    run.tells("runs kubelet v1.35.4 and takes pods again")
    done = tuple(replace(r, state=RowState.FINISHED) for r in rows)
    run.move(
        Happened.OPERATION_COMPLETED,
        "Every machine runs v1.35.4.",
        state=OperationState.COMPLETED,
        rows=done,
        ended_at=desk.now(),
    )
    run.shows("7 of 7 machines")
    last = desk.slack.wait_for(
        lambda it: [t for m in it.messages(CHANNEL) if "completed:" in (t := it.text(m)).lower()]
    )
    assert "v1.34.7" in last[-1]
    assert "v1.35.4" in last[-1]
    plan, card, result = (m for m in desk.slack.messages(CHANNEL) if m.get("thread_ts", m["ts"]) == m["ts"])
    assert plan["ts"] < card["ts"] < result["ts"]


def test_a_bot_that_comes_back_goes_on_in_the_same_message_and_thread(desk):
    """Where the message is stands in Redis, not in the bot."""
    run = Run(desk)
    run.move(Happened.OPERATION_STARTED, "The upgrade starts.", state=OperationState.RUNNING)
    run.shows("Running")
    before = desk.store.message(f"run:{run.operation.id}").ts
    desk.stop_bot()
    run.move(Happened.OPERATION_PARKED, "Paused by Ada.", state=OperationState.PARKED, reason="Ada asked to pause.")
    desk.start_bot()
    run.shows("Paused")
    run.tells("Paused by Ada.")
    assert desk.store.message(f"run:{run.operation.id}").ts == before
    texts = [desk.slack.text(m).lower() for m in desk.slack.messages(CHANNEL)]
    assert sum("of 7 machines" in t and "paused: upgrading" not in t for t in texts) == 1


def test_two_bots_send_everything_once(desk):
    """One holds the sender's lease; the other only listens to people."""
    desk.start_bot()
    run = Run(desk)
    for n in range(6):
        run.tell(Happened.DRIVER_TOOK_OVER, f"Driver {n}.")
    run.tells("Driver 5.")
    assert [run.thread().count(f"Driver {n}.") for n in range(6)] == [1] * 6


def test_an_outage_of_slack_loses_no_result(desk):
    """What happened meanwhile is told afterwards, once, in order."""
    run = Run(desk)
    run.shows("0 of 7")
    desk.slack.outage()
    run.move(Happened.OPERATION_STARTED, "The upgrade starts.", state=OperationState.RUNNING)
    run.tell(Happened.DRIVER_TOOK_OVER, "Another worker took over.")
    run.move(Happened.OPERATION_BLOCKED, "w-1 cannot be drained.", state=OperationState.BLOCKED)
    desk.slack.outage(False)
    run.tells("Another worker took over.")
    run.shows("Blocked")
    blocked = desk.slack.wait_for(
        lambda it: [m for m in it.messages(CHANNEL) if "blocked: upgrading" in it.text(m).lower()]
    )
    assert len(blocked) == 1
    assert run.thread().count("Another worker took over.") == 1


def test_slacks_wish_to_wait_is_honoured(desk):
    """A 429 delays, and loses and doubles nothing."""
    run = Run(desk)
    run.shows("0 of 7")
    desk.slack.rate_limit("chat.postMessage", retry_after=1, times=2)
    run.tell(Happened.DRIVER_TOOK_OVER, "Another worker took over.")
    run.tells("Another worker took over.")
    assert run.thread().count("Another worker took over.") == 1


def test_a_refused_request_is_told_to_the_person_alone(desk):
    """Where they asked, or in the cluster's channel where the bot is no member of that one."""
    where = PlanRequest("r-1", "plan", "prod", "v1.30.0", "ada", CHANNEL, desk.now(), asked_in="C0RANDOM")
    asked = Event(Happened.PLAN_REQUESTED, desk.now(), "prod", "Asked.", person="ada")
    desk.store.put_request(where, asked)
    sentence = "v1.30.0 is a downgrade; name a newer version than v1.34.7."
    refused = Event(Happened.REQUEST_REFUSED, desk.now(), "prod", sentence, person="ada", facts={"request": "r-1"})
    desk.store.answer_request("r-1", refusal=sentence, event=refused)
    said = desk.told(ADA, "downgrade")
    assert said.startswith("v1.30.0 on `prod` cannot be planned")
    assert desk.slack.messages(CHANNEL) == []


def test_a_deleted_card_is_posted_again(desk):
    """Somebody tidied up; the run goes on in a new message."""
    run = Run(desk)
    run.shows("0 of 7")
    before = desk.store.message(f"run:{run.operation.id}").ts
    found = next(m for m in desk.slack.workspace.timeline if m.ts == before)
    desk.slack.workspace.remove(found)
    run.move(Happened.OPERATION_STARTED, "The upgrade starts.", state=OperationState.RUNNING)
    run.shows("Running")
    assert desk.store.message(f"run:{run.operation.id}").ts != before


def test_a_running_upgrade_is_steered_by_buttons_and_words(desk):
    """Pause by a click, resume by a command, and a guest changes nothing."""
    run = Run(desk)
    run.move(Happened.OPERATION_STARTED, "The upgrade starts.", state=OperationState.RUNNING)
    run.shows("Running")
    ts = desk.store.message(f"run:{run.operation.id}").ts
    desk.slack.click(GUS, ts, PAUSE)
    desk.told(GUS, "guest")
    assert desk.store.operation(run.operation.id).wish is Wish.NONE
    desk.slack.click(ADA, ts, PAUSE)
    desk.told(ADA, "asked to pause")
    assert desk.store.operation(run.operation.id).wish is Wish.PAUSE
    run.shows("ada asked to pause")
    desk.slack.say(GRACE, CHANNEL, "/k8s resume")
    desk.told(GRACE, "asked to go on")
    assert desk.store.operation(run.operation.id).wish is Wish.NONE


def test_a_blocked_machine_is_tried_again_or_skipped_by_name(desk):
    """Only a machine of the run can be named, and to skip it must be a worker."""
    run = Run(desk)
    run.move(Happened.OPERATION_STARTED, "The upgrade starts.", state=OperationState.RUNNING)
    steps = itinerary(run.record.plan, run.record.plan.node("w-1"))
    at = next(n for n, s in enumerate(steps) if s.verb is Verb.CORDON)  # as when it was given back
    rows = tuple(
        replace(r, state=RowState.BLOCKED, finding=finding(), position=at) if r.node == "w-1" else r
        for r in desk.store.operation(run.operation.id).rows
    )
    run.move(Happened.OPERATION_BLOCKED, "w-1 is stuck.", state=OperationState.BLOCKED, rows=rows)
    run.shows("Blocked")
    assert RETRY in str(desk.slack.messages(CHANNEL))
    desk.slack.say(GRACE, CHANNEL, "/k8s retry w-9 prod")
    desk.told(GRACE, "no machine `w-9`")
    desk.slack.say(GRACE, CHANNEL, "/k8s retry w-1 prod")
    desk.told(GRACE, "new attempt on w-1")
    now = desk.store.operation(run.operation.id)
    assert (now.state, now.row("w-1").attempt) == (OperationState.RUNNING, 2)
    desk.slack.say(GRACE, CHANNEL, "/k8s skip cp-1 prod")
    desk.told(GRACE, "cp-1 is a control plane")
    desk.slack.say(GRACE, CHANNEL, "/k8s skip w-1")
    desk.told(GRACE, "go on without w-1")
    assert desk.store.operation(run.operation.id).row("w-1").skipped_by == "grace"


def test_a_drain_that_is_held_up_is_given_time_by_a_click_or_a_command_while_it_lasts(desk):
    """From its own message in the thread; a click that comes too late changes nothing, and is told so."""
    run = Run(desk)
    before = desk.store.operation(run.operation.id)
    steps = itinerary(run.record.plan, run.record.plan.node("w-1"))
    at = next(n for n, s in enumerate(steps) if s.verb is Verb.DRAIN)
    hold = Hold("shop/web-1", "uid-1", "the PodDisruptionBudget shop/web", "no disruption is allowed", desk.now())
    row = replace(before.row("w-1"), position=at, state=RowState.STARTED, started_at=desk.now(), stopped_at=desk.now())
    rows = tuple(replace(row, held=(hold,)) if r.node == "w-1" else r for r in before.rows)
    run.move(Happened.NODE_HELD, "Held up.", state=OperationState.RUNNING, rows=rows)
    run.tells("by the PodDisruptionBudget shop/web: no disruption is allowed")
    posted = desk.store.message(f"run:{run.operation.id}").ts
    stop = next(m for m in desk.slack.thread(CHANNEL, posted) if EXTEND in str(m))
    desk.slack.click(GRACE, stop["ts"], EXTEND)
    desk.told(GRACE, "gave the drain of w-1 15 more min.")
    desk.slack.say(ADA, CHANNEL, "/k8s extend w-1 5 prod")
    desk.told(ADA, "gave the drain of w-1 5 more min.")
    assert desk.store.operation(run.operation.id).row("w-1").extension == 1200
    rows = tuple(replace(r, position=at + 1, held=(), extension=0) if r.node == "w-1" else r for r in rows)
    run.move(Happened.STEP_FINISHED, "Drained.", rows=rows)
    desk.slack.say(GUS, CHANNEL, "/k8s extend w-1 5")
    desk.told(GUS, "guest")
    desk.slack.say(GRACE, CHANNEL, "/k8s extend w-1 5")
    desk.told(GRACE, "neither in hand nor blocked")
    run.tells("does not wait here any more")


def test_status_links_to_the_cards(desk):
    """Whoever asks elsewhere finds the way."""
    run = Run(desk)
    run.shows("0 of 7")
    desk.slack.say(ADA, CHANNEL, "/k8s status")
    said = desk.told(ADA, "Upgrading prod to v1.35.4")
    assert "Open" in said
