"""`lockkeeper doctor` finds what a newcomer gets wrong about Slack before the first command is typed."""

from __future__ import annotations

import pytest

from bot.doctor import examine_slack, untold
from cluster.events import Event, Happened
from cluster.outbox import OutboxItem, OutboxKind
from lab.slack import LabSlack
from tests.bot_fixture import CHANNEL, NOW, settings
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]


@pytest.fixture
def slack(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with LabSlack() as running:
        monkeypatch.setenv("LOCKKEEPER_TEST_BOT_TOKEN", running.bot_token)
        monkeypatch.setenv("LOCKKEEPER_TEST_APP_TOKEN", running.app_token)
        yield running


def chosen(slack, groups=("S0KEEPERS",), **changes):
    tokens = {"bot_token": {"env": "LOCKKEEPER_TEST_BOT_TOKEN"}, "app_token": {"env": "LOCKKEEPER_TEST_APP_TOKEN"}}
    named = {**tokens, "team_id": "T0LAB", "api_url": slack.api_url, **changes}
    return settings(slack=named, approvals={"approvers": ["grace"], "user_groups": list(groups)})


def test_a_slack_that_is_ready_is_said(slack):
    """One note, which also says what cannot be seen from here."""
    (ready,) = examine_slack(chosen(slack))
    assert (ready.code, ready.subject) == ("slack-ready", "T0LAB")
    assert "/invite" in ready.sentence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bot_token": {"env": "LOCKKEEPER_TEST_APP_TOKEN"}}, "auth.test"),
        ({"bot_token": {"env": "LOCKKEEPER_TEST_NOWHERE"}}, "LOCKKEEPER_TEST_NOWHERE is empty"),
        ({"app_token": {"env": "LOCKKEEPER_TEST_BOT_TOKEN"}}, "slack.app_token: Slack refuses apps.connections.open"),
        ({"app_token": {"env": "LOCKKEEPER_TEST_NOWHERE"}}, "LOCKKEEPER_TEST_NOWHERE is empty"),
        ({"team_id": "T0OTHER"}, "workspace T0LAB, and `slack.team_id` names another"),
        ({"groups": ("S0NOBODY",)}, "S0NOBODY: Slack refuses usergroups.users.list"),
        ({"on_call": {"mention": "S0NOBODY"}}, "S0NOBODY: Slack refuses usergroups.users.list"),
        ({"on_call": {"mention": "U0NOBODY"}}, "U0NOBODY: Slack refuses users.info"),
        ({"api_url": "http://127.0.0.1:1/api/"}, "Slack cannot be reached for auth.test"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(slack, changes, words):
    """Each of them would otherwise show itself as silence in Slack."""
    (found,) = examine_slack(chosen(slack, **changes))
    assert found.code == "slack-not-ready"
    assert words in found.sentence


def test_without_slack_nothing_is_asked(slack):
    """The command line works alone."""
    assert examine_slack(settings(slack=None)) == ()


def test_what_slack_does_not_take_is_found_by_its_reason(store):
    """Somebody forgot to invite the bot, and wonders why there is no card."""
    told = Event(Happened.DRIVER_TOOK_OVER, NOW, "prod", "A line.")
    items = tuple(OutboxItem(f"line:{n}", OutboxKind.POST, CHANNEL, event=told) for n in range(3))
    store.outbox_ingest("0", "1-0", items)
    assert untold(store) == ()
    for n in range(2):
        store.outbox_defer(f"line:{n}", NOW, "Slack refuses chat.postMessage: not_in_channel.")
    (found,) = untold(store)
    assert found.code == "messages-untold"
    assert "2 messages to the channel C0OPS" in found.sentence
    assert "not_in_channel" in found.sentence
    assert "Invite the bot" in found.remedy
