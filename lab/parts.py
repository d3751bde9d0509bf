"""The processes of ours that a rig keeps alive."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Part:
    """One process of ours, started again when it dies by a fault; `stop` ends it for good."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    keep: bool = True
    wanted: bool = True  # an installation without Slack has no bot
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL
            )
        self.starts += 1

    def mend(self) -> None:
        """Start it again if it died on its own."""
        if self.keep and self.process is not None and self.process.poll() is not None:
            self.start()

    def stop(self) -> None:
        self.keep = False
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            kill_tree(self.process.pid)
            self.process.wait(5)


def kill_tree(pid: int) -> list[int]:
    """SIGKILL a process of ours and its children, parent first so that it cannot tidy up; returns the pids."""
    children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    for victim in (pid, *children):
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return [pid, *children]
