"""Which volumes are attached to which node: one list for all nodes that wait, as the API cannot be asked for one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from cluster.errors import ClusterUnreadable

Raw = dict[str, Any]
_ByNode = Mapping[str, tuple[str, ...]]


class Attachments:
    """One driver's look at the VolumeAttachments (their API selects by metadata alone), shared by all its nodes."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._asked_at: datetime | None = None
        self._answered_at: datetime | None = None
        self._answer: _ByNode | ClusterUnreadable = {}

    def on(
        self, node: str, read: Callable[[], Iterable[Raw]], *, now: Callable[[], datetime], max_age: float
    ) -> tuple[str, ...]:
        """The volumes attached to a node, as they were at most `max_age` seconds ago; raises what `read` raises."""
        wanted_at = now()
        with self._reading:
            if not self._serves(wanted_at, max_age):
                self._asked_at = now()
                try:
                    self._answer = _by_node(read())
                except ClusterUnreadable as error:
                    self._answer = error
                self._answered_at = now()
            if isinstance(self._answer, ClusterUnreadable):
                raise self._answer
            return self._answer.get(node, ())

    def _serves(self, wanted_at: datetime, max_age: float) -> bool:
        if self._asked_at is None or self._answered_at is None:
            return False
        if isinstance(self._answer, ClusterUnreadable):  # who waited for it need not find out for itself
            return self._answered_at >= wanted_at
        return (wanted_at - self._asked_at).total_seconds() < max_age


def _by_node(attachments: Iterable[Raw]) -> _ByNode:
    found: dict[str, list[str]] = {}
    for attachment in attachments:
        if (attachment.get("status") or {}).get("attached"):
            found.setdefault(str(attachment["spec"].get("nodeName")), []).append(_volume_name(attachment))
    return {node: tuple(sorted(names)) for node, names in found.items()}


def _volume_name(attachment: Raw) -> str:
    """The attachment's own name stands for a volume that a pod described itself."""
    source = attachment["spec"].get("source") or {}
    return str(source.get("persistentVolumeName") or attachment["metadata"]["name"])
