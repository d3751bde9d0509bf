"""Who asked, from where: the few fields of Slack's payloads that count, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One command, click, mention or submitted modal. Ids only; names are decoration."""

    user: str
    channel: str
    workspaces: frozenset[str]  # where it happened: team and enterprise ids
    homes: frozenset[str]  # where the acting person belongs, as far as the payload says; empty when it does not
    thread: str = ""
    response_url: str = ""
    trigger_id: str = ""

    def is_home(self, team: str) -> bool:
        """Whether both the place and the person are of our workspace; in shared channels others can click too."""
        return team in self.workspaces and (not self.homes or team in self.homes)


def from_command(body: Payload) -> Asked:
    """A slash command; its payload names the workspace of the person who typed."""
    return Asked(
        user=_text(body, "user_id"),
        channel=_text(body, "channel_id"),
        workspaces=_ids(body.get("team_id"), body.get("enterprise_id")),
        homes=frozenset(),
        response_url=_text(body, "response_url"),
        trigger_id=_text(body, "trigger_id"),
    )


def from_action(body: Payload) -> Asked:
    """A click on a button."""
    container = _part(body, "container")
    return Asked(
        user=_text(_part(body, "user"), "id"),
        channel=_text(_part(body, "channel"), "id") or _text(container, "channel_id"),
        workspaces=_workspaces(body),
        homes=_ids(_part(body, "user").get("team_id"), _part(body, "user").get("enterprise_id")),
        thread=_text(container, "thread_ts"),
        response_url=_text(body, "response_url"),
        trigger_id=_text(body, "trigger_id"),
    )


def clicked(body: Payload) -> tuple[str, str]:
    """Which button, and what it carries; the name decides, the value only says what it is about."""
    actions = body.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else None
    button = first if isinstance(first, Mapping) else {}
    return _text(button, "action_id"), _text(button, "value")


def entered(body: Payload, block: str, field: str) -> str:
    """What somebody wrote into a field of a submitted modal."""
    return _text(_part(_part(filled(body), block), field), "value")


def filled(body: Payload) -> Payload:
    """All fields of a submitted modal, by block and field."""
    return _part(_part(_part(body, "view"), "state"), "values")


def metadata(body: Payload) -> str:
    return _text(_part(body, "view"), "private_metadata")


def from_view(body: Payload, channel: str) -> Asked:
    """A submitted modal; the channel is the one where its button was clicked."""
    return Asked(
        user=_text(_part(body, "user"), "id"),
        channel=channel,
        workspaces=_workspaces(body),
        homes=_ids(_part(body, "user").get("team_id"), _part(body, "user").get("enterprise_id")),
    )


def heard(body: Payload) -> tuple[str, str]:
    """The event's id and its text; "" for a message that a bot wrote."""
    event = _part(body, "event")
    return _text(body, "event_id"), "" if event.get("bot_id") else _text(event, "text")


def from_mention(body: Payload) -> Asked:
    """A message that mentions the bot; the only way to speak with it in a thread."""
    event = _part(body, "event")
    return Asked(
        user=_text(event, "user"),
        channel=_text(event, "channel"),
        workspaces=_ids(body.get("team_id"), body.get("enterprise_id")),
        homes=_ids(event.get("user_team"), event.get("source_team")),
        thread=_text(event, "thread_ts"),
    )


def _workspaces(body: Payload) -> frozenset[str]:
    return _ids(_part(body, "team").get("id"), _part(body, "enterprise").get("id"))


def _part(body: Payload, key: str) -> Payload:
    part = body.get(key)
    return part if isinstance(part, Mapping) else {}


def _text(body: Payload, key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _ids(*values: object) -> frozenset[str]:
    return frozenset(v for v in values if isinstance(v, str) and v)
