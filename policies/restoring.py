"""How a cluster's etcd would be brought back from a snapshot, by data/restoring.yaml, with its own names in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from shlex import quote

from cluster.errors import Refused
from cluster.etcd import EtcdSeat
from cluster.events import Event
from policies.data_files import DataFile, Row

# A word is pasted into a shell together with its command: only what kubeadm and Kubernetes take for one may be.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
_PATH = re.compile(r"/[A-Za-z0-9._/-]*[A-Za-z0-9._-]")
_RELEASE = re.compile(r"v\d+\.\d+\.\d+", re.ASCII)
_MINOR = re.compile(r":v?(\d+)\.(\d+)\.")
_BUMPS = (3, 6)  # from this minor of etcd on etcdutl surely knows how to bump revisions


class When(StrEnum):
    """What has to hold for a step to be said."""

    ALWAYS = "always"
    STORED = "stored"
    ON_ITS_MACHINE = "on-its-machine"
    NONE = "none"
    SUMMED = "summed"
    LOOKED_INTO = "looked-into"
    NOT_LOOKED_INTO = "not-looked-into"
    NEW_ETCD = "new-etcd"
    OLD_ETCD = "old-etcd"
    VERSIONED = "versioned"


class Move(Row):
    """One step; its texts have gaps for names."""

    when: When = When.ALWAYS
    text: str
    command: str = ""
    shows: str = ""

    @property
    def of_a_member(self) -> bool:
        return "{node}" in self.text


class Part(Row):
    """Steps under one heading."""

    title: str
    steps: tuple[Move, ...]


class Restoring(DataFile):
    """The whole file."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class TakenSnapshot:
    """A snapshot that a run took; `seats` are the members of that time."""

    node: str
    at: datetime
    path: str  # on its machine
    stored: str = ""  # its path in the store, encrypted
    sha256: str = ""
    hash: str = ""
    revision: str = ""
    release: str = ""  # of Kubernetes, that kubeadm-config declared then
    seats: tuple[EtcdSeat, ...] = ()

    @classmethod
    def of(cls, event: Event) -> TakenSnapshot | None:
        """None for an event that tells of no snapshot."""
        facts = event.facts
        if "snapshot-path" not in facts:
            return None
        told = {name: facts.get(f"snapshot-{name}", "") for name in ("sha256", "hash", "revision", "release")}
        seats = tuple(EtcdSeat(**raw) for raw in json.loads(facts.get("etcd-members", "[]")))
        return cls(event.node, event.at, facts["snapshot-path"], facts.get("stored-path", ""), **told, seats=seats)


def write_seats(seats: tuple[EtcdSeat, ...]) -> str:
    """The members as `TakenSnapshot.of` reads them again."""
    return json.dumps([asdict(seat) for seat in seats])


def write_restore_runbook(cluster: str, seats: tuple[EtcdSeat, ...], snapshot: TakenSnapshot | None) -> str:
    """Markdown; raises Refused for members that are not known, or whose names no shell should see."""
    _check(cluster, seats)
    holds, gaps = frozenset(_holding(seats, snapshot)), _gaps(cluster, seats, snapshot)
    lines = [f"# Restore runbook: etcd of `{cluster}`", ""]
    parts = (p for p in Restoring.read("restoring.yaml").parts if any(step.when in holds for step in p.steps))
    for number, part in enumerate(parts, 1):
        lines += [f"## {number}. {part.title}", ""]
        for source in dict.fromkeys(source for step in part.steps for source in step.sources if step.when in holds):
            lines.append(f"<{source}>")
        lines.append("")
        for step in (step for step in part.steps if step.when in holds):
            for member in seats if step.of_a_member else (None,):
                lines += _say(step, gaps | (_gaps_of(member) if member else {}))
    return "\n".join(lines[:-1]) + "\n"


def _check(cluster: str, seats: tuple[EtcdSeat, ...]) -> None:
    if not seats:
        raise Refused(
            f"No member of etcd is known of `{cluster}`: nobody could be asked, or its etcd is not kubeadm's own. "
            "Follow that etcd's own documentation."
        )
    for seat in seats:
        names = _NAME.fullmatch(seat.node) and _NAME.fullmatch(seat.name)
        if not names or not _URL.fullmatch(seat.peer_url) or not _PATH.fullmatch(seat.data_dir):
            raise Refused(
                f"etcd's pod on `{seat.node[:60]}` has a name, an address or a folder that kubeadm would not write: "
                "look at its manifest before anything is typed."
            )


def _holding(seats: tuple[EtcdSeat, ...], snapshot: TakenSnapshot | None) -> Iterator[When]:
    yield When.ALWAYS
    if snapshot is None:
        yield When.NONE
    else:
        yield When.STORED if snapshot.stored else When.ON_ITS_MACHINE
    if snapshot is not None and snapshot.sha256:
        yield When.SUMMED
    yield When.LOOKED_INTO if snapshot is not None and snapshot.hash else When.NOT_LOOKED_INTO
    if snapshot is not None and _RELEASE.fullmatch(snapshot.release):
        yield When.VERSIONED
    yield When.NEW_ETCD if all(_minor(image) >= _BUMPS for image in _images(seats, snapshot)) else When.OLD_ETCD


def _gaps(cluster: str, seats: tuple[EtcdSeat, ...], snapshot: TakenSnapshot | None) -> dict[str, str]:
    gaps = {
        "cluster": cluster,
        "nodes": ", ".join(f"`{seat.node}`" for seat in seats),
        "first": seats[0].node,
        "images": ", ".join(f"`{image}`" for image in _images(seats, snapshot)),
        "count": str(len(seats)),
        "everybody": quote(",".join(f"{seat.name}={seat.peer_url}" for seat in seats)),
        "token": "restored",
    }
    if snapshot is not None:
        at = snapshot.at.astimezone(UTC)
        gaps |= {
            "taken_on": snapshot.node,
            "taken_at": f"{at:%Y-%m-%d %H:%M} UTC",
            "stored": quote(snapshot.stored),
            "path": quote(snapshot.path),
            "sha256": snapshot.sha256,
            "hash": snapshot.hash,
            "revision": snapshot.revision,
            "release": snapshot.release,
            "plain": snapshot.release.removeprefix("v"),
            "minor": snapshot.release.rpartition(".")[0],
            "token": f"restored-{at:%Y%m%dt%H%M%Sz}",
        }
    return gaps


def _gaps_of(seat: EtcdSeat) -> dict[str, str]:
    return {"node": seat.node, "name": seat.name, "peer": quote(seat.peer_url), "data": seat.data_dir}


def _say(step: Move, gaps: dict[str, str]) -> Iterator[str]:
    yield step.text.format(**gaps)
    yield ""
    if step.command:
        yield from ("```sh", step.command.format(**gaps), "```", "")
    if step.shows:
        yield from (f"It has to show {step.shows.format(**gaps)}.", "")


def _images(seats: tuple[EtcdSeat, ...], snapshot: TakenSnapshot | None) -> list[str]:
    """etcd's when the snapshot was taken, where that is known: its data are of that release."""
    then = snapshot.seats if snapshot is not None and snapshot.seats else seats
    return sorted({seat.image for seat in then})


def _minor(image: str) -> tuple[int, int]:
    match = _MINOR.search(image)
    return (int(match[1]), int(match[2])) if match else (0, 0)
