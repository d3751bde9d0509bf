"""What `lockkeeper doctor` asks of Slack and Redis: are tokens, workspace and groups good, is anything still untold?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from bot.delivery import SlackAway, SlackRefused, ask, connect
from bot.text import count
from cluster.errors import InvalidConfig, StoreUnavailable
from cluster.findings import Finding, Findings, Severity
from cluster.settings import Settings, Slack
from cluster.store import Store


def examine_slack(settings: Settings) -> Findings:
    """A note where Slack is ready, a finding for each thing that is not; nothing without a `slack` part."""
    slack = settings.slack
    if slack is None:
        return ()
    try:
        found = tuple(_examine(settings, slack))
    except InvalidConfig as error:  # where workers run the tokens are not, and need not be
        sentence = f"Slack was not asked. {error}"
        remedy = "Run this where `lockkeeper serve` runs."
        return (Finding("slack-not-ready", Severity.WARNING, slack.team_id, sentence, remedy),)
    sentence = (
        f"Slack knows our tokens, in the workspace {slack.team_id}. "
        "Whether the bot is in its channels shows itself as soon as it posts: /invite it there."
    )
    return found or (Finding("slack-ready", Severity.NOTE, slack.team_id, sentence, ""),)


def examine_store(store: Store, now: datetime) -> Findings:
    """What is to be said of Redis; an unreachable one is a finding, not an exception."""
    try:
        return (*store.check_clock(now), *store.check())
    except StoreUnavailable as error:
        remedy = "Start Redis, or correct REDIS_URL."
        return (Finding("redis-unreachable", Severity.BLOCKER, "Redis", str(error), remedy),)


def untold(store: Store) -> Findings:
    """What Slack did not take and still waits: a channel without the bot shows itself here."""
    try:
        waiting = [item for item in store.outbox_pending() if item.error]
    except StoreUnavailable:
        return ()  # Redis has a finding of its own
    why = Counter((item.channel, item.error) for item in waiting)
    return tuple(
        Finding(
            "messages-untold",
            Severity.WARNING,
            channel,
            f"{count(number, 'message')} to the channel {channel} could not be told yet. {error}",
            "Invite the bot there, or correct the channel; they are told as soon as Slack takes them.",
        )
        for (channel, error), number in why.items()
    )


def _examine(settings: Settings, slack: Slack) -> Iterator[Finding]:
    client = connect(slack.bot_token.read(), slack.api_url)
    app_token = slack.app_token.read() if slack.mode == "socket" and slack.app_token else ""
    try:
        ours = ask("auth.test", client.auth_test)
    except (SlackAway, SlackRefused) as error:
        yield _blocked("slack.bot_token", str(error))
        return
    if slack.team_id not in {ours.get("team_id"), ours.get("enterprise_id")}:
        sentence = f"The bot's token is one of the workspace {ours.get('team_id')}, and `slack.team_id` names another."
        yield _blocked(slack.team_id, sentence)
    for group in dict.fromkeys((*settings.approvals.user_groups, *_on_call(settings, "S"))):
        yield from _tried(group, "usergroups.users.list", partial(client.usergroups_users_list, usergroup=group))
    for person in _on_call(settings, "UW"):
        yield from _tried(person, "users.info", partial(client.users_info, user=person))
    if app_token:
        opened = partial(client.apps_connections_open, app_token=app_token)
        yield from _tried("slack.app_token", "apps.connections.open", opened)


def _on_call(settings: Settings, kinds: str) -> tuple[str, ...]:
    """Whoever is mentioned where a run waits for a person: a group, or people, by the first letter of their id."""
    chosen = (settings.on_call(name) for name in settings.clusters)
    return tuple(dict.fromkeys(c.mention for c in chosen if c is not None and c.mention[0] in kinds))


def _tried(subject: str, method: str, call: Callable[[], object]) -> Iterator[Finding]:
    try:
        ask(method, call)
    except (SlackAway, SlackRefused) as error:
        yield _blocked(subject, f"{subject}: {error}")


def _blocked(subject: str, sentence: str) -> Finding:
    remedy = "Mend it, and run `lockkeeper doctor` again."
    return Finding("slack-not-ready", Severity.BLOCKER, subject, sentence, remedy)
