"""The Web API's ``chat.*`` methods and the reading of what a bot wants to say."""

import json
from typing import Any

from lab.slack import limits
from lab.slack.escaping import echo, escape_mrkdwn
from lab.slack.lint import count_tables, count_text, lint_blocks
from lab.slack.people import BOT_USER, Channel
from lab.slack.refusals import Refused
from lab.slack.workspace import Json, Message, Workspace, new_id


def read_content(args: Json, *, total_limit: bool = True) -> Json:
    """Text, blocks and attachments as Slack would keep them, or the refusal that it would give."""
    text, blocks, attachments = args.get("text") or "", args.get("blocks"), args.get("attachments")
    if not text and not blocks and not attachments:
        raise Refused("no_text")
    content: Json = {"text": escape_mrkdwn(str(text))[: limits.MESSAGE_TEXT]}
    if blocks:
        content["blocks"] = read_blocks(blocks, total_limit=total_limit)
    if attachments:
        content["attachments"] = [_attachment(one, index) for index, one in enumerate(attachments)]
    return content


def read_blocks(blocks: Any, *, total_limit: bool) -> list[Json]:
    if not isinstance(blocks, list):
        raise Refused("invalid_blocks_format")
    if problems := lint_blocks(blocks, "message"):
        raise Refused("invalid_blocks", problems)
    if count_tables(blocks) > limits.MESSAGE_TABLES:
        raise Refused("invalid_attachments", ["only one table is allowed in a message [json-pointer:/blocks]"])
    if total_limit and count_text(blocks) > limits.MESSAGE_TOTAL_TEXT:
        raise Refused("msg_blocks_too_long")
    return name_blocks(echo(blocks))


def name_blocks(blocks: list[Json]) -> list[Json]:
    """Slack gives every block a block_id, and every element that acts an action_id."""
    for block in blocks:
        block.setdefault("block_id", new_id("b")[:5])
        held = block.get("elements", []) if block["type"] == "actions" else []
        for element in (*held, block.get("accessory"), block.get("element")):
            if isinstance(element, dict) and element["type"] != "image":
                element.setdefault("action_id", new_id("a")[:5])
    return blocks


def _attachment(attachment: Json, index: int) -> Json:
    blocks = attachment.get("blocks", [])
    if problems := lint_blocks(blocks, "message", f"/attachments/{index}/blocks"):
        raise Refused("invalid_attachments", problems)
    kept: Json = echo(attachment, "mrkdwn")
    return kept


def reach(workspace: Workspace, channel: str) -> Channel:
    """The channel, if the bot may speak there; a person's id means their direct messages."""
    if channel in workspace.directory.people:
        return open_direct(workspace, channel)
    found = workspace.directory.channels.get(channel)
    if found is None or (found.is_private and BOT_USER not in found.members):
        raise Refused("channel_not_found")
    if BOT_USER not in found.members:
        raise Refused("not_in_channel")
    if found.is_archived:
        raise Refused("is_archived")
    return found


def open_direct(workspace: Workspace, user: str) -> Channel:
    direct = Channel(f"D{user[1:]}", "direct", frozenset({user, BOT_USER}), is_private=True)
    return workspace.directory.channels.setdefault(direct.id, direct)


def post_message(workspace: Workspace, args: Json, now: float) -> Json:
    channel = reach(workspace, str(args.get("channel", "")))
    content = read_content(args)
    if thread := args.get("thread_ts"):
        root = workspace.find(channel.id, str(thread))
        if root is None or root.visible_to:
            raise Refused("thread_not_found")
        content["thread_ts"] = root.thread or root.ts
        if _truth(args.get("reply_broadcast")):
            content["subtype"] = "thread_broadcast"
    message = workspace.post_as_bot(channel.id, content, now)
    if metadata := args.get("metadata"):
        message.metadata = _metadata(metadata)
    return {"ok": True, "channel": channel.id, "ts": message.ts, "message": message.body}


def _metadata(metadata: Any) -> Json:
    if isinstance(metadata, str):
        metadata = json.loads(metadata)
    if not isinstance(metadata, dict) or not {"event_type", "event_payload"} <= metadata.keys():
        raise Refused("invalid_metadata_format")
    return metadata


def _own(workspace: Workspace, args: Json, otherwise: str) -> Message:
    channel = reach(workspace, str(args.get("channel", "")))
    message = workspace.find(channel.id, str(args.get("ts", "")))
    if message is None or message.visible_to:
        raise Refused("message_not_found")
    if message.body["user"] != BOT_USER:
        raise Refused(otherwise)
    return message


def update(workspace: Workspace, args: Json, now: float) -> Json:
    """Both halves are replaced: text without blocks removes the blocks."""
    message = _own(workspace, args, "cant_update_message")
    content = read_content(args)
    for old in ("blocks", "attachments"):
        message.body.pop(old, None)
    message.body |= content
    if "blocks" not in content:
        message.body["edited"] = {"user": BOT_USER, "ts": workspace.stamp(now)}
    if metadata := args.get("metadata"):
        message.metadata = _metadata(metadata)
    workspace.edited(message)
    return {
        "ok": True,
        "channel": message.channel,
        "ts": message.ts,
        "text": message.body["text"],
        "message": message.body,
    }


def delete(workspace: Workspace, args: Json) -> Json:
    message = _own(workspace, args, "cant_delete_message")
    workspace.remove(message)
    return {"ok": True, "channel": message.channel, "ts": message.ts}


def post_ephemeral(workspace: Workspace, args: Json, now: float) -> Json:
    channel, user = reach(workspace, str(args.get("channel", ""))), str(args.get("user", ""))
    if user not in channel.members:
        raise Refused("user_not_in_channel")
    content = read_content(args)
    if thread := args.get("thread_ts"):
        content["thread_ts"] = str(thread)
    message = workspace.post_as_bot(channel.id, content, now, visible_to=user)
    return {"ok": True, "message_ts": message.ts}


def get_permalink(workspace: Workspace, args: Json) -> Json:
    channel, ts = str(args.get("channel", "")), str(args.get("message_ts", ""))
    if channel not in workspace.directory.channels:
        raise Refused("channel_not_found")
    message = workspace.find(channel, ts)
    if message is None:
        raise Refused("message_not_found")
    link = f"{workspace.home}archives/{channel}/p{ts.replace('.', '')}"
    if message.thread and message.thread != ts:
        link += f"?thread_ts={message.thread}&cid={channel}"
    return {"ok": True, "channel": channel, "permalink": link}


def respond(workspace: Workspace, path: str, body: Json, now: float) -> None:
    """What a POST to a response URL does: answer, replace or delete."""
    url = workspace.tickets.use(path, now)
    original = workspace.find(url.channel, url.message) if url.message else None
    if body.get("delete_original") and original is not None:
        workspace.remove(original)
        return
    content = read_content(body, total_limit=False)
    if body.get("replace_original") and original is not None:
        for old in ("blocks", "attachments"):
            original.body.pop(old, None)
        original.body |= content
        workspace.edited(original)
        return
    thread = str(body.get("thread_ts") or (url.thread if body.get("response_type") != "in_channel" else ""))
    if thread:
        content["thread_ts"] = thread
    in_channel = body.get("response_type") == "in_channel"
    workspace.post_as_bot(url.channel, content, now, visible_to="" if in_channel else url.user)


def _truth(value: Any) -> bool:
    return value in {True, "true", "1"}
