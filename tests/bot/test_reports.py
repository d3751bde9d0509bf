"""What `help` and `status` say, to the person who asked alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from bot.blocks import spans
from bot.reports import report_status, show_help
from bot.run_card import render_run, summarise
from cluster.events import Event, Happened
from cluster.operation import OperationState, Wish
from cluster.report import ClusterIdentity
from tests.bot_fixture import CHANNEL, NOW, operation, plan, record
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]


def texts(value: object) -> str:
    if isinstance(value, dict):
        own = value["text"] if isinstance(value.get("text"), str) else ""
        return own + "".join(texts(v) for v in value.values() if not isinstance(v, str))
    return "".join(texts(v) for v in value) if isinstance(value, list | tuple) else ""


def test_the_help_is_written_as_commands_and_words():
    """What stands in backticks is code, and no mark is left over."""
    message = show_help(SimpleNamespace(command="/k8s"))
    assert "`" not in texts(message.blocks)
    assert "/k8s plan <version> [cluster]" in texts(message.blocks)


def test_a_status_asks_slack_for_no_more_links_than_it_shows(store):
    """Many plans wait: ten are listed, the others counted, and those cost no call."""
    asked: list[str] = []
    names = tuple(f"cluster-{n}" for n in range(15))
    for name in names:
        made = record(id=f"p-{name}", plan=replace(plan(), identity=ClusterIdentity(name, "0" * 64, "uid")))
        store.propose(made, Event(Happened.PLAN_PROPOSED, NOW, name, "A plan.", plan_id=made.id))
    station = SimpleNamespace(
        store=store,
        command="/k8s",
        clock=lambda: NOW,
        check_home=lambda _: None,
        settings=SimpleNamespace(clusters=dict.fromkeys(names)),
        delivery=SimpleNamespace(link=lambda _, ts: asked.append(ts) or ""),
    )
    store.message = lambda key: SimpleNamespace(channel=CHANNEL, ts=key)
    said = texts(report_status(station, None, None).blocks)
    assert said.count("Waits for approval") == 10
    assert "and 5 more" in said
    assert len(asked) == 10


def test_why_a_run_stands_is_a_sentence_of_its_own():
    """It follows another one, on the card and in a status."""
    stands = replace(operation(OperationState.PARKED), reason="paused by grace", wish=Wish.PAUSE, wished_by="grace")
    assert summarise(record(), stands).endswith("machines. Paused by grace.")
    assert "\nPaused by grace\n" in texts(render_run(record(), stands, NOW).blocks)


def test_a_sentence_of_marks_alone_is_still_something():
    """Slack refuses a line without anything in it, and with it the whole message."""
    assert spans("``")
    assert spans("` `")
