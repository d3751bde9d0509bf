"""The names by which one part of the configuration refers to another: which of them lead nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any


def lost_references(file: Any) -> Iterator[str]:
    """One sentence for each name that leads nowhere; read from the raw file, so that no mistake hides one."""
    people, slack = _mapping(file, "people"), _mapping(file, "slack")
    approvers = _mapping(file, "approvals").get("approvers")
    if unknown := [str(p) for p in approvers if p not in people] if isinstance(approvers, list) else []:
        yield f"`approvals.approvers` names {', '.join(unknown)}, who is not in `people`"
    if slack and not slack.get("default_channel"):
        clusters = _mapping(file, "clusters")
        if silent := [str(n) for n, c in clusters.items() if isinstance(c, Mapping) and not c.get("channel")]:
            yield f"no Slack channel for {', '.join(silent)}: name `channel` there, or `slack.default_channel`"
    digest = _mapping(file, "digest")
    is_wanted = isinstance(file, Mapping) and file.get("digest") is not None
    if is_wanted and not (slack and (slack.get("default_channel") or digest.get("channel"))):
        yield "`digest` has nowhere to go: name `digest.channel`, or `slack.default_channel`"
    ids = Counter(str(i) for p in people if (i := _mapping(people, p).get("slack")))
    if doubled := sorted(i for i, times in ids.items() if times > 1):
        yield f"`people` gives {', '.join(doubled)} to two persons; four eyes need one name each"


def _mapping(file: Any, name: Any) -> Mapping[Any, Any]:
    part = file.get(name) if isinstance(file, Mapping) else None
    return part if isinstance(part, Mapping) else {}
