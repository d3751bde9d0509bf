"""What people typed, without the marks that Slack puts around it: links of its own making, escapes, mentions."""

from __future__ import annotations

import re

# A name with a dot in it becomes a link as soon as it is sent: <http://w1.example.com|w1.example.com>
_LINK = re.compile(r"<(?:https?://|mailto:|tel:)[^<>|]*\|([^<>|]*)>")
_BARE_LINK = re.compile(r"<(?:https?://|mailto:|tel:)([^<>|]*?)/?>")
_MENTION = re.compile(r"<@[UWB][A-Z0-9]+(?:\|[^<>]*)?>")


def unmarked(text: str) -> str:
    """The text as it was typed; code marks around a word fall away, since commands are copied with them."""
    words = _BARE_LINK.sub(r"\1", _LINK.sub(r"\1", text)).replace("`", " ")
    return words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def said_to_us(text: str) -> str:
    """Of a message that mentions the bot, what follows the mention; what stands before it where nothing follows."""
    before, *after = _MENTION.split(text)
    return unmarked(next((part for part in after if part.strip()), before))
