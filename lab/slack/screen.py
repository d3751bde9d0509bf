"""What one person sees in the page, as JSON: channels, messages, modals, and who else is there."""

from typing import Any

from lab.slack.people import BOT_NAME, BOT_USER, PEOPLE, Channel
from lab.slack.workspace import Json, Message, View, Workspace


def draw_screen(workspace: Workspace, user: str) -> Json:
    """Everything that the page needs to draw itself for this person."""
    channels = [one for one in workspace.directory.channels.values() if user in one.members]
    seen = {one.id for one in channels}
    visible = [one for one in workspace.timeline if one.channel in seen and one.visible_to in {"", user}]
    return {
        "me": user,
        "bot": {"id": BOT_USER, "name": BOT_NAME},
        "people": [{"id": one.id, "name": one.name, "handle": one.handle, "part": one.part} for one in PEOPLE],
        "names": {one.id: one.name for one in workspace.directory.people.values()},
        "handles": {one.handle: one.id for one in workspace.directory.people.values()},
        "groups": {one.id: one.handle for one in workspace.directory.groups.values()},
        "channels": [_channel(one) for one in channels],
        "messages": [_message(one) for one in visible],
        "view": _view(workspace.stack(user)),
    }


def _channel(channel: Channel) -> Json:
    return {
        "id": channel.id,
        "name": channel.name,
        "direct": channel.id.startswith("D"),
        "has_bot": BOT_USER in channel.members,
    }


def _message(message: Message) -> Json:
    kept = ("ts", "user", "text", "blocks", "thread_ts", "reply_count", "subtype", "edited", "files")
    body: dict[str, Any] = {name: message.body[name] for name in kept if name in message.body}
    return {**body, "channel": message.channel, "ephemeral": bool(message.visible_to)}


def _view(stack: list[View]) -> Json | None:
    if not stack:
        return None
    top = stack[-1]
    return {**top.body, "errors": top.errors, "failed": top.failed}
