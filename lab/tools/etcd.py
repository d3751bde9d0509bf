"""etcdctl and etcdutl, in the etcd container or on the host."""

from __future__ import annotations

import hashlib
import json
import os

from lab.machines import Machine
from lab.staticpods import tag_of
from lab.toolbox import Invocation, ToolError

_VALUED = {
    "--endpoints", "--cacert", "--cert", "--key", "-w", "--write-out", "--command-timeout", "--dial-timeout",
    "--data-dir",
}  # fmt: skip
SNAPSHOT_BYTES = 4 * 1024 * 1024  # of a small cluster


def _parse(call: Invocation) -> tuple[list[str], dict[str, str]]:
    words, options = [], {}
    rest = iter(call.args)
    for word in rest:
        key, sign, value = word.partition("=")
        if key in _VALUED:
            options["-w" if key == "--write-out" else key] = value if sign else next(rest, "")
        elif word.startswith("-") and word not in {"--cluster", "--debug"}:
            raise ToolError(f"Error: unknown flag: {key}\n")
        elif not word.startswith("-"):
            words.append(word)
    return words, options


def version(machine: Machine) -> str:
    path = machine.path("/etc/kubernetes/manifests/etcd.yaml")
    return tag_of(path.read_text(encoding="utf-8")).partition("-")[0] if path.exists() else "3.6.5"


async def etcdctl(call: Invocation) -> int:
    words, options = _parse(call)
    if words == ["version"]:
        call.out(f"etcdctl version: {version(call.machine)}\nAPI version: 3.6\n")
        return 0
    _need_credentials(call, options)
    match words:
        case ["snapshot", "save", path]:
            return await _save(call, path)
        case ["snapshot", "status", _]:
            raise ToolError('Error: unknown command "status" for "etcdctl snapshot"\n')  # gone since 3.6
        case ["endpoint", "health"]:
            return _health(call, options)
        case ["endpoint", "status"]:
            return _status(call, options)
        case ["member", "list"]:
            return _members(call, options)
        case ["alarm", "list"]:
            return 0
        case _:
            raise ToolError(f'Error: unknown command "{" ".join(words)}" for "etcdctl"\n')


def _need_credentials(call: Invocation, options: dict[str, str]) -> None:
    if "etcd" not in (call.machine.kubelet.running if call.machine.kubelet else {}):
        raise ToolError(
            '{"level":"warn","msg":"retrying of unary invoker failed","error":"connection refused"}\n'
            "Error: context deadline exceeded\n"
        )
    for key in ("--cacert", "--cert", "--key"):
        if key not in options:
            raise ToolError("Error: context deadline exceeded\n")
        if not call.machine.path(options[key]).exists():
            raise ToolError(f"Error: open {options[key]}: no such file or directory\n")


async def _save(call: Invocation, path: str) -> int:
    target = call.machine.path(path)
    if not target.parent.is_dir():
        raise ToolError(f"Error: could not open {path}.part: open {path}.part: no such file or directory\n")
    if "etcdctl" in call.machine.faults.disk_full:
        raise ToolError(f"Error: write {path}.part: no space left on device\n")
    await call.pause(0.5)
    body = hashlib.sha256(call.machine.name.encode()).digest() + os.urandom(64)
    target.write_bytes(body.ljust(64 * 1024, b"\0"))
    call.err('{"level":"info","caller":"snapshot/v3_snapshot.go:83","msg":"saved","path":"' + path + '"}\n')
    call.out(f"Snapshot saved at {path}\nServer version 3.6.0\n")
    return 0


def _peers(machine: Machine) -> list[tuple[str, str]]:
    seat = machine.kubelet.seat if machine.kubelet else None
    pairs = (p.partition("=") for p in (seat.peers if seat else "").split(",") if p)
    return [(name, url.replace(":2380", ":2379")) for name, _, url in pairs]


def _health(call: Invocation, options: dict[str, str]) -> int:
    rows = [{"endpoint": url, "health": True, "took": "4.1ms"} for _, url in _peers(call.machine)]
    if options.get("-w") == "json":
        call.out(json.dumps(rows) + "\n")
    else:
        for row in rows:
            call.out(f"{row['endpoint']} is healthy: successfully committed proposal: took = {row['took']}\n")
    return 0


def _status(call: Invocation, options: dict[str, str]) -> int:
    rows = [
        {
            "Endpoint": url,
            "Status": {"version": version(call.machine), "dbSize": SNAPSHOT_BYTES, "leader": 1, "errors": None},
        }
        for _, url in _peers(call.machine)
    ]
    call.out(json.dumps(rows) + "\n" if options.get("-w") == "json" else "".join(f"{r['Endpoint']}\n" for r in rows))
    return 0


def _members(call: Invocation, options: dict[str, str]) -> int:
    rows = [
        {"ID": n, "name": name, "clientURLs": [url], "isLearner": False}
        for n, (name, url) in enumerate(_peers(call.machine), 1)
    ]
    if options.get("-w") == "json":
        call.out(json.dumps({"members": rows}) + "\n")
    else:
        for row in rows:
            call.out(f"{row['ID']:x}, started, {row['name']}, {row['clientURLs']}, false\n")
    return 0


async def etcdutl(call: Invocation) -> int:
    words, options = _parse(call)
    if words[:2] != ["snapshot", "status"] or len(words) != 3:
        raise ToolError(f'Error: unknown command "{" ".join(words)}" for "etcdutl"\n')
    path = call.machine.path(words[2])
    if not path.is_file():
        raise ToolError(f"Error: stat {words[2]}: no such file or directory\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    if options.get("-w") == "json":
        call.out(
            json.dumps({"hash": int(digest, 16), "revision": 1288, "totalKey": 412, "totalSize": SNAPSHOT_BYTES}) + "\n"
        )
    else:
        line = "+----------+----------+------------+------------+---------+\n"
        call.out(f"{line}|   HASH   | REVISION | TOTAL KEYS | TOTAL SIZE | VERSION |\n{line}")
        call.out(f"| {digest} |     1288 |        412 |     4.2 MB |   3.6.0 |\n{line}")
    return 0
