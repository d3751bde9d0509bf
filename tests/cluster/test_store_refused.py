"""A Redis that answers and takes no write: one sentence, no half record, and the same call again when it does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.exceptions import ResponseError

from cluster.errors import StoreUnavailable
from cluster.events import Happened
from cluster.operation import OperationState
from cluster.store import Store
from lab.redis import RedisServer
from tests.engine_fixture import approve, event, record
from tests.redis_fixture import own_redis
from tests.redis_states import unwilling

__all__ = ["own_redis"]

SENTENCES = {
    "without-memory": "refuses to write .*: give it memory, and a disk that it can write to",
    "unable-to-save": "refuses to write .*MISCONF.*: give it memory, and a disk that it can write to",
    "read-only": "is a read-only replica: let REDIS_URL name the primary",
    "without-its-replicas": "has too few replicas to take a write .*: bring them back",
}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("-OOM command not allowed when used memory > 'maxmemory'.", "give it memory"),
        ("-MISCONF Redis is configured to save RDB snapshots, but ...", "give it memory"),
        ("-READONLY You can't write against a read only replica.", "is a read-only replica"),
        ("-NOREPLICAS Not enough good replicas to write.", "has too few replicas"),
    ],
)
def test_a_redis_before_7_hides_its_answer_in_a_scripts_error(answer: str, said: str) -> None:
    """As 6.2.14 gave them; a mistake in a script of ours stays one."""
    store = Store.connect("redis://127.0.0.1:1")

    def give(answer: str) -> None:
        call = "call to f_41cd568ca17d30091c80e06a60998530c3a11c8c"
        raise ResponseError(f"Error running script ({call}): @user_script:10: @user_script: 10: {answer}")

    with pytest.raises(StoreUnavailable, match=said):
        store.ask(lambda _: give(answer))
    with pytest.raises(ResponseError):
        store.ask(lambda _: give("attempt to index a nil value"))


@pytest.mark.parametrize("state", SENTENCES)
def test_a_write_that_is_refused_is_one_sentence_and_leaves_nothing(own_redis: RedisServer, state: str) -> None:
    """What is there can still be read; afterwards the same move is made once, with its event."""
    store = Store.connect(own_redis.url)
    before = approve(store, record())
    fence = store.take_lease(before.id, "driver", 60_000)
    after = replace(store.operation(before.id), state=OperationState.RUNNING)
    told = event(Happened.OPERATION_STARTED, operation_id=before.id)

    def move() -> None:
        store.move(store.operation(before.id), after, fence=fence, events=(told,), token="started")

    with unwilling(own_redis, state):
        with pytest.raises(StoreUnavailable, match=SENTENCES[state]):
            move()
        assert store.operation(before.id).state is OperationState.SCHEDULED
        assert Happened.OPERATION_STARTED not in [e.kind for _, e in store.events(before.id)]
    move()
    move()  # its answer may have been lost
    assert [e.kind for _, e in store.events(before.id)].count(Happened.OPERATION_STARTED) == 1
    assert store.renew_lease(before.id, "driver", fence or 0, 60_000)
    store.close()
