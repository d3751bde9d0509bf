"""The Slack app asks for exactly what the bot uses."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from cluster.settings import Slack

ROOT = Path(__file__).parents[2]
MANIFEST = json.loads((ROOT / "docs" / "slack-manifest.json").read_text(encoding="utf-8"))
SCOPES = {  # of the Web API's methods, from Slack's reference; None needs no scope
    "chat_postMessage": "chat:write",
    "chat_update": "chat:write",
    "chat_postEphemeral": "chat:write",
    "chat_getPermalink": None,
    "files_upload_v2": "files:write",
    "views_open": None,
    "views_update": None,
    "users_info": "users:read",
    "usergroups_users_list": "usergroups:read",
}


def called() -> set[str]:
    """Every method of the Web API's client that stands in the bot's code."""
    found: set[str] = set()
    for path in (ROOT / "bot").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Attribute)
                and node.value.attr == "client"
            ):
                found.add(node.attr)
    return found - {"proxy", "is_connected", "current_session"}  # of the Socket Mode client


def test_every_method_that_is_called_has_its_scope_and_no_scope_is_spare():
    """Least rights: the token could do nothing that the bot does not do."""
    assert called() == set(SCOPES)
    listeners = {"commands", "app_mentions:read"}
    needed = {scope for scope in SCOPES.values() if scope} | listeners
    assert set(MANIFEST["oauth_config"]["scopes"]["bot"]) == needed


def test_the_command_of_the_manifest_is_the_one_that_is_listened_to():
    """A renamed command has to be renamed in both places; the default is one name."""
    assert MANIFEST["features"]["slash_commands"][0]["command"] == Slack.model_fields["command"].default
    assert MANIFEST["settings"]["event_subscriptions"]["bot_events"] == ["app_mention"]
