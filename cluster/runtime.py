"""The container runtime on one machine, as it tells its own version."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RELEASE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")
Release = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Runtime:
    """`containerd` and `2.1.9+ds1`; the text is its own, and may have anything behind its numbers."""

    name: str
    version: str

    @classmethod
    def of_node(cls, text: str) -> Runtime | None:
        """Read `containerd://2.1.9`, as a node reports it."""
        name, found, version = text.partition("://")
        return cls(name, version) if found else None

    @property
    def release(self) -> Release | None:
        match = _RELEASE.match(self.version)
        return (int(match[1]), int(match[2]), int(match[3])) if match else None

    def __str__(self) -> str:
        return f"{self.name} {self.version.removeprefix('v')}"
