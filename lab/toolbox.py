"""Tools of the lab's machines: tiny programs on the PATH that ask the lab, over a Unix socket, what to do."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import struct
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.machines import Machine

_FRAME = struct.Struct("!cI")
_LENGTH = struct.Struct("!I")
_LONGEST_REQUEST = 1 << 20
HAS_PERL = shutil.which("perl", path="/usr/bin") is not None

# A machine runs hundreds of tools in one upgrade: perl starts in 2 ms, python in 60 ms. Without modules, perl needs the
# numbers of AF_UNIX and SOCK_STREAM itself; they are 1 and 1 on Linux.
_PERL = r"""#!/usr/bin/perl
# a tool of the lab: hands its arguments to the lab and prints what comes back
socket(S, 1, 1, 0) && connect(S, pack("S a*", 1, "@SOCKET@\0"))
    or do { print STDERR "@TOOL@: the lab is gone\n"; exit 69 };
my $request = join("\0", "@MACHINE@", "@TOOL@", "@BINARY@", $ENV{LOCKKEEPER_ATTEMPT} // "", @ARGV);
syswrite(S, pack("N", length $request) . $request);
sub need {
    my ($n, $b) = ($_[0], "");
    while (length $b < $n) { sysread(S, $b, $n - length $b, length $b) || exit 137 }
    $b
}
while (1) {
    my ($kind, $size) = unpack("a N", need(5));
    exit $size if $kind eq "x";
    my $text = need($size);
    my $fd = $kind eq "1" ? *STDOUT : *STDERR;
    while (length $text) { my $n = syswrite($fd, $text) // exit 74; $text = substr($text, $n) }
}
"""
_PYTHON = r"""#!/usr/bin/python3 -ISE
# a tool of the lab: hands its arguments to the lab and prints what comes back
import os, socket, sys
link = socket.socket(socket.AF_UNIX)
try:
    link.connect("@SOCKET@")
except OSError:
    sys.exit("@TOOL@: the lab is gone")
words = ["@MACHINE@", "@TOOL@", "@BINARY@", os.environ.get("LOCKKEEPER_ATTEMPT", ""), *sys.argv[1:]]
request = os.fsencode("\0".join(words))
link.sendall(len(request).to_bytes(4, "big") + request)
def need(size):
    got = b""
    while len(got) < size:
        part = link.recv(size - len(got))
        if not part:
            os._exit(137)
        got += part
    return got
while True:
    head = need(5)
    size = int.from_bytes(head[1:], "big")
    if head[:1] == b"x":
        os._exit(size)
    text = need(size)
    while text:
        text = text[os.write(1 if head[:1] == b"1" else 2, text):]
"""
# sudo runs the rest as a real process: the lab's machines have one user.
_SUDO = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        -n | -E | -H | -S | --non-interactive) shift ;;
        --) shift; break ;;
        -*) echo "sudo: invalid option -- '${1#-}'" >&2; exit 1 ;;
        *=*) export "$1"; shift ;;
        *) break ;;
    esac
done
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class ExecRecord:
    """One thing that ran, or was refused, on a machine."""

    at: datetime
    machine: str
    unit: str  # the attempt id of lockkeeper, or ""
    argv: tuple[str, ...]
    exit: int | None = None  # None: it still runs, or was killed
    started: bool = False  # this is the start of a transient unit, not a tool
    refused: bool = False  # a transient unit that systemd-run would not start
    ended_at: datetime | None = None


@dataclass(slots=True)
class ExecLog:
    """What ran on all machines, in the order of the starts."""

    records: list[ExecRecord] = field(default_factory=list)

    def begin(self, record: ExecRecord) -> int:
        self.records.append(record)
        return len(self.records) - 1

    def end(self, index: int, code: int) -> None:
        self.records[index] = replace(self.records[index], exit=code, ended_at=datetime.now(UTC))


class ToolError(Exception):
    """What a tool prints on stderr before it exits with an error."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True)
class Invocation:
    """One run of one tool on one machine."""

    machine: Machine
    tool: str
    args: tuple[str, ...]
    writer: asyncio.StreamWriter
    binary: str = ""  # the version of an unpacked program that is not the installed one
    attempt: str = ""

    def out(self, text: str) -> None:
        self._send(b"1", text)

    def err(self, text: str) -> None:
        self._send(b"2", text)

    def _send(self, kind: bytes, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")
        if data and not self.writer.is_closing():
            self.writer.write(_FRAME.pack(kind, len(data)) + data)

    async def pause(self, seconds: float) -> None:
        """Let lab time pass; what was printed so far is on its way before."""
        if not self.writer.is_closing():
            await self.writer.drain()
        await self.machine.clock.sleep(seconds)


Tool = Callable[[Invocation], Awaitable[int]]


def client(tool: str, *, machine: str, socket: Path, binary: str = "", perl: bool = HAS_PERL) -> str:
    """The program that stands on the PATH for one tool."""
    text = _PERL if perl else _PYTHON
    for key, value in {"SOCKET": str(socket), "TOOL": tool, "MACHINE": machine, "BINARY": binary}.items():
        text = text.replace(f"@{key}@", value)
    return text


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Toolbox:
    """The lab's end of all tools: one socket; a client that goes away cancels what it asked for."""

    def __init__(self, tools: Mapping[str, Tool], log: ExecLog) -> None:
        self._tools = tools
        self._log = log
        self._machines: dict[str, Machine] = {}
        self._server: asyncio.Server | None = None
        # A short path of our own: a Unix socket's path may have 107 bytes at most.
        self._folder = Path(tempfile.mkdtemp(prefix="lab-"))
        self.socket = self._folder / "tools"

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.socket)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def equip(self, machine: Machine) -> None:
        """Put every tool that this machine has on its PATH."""
        self._machines[machine.name] = machine
        for name in self._tools:
            if name not in machine.lacks:
                write_program(machine.tools / name, self.program(machine, name))
        write_program(machine.tools / "sudo", _SUDO)

    def program(self, machine: Machine, tool: str, binary: str = "") -> str:
        return client(tool, machine=machine.name, socket=self.socket, binary=binary)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            size = _LENGTH.unpack(await reader.readexactly(4))[0]
            if size > _LONGEST_REQUEST:
                return
            name, tool, binary, attempt, *args = (
                (await reader.readexactly(size)).decode("utf-8", "surrogateescape").split("\0")
            )
            call = Invocation(self._machines[name], tool, tuple(args), writer, binary, attempt)
            await self._run(call, reader)
        writer.close()

    async def _run(self, call: Invocation, reader: asyncio.StreamReader) -> None:
        work = asyncio.ensure_future(self._outcome(call))
        gone = asyncio.ensure_future(reader.read(1))
        record = ExecRecord(datetime.now(UTC), call.machine.name, call.attempt, (call.tool, *call.args))
        index = self._log.begin(record)
        call.machine.running.add(work)
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done() or work.cancelled():
                return  # killed: it stops where it is
            self._log.end(index, work.result())
            call.writer.write(_FRAME.pack(b"x", work.result()))
            await call.writer.drain()
        finally:
            call.machine.running.discard(work)
            work.cancel()
            gone.cancel()

    async def _outcome(self, call: Invocation) -> int:
        if call.tool in call.machine.faults.disk_full:
            call.err(f"{call.tool}: write error: No space left on device\n")
            return 1
        try:
            return await self._tools[call.tool](call)
        except ToolError as error:
            call.err(str(error))
            return error.code
