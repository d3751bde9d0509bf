"""The folder where a cluster's snapshots of etcd are kept, encrypted: whole ones only, and of those the newest."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import pyrage

from cluster.inventory import Snapshots

SUFFIX = ".db.age"
_NAME = re.compile(r"\d{8}T\d{6}Z-(op-[a-z0-9]+)-n\d+-s\d+-a\d+" + re.escape(SUFFIX))
_PART = re.compile(r"\.\d{8}T\d{6}Z-op-[a-z0-9-]+\.db\.age\.\d+\.part")
_GROWTH = 1.001  # of a file that is encrypted: 16 bytes per 64 KiB, and its head
_HEAD = 64 * 1024


class Source(Protocol):
    """Bytes to be had in order, b"" at their end."""

    def read(self, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class SnapshotStore:
    """One cluster's folder in the store; whatever else lies there is left alone."""

    folder: Path
    recipients: tuple[str, ...]
    keep: int

    @classmethod
    def of(cls, snapshots: Snapshots, cluster: str) -> SnapshotStore:
        return cls(snapshots.store / cluster, snapshots.recipients, snapshots.keep)

    @staticmethod
    def name_of(attempt_id: str, started_at: datetime) -> str:
        """The same for whoever drives this attempt, and in the order of time for whoever lists the folder."""
        return f"{started_at:%Y%m%dT%H%M%SZ}-{attempt_id}{SUFFIX}"

    def make_folder(self) -> None:
        """Never the store itself: where its mount is missing, its files would be lost with this machine."""
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def lacks_room(self, size: int) -> tuple[int, int] | None:
        """What is needed and what is free, in bytes, where that is not enough."""
        needed, disk = int(size * _GROWTH) + _HEAD, os.statvfs(self.folder)
        free = disk.f_bavail * disk.f_frsize
        return (needed, free) if free < needed else None

    def write(self, name: str, source: Source, *, runbook: str = "", fence: int, before_end: Callable[[], None]) -> int:
        """Encrypt all of `source` under that name, where there is nothing or the whole; `runbook` lies beside it."""
        self._sweep()
        part = self.folder / f".{name}.{fence}.part"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
                pyrage.encrypt_io(source, file, [pyrage.x25519.Recipient.from_str(r) for r in self.recipients])
                file.flush()
                os.fsync(file.fileno())
            before_end()
            if runbook:
                self._write_beside(name, runbook)
            part.replace(self.folder / name)
        finally:
            part.unlink(missing_ok=True)
        self._settle()
        return (self.folder / name).stat().st_size

    def size_of(self, name: str) -> int | None:
        """None where it is not there."""
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            return None

    def names(self) -> tuple[str, ...]:
        """Whole snapshots of ours, oldest first."""
        return tuple(sorted(p.name for p in self.folder.iterdir() if _NAME.fullmatch(p.name)))

    def retire(self, operation_id: str) -> Iterator[str]:
        """Remove the oldest beyond the number to keep, each name as it goes; none of the running operation."""
        for name in self.names()[: -self.keep]:
            match = _NAME.fullmatch(name)
            if match and match[1] != operation_id:
                (self.folder / name).unlink(missing_ok=True)
                (self.folder / _beside(name)).unlink(missing_ok=True)
                yield name

    def _sweep(self) -> None:
        """What a worker left that was killed: one cluster has one run, and one that was frozen finds its file gone."""
        for path in self.folder.iterdir():
            if _PART.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _write_beside(self, name: str, runbook: str) -> None:
        part = self.folder / f".{name}.0.part"
        part.write_text(runbook, encoding="utf-8")
        part.chmod(0o600)
        part.replace(self.folder / _beside(name))

    def _settle(self) -> None:
        """A new name is only safe from a power cut when its folder is written, too; not every mount can do that."""
        with suppress(OSError):
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _beside(name: str) -> str:
    return f"{name.removesuffix(SUFFIX)}.md"
