"""apt-get install: what would change, whether that is allowed, and the change itself, which can be interrupted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from lab.packages import SIZES, Package, PackageState, sort_key
from lab.toolbox import Invocation, ToolError
from lab.tools.aptconfig import AptCall, Source, match_version, unreachable

_READING = "Reading package lists...\n"
_STATE = "Building dependency tree...\nReading state information...\n"
DATABASE = "(Reading database ... 8134 files and directories currently installed.)\n"


@dataclass(frozen=True, slots=True)
class Change:
    """One package that will move."""

    old: Package | None
    name: str
    version: str
    source: Source

    @property
    def is_downgrade(self) -> bool:
        return self.old is not None and sort_key(self.version) < sort_key(self.old.version)


@asynccontextmanager
async def dpkg_lock(call: Invocation, parsed: AptCall) -> AsyncIterator[None]:
    """Hold dpkg's lock, or give up after DPkg::Lock::Timeout seconds of lab time."""
    machine = call.machine
    left = float(parsed.options.get("dpkg::lock::timeout", "0"))
    while machine.faults.dpkg_held_by or machine.dpkg_lock.locked():
        holder = machine.faults.dpkg_held_by or "apt-get"
        if left <= 0:
            raise ToolError(
                f"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4242 ({holder})\n"
                "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), "
                "is another process using it?\n",
                100,
            )
        await call.pause(1)
        left -= 1
    async with machine.dpkg_lock:
        yield


async def install(call: Invocation, parsed: AptCall) -> int:
    simulated = bool(parsed.flags & {"-s", "--simulate", "--dry-run", "--just-print"})
    only_download = bool(parsed.flags & {"-d", "--download-only"})
    if simulated:
        return await _install(call, parsed, simulated=True, only_download=False)
    async with dpkg_lock(call, parsed):
        if call.machine.packages.interrupted() and not only_download:
            raise ToolError(
                "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. \n", 100
            )
        return await _install(call, parsed, simulated=False, only_download=only_download)


async def _install(call: Invocation, parsed: AptCall, *, simulated: bool, only_download: bool) -> int:
    call.out(_READING + _STATE)
    changes = _wanted(call, parsed)
    _announce(call, changes)
    _consent(call, parsed, changes)
    if not changes:
        return 0
    if simulated:
        for verb in ("Inst", "Conf"):
            for change in changes:
                old = f" [{change.old.version}]" if change.old and verb == "Inst" else ""
                call.out(f"{verb} {change.name}{old} ({change.version} isv:kubernetes:core:stable [amd64])\n")
        return 0
    await _download(call, parsed, changes)
    if only_download:
        call.out("Download complete and in download only mode\n")
        return 0
    await _unpack(call, changes)
    return 0


def _wanted(call: Invocation, parsed: AptCall) -> list[Change]:
    offered = parsed.offered()
    installed = call.machine.packages.all()
    changes = []
    for word in sorted(parsed.words[1:]):
        name, sign, pattern = word.partition("=")
        rows = offered.get(name, [])
        if not rows and name not in installed:
            raise ToolError(f"E: Unable to locate package {name}\n", 100)
        old = installed.get(name)
        row = match_version(pattern if sign else "*", rows)
        if row is None and sign and not (old and old.version == pattern):
            raise ToolError(f"E: Version '{pattern}' for '{name}' was not found\n", 100)
        if row is None or (old is not None and old.version == row[0]):
            call.out(f"{name} is already the newest version ({old.version if old else pattern}).\n")
        else:
            changes.append(Change(old, name, *row))
    return changes


def _announce(call: Invocation, changes: list[Change]) -> None:
    held = [c.name for c in changes if c.old is not None and c.old.held]
    down = [c.name for c in changes if c.is_downgrade]
    new = [c.name for c in changes if c.old is None]
    up = [c.name for c in changes if c.old is not None and not c.is_downgrade]
    for title, names in (
        ("The following held packages will be changed:", held),
        ("The following NEW packages will be installed:", new),
        ("The following packages will be upgraded:", up),
        ("The following packages will be DOWNGRADED:", down),
    ):
        if names:
            call.out(f"{title}\n  {' '.join(names)}\n")
    others = len(call.machine.packages.all()) - len(up) - len(down) - 3
    downgraded = f"{len(down)} downgraded, " if down else ""
    call.out(
        f"{len(up)} upgraded, {len(new)} newly installed, {downgraded}0 to remove and {max(0, others)} not upgraded.\n"
    )


def _consent(call: Invocation, parsed: AptCall, changes: list[Change]) -> None:
    agreed = bool(parsed.flags & {"-y", "--yes", "--assume-yes", "-s", "--simulate", "--dry-run"})
    if any(c.is_downgrade for c in changes) and "--allow-downgrades" not in parsed.flags:
        raise ToolError("E: Packages were downgraded and -y was used without --allow-downgrades.\n", 100)
    if any(c.old and c.old.held for c in changes) and "--allow-change-held-packages" not in parsed.flags:
        raise ToolError("E: Held packages were changed and -y was used without --allow-change-held-packages.\n", 100)
    if changes and not agreed:
        call.out("Do you want to continue? [Y/n] Abort.\n")
        raise ToolError("", 1)


async def _download(call: Invocation, parsed: AptCall, changes: list[Change]) -> None:
    parsed.archives.mkdir(parents=True, exist_ok=True)
    wanted = [c for c in changes if not (parsed.archives / f"{c.name}_{c.version}_amd64.deb").exists()]
    total = sum(float(SIZES.get(c.name, "9 MB").split()[0]) for c in changes)
    missing = sum(float(SIZES.get(c.name, "9 MB").split()[0]) for c in wanted)
    call.out(f"Need to get {missing:.1f} MB{f'/{total:.1f} MB' if missing != total else ''} of archives.\n")
    call.out("After this operation, 0 B of additional disk space will be used.\n")
    for number, change in enumerate(wanted, 1):
        if problem := unreachable(call, change.source, call.machine.repository.minor_of(change.source.url)):
            name = f"{change.source.url}/amd64/{change.name}_{change.version}_amd64.deb"
            raise ToolError(
                f"E: Failed to fetch {name}  {problem}\n"
                "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?\n",
                100,
            )
        await call.pause(0.2)
        text = f"{change.name}\n{change.version}\n"
        (parsed.archives / f"{change.name}_{change.version}_amd64.deb").write_text(text, encoding="utf-8")
        call.out(
            f"Get:{number} {change.source.url}  {change.name} {change.version} [{SIZES.get(change.name, '9 MB')}]\n"
        )
    if wanted:
        call.out(f"Fetched {missing:.1f} MB in 0s (148 MB/s)\n")


async def _unpack(call: Invocation, changes: list[Change]) -> None:
    """Unpack all, then set up all; whoever is killed between the two leaves dpkg interrupted."""
    machine = call.machine
    call.out(DATABASE)
    for change in changes:
        over = f" over ({change.old.version})" if change.old else ""
        call.out(f"Preparing to unpack .../{change.name}_{change.version}_amd64.deb ...\n")
        call.out(f"Unpacking {change.name} ({change.version}){over} ...\n")
        row = Package(change.name, change.version, PackageState.UNPACKED, bool(change.old and change.old.held))
        machine.packages.put(row)
        await call.pause(0.3)
    for change in changes:
        call.out(f"Setting up {change.name} ({change.version}) ...\n")
        await call.pause(0.1)
        configure(call, change.name)


def configure(call: Invocation, name: str) -> None:
    """The last part of an installation: the unit files of kubelet and kubeadm are new from here on."""
    if package := call.machine.packages.get(name):
        call.machine.packages.put(replace(package, state=PackageState.INSTALLED))
    if name in {"kubelet", "kubeadm"}:
        call.machine.units.need_reload = True
