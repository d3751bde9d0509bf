"""systemd of one machine: the kubelet's unit, and transient units that really run detached processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lab.toolbox import ExecRecord

if TYPE_CHECKING:
    from lab.machines import Machine

LOADED = "was already loaded or has a fragment file."


def stamp(moment: float) -> str:
    """A time as systemctl shows it; nothing for "never"."""
    return datetime.fromtimestamp(moment, UTC).strftime("%a %Y-%m-%d %H:%M:%S UTC") if moment else ""


class UnitRefusedError(Exception):
    """systemd would not start a unit; the text is systemd's own."""


@dataclass
class Unit:
    """One unit and its main process, if it has one of its own."""

    name: str
    description: str = ""
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    pid: int = 0
    code: int = 0  # CLD_EXITED 1, CLD_KILLED 2
    status: int = 0
    started: float = 0.0
    exited: float = 0.0
    restarts: int = 0
    enabled: bool = False
    transient: bool = False
    remain: bool = False
    collect: bool = False
    invocation: str = ""
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)
    watcher: asyncio.Task[None] | None = field(default=None, repr=False)

    def begin(self, pid: int) -> None:
        self.active, self.sub, self.result = "active", "running", "success"
        self.pid, self.code, self.status = pid, 0, 0
        self.started, self.exited = time.time(), 0.0
        self.invocation = uuid.uuid4().hex

    def end(self, returncode: int) -> None:
        """Note how the main process ended."""
        self.pid, self.exited = 0, time.time()
        self.code, self.status = (1, returncode) if returncode >= 0 else (2, -returncode)
        if returncode == 0:
            self.active, self.sub = ("active", "exited") if self.remain else ("inactive", "dead")
        else:
            self.active, self.sub = "failed", "failed"
            self.result = "exit-code" if returncode > 0 else "signal"


class Units:
    """All units of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._units: dict[str, Unit] = {}
        self.need_reload = False
        for name in ("kubelet", "containerd", "ssh"):
            unit = self._units[name] = Unit(name, enabled=True)
            unit.begin(200 + len(self._units))

    def get(self, name: str) -> Unit | None:
        return self._units.get(name.removesuffix(".service"))

    def running(self) -> tuple[str, ...]:
        """The transient units whose process runs."""
        return tuple(u.name for u in self._units.values() if u.transient and u.pid)

    def journal(self, name: str) -> Path:
        return self._machine.root / "var/log/journal" / f"{name.removesuffix('.service')}.log"

    def log(self, name: str, line: str) -> None:
        """Add a line to a unit's journal."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        with self.journal(name).open("a", encoding="utf-8") as file:
            file.write(f"{at} {self._machine.name} {line}\n")

    async def run(self, name: str, argv: tuple[str, ...], properties: Mapping[str, str], *, collect: bool) -> Unit:
        """Start a transient unit as systemd does: a session of its own, a clean environment, once per name."""
        name = name.removesuffix(".service")
        attempt = name.removeprefix("lockkeeper-")
        now = datetime.now(UTC)
        record = ExecRecord(now, self._machine.name, attempt, ("systemd-run", *argv), started=True)
        if name in self._units:
            self._machine.log.begin(
                ExecRecord(now, self._machine.name, attempt, ("systemd-run", *argv), exit=1, refused=True)
            )
            raise UnitRefusedError(f"Failed to start transient service unit: Unit {name}.service {LOADED}")
        unit = Unit(name, transient=True, collect=collect, remain=properties.get("RemainAfterExit") == "yes")
        self._units[name] = unit
        index = self._machine.log.begin(record)
        with contextlib.ExitStack() as files:
            out = files.enter_context(self._sink(name, properties.get("StandardOutput", "")))
            err = files.enter_context(self._sink(name, properties.get("StandardError", "")))
            unit.process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**self._machine.environment(), "INVOCATION_ID": uuid.uuid4().hex},
                cwd=self._machine.root,
                start_new_session=True,
            )
        unit.begin(unit.process.pid)
        unit.watcher = asyncio.ensure_future(self._watch(unit, index))
        return unit

    def _sink(self, name: str, text: str) -> IO[bytes]:
        if text.startswith("append:"):
            return self._machine.path(text.removeprefix("append:")).open("ab")
        return self.journal(name).open("ab")

    async def _watch(self, unit: Unit, index: int) -> None:
        if unit.process is None:
            return
        code = await unit.process.wait()
        unit.end(code)
        self._machine.log.end(index, code)
        # A unit that ended well and need not remain is unloaded at once; one that failed stays, unless --collect.
        if unit.active == "inactive" or (unit.active == "failed" and unit.collect):
            self._units.pop(unit.name, None)

    def reset_failed(self, name: str) -> bool:
        unit = self.get(name)
        if unit is not None and unit.transient and unit.active == "failed":
            del self._units[unit.name]
        return unit is not None

    def stop_transient(self, unit: Unit, number: int = signal.SIGTERM) -> None:
        if unit.active == "active" and unit.process is not None and unit.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(unit.process.pid, number)
        elif unit.sub == "exited":
            self._units.pop(unit.name, None)

    def power_off(self) -> None:
        """Kill every process of every unit; transient units do not survive."""
        for unit in list(self._units.values()):
            if unit.process is not None and unit.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(unit.process.pid, signal.SIGKILL)
            if unit.transient:
                self._units.pop(unit.name, None)
            elif unit.pid:
                unit.end(-signal.SIGKILL)

    def power_on(self) -> None:
        for number, unit in enumerate(self._units.values(), 200):
            if unit.enabled and unit.active != "active":
                unit.begin(number)

    async def close(self) -> None:
        """Leave no process behind."""
        units = [u for u in self._units.values() if u.watcher is not None]
        self.power_off()
        for unit in units:
            if unit.watcher is not None:
                await unit.watcher
