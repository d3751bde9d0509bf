"""Markdown for documents that leave lockkeeper: text from a cluster is cleaned, and none of it becomes a mark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bot.text import clean

_LONGEST = 2000  # characters of one sentence
_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\*_[]<>|#~!"})


def prose(text: object) -> str:
    """Our own sentences set names in backticks: those stay code, and everything else is plain text."""
    parts = clean(text, _LONGEST).split("`")
    if len(parts) % 2 == 0:  # an odd backtick came with the data
        return "\\`".join(p.translate(_MARKS) for p in parts)
    return "".join(_span(p) if n % 2 else p.translate(_MARKS) for n, p in enumerate(parts) if p)


def code(text: object) -> str:
    """A code span; a backtick inside would end it, so it becomes a look-alike."""
    return _span(clean(text, _LONGEST).replace("`", "\u02cb"))


def codes(names: Iterable[str]) -> str:
    return ", ".join(map(code, names))


def _span(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`"  # a table ends its cells at each bar, also in code


def link(text: str, address: str) -> str:
    """Addresses come from our own files of facts."""
    return f"[{text}]({address})" if address else text


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Cells are Markdown already."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def fenced(command: str) -> Iterator[str]:
    yield from ("```sh", command, "```")
