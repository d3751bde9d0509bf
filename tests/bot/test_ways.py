"""What people may ask of a run they may ask in three ways: typed in Slack, by a button, and on a terminal."""

from __future__ import annotations

import getpass
import subprocess
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
from cluster.operation import Hold, Operation, OperationState, RowState, Wish
from cluster.procedure import Verb, itinerary
from cluster.queues import JobName, Wakeups
from cluster.store import Store
from lockkeeper import app
from tests.bot_desk import ADA, Desk, quiet_desk
from tests.bot_fixture import CHANNEL, settings
from tests.engine_fixture import NOW, approve, plan, record
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["quiet_desk", "redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module

OP, NODE = "op-1", "w-1"
_S = OperationState
_STEPS = itinerary(plan(), next(n for n in plan().nodes if n.name == NODE))
DRAIN = next(n for n, s in enumerate(_STEPS) if s.verb is Verb.DRAIN)
CORDON = next(n for n, s in enumerate(_STEPS) if s.verb is Verb.CORDON)
HOLD = Hold("shop/web-1", "uid-1", "the PodDisruptionBudget shop/web", "no disruption is allowed", NOW)
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
    "skip of a drain that is held up": Ask(
        f"skip {NODE}",
        SKIP,
        True,
        ("skip", NODE),
        Happened.SKIP_ASKED,
        lambda o: o.row(NODE).skip_asked_by == "ada",
        _S.RUNNING,
        {"position": DRAIN, "state": RowState.STARTED, "held": (HOLD,), "started_at": NOW, "stopped_at": NOW},
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
    run_verb(desk.redis_url, folder, *asked.typed_on_terminal, "--cluster", "prod")


def run_verb(redis_url: str, folder: Path, *words: str, key: str = "") -> str:
    """A verb of the command line, typed by Ada; the key is Grace's."""
    people = {"ada": {"slack": ADA, "logins": [getpass.getuser()]}, "grace": {"ssh_keys": [key] if key else []}}
    approvals = {"approvers": ["ada", "grace"]}
    chosen = settings(people=people, approvals=approvals).model_dump(mode="json", exclude_none=True)
    (folder / "lockkeeper.yaml").write_text(yaml.safe_dump(chosen), encoding="utf-8")
    told = [*words, "--config", str(folder / "lockkeeper.yaml")]
    done = CliRunner(env={"REDIS_URL": redis_url}).invoke(app, told, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


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
    begin(store, state=asked.state, row=asked.row)
    assert not asked.came(store.operation(OP))
    way(quiet_desk, asked, tmp_path)
    assert asked.came(store.operation(OP)), [quiet_desk.slack.text(m) for m in quiet_desk.slack.ephemerals(ADA)]
    told = store.events(OP)[-1][1]
    assert (told.kind, told.person) == (asked.told, "ada")
    assert (JobName.DRIVE, OP) in Wakeups.connect(quiet_desk.redis_url).queued()


def begin(store: Store, **changes: Any) -> None:
    before = approve(store, record(), OP)
    row = changes.pop("row", {})
    rows = tuple(replace(r, **row) if r.node == NODE else r for r in before.rows)
    store.move(before, replace(before, rows=rows, **changes), fence=None, events=(), token="begun")


def test_a_pod_is_deleted_by_two_people_who_have_only_a_terminal(store: Store, redis_url: str, tmp_path: Path) -> None:
    """One asks, and the other one's key allows exactly that; both are recorded."""
    row = {"position": DRAIN, "state": RowState.STARTED, "started_at": NOW, "stopped_at": NOW, "held": (HOLD,)}
    begin(store, state=_S.RUNNING, row=row)
    key = tmp_path / "grace"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    line = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    assert "shop/web-1" in run_verb(redis_url, tmp_path, "force-delete", "shop/web-1", "--cluster", "prod")
    (asked,) = store.forces(OP)
    run_verb(redis_url, tmp_path, "approve-force", asked.id, "--yes", "--key", str(key), key=line)
    told = [(e.kind, e.person) for _, e in store.events(OP)]
    assert told[-2:] == [(Happened.FORCE_ASKED, "ada"), (Happened.FORCE_APPROVED, "grace")]


def test_an_alert_is_passed_over_on_a_terminal(store: Store, redis_url: str, tmp_path: Path) -> None:
    """By name, for a while and with a reason."""
    begin(store, state=_S.RUNNING, reason="KubeAPIDown fires.", halted_by=("KubeAPIDown",), halted_at=NOW)
    words = ("ignore-alert", "KubeAPIDown", "--minutes", "5", "--reason", "known")
    run_verb(redis_url, tmp_path, *words, "--cluster", "prod")
    assert store.operation(OP).halting == ()
    told = store.events(OP)[-1][1]
    assert (told.kind, told.person) == (Happened.ALERT_SPARED, "ada")


def test_a_lock_is_released_on_a_terminal_by_typing_whose_it_is(store: Store, redis_url: str, tmp_path: Path) -> None:
    """The run is over, its cluster free, and it is told who did it."""
    begin(store, state=_S.BLOCKED, reason="lost")
    run_verb(redis_url, tmp_path, "release", "prod", "--confirm", OP)
    assert (store.lock_holder("prod"), store.operation(OP).state) == (None, _S.CANCELLED)
    told = store.events(OP)[-1][1]
    assert (told.kind, told.person) == (Happened.LOCK_RELEASED, "ada")


@pytest.mark.parametrize("verb", ["retry", "skip"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": _S.PARKED, "reason": "paused by grace", "wished_by": "grace"}, "op-1 stands still all the same"),
        ({"state": _S.BLOCKED, "wish": Wish.PAUSE, "wished_by": "grace"}, "Then it pauses, as grace asked"),
        ({"state": _S.BLOCKED}, ""),
    ],
)
def test_whoever_answers_for_a_node_of_a_paused_run_hears_that_it_is(
    quiet_desk: Desk, tmp_path: Path, verb: str, changes: dict[str, Any], words: str
) -> None:
    """Else they would wait for what nobody does."""
    begin(quiet_desk.store, row=STUCK, **changes)
    said = run_verb(quiet_desk.redis_url, tmp_path, *ASKED[verb].typed_on_terminal, "--cluster", "prod")
    assert words in said
    assert bool(words) is ("`resume` lets" in said)
    quiet_desk.store.client.flushall()
    begin(quiet_desk.store, row=STUCK, **changes)
    type_in_slack(quiet_desk, ASKED[verb], tmp_path)
    assert words in " ".join(quiet_desk.slack.text(m) for m in quiet_desk.slack.ephemerals(ADA))
