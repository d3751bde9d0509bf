"""The payloads that Slack sends to an app, as the lab's people cause them."""

import copy
import secrets
from dataclasses import dataclass
from typing import Any

from lab.slack.people import APP, BOT_USER, TEAM, Channel, Person
from lab.slack.workspace import Json, Message, View

_HOME = {"id": TEAM, "domain": "lab"}
_TOKEN = "verification-is-by-socket"  # noqa: S105 - the deprecated field; nobody may rely on it


@dataclass(frozen=True, slots=True)
class Source:
    """Who acts, and where a bot may answer."""

    person: Person
    trigger: str
    response_url: str = ""


def _base(kind: str, source: Source) -> Json:
    person = source.person
    return {
        "type": kind,
        "team": _HOME,
        "enterprise": None,
        "is_enterprise_install": False,
        "api_app_id": APP,
        "token": _TOKEN,
        "trigger_id": source.trigger,
        "user": {"id": person.id, "username": person.handle, "name": person.handle, "team_id": person.team},
    }


def slash_command(source: Source, channel: Channel, command: str, text: str) -> Json:
    name = "privategroup" if channel.is_private else channel.name
    return {
        "token": _TOKEN,
        "team_id": TEAM,
        "team_domain": "lab",
        "channel_id": channel.id,
        "channel_name": name,
        "user_id": source.person.id,
        "user_name": source.person.handle,
        "command": command,
        "text": text,
        "api_app_id": APP,
        "is_enterprise_install": "false",
        "response_url": source.response_url,
        "trigger_id": source.trigger,
    }


def mention(message: Message) -> Json:
    event = {
        "type": "app_mention",
        **copy.deepcopy(message.body),
        "channel": message.channel,
        "event_ts": message.ts,
    }
    event["type"] = "app_mention"
    return {
        "token": _TOKEN,
        "team_id": TEAM,
        "api_app_id": APP,
        "type": "event_callback",
        "event": event,
        "event_id": f"Ev{secrets.token_hex(5).upper()}",
        "event_time": int(float(message.ts)),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": TEAM,
                "user_id": BOT_USER,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": True,
        "event_context": f"4-{secrets.token_hex(8)}",
    }


def message_action(source: Source, channel: Channel, message: Message, action: Json) -> Json:
    container: Json = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": channel.id,
        "is_ephemeral": bool(message.visible_to),
    }
    if message.thread:
        container["thread_ts"] = message.thread
    payload = {
        **_base("block_actions", source),
        "container": container,
        "channel": {"id": channel.id, "name": channel.name},
        "state": {"values": {}},
        "response_url": source.response_url,
        "actions": [action],
    }
    if not message.visible_to:  # Slack keeps no ephemeral, so it cannot send one along
        payload["message"] = copy.deepcopy(message.body)
    return payload


def view_action(source: Source, view: View, action: Json) -> Json:
    return {
        **_base("block_actions", source),
        "container": {"type": "view", "view_id": view.id},
        "view": copy.deepcopy(view.body),
        "actions": [action],
    }


def view_submission(source: Source, view: View) -> Json:
    return {**_base("view_submission", source), "view": copy.deepcopy(view.body), "response_urls": []}


def view_closed(source: Source, view: View, *, cleared: bool) -> Json:
    return {**_base("view_closed", source), "view": copy.deepcopy(view.body), "is_cleared": cleared}


def suggestion(source: Source, place: Json, element: Json, block_id: str, typed: str) -> Json:
    """What an external select asks while somebody types."""
    asked = {"action_id": element["action_id"], "block_id": block_id, "value": typed}
    return {**_base("block_suggestion", source), **place, **asked}


_CHOICE = {
    "checkboxes": "selected_options",
    "users_select": "selected_user",
    "conversations_select": "selected_conversation",
    "datepicker": "selected_date",
    "plain_text_input": "value",
}


def action_of(element: Json, block_id: str, ts: str, chosen: Any = None) -> Json:
    """One entry of ``actions``: the element as the person used it."""
    action: Json = {
        "type": element["type"],
        "action_id": element["action_id"],
        "block_id": block_id,
        "action_ts": ts,
    }
    if element["type"] == "button":
        kept = ("text", "value", "style", "url", "confirm")
        return action | {name: element[name] for name in kept if name in element}
    return action | {_CHOICE.get(element["type"], "selected_option"): chosen}
