"""What people may ask of a run they may ask in three ways: typed in Slack, by a button, and on a terminal."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bot.delivery import Delivery, connect
from bot.front import Front
from bot.people import People
from bot.run_card import CANCEL, EXTEND, PAUSE, RESUME, RETRY, SKIP
from bot.station import Station
from bot.stop_card import MORE
from cluster.events import Happened
from cluster.operation import Operation, OperationState, RowState, Wish
from cluster.procedure import Verb, itinerary
from cluster.queues import JobName, Wakeups
from cluster.store import Store
from lockkeeper import app
from tests.bot_desk import ADA, Desk, quiet_desk
from tests.bot_fixture import CHANNEL, settings
from tests.engine_fixture import approve, plan, record
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["quiet_desk", "redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

OP, NODE = "op-1", "w-1"
_S = OperationState
_STEPS = itinerary(plan(), next(n for n in plan().nodes if n.name == NODE))
DRAIN = next(n for n, s in enumerate(_STEPS) if s.verb is Verb.DRAIN)
CORDON = next(n for n, s in enumerate(_STEPS) if s.verb is Verb.CORDON)
STUCK = {"position": CORDON, "state": RowState.BLOCKED}


class AtOnce(Executor):
    """Whoever hands something over has it done when the call comes back."""

    def submit(self, work: Any, /, *given: Any, **more: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*given, **more))
        return done


@dataclass(frozen=True)
class Ask:
    """One thing that is asked: in each way, what it changes, and the event that tells it."""

    typed: str
    button: str
    of_node: bool
    typed_on_terminal: tuple[str, ...]
    told: Happened
    came: Callable[[Operation], object]
    state: OperationState = _S.RUNNING
    row: dict[str, Any] = field(default_factory=dict)


ASKED = {
    "pause": Ask("pause", PAUSE, False, ("pause",), Happened.PAUSE_ASKED, lambda o: o.wish is Wish.PAUSE),
    "resume": Ask(
        "resume prod", RESUME, False, ("resume",), Happened.RESUME_ASKED, lambda o: o.state is _S.RUNNING, _S.PARKED
    ),
    "cancel": Ask("cancel", CANCEL, False, ("cancel",), Happened.CANCEL_ASKED, lambda o: o.state is _S.CANCELLING),
    "retry": Ask(
        f"retry {NODE}",
        RETRY,
        True,
        ("retry", "--node", NODE),
        Happened.RETRY_ASKED,
        lambda o: o.row(NODE).attempt == 2,
        _S.BLOCKED,
        STUCK,
    ),
    "skip": Ask(
        f"skip {NODE}",
        SKIP,
        True,
        ("skip", NODE),
        Happened.SKIP_ASKED,
        lambda o: o.row(NODE).skipped_by == "ada",
        _S.BLOCKED,
        STUCK,
    ),
    "extend": Ask(
        f"extend {NODE} {MORE}",
        EXTEND,
        True,
        ("extend", NODE, str(MORE)),
        Happened.EXTEND_ASKED,
        lambda o: o.row(NODE).extension == MORE * 60,
        _S.RUNNING,
        {"position": DRAIN, "state": RowState.STARTED},
    ),
}


def type_in_slack(desk: Desk, asked: Ask, _: Path) -> None:
    body = {"user_id": ADA, "channel_id": CHANNEL, "team_id": "T0LAB", "text": asked.typed}
    front(desk).command(lambda: None, body)


def click(desk: Desk, asked: Ask, _: Path) -> None:
    value = f"{OP} {NODE}" if asked.of_node else OP
    front(desk).action(
        lambda: None,
        {
            "user": {"id": ADA, "team_id": "T0LAB"},
            "team": {"id": "T0LAB"},
            "channel": {"id": CHANNEL},
            "actions": [{"action_id": asked.button, "value": value}],
        },
    )


def type_on_terminal(desk: Desk, asked: Ask, folder: Path) -> None:
    people = {"ada": {"slack": ADA, "logins": [getpass.getuser()]}}
    chosen = settings(people=people, approvals={"approvers": ["ada"]}).model_dump(mode="json", exclude_none=True)
    (folder / "lockkeeper.yaml").write_text(yaml.safe_dump(chosen), encoding="utf-8")
    words = [*asked.typed_on_terminal, "--cluster", "prod", "--config", str(folder / "lockkeeper.yaml")]
    done = CliRunner(env={"REDIS_URL": desk.redis_url}).invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def front(desk: Desk) -> Front:
    assert desk.settings.slack is not None
    client = connect(desk.slack.bot_token, desk.slack.api_url)
    people = People(client, "T0LAB", desk.now)
    wakeups = Wakeups.connect(desk.redis_url)
    station = Station(
        desk.settings, desk.store, wakeups, Delivery(client), people, desk.now, desk.observe, lambda _: ""
    )
    return Front(station, AtOnce(), AtOnce())


@pytest.mark.parametrize("way", [type_in_slack, click, type_on_terminal])
@pytest.mark.parametrize("verb", ASKED)
def test_each_verb_works_in_each_way_and_is_recorded_with_its_person(
    quiet_desk: Desk, store: Store, tmp_path: Path, verb: str, way: Callable[[Desk, Ask, Path], None]
) -> None:
    """The record changes, its own event says by whom, and a driver is woken."""
    asked = ASKED[verb]
    before = approve(store, record(), OP)
    rows = tuple(replace(r, **asked.row) if r.node == NODE else r for r in before.rows)
    store.move(before, replace(before, state=asked.state, rows=rows), fence=None, events=(), token="begun")
    assert not asked.came(store.operation(OP))
    way(quiet_desk, asked, tmp_path)
    assert asked.came(store.operation(OP)), [quiet_desk.slack.text(m) for m in quiet_desk.slack.ephemerals(ADA)]
    told = store.events(OP)[-1][1]
    assert (told.kind, told.person) == (asked.told, "ada")
    assert (JobName.DRIVE, OP) in Wakeups.connect(quiet_desk.redis_url).queued()
