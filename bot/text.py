"""Text from a cluster is data: cleaned, clamped and escaped before any of it reaches a message."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

ELLIPSIS = "…"
NOTHING = "\u2013"  # a dash where there is nothing to say: Slack refuses empty text
_NAME_LIMIT = 120  # characters of a name that a message repeats
_MARKS = 2  # stacked accents per letter; more of them climb over the lines above
_BREAKS = frozenset("\n\r\t\v\f\u0085\u2028\u2029")
# Format characters (bidi overrides, zero-width ones), controls, halves of pairs, private use, unassigned
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # letters by category, empty to the eye


def clean(value: object, limit: int = _NAME_LIMIT) -> str:
    """One line of printable characters, at most `limit` of them; never empty, since Slack refuses empty text."""
    kept: list[str] = []
    marks = 0
    for char in str(value)[: limit * 4]:
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if char in _BREAKS or char in _BLANKS or category == "Zs":
            kept.append(" ")
        elif category not in _UNSEEN and marks <= _MARKS:
            kept.append(char)
    return clamp(" ".join("".join(kept).split()), limit) or NOTHING


def clamp(value: str, limit: int) -> str:
    return value if len(value) <= limit else value[: limit - 1].rstrip() + ELLIPSIS


def escape(value: object, limit: int = 600) -> str:
    """For mrkdwn and for a message's top-level text; one pass, so that nothing is escaped twice."""
    return clean(value, limit).translate({ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"})


def code(value: object, limit: int = _NAME_LIMIT) -> str:
    """A mrkdwn code span; a backtick inside would end it, so it becomes a look-alike."""
    return "`" + escape(value, limit).replace("`", "\u02cb") + "`"


def moment(at: datetime) -> str:
    """`2026-10-14 14:00 UTC`."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def local_moment(at: datetime) -> str:
    """A time that Slack shows in the reader's zone; UTC where it cannot."""
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{moment(at)}>"


def clock(at: datetime) -> str:
    """`14:00:05 UTC`."""
    return at.astimezone(UTC).strftime("%H:%M:%S UTC")


def local_clock(at: datetime) -> str:
    return f"<!date^{int(at.timestamp())}^{{time_secs}}|{clock(at)}>"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `1 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:  # noqa: PLR2004 - minutes in an hour
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: int, thing: str, plural: str = "") -> str:
    """`1 node`, `3 nodes`."""
    return f"{number} {thing}" if number == 1 else f"{number} {plural or thing + 's'}"


def listing(names: tuple[str, ...], most: int = 4) -> str:
    """`a, b, c and 3 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
