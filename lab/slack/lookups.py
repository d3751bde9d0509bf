"""The Web API's reading methods (who, which group, which channel), and file uploads."""

from lab.slack.chat import open_direct, reach
from lab.slack.escaping import escape_mrkdwn
from lab.slack.people import APP, BOT, BOT_NAME, BOT_USER, TEAM, Channel
from lab.slack.refusals import Refused
from lab.slack.workspace import Json, Workspace, new_id

_LAST_PAGE = {"response_metadata": {"next_cursor": ""}}


def auth_test(workspace: Workspace, _args: Json) -> Json:
    return {
        "ok": True,
        "url": workspace.home,
        "team": "lab",
        "team_id": TEAM,
        "user": BOT_NAME,
        "user_id": BOT_USER,
        "bot_id": BOT,
        "is_enterprise_install": False,
    }


def bots_info(_workspace: Workspace, args: Json) -> Json:
    if args.get("bot", BOT) != BOT:
        raise Refused("bot_not_found")
    bot = {"id": BOT, "deleted": False, "name": BOT_NAME, "app_id": APP, "user_id": BOT_USER}
    return {"ok": True, "bot": bot}


def users_info(workspace: Workspace, args: Json) -> Json:
    person = workspace.directory.people.get(str(args.get("user", "")))
    if person is None:
        raise Refused("user_not_found")
    return {"ok": True, "user": person.profile()}


def users_list(workspace: Workspace, _args: Json) -> Json:
    return {"ok": True, "members": [one.profile() for one in workspace.directory.people.values()], **_LAST_PAGE}


def groups_list(workspace: Workspace, args: Json) -> Json:
    every = args.get("include_disabled") in {True, "true", "1"}
    groups = [one.describe() for one in workspace.directory.groups.values() if one.enabled or every]
    return {"ok": True, "usergroups": groups}


def group_members(workspace: Workspace, args: Json) -> Json:
    group = workspace.directory.groups.get(str(args.get("usergroup", "")))
    if group is None:
        raise Refused("no_such_subteam")
    return {"ok": True, "users": list(group.members) if group.enabled else []}


def _visible(workspace: Workspace, name: str) -> Channel:
    channel = workspace.directory.channels.get(name)
    if channel is None or (channel.is_private and BOT_USER not in channel.members):
        raise Refused("channel_not_found")
    return channel


def channel_info(workspace: Workspace, args: Json) -> Json:
    return {"ok": True, "channel": _visible(workspace, str(args.get("channel", ""))).describe()}


def channel_list(workspace: Workspace, _args: Json) -> Json:
    public = [one.describe() for one in workspace.directory.channels.values() if not one.is_private]
    return {"ok": True, "channels": public, **_LAST_PAGE}


def channel_members(workspace: Workspace, args: Json) -> Json:
    members = sorted(_visible(workspace, str(args.get("channel", ""))).members)
    return {"ok": True, "members": members, **_LAST_PAGE}


def open_conversation(workspace: Workspace, args: Json) -> Json:
    user = str(args.get("users", ""))
    if user not in workspace.directory.people:
        raise Refused("user_not_found")
    return {"ok": True, "channel": open_direct(workspace, user).describe()}


def begin_upload(workspace: Workspace, args: Json) -> Json:
    name = str(args.get("filename", ""))
    if not name or not str(args.get("length", "")).isdigit():
        raise Refused("invalid_arguments", ["filename and length are required"])
    file_id = new_id("F")
    workspace.files[file_id] = {"id": file_id, "name": name, "title": name, "size": int(args["length"])}
    return {"ok": True, "file_id": file_id, "upload_url": f"{workspace.api}upload/{file_id}"}


def complete_upload(workspace: Workspace, args: Json, now: float) -> Json:
    files = []
    for asked in args.get("files") or ():
        file = workspace.files.get(str(asked.get("id")))
        if file is None or "content" not in file:
            raise Refused("file_not_found")
        file["title"] = asked.get("title") or file["name"]
        files.append({key: value for key, value in file.items() if key != "content"})
    if channel := args.get("channel_id"):
        content: Json = {"text": escape_mrkdwn(str(args.get("initial_comment") or "")), "files": files}
        if thread := args.get("thread_ts"):
            content["thread_ts"] = str(thread)
        workspace.post_as_bot(reach(workspace, str(channel)).id, content, now)
    return {"ok": True, "files": files}
