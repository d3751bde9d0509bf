"""systemctl and reboot."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping

from lab.toolbox import Invocation, ToolError
from lab.units import Unit, stamp

# systemctl prints properties in its own order, whatever the order of -p.
_ORDER = (
    "Type", "MainPID", "Result", "NRestarts", "ExecMainStartTimestamp", "ExecMainExitTimestamp", "ExecMainPID",
    "ExecMainCode", "ExecMainStatus", "Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload",
    "InvocationID",
)  # fmt: skip


async def systemctl(call: Invocation) -> int:
    words = [a for a in call.args if a not in {"--no-pager", "-q", "--quiet", "--no-block", "--now"}]
    verb, *rest = words or [""]
    if verb in _VERBS:
        return await _VERBS[verb](call, verb, rest)
    raise ToolError(f"Unknown command verb '{verb}'.\n")


async def _reload(call: Invocation, _verb: str, _rest: list[str]) -> int:
    await call.pause(0.35)
    call.machine.units.need_reload = False
    return 0


async def _reboot(call: Invocation, _verb: str, _rest: list[str]) -> int:
    return await reboot(call)


async def _reset_failed(call: Invocation, _verb: str, rest: list[str]) -> int:
    for name in rest:
        if not call.machine.units.reset_failed(name):
            raise ToolError(f"Failed to reset failed state of unit {_full(name)}: Unit {_full(name)} not loaded.\n")
    return 0


def _full(name: str) -> str:
    return name if name.endswith(".service") else f"{name}.service"


async def _show(call: Invocation, _verb: str, rest: list[str]) -> int:
    wanted: list[str] = []
    values_only = False
    names = []
    words = iter(rest)
    for word in words:
        if word in {"-p", "--property"}:
            wanted += next(words, "").split(",")
        elif word.startswith(("-p", "--property=")):
            wanted += word.removeprefix("--property=").removeprefix("-p").split(",")
        elif word == "--value":
            values_only = True
        elif word.startswith("-"):
            raise ToolError(f"systemctl: unrecognized option '{word}'\n")
        else:
            names.append(word)
    for name in names:
        row = _properties(call, name)
        for key in _ORDER:
            if key in row and (not wanted or key in wanted):
                call.out(f"{row[key]}\n" if values_only else f"{key}={row[key]}\n")
    return 0


def _properties(call: Invocation, name: str) -> dict[str, str]:
    # A unit that does not exist looks like one that ended well: only LoadState tells.
    found = call.machine.units.get(name)
    unit = found or Unit(name)
    row = {
        "MainPID": unit.pid,
        "Result": unit.result,
        "NRestarts": unit.restarts,
        "ExecMainStartTimestamp": stamp(unit.started),
        "ExecMainExitTimestamp": stamp(unit.exited),
        "ExecMainCode": unit.code,
        "ExecMainStatus": unit.status,
        "Id": _full(name),
        "LoadState": "loaded" if found else "not-found",
        "ActiveState": unit.active,
        "SubState": unit.sub,
        "UnitFileState": "enabled" if unit.enabled else "transient" if unit.transient else "",
        "NeedDaemonReload": "yes" if name.startswith("kubelet") and call.machine.units.need_reload else "no",
        "InvocationID": unit.invocation,
    }
    return {key: str(value) for key, value in row.items()}


async def _ask(call: Invocation, verb: str, names: list[str]) -> int:
    code = 0
    for name in names:
        unit = call.machine.units.get(name)
        if verb == "is-active":
            call.out(f"{unit.active if unit else 'inactive'}\n")
            code = code if unit and unit.active == "active" else 3
        elif unit is None:
            raise ToolError(f"Failed to get unit file state for {_full(name)}: No such file or directory\n")
        else:
            call.out("enabled\n" if unit.enabled else "disabled\n")
            code = code if unit.enabled else 1
    return code


async def _move_all(call: Invocation, verb: str, rest: list[str]) -> int:
    for name in rest:
        await _move(call, verb, name)
    return 0


async def _move(call: Invocation, verb: str, name: str) -> None:
    unit = call.machine.units.get(name)
    if unit is None:
        raise ToolError(f"Failed to {verb} {_full(name)}: Unit {_full(name)} not found.\n", 5)
    if unit.transient:
        call.machine.units.stop_transient(unit)
        return
    if unit.name == "kubelet" and call.machine.units.need_reload:
        call.err(
            "Warning: The unit file, source configuration file or drop-ins of kubelet.service changed on disk. "
            "Run 'systemctl daemon-reload' to reload units.\n"
        )
    await call.pause(0.3)
    kubelet = call.machine.kubelet if unit.name == "kubelet" else None
    if verb == "stop":
        if kubelet is not None:
            await kubelet.stop()
        unit.active, unit.sub, unit.pid = "inactive", "dead", 0
        return
    if call.machine.faults.kubelet_fails and kubelet is not None:
        await kubelet.stop()
        unit.active, unit.sub, unit.result, unit.pid = "activating", "auto-restart", "exit-code", 0
        unit.restarts += 1
        return
    unit.begin(unit.pid + 100 if unit.pid else 900)
    if kubelet is not None:
        await kubelet.restart()


async def _kill(call: Invocation, _verb: str, rest: list[str]) -> int:
    number = signal.SIGTERM
    words = iter(rest)
    for word in words:
        if word in {"-s", "--signal"}:
            number = signal.Signals[f"SIG{next(words, 'TERM').removeprefix('SIG')}"]
        elif unit := call.machine.units.get(word):
            call.machine.units.stop_transient(unit, number)
        else:
            raise ToolError(f"Failed to kill unit {_full(word)}: Unit {_full(word)} not loaded.\n")
    return 0


async def reboot(call: Invocation) -> int:
    """Returns at once; the machine goes down a moment later."""
    machine = call.machine

    async def later() -> None:
        await machine.clock.sleep(1)
        await machine.reboot()

    machine.later(later())
    return 0


_VERBS: Mapping[str, Callable[[Invocation, str, list[str]], Awaitable[int]]] = {
    "show": _show,
    "is-active": _ask,
    "is-enabled": _ask,
    "daemon-reload": _reload,
    "reboot": _reboot,
    "reset-failed": _reset_failed,
    "kill": _kill,
    **dict.fromkeys(("start", "stop", "restart", "try-restart"), _move_all),
}
