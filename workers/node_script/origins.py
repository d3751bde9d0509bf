"""What apt and gpg told through `observe` of a machine's packages, read into values."""

from __future__ import annotations

from datetime import UTC, datetime

from cluster.packages import PackageLock, PackageOrigin, Pin, SigningKey
from workers.node_script.lines import Lines

_LOCK_WORDS = 4  # file, pid, seconds, and the command, which may have several words
_PIN_WORDS = 4  # file, priority, packages, and the rule, which may have several words


def read_origins(lines: Lines) -> tuple[PackageOrigin, ...] | None:
    """None where apt was not asked, or knows none of the packages."""
    urls = lines.words("origin")
    found = tuple(
        PackageOrigin(name, candidate, tuple(url for package, url in urls if package == name))
        for name, candidate in lines.words("candidate")
    )
    return found or None


def read_pins(lines: Lines) -> tuple[Pin, ...]:
    rows = (value.split(" ", _PIN_WORDS - 1) for value in lines.all("pin-rule"))
    return tuple(Pin(file, tuple(packages.split(",")), rule, int(priority)) for file, priority, packages, rule in rows)


def read_keys(lines: Lines) -> tuple[SigningKey, ...]:
    return tuple(
        SigningKey(file, ident, None if until == "never" else datetime.fromtimestamp(int(until), UTC))
        for file, ident, until in lines.words("key")
    )


def read_locks(lines: Lines) -> tuple[PackageLock, ...] | None:
    """None where nobody looked."""
    if lines.first("package-locks") is None:
        return None
    rows = (value.split(" ", _LOCK_WORDS - 1) for value in lines.all("package-lock"))
    return tuple(
        # a lock of an open file has no process, and one of another container has none that shows: -1, 0
        PackageLock(file, max(int(pid), 0), None if age == "-" else int(age), "" if name == "-" else name)
        for file, pid, age, name in rows
    )
