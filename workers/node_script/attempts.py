"""The node script's answers about attempts: `start`, `poll`, `list` and `version`, read into values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from workers.node_script.lines import Lines, UnreadableAnswer


class StartKind(StrEnum):
    """What `start` did."""

    STARTED = "started"
    ATTACHED = "attached"  # it runs already
    DONE = "done"
    LOST = "lost"  # it was started once, and nothing of it lives: observe, then start a new attempt
    FENCED = "fenced"  # a driver with a higher fence was here


@dataclass(frozen=True, slots=True)
class StartAnswer:
    kind: StartKind
    code: int | None = None  # exit code, when done
    fence: int | None = None  # the highest fence seen on the machine, when fenced


class AttemptState(StrEnum):
    """What became of an attempt."""

    RUNNING = "running"
    DONE = "done"
    LOST = "lost"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """An attempt's state, and its output from the offset asked for (64 KiB at most)."""

    state: AttemptState
    code: int | None  # exit code, when done
    size: int  # of the whole output so far
    boot_id: str
    chunk: bytes


@dataclass(frozen=True, slots=True)
class JobLine:
    """One attempt that the machine remembers."""

    attempt: str
    fence: int
    at: datetime
    state: AttemptState
    code: int | None
    command: tuple[str, ...]


# Found anywhere at a line's start: sudo may warn ("unable to resolve host") before the script speaks.
_POLL = re.compile(rb"^(RUNNING|DONE (\d+)|LOST|ABSENT) (\d+) (\S+) (\d+)\n", re.MULTILINE)
_START = re.compile(r"^(STARTED|ATTACHED|LOST|DONE (\d+)|FENCED (\d+))$", re.MULTILINE)
_VERSION = re.compile(r"^lockkeeper-node (\d+)$", re.MULTILINE)


def parse_version(text: str) -> int | None:
    """The protocol's number; None when this is no answer of the node script."""
    return int(match[1]) if (match := _VERSION.search(text)) else None


def parse_start(text: str) -> StartAnswer:
    if not (match := _START.search(text)):
        raise UnreadableAnswer(
            f"The machine's answer to `start` cannot be read: {text.strip()[:200]!r}; ask it with `poll`."
        )
    return StartAnswer(
        StartKind(match[1].split()[0].lower()),
        code=int(match[2]) if match[2] else None,
        fence=int(match[3]) if match[3] else None,
    )


def parse_poll(data: bytes) -> PollAnswer:
    match = _POLL.search(data)
    if match is None:
        raise UnreadableAnswer(f"The machine's answer to `poll` cannot be read: {data[:200]!r}; ask again.")
    chunk = data[match.end() : match.end() + int(match[5])]
    if len(chunk) < int(match[5]):
        raise UnreadableAnswer("The machine's answer to `poll` is cut: ask again from the same offset.")
    return PollAnswer(
        AttemptState(match[1].split()[0].decode().lower()),
        code=int(match[2]) if match[2] else None,
        size=int(match[3]),
        boot_id=match[4].decode(errors="replace"),
        chunk=chunk,
    )


def parse_jobs(text: str) -> tuple[JobLine, ...]:
    lines = Lines(text)
    if lines.first("end") != "list":
        raise UnreadableAnswer("The machine's answer to `list` is cut: ask again.")
    return tuple(_job(words) for words in lines.words("job"))


def _job(words: list[str]) -> JobLine:
    attempt, fence, at, fate, *command = words
    state, _, code = fate.partition(":")
    return JobLine(
        attempt,
        int(fence),
        datetime.fromtimestamp(int(at), UTC),
        AttemptState(state.lower()),
        int(code) if code else None,
        tuple(command),
    )
