"""The node script's answers about etcd's snapshots: what was taken, and the bytes of it, read into values."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from workers.node_script.lines import UnreadableAnswer


@dataclass(frozen=True, slots=True)
class Taken:
    """What `snapshot-etcd` told; an older script tells no sum, and without a tool nobody looked inside."""

    path: str  # on its machine
    size: int | None = None
    sha256: str | None = None
    hash: str | None = None  # etcd's own, as `etcdutl snapshot status` writes it in a table
    revision: int | None = None
    keys: int | None = None


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """Bytes of a snapshot from the offset asked for (8 MiB at most)."""

    size: int  # of the whole
    chunk: bytes


# Found anywhere at a line's start: sudo may warn before the script speaks.
_PART = re.compile(rb"^SNAPSHOT (\d+) (\d+)\n", re.MULTILINE)
_SUM = re.compile(r"^\[lockkeeper\] snapshot of (\d+) bytes, SHA-256 ([0-9a-f]{64})$", re.MULTILINE)
_PATH = re.compile(r"^The snapshot (?:is )?(/[^ ,]*)", re.MULTILINE)


def parse_snapshot(data: bytes) -> SnapshotPart:
    match = _PART.search(data)
    if match is None:
        raise UnreadableAnswer(f"The machine's answer to `snapshot` cannot be read: {data[:200]!r}; ask again.")
    chunk = data[match.end() : match.end() + int(match[2])]
    if len(chunk) < int(match[2]):
        raise UnreadableAnswer("The machine's answer to `snapshot` is cut: ask again from the same offset.")
    return SnapshotPart(int(match[1]), chunk)


def read_taken(output: str) -> Taken | None:
    """None where the output names no snapshot."""
    paths, sums = _PATH.findall(output), _SUM.findall(output)
    if not paths:
        return None
    size, digest = sums[-1] if sums else (None, None)
    status = _status(output)
    return Taken(
        paths[-1],
        int(size) if size else None,
        digest,
        f"{status['hash']:x}" if "hash" in status else None,
        status.get("revision"),
        status.get("totalKey"),
    )


def _status(output: str) -> dict[str, Any]:
    """The last line that is a status; a tool may warn around it."""
    for line in reversed(output.splitlines()):
        if line.startswith("{") and '"revision"' in line:
            try:
                told = json.loads(line)
            except ValueError:
                continue
            return {key: told[key] for key in ("hash", "revision", "totalKey") if isinstance(told.get(key), int)}
    return {}
