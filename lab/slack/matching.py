"""Finding the message that a test or the demo means."""

from collections.abc import Callable, Iterable

from lab.slack.gestures import ImpossibleError
from lab.slack.people import Directory
from lab.slack.text import render_text
from lab.slack.workspace import Json, Message

Match = str | Json | Callable[[Json], bool]


def newest(messages: Iterable[Message], match: Match, directory: Directory) -> Message:
    for message in reversed(list(messages)):
        if _fits(message, match, directory):
            return message
    raise ImpossibleError(f"There is no message that fits {match!r}.")


def _fits(message: Message, match: Match, directory: Directory) -> bool:
    if isinstance(match, str):
        return match == message.ts or match in render_text(message.body, directory)
    if isinstance(match, dict):
        return bool(message.ts == match["ts"])
    return match(message.as_json())


def asks_again(blocks: list[Json], action_id: str) -> bool:
    every = (one for block in blocks for one in (*block.get("elements", ()), block.get("accessory")))
    return any(one.get("action_id") == action_id and "confirm" in one for one in every if isinstance(one, dict))
