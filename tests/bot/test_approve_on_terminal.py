"""An approval on a terminal: what is confirmed is signed with the person's key, and what was overtaken is void."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.decision_desk import approve, notes_to_confirm
from bot.desk import Desk
from cluster.errors import Refused, StaleMove, UnknownThing
from cluster.events import Event, Happened
from cluster.plan import PlanStatus
from cluster.queues import Wakeups
from cluster.signing import is_genuine
from policies.voiding import sight
from tests.bot_fixture import record, report, settings
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "grace"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def terminal(store, redis_url, key, tmp_path):
    """Of an installation that asks for the release notes; its cluster cannot be reached."""
    line = key.with_suffix(".pub").read_text(encoding="utf-8").strip()
    usual = settings().model_dump(mode="json", exclude_none=True)
    usual["clusters"]["prod"]["kubeconfig"] = str(tmp_path / "none")
    chosen = settings(
        clusters=usual["clusters"],
        people={"ada": {}, "grace": {"ssh_keys": [line]}},
        approvals={"approvers": ["grace"], "confirm_release_notes": True},
    )
    return Desk(chosen, store, Wakeups.connect(redis_url))


def proposed(terminal):
    now = datetime.now(UTC)
    made = record(requested_at=now, expires_at=now + timedelta(hours=1))
    terminal.store.propose(made, Event(Happened.PLAN_PROPOSED, now, "prod", "A plan.", plan_id=made.id))
    return made


def test_a_cluster_where_nothing_has_run_yet_says_what_comes_first(terminal):
    """A plan, or the approval of the one that waits."""
    with pytest.raises(UnknownThing, match="make a plan with `lockkeeper plan"):
        terminal.operation(None, "prod")
    made = proposed(terminal)
    with pytest.raises(UnknownThing, match=f"the plan {made.id} waits for somebody's `lockkeeper approve {made.id}`"):
        terminal.operation(None, "prod")


def test_release_notes_are_confirmed_with_the_persons_own_signature(terminal, key):
    """Without the confirmation nothing is approved; with it the operation says what was confirmed."""
    made = proposed(terminal)
    with pytest.raises(Refused, match=r"release notes of v1\.35.*--notes-read"):
        approve(terminal, made, key)
    minors = notes_to_confirm(terminal, made)
    assert minors == ("v1.35",)
    operation = approve(terminal, made, key, minors)
    approval = terminal.store.approval(operation.id)
    keys = terminal.settings.people["grace"].ssh_keys
    assert approval.statement.notes_read == minors
    assert is_genuine(approval, bot_key=None, person_keys=keys)
    told = terminal.store.events(operation.id)[-1][1]
    assert told.sentence.endswith("Read and confirmed: the release notes of v1.35.")
    assert told.facts == {"notes_read": "v1.35"}


def test_a_plan_that_the_cluster_moved_away_from_becomes_void_instead(terminal, key):
    """The same look as at a click: at what was stored last, not at the cluster."""
    made = proposed(terminal)
    moved = replace(report(), read_at=datetime.now(UTC), identity=replace(made.plan.identity, kube_system_uid="x"))
    terminal.store.save_sighting(sight(moved))
    with pytest.raises(StaleMove, match="is void: `prod` is another cluster than the one that was planned for"):
        approve(terminal, made, key, ("v1.35",))
    assert terminal.store.plan(made.id).status is PlanStatus.VOID
    with pytest.raises(StaleMove, match=r"is void since .*another cluster"):
        approve(terminal, made, key, ("v1.35",))
    assert terminal.store.operations() == ()
