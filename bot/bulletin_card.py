"""The periodic report as a message: what changed in each cluster since the last one."""

from __future__ import annotations

from bot.blocks import (
    ROOM,
    Block,
    Element,
    Message,
    bullets,
    context,
    header,
    line,
    rich_text,
    spans,
    stamp,
    text_element,
    text_size,
)
from bot.text import clean, count, escape
from cluster.bulletin import Bulletin

_MOST_SENTENCES = 12  # of one cluster
_MOST_CLUSTERS = 40  # Slack takes 50 blocks in a message


def card_key(period: str) -> str:
    return f"bulletin:{period}"


def render_bulletin(bulletin: Bulletin, command: str) -> Message:
    """A quiet one is a line: it shows that somebody looked."""
    since = f"since {bulletin.since}" if bulletin.since else "for the first time, and in short"
    blocks: list[Block] = [header(f"Clusters on {bulletin.period}")]
    left = 0
    for name, sentences in bulletin.news:
        block = rich_text(line(text_element(clean(name, 60), bold=True)), bullets(_items(sentences)))
        if left or len(blocks) > _MOST_CLUSTERS or text_size([*blocks, block]) > ROOM:
            left += 1
        else:
            blocks.append(block)
    more = [f"{count(left, 'more cluster')} changed."] if left else []
    quiet = [f"Nothing changed in {count(bulletin.quiet, 'cluster')}."] if bulletin.quiet else []
    blocks.append(context(" ".join([*more, *quiet, f"Looked {since}. Everything: `{command} versions`"])))
    return Message(summarise(bulletin), stamp(blocks, card_key(bulletin.period)))


def summarise(bulletin: Bulletin) -> str:
    """One escaped sentence for screen readers and notifications."""
    if not bulletin.news:
        return escape(f"Clusters on {bulletin.period}: nothing changed since {bulletin.since}.")
    name, sentences = bulletin.news[0]
    what = "changed since " + bulletin.since if bulletin.since else "in the first report"
    return escape(f"Clusters on {bulletin.period}: {len(bulletin.news)} {what}. {name}: {sentences[0]}")


def _items(sentences: tuple[str, ...]) -> list[list[Element]]:
    items = [spans(s, 400) for s in sentences[:_MOST_SENTENCES]]
    if len(sentences) > _MOST_SENTENCES:
        items.append([text_element(f"and {len(sentences) - _MOST_SENTENCES} more")])
    return items
