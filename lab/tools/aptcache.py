"""apt-cache and apt-mark: what could be installed, and what must not move."""

from __future__ import annotations

from lab.toolbox import Invocation, ToolError
from lab.tools.aptconfig import AptCall, parse


async def apt_cache(call: Invocation) -> int:
    parsed = parse(call, {"-q", "-n", "--quiet"})
    verb, *names = parsed.words or [""]
    await call.pause(0.05)
    if verb == "madison":
        return _madison(call, parsed, names)
    if verb == "policy":
        return _policy(call, parsed, names)
    raise ToolError(f"E: Invalid operation {verb}\n", 100)


def _madison(call: Invocation, parsed: AptCall, names: list[str]) -> int:
    offered = parsed.offered()
    for name in names:
        if name not in offered:
            call.err(f"W: Unable to locate package {name}\n")
        for version, source in offered.get(name, []):
            call.out(f"{name:>10} | {version} | {source.url}  Packages\n")
    return 0


def _policy(call: Invocation, parsed: AptCall, names: list[str]) -> int:
    offered = parsed.offered()
    for name in names:
        installed = call.machine.packages.get(name)
        rows = offered.get(name, [])
        if installed is None and not rows:
            call.err(f"N: Unable to locate package {name}\n")
            continue
        here = installed.version if installed else "(none)"
        # A version that is installed stays the candidate unless a newer one is offered.
        candidate = rows[0][0] if rows else here
        call.out(f"{name}:\n  Installed: {here}\n  Candidate: {candidate}\n  Version table:\n")
        listed = dict(rows)
        for version in [*listed, *([here] if installed and here not in listed else [])]:
            mark = "***" if version == here else "   "
            call.out(f" {mark} {version} {500 if version in listed else 100}\n")
            if version in listed:
                call.out(f"        500 {listed[version].url}  Packages\n")
            if version == here:
                call.out("        100 /var/lib/dpkg/status\n")
    return 0


async def apt_mark(call: Invocation) -> int:
    parsed = parse(call, {"-q", "--quiet"})
    verb, *names = parsed.words or [""]
    await call.pause(0.02)
    packages = call.machine.packages
    if verb == "showhold":
        call.out("".join(f"{name}\n" for name in packages.holds() if not names or name in names))
        return 0
    if verb not in {"hold", "unhold"}:
        raise ToolError(f"E: Invalid operation {verb}\n", 100)
    if not names:
        raise ToolError("E: No packages found\n", 100)
    if unknown := next((n for n in names if packages.get(n) is None), None):
        raise ToolError(f"E: Unable to locate package {unknown}\nE: No packages found\n", 100)
    for name in names:
        changed = packages.hold(name, held=verb == "hold")
        if verb == "hold":
            call.out(f"{name} set on hold.\n" if changed else f"{name} was already set on hold.\n")
        else:
            call.out(f"Canceled hold on {name}.\n" if changed else f"{name} was already not on hold.\n")
    return 0
