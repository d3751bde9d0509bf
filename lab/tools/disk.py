"""df: every machine of the lab has one disk, whatever the host below has."""

from __future__ import annotations

from lab.toolbox import Invocation, ToolError

SIZE_KIB = 100 * 1024 * 1024
FREE_KIB = 60 * 1024 * 1024


async def df(call: Invocation) -> int:
    """Only `df -Pk` of paths."""
    if len(call.args) < 2 or call.args[0] not in {"-Pk", "-kP"}:
        raise ToolError(f"df: unrecognized option '{' '.join(call.args)}'\n")
    paths = call.args[1:]
    for path in paths:
        if not call.machine.path(path).exists():
            raise ToolError(f"df: {path}: No such file or directory\n")
    free = FREE_KIB if call.machine.faults.free_kib is None else call.machine.faults.free_kib
    used = SIZE_KIB - free
    row = f"/dev/vda1      {SIZE_KIB:>11} {used:>9} {free:>9} {round(used / SIZE_KIB * 100):>7}% /\n"
    call.out("Filesystem     1024-blocks      Used Available Capacity Mounted on\n" + row * len(paths))
    return 0
