"""What apt's programs take from their command line and from the files under /etc/apt."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab.machines import Machine
from lab.packages import read_packages, sort_key
from lab.toolbox import Invocation, ToolError

_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)(?:\s+\S+)*\s*$")
_VALUE_FLAGS = {"-o", "--option", "-c", "-t"}


@dataclass(frozen=True, slots=True)
class Source:
    """One repository that a machine takes packages from."""

    url: str  # without the last slash, as apt prints it
    keyring: str

    @property
    def list_name(self) -> str:
        """The name of its file below the lists folder."""
        return re.sub(r"^\w+://", "", self.url).replace("_", "%5f").replace("/", "_") + "_Packages"


@dataclass(slots=True)
class AptCall:
    """A parsed command line."""

    machine: Machine
    options: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    words: list[str] = field(default_factory=list)

    def folder(self, key: str, default: str) -> Path:
        return self.machine.path(self.options.get(key.lower()) or default)

    @property
    def lists(self) -> Path:
        return self.folder("Dir::State::Lists", "/var/lib/apt/lists")

    @property
    def archives(self) -> Path:
        return self.folder("Dir::Cache::Archives", "/var/cache/apt/archives")

    def source_files(self) -> Iterator[Path]:
        main = self.options.get("dir::etc::sourcelist", "/etc/apt/sources.list")
        if main not in {"/dev/null", "-"} and (path := self.machine.path(main)).is_file():
            yield path
        parts = self.options.get("dir::etc::sourceparts", "/etc/apt/sources.list.d")
        if parts not in {"/dev/null", "-"} and (folder := self.machine.path(parts)).is_dir():
            yield from sorted(p for p in folder.iterdir() if p.suffix == ".list" and not p.name.startswith("."))

    def sources(self) -> list[Source]:
        found = []
        for path in self.source_files():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
                if (match := _LINE.fullmatch(line.strip())) is None:
                    raise ToolError(
                        f"E: Malformed entry {number} in list file {path} (Component)\n"
                        "E: The list of sources could not be read.\n",
                        100,
                    )
                signed = re.search(r"signed-by=(\S+)", match[1] or "")
                found.append(Source(match[2].rstrip("/"), signed[1] if signed else ""))
        return found

    def offered(self) -> dict[str, list[tuple[str, Source]]]:
        """Package → its versions with their source, newest first, from the lists that were fetched."""
        table: dict[str, list[tuple[str, Source]]] = {}
        for source in self.sources():
            path = self.lists / source.list_name
            if path.exists():
                for name, version in read_packages(path.read_text(encoding="utf-8")):
                    table.setdefault(name, []).append((version, source))
        for rows in table.values():
            rows.sort(key=lambda row: sort_key(row[0]), reverse=True)
        return table


def match_version(pattern: str, rows: list[tuple[str, Source]]) -> tuple[str, Source] | None:
    """The newest version that `name=pattern` means."""
    return next((row for row in rows if fnmatch.fnmatchcase(row[0], pattern)), None)


def parse(call: Invocation, known: set[str]) -> AptCall:
    """Read options anywhere on the line; an unknown one is refused as apt does."""
    parsed = AptCall(call.machine)
    words = iter(call.args)
    for word in words:
        if word in _VALUE_FLAGS:
            _option(parsed, word, next(words, ""))
        elif word.startswith("-o") and "=" in word:
            _option(parsed, "-o", word[2:])
        elif word.startswith("--option="):
            _option(parsed, "-o", word.removeprefix("--option="))
        elif word.startswith("-") and len(word) > 1:
            _flag(parsed, word, known)
        else:
            parsed.words.append(word)
    return parsed


def _option(parsed: AptCall, flag: str, text: str) -> None:
    if flag not in {"-o", "--option"}:
        return
    key, sign, value = text.partition("=")
    if not sign:
        raise ToolError(f"E: Option {flag}: Configuration item specification must have an =<val>.\n", 100)
    parsed.options[key.lower()] = value


def _flag(parsed: AptCall, word: str, known: set[str]) -> None:
    if word.startswith("--"):
        if word not in known:
            raise ToolError(
                f"E: Command line option {word} is not understood in combination with the other options\n", 100
            )
        parsed.flags.add(word)
        return
    for letter in word[1:]:
        if f"-{letter}" not in known:
            raise ToolError(
                f"E: Command line option '{letter}' [from {word}] is not understood in combination with the other "
                "options.\n",
                100,
            )
        parsed.flags.add(f"-{letter}")


def unreachable(call: Invocation, source: Source, minor: str | None) -> str:
    """Why the source's host does not answer, or ""."""
    host = re.sub(r"^\w+://([^/]*).*", r"\1", source.url)
    if minor is None:
        return f"Temporary failure resolving '{host.partition(':')[0]}'"
    if not call.machine.repository.reachable:
        return f"Could not connect to {host} ({host.partition(':')[0]}). - connect (111: Connection refused)"
    return ""
