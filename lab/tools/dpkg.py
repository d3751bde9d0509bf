"""dpkg, dpkg-query and dpkg-deb: what is installed, what an interrupted run left, what a package holds."""

from __future__ import annotations

import re

from lab.packages import SUMMARIES, Package, PackageState
from lab.toolbox import Invocation, ToolError, write_program
from lab.tools.aptinstall import configure

_UNPACKED = (
    "The following packages have been unpacked but not yet configured.\n"
    "They must be configured using dpkg --configure or the configure\n"
    "menu option in dselect for them to work:\n"
)
_HALF = (
    "The following packages are only half configured, probably due to problems\n"
    "configuring them the first time.  The configuration should be retried using\n"
    "dpkg --configure <package> or the configure menu option in dselect:\n"
)
_STATUS = {
    PackageState.INSTALLED: "installed",
    PackageState.UNPACKED: "unpacked",
    PackageState.HALF_CONFIGURED: "half-configured",
}


async def dpkg(call: Invocation) -> int:
    args = [a for a in call.args if not a.startswith("--force-")]
    if args == ["--print-architecture"]:
        call.out("amd64\n")
        return 0
    if args in (["--audit"], ["-C"]):
        for title, state in ((_UNPACKED, PackageState.UNPACKED), (_HALF, PackageState.HALF_CONFIGURED)):
            if rows := [p for p in call.machine.packages.interrupted() if p.state is state]:
                call.out(title + "".join(f" {p.name:<20} {SUMMARIES.get(p.name, '')}\n" for p in rows) + "\n")
        return 0
    if args in (["--configure", "-a"], ["--configure", "--pending"]):
        return await _configure(call)
    if args[:1] in (["-l"], ["-s"], ["-L"]):
        raise ToolError("dpkg: error: use dpkg-query for this in the lab\n", 2)
    raise ToolError(f"dpkg: error: unknown option {' '.join(args) or '(none)'}\n", 2)


async def _configure(call: Invocation) -> int:
    if call.machine.faults.dpkg_held_by or call.machine.dpkg_lock.locked():
        raise ToolError("dpkg: error: dpkg frontend lock was locked by another process with pid 4242\n", 2)
    async with call.machine.dpkg_lock:
        for package in call.machine.packages.interrupted():
            call.out(f"Setting up {package.name} ({package.version}) ...\n")
            await call.pause(0.1)
            configure(call, package.name)
    return 0


async def dpkg_query(call: Invocation) -> int:
    form = "${binary:Package}\t${Version}\n"
    names = []
    words = iter(call.args)
    listed = False
    for word in words:
        if word in {"-W", "--show"}:
            listed = True
        elif word in {"-f", "--showformat"}:
            form = _unescape(next(words, ""))
        elif word.startswith(("-f=", "--showformat=")):
            form = _unescape(word.partition("=")[2])
        elif word.startswith("-f"):
            form = _unescape(word[2:])
        elif word.startswith("-"):
            raise ToolError(f"dpkg-query: error: unknown option {word}\n", 2)
        else:
            names.append(word)
    if not listed:
        raise ToolError("dpkg-query: error: need an action option\n", 2)
    table = call.machine.packages.all()
    missing = 0
    for name in names or sorted(table):
        if package := table.get(name):
            call.out(_format(form, package))
        else:
            call.err(f"dpkg-query: no packages found matching {name}\n")
            missing = 1
    return missing


def _unescape(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\t", "\t")


def _format(form: str, package: Package) -> str:
    values = {
        "db:Status-Abbrev": package.abbreviation,
        "db:Status-Status": _STATUS[package.state],
        "Status": f"{'hold' if package.held else 'install'} ok {_STATUS[package.state]}",
        "Package": package.name,
        "binary:Package": package.name,
        "Version": package.version,
        "Architecture": "amd64",
    }
    return re.sub(r"\$\{([^};]+)(;[^}]*)?\}", lambda m: values.get(m[1], ""), form)


async def dpkg_deb(call: Invocation) -> int:
    """Only what takes a program out of a package that was fetched."""
    if len(call.args) != 3 or call.args[0] not in {"-x", "--extract"}:
        raise ToolError(f"dpkg-deb: error: unknown option {' '.join(call.args)}\n", 2)
    package = call.machine.path(call.args[1])
    if not package.is_file():
        raise ToolError(f"dpkg-deb: error: failed to read archive '{package}': No such file or directory\n", 2)
    name, version = package.read_text(encoding="utf-8").split()
    await call.pause(0.3)
    release = f"v{version.partition('-')[0]}"
    if call.machine.program is None:
        raise ToolError("dpkg-deb: error: this machine has no toolbox\n", 2)
    write_program(call.machine.path(call.args[2]) / "usr/bin" / name, call.machine.program(name, release))
    return 0
