"""The store's promises, on a real server: one conditional write, once per token, with its event or not at all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from redis import Redis

from cluster.bulletin import Bulletin
from cluster.errors import Fenced, InvalidConfig, RecordUnreadable, Refused, StaleMove, StoreUnavailable, UnknownThing
from cluster.events import Happened
from cluster.force import ForceRequest
from cluster.operation import Operation, OperationState, RowState, Wish, schedule
from cluster.outbox import OutboxItem, OutboxKind
from cluster.plan import PlanStatus
from cluster.requests import PlanRequest
from cluster.sighting import SeenNode, Sighting
from cluster.store import Decision, Moved, Store
from cluster.store.ledger import key
from cluster.store.records import EVENT
from cluster.survey import Survey
from lab.redis import RedisServer
from tests.engine_fixture import CLUSTER, NOW, approval, approve, event, plan, propose, record
from tests.redis_fixture import own_redis, redis_server, redis_url, store

__all__ = ["own_redis", "redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

TTL = 60_000  # milliseconds; long enough for any test


@pytest.mark.parametrize("url", ["banana", "http://:hunter2@host:6379", "redis://:hunter2@host:port"])
def test_a_wrong_url_of_redis_is_one_sentence_without_its_password(url: str) -> None:
    """Whoever mistypes REDIS_URL reads how it is written, and nobody reads the password."""
    with pytest.raises(InvalidConfig, match="write it as redis://") as caught:
        Store.connect(url)
    assert "hunter2" not in str(caught.value)


def test_as_many_threads_may_ask_at_once_as_machines_are_in_hand(store: Store) -> None:
    """128 hands, and those around them: nobody is told that Redis cannot be reached because all others ask as well."""
    with ThreadPoolExecutor(200) as pool:
        answers = pool.map(lambda _: store.ask(lambda r: r.blpop(["nothing"], 0.5)), range(200))
        assert set(answers) == {None}


def running(store: Store) -> tuple[Operation, int]:
    """An operation that runs, and the fence of its driver."""
    operation = approve(store, record())
    fence = store.take_lease(operation.id, "driver", TTL)
    assert fence is not None
    told = event(Happened.OPERATION_STARTED, operation_id=operation.id)
    before = store.operation(operation.id)
    store.move(before, replace(before, state=OperationState.RUNNING), fence=fence, events=(told,), token="started")
    return store.operation(operation.id), fence


def with_row(operation: Operation, node: str, **changes: object) -> Operation:
    rows = tuple(replace(r, **changes) if r.node == node else r for r in operation.rows)  # type: ignore[arg-type]
    return replace(operation, rows=rows)


def kinds(store: Store, subject: str) -> list[Happened]:
    return [e.kind for _, e in store.events(subject)]


def test_an_approval_makes_everything_of_an_operation_at_once(store: Store) -> None:
    """Plan, approval, rows, lock, active set and event stand after one call."""
    made = record()
    operation = approve(store, made)
    assert store.plan(made.id).status is PlanStatus.APPROVED
    assert store.operation(operation.id) == operation
    assert store.approval(operation.id) == approval(made)
    assert store.lock_holder(CLUSTER) == operation.id
    assert store.active() == (operation.id,)
    assert kinds(store, made.id) == [Happened.PLAN_PROPOSED, Happened.PLAN_APPROVED]
    assert kinds(store, operation.id) == [Happened.PLAN_APPROVED]
    assert [e.kind for _, e in store.feed()] == [Happened.PLAN_PROPOSED, Happened.PLAN_APPROVED]


def test_of_eight_approvals_at_once_one_wins(store: Store) -> None:
    """The others are told who was first; one operation exists."""
    made = propose(store)

    def click(number: int) -> Decision:
        operation = schedule(made, operation_id=f"op-{number}", approved_by="grace", now=NOW)
        told = event(Happened.PLAN_APPROVED, plan_id=made.id, operation_id=operation.id)
        return store.approve(made, approval(made, operation.id), operation, told, NOW).decision

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(click, range(8)))
    assert outcomes.count(Decision.APPROVED) == 1
    assert set(outcomes) <= {Decision.APPROVED, Decision.NOT_PROPOSED, Decision.CLUSTER_LOCKED}
    assert len(store.operations()) == 1
    assert kinds(store, made.id).count(Happened.PLAN_APPROVED) == 1


@pytest.mark.parametrize(
    ("person", "minutes", "shown_digest", "expected"),
    [
        ("ada", 0, record().digest, Decision.OWN_PLAN),
        ("grace", 61, record().digest, Decision.EXPIRED),
        ("grace", 0, "f" * 64, Decision.OTHER_DIGEST),
    ],
)
def test_an_approval_that_does_not_fit_the_stored_plan_changes_nothing(
    store: Store, person: str, minutes: int, shown_digest: str, expected: Decision
) -> None:
    """The requester, the clock and the digest are judged against what is stored."""
    made = propose(store)
    shown = replace(made, digest=shown_digest)
    operation = schedule(shown, operation_id="op-1", approved_by=person, now=NOW)
    told = event(Happened.PLAN_APPROVED, plan_id=made.id)
    outcome = store.approve(shown, approval(shown, person=person), operation, told, NOW + timedelta(minutes=minutes))
    assert outcome.decision is expected
    assert outcome.sentence.endswith(".")
    assert store.plan(made.id) == made
    assert store.lock_holder(CLUSTER) is None
    assert kinds(store, made.id) == [Happened.PLAN_PROPOSED]


def test_a_second_operation_on_a_locked_cluster_is_refused_by_name(store: Store) -> None:
    """The lock is taken by the approval, and the refusal names who has it."""
    first = approve(store, record(plan_id="p-1"))
    second = propose(store, record(plan(max_unavailable=1), plan_id="p-2"))
    operation = schedule(second, operation_id="op-2", approved_by="grace", now=NOW)
    told = event(Happened.PLAN_APPROVED, plan_id="p-2")
    outcome = store.approve(second, approval(second, "op-2"), operation, told, NOW)
    assert (outcome.decision, outcome.operation_id) == (Decision.CLUSTER_LOCKED, first.id)
    assert store.plan("p-2").status is PlanStatus.PROPOSED


def test_an_approval_whose_answer_was_lost_may_be_asked_again(store: Store) -> None:
    """The same approval again says approved and adds nothing."""
    made = record()
    operation = approve(store, made)
    told = event(Happened.PLAN_APPROVED, plan_id=made.id, operation_id=operation.id)
    assert store.approve(made, approval(made), operation, told, NOW).decision is Decision.APPROVED
    assert kinds(store, operation.id) == [Happened.PLAN_APPROVED]


def test_a_rejected_plan_cannot_be_approved(store: Store) -> None:
    """A decision is final, and an expiry after it changes nothing."""
    made = propose(store)
    rejected = event(Happened.PLAN_REJECTED, plan_id=made.id)
    assert store.reject(made.id, made.digest, "grace", "not today", NOW, rejected).decision is Decision.REJECTED
    operation = schedule(made, operation_id="op-1", approved_by="grace", now=NOW)
    outcome = store.approve(made, approval(made), operation, event(Happened.PLAN_APPROVED, plan_id=made.id), NOW)
    assert (outcome.decision, outcome.by) == (Decision.NOT_PROPOSED, "grace")
    assert store.expire(made.id, NOW, event(Happened.PLAN_EXPIRED)).decision is Decision.NOT_PROPOSED
    assert store.open_plans() == ()


def test_a_repeated_move_changes_nothing_and_tells_nothing(store: Store) -> None:
    """A token is used once; the second call says that it was made before."""
    before, fence = running(store)
    after = with_row(before, "w-1", state=RowState.STARTED)
    told = event(Happened.STEP_STARTED, operation_id=before.id)
    assert store.move(before, after, fence=fence, events=(told,), token="t") is Moved.DONE
    assert store.move(after, after, fence=fence, events=(told,), token="t") is Moved.AGAIN
    assert kinds(store, before.id).count(Happened.STEP_STARTED) == 1


def test_a_move_from_an_old_reading_is_refused_without_an_event(store: Store) -> None:
    """Compare and swap: what changed since it was read stops the move."""
    before, fence = running(store)
    store.move(before, with_row(before, "w-1", position=1), fence=fence, events=(), token="a")
    told = event(Happened.STEP_FINISHED, operation_id=before.id)
    with pytest.raises(StaleMove):
        store.move(before, with_row(before, "w-1", position=2), fence=fence, events=(told,), token="b")
    assert store.operation(before.id).row("w-1").position == 1
    assert Happened.STEP_FINISHED not in kinds(store, before.id)


def test_moves_of_two_nodes_do_not_disturb_each_other(store: Store) -> None:
    """Rows are compared one by one, so parallel nodes never make each other stale."""
    before, fence = running(store)
    for node in ("w-1", "w-2"):
        store.move(before, with_row(before, node, position=1), fence=fence, events=(), token=node)
    rows = store.operation(before.id).rows
    assert [r.node for r in rows if r.position == 1] == ["w-1", "w-2"]


def test_a_row_written_by_an_older_release_can_still_be_moved(store: Store, redis_url: str) -> None:
    """A field that was added since has its default; the text that is there is what is compared."""
    before, fence = running(store)
    with Redis.from_url(redis_url) as client:
        client.hset("lockkeeper:operation:op-1", "row:w-1", '{"node":"w-1"}')
    store.move(before, with_row(before, "w-1", position=1), fence=fence, events=(), token="t")
    assert store.operation(before.id).row("w-1").position == 1


def test_a_fenced_driver_moves_nothing(store: Store) -> None:
    """After another driver took over, the first one's moves raise Fenced."""
    before, fence = running(store)
    store.drop_lease(before.id, "driver")
    newer = store.take_lease(before.id, "other", TTL)
    assert newer is not None
    assert newer > fence
    with pytest.raises(Fenced):
        store.move(before, with_row(before, "w-1", position=1), fence=fence, events=(), token="t")
    assert not store.renew_lease(before.id, "driver", fence, TTL)


def test_of_eight_drivers_one_gets_the_lease(store: Store) -> None:
    """And only one fence is given out."""
    operation = approve(store, record())
    with ThreadPoolExecutor(8) as pool:
        fences = list(pool.map(lambda n: store.take_lease(operation.id, f"driver-{n}", TTL), range(8)))
    assert [f for f in fences if f is not None] == [1]


def test_a_lease_that_ran_out_is_taken_up_again_unless_another_had_it(store: Store, redis_url: str) -> None:
    """The fence proves that nobody drove in between."""
    operation = approve(store, record())
    fence = store.take_lease(operation.id, "driver", TTL)
    assert fence is not None
    with Redis.from_url(redis_url) as client:
        client.delete("lockkeeper:lease:op-1")  # as if it had run out
    assert store.renew_lease(operation.id, "driver", fence, TTL)
    assert store.lease_owner(operation.id) == "driver"


def test_a_fence_is_seeded_above_what_machines_remember(store: Store) -> None:
    """A Redis that forgot its counter must not give out fences that machines refuse."""
    operation = approve(store, record())
    store.seed_fence(CLUSTER, 41)
    store.seed_fence(CLUSTER, 7)
    assert store.take_lease(operation.id, "driver", TTL) == 42


def test_completion_frees_the_cluster_in_the_same_write(store: Store) -> None:
    """Lock and active set go with the last move."""
    before, fence = running(store)
    after = replace(before, state=OperationState.COMPLETED, ended_at=NOW)
    store.move(before, after, fence=fence, events=(event(Happened.OPERATION_COMPLETED),), token="end")
    assert store.lock_holder(CLUSTER) is None
    assert store.active() == ()
    assert store.operation(before.id).state is OperationState.COMPLETED


def test_a_released_operation_fences_its_driver_off(store: Store) -> None:
    """A lock that a person released is free, and the old driver can do nothing any more."""
    before, fence = running(store)
    store.release(CLUSTER, before.id, "grace", event(Happened.LOCK_RELEASED, operation_id=before.id))
    with pytest.raises(Fenced):
        store.move(before, with_row(before, "w-1", position=1), fence=fence, events=(), token="t")
    assert store.lock_holder(CLUSTER) is None
    assert store.operation(before.id).state is OperationState.CANCELLED
    with pytest.raises(StaleMove):
        store.release(CLUSTER, before.id, "grace", event(Happened.LOCK_RELEASED))


def test_a_move_that_the_table_does_not_list_is_refused(store: Store) -> None:
    """Blocked never becomes completed."""
    before, _ = running(store)
    blocked = replace(before, state=OperationState.BLOCKED)
    with pytest.raises(StaleMove):
        store.move(blocked, replace(blocked, state=OperationState.COMPLETED), fence=None, events=(), token="t")


def test_a_wish_is_kept_with_its_event_and_refused_twice(store: Store) -> None:
    """The person of the call is the one that the record names."""
    operation, _ = running(store)
    asked = event(Happened.PAUSE_ASKED, operation_id=operation.id)
    assert store.wish(operation.id, Wish.PAUSE, "grace", asked).wished_by == "grace"
    with pytest.raises(Refused):
        store.wish(operation.id, Wish.PAUSE, "ada", asked)
    assert kinds(store, operation.id).count(Happened.PAUSE_ASKED) == 1


def test_retry_gives_the_blocked_node_alone_a_new_attempt(store: Store) -> None:
    """Attempt numbers grow; other blocked nodes stay blocked."""
    before, fence = running(store)
    after = with_row(with_row(before, "w-1", state=RowState.BLOCKED), "w-2", state=RowState.BLOCKED)
    after = replace(after, state=OperationState.BLOCKED, reason="two nodes failed")
    store.move(before, after, fence=fence, events=(), token="b")
    now = store.retry(before.id, "w-1", "grace", event(Happened.RETRY_ASKED, operation_id=before.id))
    assert (now.row("w-1").state, now.row("w-1").attempt) == (RowState.WAITING, 2)
    assert now.row("w-2").state is RowState.BLOCKED
    assert now.state is OperationState.RUNNING


def test_a_retry_is_not_overtaken_by_the_block_that_it_answers(store: Store) -> None:
    """Both change something else; but nobody stands still for a node that is being tried again."""
    before, fence = running(store)
    store.move(before, with_row(before, "w-1", state=RowState.BLOCKED), fence=fence, events=(), token="b")
    seen = store.operation(before.id)
    store.retry(before.id, "w-1", "grace", event(Happened.RETRY_ASKED, operation_id=before.id))
    stopped = replace(seen, state=OperationState.BLOCKED, reason="w-1 failed")
    with pytest.raises(StaleMove):
        store.move(seen, stopped, fence=fence, events=(), token="s")
    assert store.operation(before.id).state is OperationState.RUNNING


def test_the_states_of_several_operations_leave_out_those_without_a_record(store: Store) -> None:
    """What the cluster names and nobody remembers is a trace without a record."""
    operation = approve(store, record())
    assert store.states((operation.id, "op-00000000")) == {operation.id: OperationState.SCHEDULED}


def test_a_request_stays_open_until_its_first_answer(store: Store) -> None:
    """A second answer does not replace the first."""
    asked = PlanRequest("r-1", "plan", CLUSTER, "v1.35", "ada", "", NOW, overrides={"without_snapshot": True})
    store.put_request(asked, event(Happened.PLAN_REQUESTED))
    assert store.open_requests() == (asked,)
    store.answer_request("r-1", refusal="It is not offered.", event=event(Happened.REQUEST_REFUSED))
    kept = store.answer_request("r-1", plan_ids=("p-9",))
    assert (kept.refusal, kept.plan_ids) == ("It is not offered.", ())
    assert store.open_requests() == ()


def test_a_survey_comes_back_as_it_went(store: Store) -> None:
    """Whatever its age; nothing where none was made."""
    made = Survey(CLUSTER, NOW)
    store.save_survey(made)
    assert store.survey(CLUSTER) == made
    assert store.survey("other") is None


def test_unknown_things_are_named(store: Store) -> None:
    """A mistyped id is a sentence, not a traceback."""
    asks: tuple[Callable[[str], object], ...] = (store.plan, store.operation, store.request)
    for ask in asks:
        with pytest.raises(UnknownThing, match="nope"):
            ask("nope")


def test_an_event_of_another_release_is_read_as_far_as_it_can_be(store: Store) -> None:
    """A newer release wrote it, and this one was put back: whoever follows the feed must not stand still before it."""
    text = EVENT.dump_json(event(Happened.PLAN_VOIDED)).decode()
    for told in (text.replace("plan-voided", "plan-praised"), '{"kind": 7}', text):
        store.ask(lambda r, told=told: r.xadd(key("feed"), {"event": told}))  # type: ignore[misc]
    store.ask(lambda r: r.xadd(key("feed"), {"other": "fields"}))
    assert [(e.kind, e.kind.is_known) for _, e in store.feed()] == [
        ("plan-praised", False),
        ("unreadable", False),
        ("plan-voided", True),
        ("unreadable", False),
    ]
    assert b'"kind":"plan-praised"' in EVENT.dump_json(store.feed(count=1)[0][1])


def test_what_another_release_wrote_is_said_by_its_name_and_hides_nothing_else(store: Store) -> None:
    """In a list it is left out; asked for by its name it is one sentence."""
    operation = approve(store, record())
    waiting = propose(store, record(plan_id="p-2"))
    store.outbox_ingest("0", "1-0", (item("a"), item("b")))
    store.client.hset(key("operation", "op-0"), mapping={"head": "{}", "nodes": "[]", "fence": "0"})
    store.client.sadd(key("active"), "op-0")
    store.client.zadd(key("operations"), {"op-0": 1})
    store.client.hset(key("plan", "p-0"), "record", "{}")
    store.client.zadd(key("plans"), {"p-0": 9e9})
    store.client.sadd(key("plans", "open"), "p-0")
    store.client.hset(key("request", "r-0"), "request", "[")
    store.client.sadd(key("requests", "open"), "r-0")
    store.client.hset(key("outbox", "items"), "a", '{"kind": "song"}')
    asked = ForceRequest("f-1", operation.id, "prod", "w-1", "shop/web", "uid-1", "the API", "ada", NOW)
    store.ask_force(asked, event(Happened.FORCE_ASKED))
    store.client.hset(key("forces", operation.id), "f-0", "{}")
    assert store.forces(operation.id) == (asked,)
    with pytest.raises(RecordUnreadable, match="`f-0` cannot be read"):
        store.force(operation.id, "f-0")
    assert [o.id for o in store.active_operations()] == [operation.id]
    assert [o.id for o in store.operations()] == [operation.id]
    assert [r.id for r in store.open_plans()] == [waiting.id]
    assert "p-0" not in [r.id for r in store.plans()]
    assert store.open_requests() == ()
    assert [i.id for i in store.outbox_pending()] == ["b"]
    store.outbox_sent("b", "1.0", "C0OPS")
    assert store.states(("op-0", operation.id)) == {operation.id: operation.state}
    store.client.set(key("survey", "prod"), '{"cluster": 7}')
    store.client.set(key("sighting", "prod"), "[]")
    assert (store.survey("prod"), store.sighting("prod")) == (None, None)
    for ask, name in ((store.operation, "op-0"), (store.plan, "p-0"), (store.request, "r-0")):
        with pytest.raises(RecordUnreadable, match=f"The record of `{name}` cannot be read: another release"):
            ask(name)


def test_a_periodic_report_is_kept_once_with_its_message(store: Store) -> None:
    """Of two bots that made it at the same time one keeps it; the next must follow the one that was kept."""
    first, second = (Bulletin(day, NOW, "", (), 0, ()) for day in ("2026-11-25", "2026-11-26"))
    assert store.keep_bulletin(first, after="", item=item("a"))
    assert not store.keep_bulletin(first, after="", item=item("a"))
    assert not store.keep_bulletin(second, after="2026-11-24", item=item("b"))
    assert store.keep_bulletin(second, after="2026-11-25", item=item("b"))
    assert store.bulletin() == second
    assert [i.id for i in store.outbox_pending()] == ["a", "b"]


def item(number: str, kind: OutboxKind = OutboxKind.POST, card: str = "") -> OutboxItem:
    return OutboxItem(number, kind, "C0OPS", card)


def test_the_outbox_takes_each_part_of_the_feed_once(store: Store) -> None:
    """A second bot with the same cursor queues nothing."""
    assert store.outbox_ingest("0", "5-0", (item("a"), item("b")))
    assert not store.outbox_ingest("0", "5-0", (item("a"), item("b")))
    assert store.outbox_cursor() == "5-0"
    assert [i.id for i in store.outbox_pending()] == ["a", "b"]


def test_only_the_newest_edit_of_a_card_is_kept(store: Store) -> None:
    """And an edit that became outdated while it was sent is not forgotten with it."""
    edits = (item("e1", OutboxKind.EDIT, "run:op-1"), item("p1"), item("e2", OutboxKind.EDIT, "run:op-1"))
    store.outbox_ingest("0", "1-0", edits)
    assert [i.id for i in store.outbox_pending()] == ["e2", "p1"]
    store.outbox_sent("e1", "1.0", "C0OPS")
    assert [i.id for i in store.outbox_pending()] == ["e2", "p1"]
    store.outbox_sent("e2", "1.0", "C0OPS")
    assert [i.id for i in store.outbox_pending()] == ["p1"]


def test_a_sent_card_is_found_again(store: Store) -> None:
    """Channel and timestamp survive whoever posted it; a deferred item keeps its place."""
    store.outbox_ingest("0", "1-0", (item("a", card="plan:p-1"), item("b")))
    store.outbox_defer("a", NOW, "Slack is busy")
    assert [(i.id, i.tries) for i in store.outbox_pending()] == [("a", 1), ("b", 0)]
    store.outbox_sent("a", "17.1", "C0OPS")
    store.note_revision("plan:p-1", "abc")
    posted = store.message("plan:p-1")
    assert posted is not None
    assert (posted.channel, posted.ts, posted.revision_hash) == ("C0OPS", "17.1", "abc")
    assert store.message("run:op-1") is None
    store.outbox_drop("b", "not_in_channel")
    assert store.outbox_pending() == ()


def test_one_bot_sends_at_a_time(store: Store) -> None:
    """The holder renews; another must wait until it is given up."""
    assert store.outbox_take_lease("bot-1", TTL)
    assert store.outbox_take_lease("bot-1", TTL)
    assert not store.outbox_take_lease("bot-2", TTL)
    store.outbox_drop_lease("bot-1")
    assert store.outbox_take_lease("bot-2", TTL)


def test_what_was_acknowledged_survives_a_killed_server(own_redis: RedisServer) -> None:
    """SIGKILL and restart: the record is there and the same store goes on; in between it says what is wrong."""
    store = Store.connect(own_redis.url)
    operation = approve(store, record())
    own_redis.kill()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.operation(operation.id)
    own_redis.restart()
    assert store.operation(operation.id) == operation
    store.close()


def test_a_server_that_would_forget_is_found(own_redis: RedisServer) -> None:
    """doctor's findings: none for the lab's own, one for each bad setting."""
    store = Store.connect(own_redis.url)
    assert store.check() == ()
    with Redis.from_url(own_redis.url) as client:
        client.config_set("appendonly", "no")
        client.config_set("maxmemory-policy", "allkeys-lru")
    assert {f.code for f in store.check()} == {"redis-not-durable", "redis-evicts"}
    store.close()


def test_a_clock_that_differs_from_the_servers_is_found(store: Store) -> None:
    """doctor says it on the host of the bot and on that of each worker, so that both are held against one clock."""
    assert store.check_clock(store.moment() + timedelta(seconds=5)) == ()
    ahead, behind = (store.check_clock(store.moment() + timedelta(hours=h)) for h in (2, -2))
    assert [f.code for f in (*ahead, *behind)] == ["clocks-differ", "clocks-differ"]
    assert "is 2:00:00 ahead of that of" in ahead[0].sentence
    assert "is 2:00:00 behind that of" in behind[0].sentence


def test_a_newer_plan_of_a_cluster_makes_the_older_one_void(store: Store) -> None:
    """Only what was seen last can be approved; both facts are in one write."""
    older = propose(store, record(plan_id="p-1"))
    newer = propose(store, record(plan(max_unavailable=1), plan_id="p-2", requested_at=NOW + timedelta(minutes=3)))
    seen = store.plan("p-1")
    assert (seen.status, seen.reason) == (PlanStatus.VOID, "the newer plan p-2 took its place")
    assert store.open_plans() == (newer,)
    assert kinds(store, "p-1") == [Happened.PLAN_PROPOSED, Happened.PLAN_VOIDED]
    operation = schedule(older, operation_id="op-1", approved_by="grace", now=NOW)
    told = event(Happened.PLAN_APPROVED, plan_id="p-1")
    outcome = store.approve(older, approval(older), operation, told, NOW)
    assert outcome.decision is Decision.NOT_PROPOSED
    assert outcome.sentence == (
        "The plan p-1 is void since 14:03 UTC: the newer plan p-2 took its place. Decide on a newer plan."
    )


def test_plans_of_one_request_and_of_other_clusters_stand_side_by_side(store: Store) -> None:
    """An upgrade beside the revert that is its way out, and what another cluster waits for."""
    elsewhere = plan()
    elsewhere = replace(elsewhere, identity=replace(elsewhere.identity, name="other"))
    propose(store, record(elsewhere, plan_id="p-0", request_id="r-0"))
    propose(store, record(plan_id="p-1", request_id="r-1"))
    propose(store, record(plan(max_unavailable=1), plan_id="p-2", request_id="r-1"))
    assert [r.id for r in store.open_plans()] == ["p-0", "p-1", "p-2"]


def test_of_plans_that_are_proposed_at_once_one_waits_for_a_decision(store: Store) -> None:
    """Two workers may answer two requests at the same moment."""
    made = [record(plan(max_unavailable=n + 1), plan_id=f"p-{n}", request_id=f"r-{n}") for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: propose(store, one), made))
    assert len(store.open_plans()) == 1
    assert [r.status for r in store.plans()].count(PlanStatus.VOID) == 3


def test_what_was_seen_last_of_a_cluster_is_kept(store: Store) -> None:
    """An approval is held against it without waiting for the cluster."""
    seen = Sighting(CLUSTER, plan().identity, (SeenNode("w-1", "uid-w-1", control_plane=False),), record().basis)
    assert store.sighting(CLUSTER) is None
    store.save_sighting(seen)
    assert store.sighting(CLUSTER) == seen
