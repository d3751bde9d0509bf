"""The Web API's ``views.*`` methods: modals in a stack of at most three, opened by a trigger."""

import json
import secrets
from typing import Any

from lab.slack import limits
from lab.slack.chat import name_blocks
from lab.slack.escaping import echo
from lab.slack.lint import lint_view
from lab.slack.people import APP, BOT, TEAM
from lab.slack.refusals import Refused
from lab.slack.workspace import Json, View, Workspace, new_id


def read_view(view: Any) -> Json:
    """The modal as Slack keeps it, or ``invalid_arguments`` with pointers."""
    if isinstance(view, str):
        view = json.loads(view)
    if problems := lint_view(view):
        raise Refused("invalid_arguments", problems)
    body: Json = echo(view)
    body["blocks"] = name_blocks(body["blocks"])
    return {
        "team_id": TEAM,
        "app_id": APP,
        "app_installed_team_id": TEAM,
        "bot_id": BOT,
        "callback_id": "",
        "private_metadata": "",
        "external_id": "",
        "clear_on_close": False,
        "notify_on_close": False,
        "submit": None,
        "close": None,
        **body,
        "state": {"values": {}},
        "hash": _hash(),
    }


def _hash() -> str:
    return f"{secrets.randbelow(10**10)}.{secrets.token_hex(4)}"


def put_on_stack(workspace: Workspace, user: str, view: Any, *, fresh: bool) -> View:
    """Show a modal to a person; ``fresh`` throws away what was open."""
    body = read_view(view)
    stack = workspace.stack(user)
    if fresh:
        stack.clear()
    if len(stack) >= limits.MODAL_STACK:
        raise Refused("push_limit_reached")
    identity = new_id("V")
    body |= {
        "id": identity,
        "root_view_id": stack[0].id if stack else identity,
        "previous_view_id": stack[-1].id if stack else None,
    }
    shown = View(user, body)
    stack.append(shown)
    workspace.viewed(user)
    return shown


def replace_view(workspace: Workspace, shown: View, view: Any) -> View:
    """Draw other content into an open modal."""
    kept = {name: shown.body[name] for name in ("id", "root_view_id", "previous_view_id")}
    shown.body = {**read_view(view), **kept}
    shown.errors, shown.failed = {}, ""
    workspace.viewed(shown.user)
    return shown


def open_view(workspace: Workspace, args: Json, now: float) -> Json:
    if problems := lint_view(_as_object(args.get("view"))):  # a bad view does not use up the trigger
        raise Refused("invalid_arguments", problems)
    trigger = workspace.tickets.redeem(str(args.get("trigger_id", "")), now)
    return {"ok": True, "view": put_on_stack(workspace, trigger.user, args["view"], fresh=True).body}


def push_view(workspace: Workspace, args: Json, now: float) -> Json:
    trigger = workspace.tickets.redeem(str(args.get("trigger_id", "")), now)
    if not trigger.view:
        raise Refused("invalid_trigger_id", ["only a trigger from an open modal can push another one"])
    return {"ok": True, "view": put_on_stack(workspace, trigger.user, args.get("view"), fresh=False).body}


def update_view(workspace: Workspace, args: Json) -> Json:
    shown = workspace.view(str(args.get("view_id", "")), str(args.get("external_id", "")))
    if args.get("hash") and args["hash"] != shown.body["hash"]:
        raise Refused("hash_conflict")
    return {"ok": True, "view": replace_view(workspace, shown, args.get("view")).body}


def _as_object(view: Any) -> Any:
    return json.loads(view) if isinstance(view, str) else view
