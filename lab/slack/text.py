"""A message as plain text, for a terminal: what a reader of the channel would see, line by line."""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from typing import Any

from lab.slack.escaping import unescape
from lab.slack.people import Directory

Json = dict[str, Any]

_EMOJI = {
    "white_check_mark": "✅",
    "heavy_check_mark": "✔",
    "hourglass_flowing_sand": "⏳",
    "hourglass": "⌛",
    "warning": "⚠",
    "x": "❌",
    "no_entry": "⛔",
    "no_entry_sign": "🚫",
    "octagonal_sign": "🛑",
    "white_circle": "○",
    "large_green_circle": "🟢",
    "large_yellow_circle": "🟡",
    "red_circle": "🔴",
    "arrows_counterclockwise": "🔄",
    "double_vertical_bar": "⏸",
    "pause_button": "⏸",
    "arrow_forward": "▶",
    "lock": "🔒",
    "rotating_light": "🚨",
    "information_source": "ℹ",  # noqa: RUF001 - this is the emoji
    "tada": "🎉",
    "ship": "🚢",
}
_SHORTCODE = re.compile(r":([a-z0-9_+-]+):")
_TOKEN = re.compile(r"<([^<>]+)>")
_CODE = re.compile(r"`+")


def render_text(message: Json, directory: Directory | None = None) -> str:
    """The whole message as text; people and groups by name where a directory is given."""
    names = directory or Directory()
    blocks = message.get("blocks")
    lines = [line for block in blocks for line in _block(block, names)] if blocks else []
    if not lines:
        lines = _mrkdwn(message.get("text", ""), names).splitlines()
    lines += [f"[file {file['name']}]" for file in message.get("files", ())]
    return "\n".join(line.rstrip() for line in lines)


def _block(block: Json, names: Directory) -> Iterator[str]:
    draw = _DRAWN.get(block["type"])
    if draw is None:
        yield f"[{block['type']}]"
    else:
        yield from draw(block, names)


def _header(block: Json, names: Directory) -> Iterator[str]:
    yield _text(block["text"], names).upper()


def _context(block: Json, names: Directory) -> Iterator[str]:
    yield " · ".join(_text(one, names) for one in block["elements"] if one["type"] != "image")


def _actions(block: Json, _names: Directory) -> Iterator[str]:
    yield " ".join(_element(element) for element in block["elements"])


def _divider(_block: Json, _names: Directory) -> Iterator[str]:
    yield "—" * 20


def _markdown(block: Json, _names: Directory) -> Iterator[str]:
    yield from unescape(block["text"]).splitlines()


def _plan(block: Json, names: Directory) -> Iterator[str]:
    yield unescape(block["title"])
    for task in block.get("tasks", ()):
        yield from (f"  {line}" for line in _task(task, names))


def _task(block: Json, _names: Directory) -> Iterator[str]:
    yield f"[{block['status']}] {unescape(block['title'])}"


def _input(block: Json, names: Directory) -> Iterator[str]:
    yield f"{_text(block['label'], names)}: ____"


def _section(block: Json, names: Directory) -> Iterator[str]:
    if "text" in block:
        yield from _text(block["text"], names).splitlines()
    for field in block.get("fields", ()):
        yield "  " + ": ".join(part.strip() for part in _text(field, names).splitlines() if part.strip())
    if "accessory" in block:
        yield _element(block["accessory"])


def _element(element: Json) -> str:
    if element["type"] == "button":
        return f"[ {_emoji(unescape(element['text']['text']))} ]"
    return f"[ {element['type']} ]"


def _text(node: Json, names: Directory) -> str:
    if node["type"] == "mrkdwn":
        return _mrkdwn(node["text"], names)
    return _emoji(unescape(node["text"]))


def _mrkdwn(text: str, names: Directory) -> str:
    plain = _TOKEN.sub(lambda token: _token(token[1], names), text)
    return _emoji(unescape(_CODE.sub("`", plain)))


def _token(token: str, names: Directory) -> str:
    target, _, label = token.partition("|")
    if target.startswith("@"):
        return _person(target[1:], names)
    if target.startswith("!subteam^"):
        return _group(target.removeprefix("!subteam^"), names)
    if target.startswith("#"):
        channel = names.channels.get(target[1:])
        return f"#{channel.name if channel else target[1:]}"
    if target.startswith("!"):
        return label or f"@{target[1:]}"
    return f"{label} ({target})" if label else target


def _person(identity: str, names: Directory) -> str:
    person = names.people.get(identity)
    return f"@{person.handle if person else identity}"


def _group(identity: str, names: Directory) -> str:
    group = names.groups.get(identity)
    return f"@{group.handle if group else identity}"


def _emoji(text: str) -> str:
    return _SHORTCODE.sub(lambda code: _EMOJI.get(code[1], code[0]), text)


def _rich(block: Json, names: Directory) -> Iterator[str]:
    for part in block["elements"]:
        match part["type"]:
            case "rich_text_list":
                indent = "  " * part.get("indent", 0)
                for number, item in enumerate(part["elements"], start=1 + part.get("offset", 0)):
                    bullet = f"{number}." if part["style"] == "ordered" else "•"
                    yield f"{indent}{bullet} {_inline(item, names)}"
            case "rich_text_quote":
                yield from (f"> {line}" for line in _inline(part, names).splitlines())
            case "rich_text_preformatted":
                yield from (f"    {line}" for line in _inline(part, names).splitlines())
            case _:
                yield from _inline(part, names).splitlines()


def _inline(part: Json, names: Directory) -> str:
    return "".join(_piece(piece, names) for piece in part["elements"])


def _piece(piece: Json, names: Directory) -> str:
    draw = _PIECES.get(piece["type"])
    return draw(piece, names) if draw else unescape(piece["text"])


def _date(piece: Json, _names: Directory) -> str:
    moment = dt.datetime.fromtimestamp(piece["timestamp"], tz=dt.UTC)
    return str(piece.get("fallback") or moment.strftime("%Y-%m-%d %H:%M UTC"))


_PIECES: dict[str, Callable[[Json, Directory], str]] = {
    "emoji": lambda piece, _: _emoji(f":{piece['name']}:"),
    "user": lambda piece, names: _person(piece["user_id"], names),
    "usergroup": lambda piece, names: _group(piece["usergroup_id"], names),
    "channel": lambda piece, names: _token(f"#{piece['channel_id']}", names),
    "link": lambda piece, _: unescape(piece.get("text") or piece["url"]),
    "date": _date,
    "broadcast": lambda piece, _: f"@{piece['range']}",
}


def _table(block: Json, names: Directory) -> Iterator[str]:
    rows = [[_cell(cell, names) for cell in row] for row in block["rows"]]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))


def _cell(cell: Json, names: Directory) -> str:
    if cell["type"] == "rich_text":
        return " ".join(_rich(cell, names))
    if cell["type"] == "raw_number":
        return str(cell.get("text", cell["value"]))
    return unescape(cell["text"])


_DRAWN: dict[str, Callable[[Json, Directory], Iterator[str]]] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "actions": _actions,
    "divider": _divider,
    "rich_text": _rich,
    "table": _table,
    "markdown": _markdown,
    "plan": _plan,
    "task_card": _task,
    "input": _input,
}
