"""etcdctl and etcdutl, in the etcd container or on the host."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from lab.machines import Machine
from lab.staticpods import tag_of
from lab.toolbox import Invocation, ToolError

_VALUED = {
    "--endpoints", "--cacert", "--cert", "--key", "-w", "--write-out", "--command-timeout", "--dial-timeout",
    "--data-dir",
}  # fmt: skip
SNAPSHOT_BYTES = 4 * 1024 * 1024  # of a small cluster
QUOTA_BYTES = 2 * 1024**3
_INDEX = 150_200  # of the newest entry


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
            return _alarms(call)
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


def ident_of(name: str) -> int:
    """A member's 64-bit number."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:15], 16)


def _asked(call: Invocation, options: dict[str, str]) -> list[tuple[str, str]]:
    """(member, endpoint): the machine's own, or with --cluster all."""
    peers = _peers(call.machine)
    if "--cluster" in call.args:
        return peers
    return [(name, options.get("--endpoints", url)) for name, url in peers if name == call.machine.name]


def _health(call: Invocation, options: dict[str, str]) -> int:
    rows = [{"endpoint": url, "health": True, "took": "4.1ms"} for _, url in _asked(call, options)]
    if options.get("-w") == "json":
        call.out(json.dumps(rows) + "\n")
    else:
        for row in rows:
            call.out(f"{row['endpoint']} is healthy: successfully committed proposal: took = {row['took']}\n")
    return 0


def _status(call: Invocation, options: dict[str, str]) -> int:
    rows = [{"Endpoint": url, "Status": _status_of(call.machine, name)} for name, url in _asked(call, options)]
    if options.get("-w") == "json":
        call.out(json.dumps(rows, separators=(",", ":")) + "\n")
    else:
        call.out("".join(f"{row['Endpoint']}\n" for row in rows))
    return 0


def _status_of(machine: Machine, name: str) -> dict[str, Any]:
    """As etcd 3.6 writes it: what is zero or false is left out."""
    alarms = [f"memberID:{ident_of(member)} alarm:{kind} " for member, kind in _raised(machine)]
    return {
        "header": {"cluster_id": ident_of("lab"), "member_id": ident_of(name), "revision": 1288, "raft_term": 2},
        "version": version(machine),
        "dbSize": machine.faults.etcd_bytes or SNAPSHOT_BYTES,
        "leader": ident_of(_peers(machine)[0][0]),
        "raftIndex": _INDEX,
        "raftTerm": 2,
        "raftAppliedIndex": _INDEX - machine.faults.etcd_behind,
        **({"errors": alarms} if alarms else {}),
        "dbSizeInUse": SNAPSHOT_BYTES // 2,
        "storageVersion": "3.6.0",
        "dbSizeQuota": QUOTA_BYTES,
        "downgradeInfo": {},
    }


def _members(call: Invocation, options: dict[str, str]) -> int:
    rows: list[dict[str, Any]] = [
        {"ID": ident_of(name), "name": name, "peerURLs": [url.replace(":2379", ":2380")], "clientURLs": [url]}
        for name, url in _peers(call.machine)
    ]
    if call.machine.faults.etcd_learner:
        rows.append({"ID": ident_of("new"), "peerURLs": ["https://127.0.0.1:2380"], "isLearner": True})
    if options.get("-w") == "json":
        header = {"cluster_id": ident_of("lab"), "member_id": ident_of(call.machine.name), "raft_term": 2}
        call.out(json.dumps({"header": header, "members": rows}, separators=(",", ":")) + "\n")
    else:
        for row in rows:
            learner = str(row.get("isLearner", False)).lower()
            state, urls = ("started", row["clientURLs"]) if "name" in row else ("unstarted", [])
            call.out(
                f"{row['ID']:x}, {state}, {row.get('name', '')}, {row['peerURLs'][0]}, {','.join(urls)}, {learner}\n"
            )
    return 0


def _alarms(call: Invocation) -> int:
    for member, kind in _raised(call.machine):
        call.out(f"memberID:{ident_of(member)} alarm:{kind} \n")
    return 0


def _raised(machine: Machine) -> Sequence[tuple[str, str]]:
    return machine.view.alarms() if machine.view else ()


async def read_metrics(call: Invocation) -> int:
    """What a machine reads of itself by curl: its etcd's metrics address."""
    url = call.args[-1] if call.args else ""
    if not url.startswith("http://127.0.0.1:2381/") or "etcd" not in (
        call.machine.kubelet.running if call.machine.kubelet else {}
    ):
        raise ToolError(f"curl: (7) Failed to connect to {url}: Connection refused\n", 7)
    alarms = [kind for _, kind in _raised(call.machine)]
    if url.endswith("/health"):
        well, reason = str(not alarms).lower(), "".join(f"ALARM {kind}" for kind in alarms)
        call.out(json.dumps({"health": well, "reason": reason}, separators=(",", ":")))
        return 0
    leads = int(_peers(call.machine)[0][0] == call.machine.name)
    call.out(
        f"etcd_mvcc_db_total_size_in_bytes {call.machine.faults.etcd_bytes or SNAPSHOT_BYTES}\n"
        f"etcd_server_has_leader 1\netcd_server_is_leader {leads}\netcd_server_is_learner 0\n"
        f'etcd_server_id{{server_id="{ident_of(call.machine.name):x}"}} 1\n'
        f"etcd_server_quota_backend_bytes {QUOTA_BYTES:.9e}\n"
        f'etcd_server_version{{server_version="{version(call.machine)}"}} 1\n'
    )
    return 0


async def etcdutl(call: Invocation) -> int:
    words, options = _parse(call)
    if words == ["version"]:
        call.out(f"etcdutl version: {version(call.machine)}\nAPI version: 3.6\n")
        return 0
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
