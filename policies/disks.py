"""Whether a machine's disks have the room that one hop takes: copies of etcd, images and packages."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.facts import EtcdTool, MachineFacts, Room
from cluster.findings import Finding, Severity
from cluster.report import Node
from policies.wording import some_of

LOW_KIB = 1024 * 1024  # images and packages of one hop need about this much
_KIB = 1024  # in a MiB
GROWTH = 1.5  # etcd is written to while it is copied
_BACKUPS = "/etc/kubernetes"  # kubeadm keeps them in its folder tmp


def check_disks(node: Node, facts: MachineFacts, *, snapshot: bool) -> Iterator[Finding]:
    """`snapshot` marks the machine where etcd's snapshot is to be taken."""
    if node.control_plane:
        yield from _etcd(node, facts, snapshot=snapshot and facts.etcdctl is not EtcdTool.NONE)
    low: dict[str, list[Room]] = {}
    for room in facts.room:
        if room.free_kib < LOW_KIB:
            low.setdefault(_file_system(room), []).append(room)
    for rooms in low.values():
        places = some_of(r.place for r in rooms)
        sentence = f"{node.name} has only {_mib(rooms[0].free_kib)} free at {places}."
        remedy = "Free room there before images and packages of the next hop come."
        yield Finding("disk-low", Severity.WARNING, node.name, sentence, remedy)


def _etcd(node: Node, facts: MachineFacts, *, snapshot: bool) -> Iterator[Finding]:
    on: dict[str, list[tuple[Room, int, str]]] = {}
    for room, needed, what in _demands(facts, snapshot=snapshot):
        if room is not None:
            on.setdefault(_file_system(room), []).append((room, needed, what))
    for demands in on.values():
        room = demands[0][0]
        if room.free_kib >= sum(needed for _, needed, _ in demands):
            continue
        wanted = " and ".join(f"{_mib(needed + _KIB - 1)} for {what}" for _, needed, what in demands)
        sentence = f"{node.name} has {_mib(room.free_kib)} free at {room.place} and needs {wanted} there."
        remedy = "Make room there: look at old backups under /etc/kubernetes/tmp, and at old snapshots."
        yield Finding("disk-space", Severity.BLOCKER, node.name, sentence, remedy)


def _demands(facts: MachineFacts, *, snapshot: bool) -> Iterator[tuple[Room | None, int, str]]:
    """Which disk takes how many KiB for what."""
    data, backups = facts.room_of(facts.etcd_data), facts.room_of(_BACKUPS)
    size = facts.etcd_size_kib or 0
    yield backups, int(size * GROWTH), "kubeadm's copy of etcd"
    if not snapshot:
        return
    database = facts.etcd.size_bytes // 1024 if facts.etcd is not None else size
    # It is written beside etcd's data, and moved when it is whole: on one disk that takes no more room.
    alone = _file_system(data) != _file_system(backups)
    yield data, int(database * (GROWTH if alone else 1)), "etcd's snapshot"
    if _file_system(facts.snapshots) != _file_system(data):
        yield facts.snapshots, database, "etcd's snapshot"


def _file_system(room: Room | None) -> str:
    """What tells two disks apart; an older node script names the folder alone."""
    return "" if room is None else room.mount or room.place


def _mib(kib: int) -> str:
    return f"{kib // _KIB} MiB"
