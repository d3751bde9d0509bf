"""apt-get, and how it fetches lists: with every way of failing that the recordings show."""

from __future__ import annotations

from pathlib import Path

from lab.machines import Machine
from lab.packages import KEY_ID, Trust
from lab.toolbox import Invocation, ToolError
from lab.tools.aptconfig import AptCall, Source, parse, unreachable
from lab.tools.aptinstall import install

FLAGS = {
    "-y", "-q", "-s", "-d", "-V", "-u", "-f", "--yes", "--assume-yes", "--quiet", "--simulate", "--dry-run",
    "--just-print", "--download-only", "--allow-change-held-packages", "--allow-downgrades", "--no-install-recommends",
    "--no-remove", "--no-upgrade", "--only-upgrade", "--reinstall", "--fix-broken", "--show-progress", "--print-uris",
}  # fmt: skip
_READING = "Reading package lists...\n"
_IGNORED = "W: Some index files failed to download. They have been ignored, or old ones used instead.\n"


async def apt_get(call: Invocation) -> int:
    parsed = parse(call, FLAGS)
    verb = parsed.words[0] if parsed.words else ""
    if verb == "update":
        return await update(call, parsed)
    if verb == "install":
        return await install(call, parsed)
    if verb in {"clean", "autoclean"}:
        for path in parsed.archives.glob("*.deb"):
            path.unlink()
        return 0
    raise ToolError(f"E: Invalid operation {verb}\n", 100)


async def update(call: Invocation, parsed: AptCall) -> int:
    """Fetch the lists of every source; a host that is away is a mere warning, as in life."""
    worst, warned, fetched = 0, False, 0
    parsed.lists.mkdir(parents=True, exist_ok=True)
    await call.pause(0.3)
    for number, source in enumerate(parsed.sources(), 1):
        minor = call.machine.repository.minor_of(source.url)
        if problem := unreachable(call, source, minor):
            _unreachable(call, number, source, problem)
            warned = True
        elif minor not in call.machine.repository.minors:
            call.out(
                f"Ign:{number} {source.url}  InRelease\nErr:{number + 1} {source.url}  Release\n  404  Not Found\n"
            )
            call.err(f"E: The repository '{source.url}  Release' does not have a Release file.\n")
            worst = 100
        elif problem := signature_problem(call, source, minor or ""):
            _unsigned(call, number, source, problem)
            worst = 100
        else:
            fetched += _fetch(call, parsed, number, source, minor or "")
    if fetched:
        call.out(f"Fetched {fetched} B in 0s (41.3 kB/s)\n")
    call.out(_READING)
    if warned:
        call.err(_IGNORED)
    return worst


def _unreachable(call: Invocation, number: int, source: Source, problem: str) -> None:
    call.out(f"Ign:{number} {source.url}  InRelease\n" * 3)
    call.out(f"Err:{number} {source.url}  InRelease\n  {problem}\n")
    call.err(f"W: Failed to fetch {source.url}/InRelease  {problem}\n")


def signature_problem(call: Invocation, source: Source, minor: str) -> str:
    if not any(KEY_ID in ring.read_text(encoding="utf-8") for ring in _keyrings(call.machine, source)):
        return (
            f"The following signatures couldn't be verified because the public key is not available: NO_PUBKEY {KEY_ID}"
        )
    if call.machine.repository.trust.get(minor, Trust.GOOD) is Trust.EXPIRED:
        return (
            "The following signatures were invalid: "
            f"EXPKEYSIG {KEY_ID} isv:kubernetes OBS Project <isv:kubernetes@build.opensuse.org>"
        )
    return ""


def _keyrings(machine: Machine, source: Source) -> list[Path]:
    """The one that the source names, else all that apt trusts for every source."""
    named = [machine.path(source.keyring)] if source.keyring else machine.path("/etc/apt/trusted.gpg.d").glob("*.gpg")
    return [ring for ring in named if ring.is_file()]


def _unsigned(call: Invocation, number: int, source: Source, problem: str) -> None:
    call.out(f"Get:{number} {source.url}  InRelease [1862 B]\nErr:{number} {source.url}  InRelease\n  {problem}\n")
    call.err(
        f"W: GPG error: {source.url}  InRelease: {problem}\n"
        f"E: The repository '{source.url}  InRelease' is not signed.\n"
    )


def _fetch(call: Invocation, parsed: AptCall, number: int, source: Source, minor: str) -> int:
    text = call.machine.repository.packages(minor)
    path = parsed.lists / source.list_name
    if path.exists() and path.read_text(encoding="utf-8") == text:
        call.out(f"Hit:{number} {source.url}  InRelease\n")
        return 0
    path.write_text(text, encoding="utf-8")
    call.out(
        f"Get:{number} {source.url}  InRelease [1862 B]\nGet:{number + 1} {source.url}  Packages [{len(text)} B]\n"
    )
    return 1862 + len(text)
