"""systemd-run and journalctl: units that exist only while they run, and what units said."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, field

from lab.toolbox import Invocation, ToolError
from lab.units import UnitRefusedError


@dataclass(slots=True)
class RunRequest:
    """What systemd-run was asked for."""

    name: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    command: list[str] = field(default_factory=list)


def _read_request(args: tuple[str, ...]) -> RunRequest:
    asked = RunRequest()
    words = list(args)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word == "--":
            break
        key, sign, value = word.partition("=")
        if key in {"--unit", "-u"}:
            asked.name = value if sign else words.pop(0)
        elif key in {"--property", "-p"}:
            prop, _, setting = (value if sign else words.pop(0)).partition("=")
            asked.properties[prop] = setting
        elif key in {"--collect", "-G", "--wait", "--pipe", "--quiet", "-q", "--no-block", "--description"}:
            asked.flags.add(key)
        else:
            raise ToolError(f"systemd-run: unrecognized option '{word}'\n")
    asked.command = words
    return asked


async def systemd_run(call: Invocation) -> int:
    asked = _read_request(call.args)
    if not asked.command:
        raise ToolError("Command line to execute required.\n")
    program = shutil.which(asked.command[0], path=call.machine.environment()["PATH"])
    if program is None:
        raise ToolError(f"Failed to find executable {asked.command[0]}: No such file or directory\n")
    name = asked.name or f"run-r{os.urandom(16).hex()}"
    argv = (program, *asked.command[1:])
    try:
        unit = await call.machine.units.run(
            name, argv, asked.properties, collect=bool(asked.flags & {"--collect", "-G"})
        )
    except UnitRefusedError as error:
        raise ToolError(f"{error}\n") from error
    call.err(f"Running as unit: {unit.name}.service\n")
    if "--wait" in asked.flags and unit.watcher is not None:
        await asyncio.shield(unit.watcher)
        call.err(f"Finished with result: {unit.result}\n")
        return unit.status if unit.code == 1 else 1
    return 0


async def journalctl(call: Invocation) -> int:
    unit, count, short = "", 0, True
    words = iter(call.args)
    for word in words:
        if word in {"-u", "--unit"}:
            unit = next(words, "")
        elif word in {"-n", "--lines"}:
            count = int(next(words, "10"))
        elif word in {"-o", "--output"}:
            short = next(words, "short") != "cat"
        elif word in {"-b", "--boot", "--since", "-S"}:
            continue
        elif word not in {"--no-pager", "-q", "-e", "-r"}:
            raise ToolError(f"journalctl: unrecognized option '{word}'\n")
    path = call.machine.units.journal(unit)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    if not lines:
        call.out("-- No entries --\n")
    for line in lines[-count:] if count else lines:
        call.out((line if short else line.split(" ", 3)[-1]) + "\n")
    return 0
