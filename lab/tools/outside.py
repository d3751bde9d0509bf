"""An etcd on machines of its own, as its gateway answers a control plane's curl."""

from __future__ import annotations

import json
from typing import Any

from lab.machines import Machine
from lab.toolbox import Invocation, ToolError
from lab.tools.etcd import SNAPSHOT_BYTES, ident_of

_VERSION = "3.5.24"
_INDEX = 150_200  # of the newest entry


async def answer(call: Invocation, place: str, question: str, files: set[str]) -> int:
    """One question at one endpoint, by whoever brings the API server's certificate."""
    places = _places(call.machine)
    if place not in places or place in call.machine.faults.etcd_away:
        raise ToolError(f"curl: (7) Failed to connect to {place}: No route to host\n", 7)
    if missing := sorted(file for file in files if not call.machine.path(file or "/none").exists()):
        raise ToolError(f"curl: (58) could not load PEM client certificate from {missing[0]}\n", 58)
    call.out(json.dumps(_answer(call.machine, place, places, question), separators=(",", ":")))
    return 0


def _places(machine: Machine) -> list[str]:
    seat = machine.kubelet.seat if machine.kubelet else None
    return [url.rpartition("//")[2] for url in seat.outside_etcd] if seat else []


def _answer(machine: Machine, place: str, places: list[str], question: str) -> dict[str, Any]:
    """Large numbers are text there, and what is zero or false is left out."""
    header = {"cluster_id": str(ident_of("outside")), "member_id": str(ident_of(place)), "raft_term": "2"}
    match question:
        case "maintenance/status":
            behind = machine.faults.etcd_behind if place == places[-2] else 0
            return {
                "header": header,
                "version": _VERSION,
                "dbSize": str(SNAPSHOT_BYTES),
                "leader": str(ident_of(places[0])),
                "raftIndex": str(_INDEX),
                "raftTerm": "2",
                "raftAppliedIndex": str(_INDEX - behind),
                "dbSizeInUse": str(SNAPSHOT_BYTES // 2),
            }
        case "cluster/member/list":
            rows = [
                {"ID": str(ident_of(p)), "name": f"infra{n}", "clientURLs": [f"https://{p}"]}
                for n, p in enumerate(places, 1)
            ]
            return {"header": header, "members": rows}
        case _:
            return {}
