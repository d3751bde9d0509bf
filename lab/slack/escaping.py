"""Slack's own habit with text: it hands back ``&``, ``<`` and ``>`` escaped, which makes texts longer."""

import html
import re
from typing import Any

# What Slack reads as a token in mrkdwn and keeps: mentions, links, dates, broadcasts.
_TOKEN = re.compile(r"<(?:[@#!][^<>\n]+|(?:https?://|mailto:)[^<>\n]+)>")
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt);)")
_IDENTIFIERS = frozenset({"action_id", "block_id", "value", "url", "image_url", "private_metadata", "callback_id"})


def escape_text(text: str) -> str:
    """Escape what is not escaped yet; an entity stays as it was sent."""
    return _BARE_AMPERSAND.sub("&amp;", text).replace("<", "&lt;").replace(">", "&gt;")


def escape_mrkdwn(text: str) -> str:
    """The same, but tokens in angle brackets stay tokens."""
    pieces, last = [], 0
    for token in _TOKEN.finditer(text):
        pieces += [escape_text(text[last : token.start()]), token.group()]
        last = token.end()
    return "".join([*pieces, escape_text(text[last:])])


def escape_literal(text: str) -> str:
    """Rich text is literal by format: every character counts as itself."""
    return html.escape(text, quote=False)


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def echo(node: Any, kind: str = "") -> Any:
    """Blocks or a view as Slack hands them back."""
    match node:
        case dict():
            here = node["type"] if isinstance(node.get("type"), str) else kind
            return {key: _echo_field(key, value, here) for key, value in node.items()}
        case list():
            return [echo(item, kind) for item in node]
        case _:
            return node


def _echo_field(key: str, value: Any, kind: str) -> Any:
    if not isinstance(value, str):
        return echo(value, kind)
    if key in _IDENTIFIERS or key == "type":
        return value
    match kind:
        case "mrkdwn" | "markdown":
            return escape_mrkdwn(value)
        case "text" | "link" | "raw_text" | "raw_number":
            return escape_literal(value)
        case _:
            return escape_text(value)
