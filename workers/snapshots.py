"""The snapshot of etcd once it is taken: streamed off its machine and stored encrypted, before anything is changed."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import asdict

import pyrage

from cluster.errors import ClusterUnreadable, Refused
from cluster.etcd import read_seats
from cluster.events import Event, Happened
from cluster.inventory import Snapshots
from cluster.pods import PODS
from policies.restoring import TakenSnapshot, write_restore_runbook, write_seats
from workers import crashpoints
from workers.control_plane import read_declared
from workers.node_script.snapshots import SnapshotPart, Taken, read_taken
from workers.remote import Link, Outcome
from workers.site import Site, StepBlocked, StepDone, Yielded
from workers.snapshot_store import SnapshotStore

_LARGE = 1024**3  # bytes; from here on people would wonder what takes so long
_MIB = 1024 * 1024
_AGAIN = "then `retry`: a new snapshot is taken; nothing of the cluster was changed."


def keep_snapshot(site: Site, outcome: Outcome) -> StepDone:
    """The end of a snapshot that was taken and verified: stored where a store is configured; or StepBlocked."""
    told = [line for line in outcome.output.splitlines() if line.startswith("The snapshot ")]
    taken = read_taken(outcome.output)
    name = f"The etcd snapshot of {site.node.name}"
    sentence = told[-1].replace("The snapshot", name, 1) if told else f"{name} was taken."
    facts = {f"snapshot-{k}": str(v) for k, v in asdict(taken).items() if v is not None} if taken else {}
    if facts:
        facts |= _of_its_time(site)
    snapshots = site.settings.clusters[site.cluster].snapshots
    if snapshots is None:
        return StepDone(sentence, facts)
    path, size = _store(site, snapshots, taken, facts)
    sentence = f"{sentence} Encrypted, it is stored as {path}."
    return StepDone(sentence, {**facts, "stored-path": path, "stored-size": str(size)})


def _of_its_time(site: Site) -> dict[str, str]:
    """What a way back has to know of the cluster as it was; only a runbook asks: an API that is away stops nothing."""
    facts: dict[str, str] = {}
    with suppress(ClusterUnreadable):
        if seats := read_seats(site.kube().items(PODS, {"labelSelector": "component=etcd"})):
            facts["etcd-members"] = write_seats(seats)
        if declared := read_declared(site):
            facts["snapshot-release"] = str(declared)
    return facts


def _store(site: Site, snapshots: Snapshots, taken: Taken | None, facts: dict[str, str]) -> tuple[str, int]:
    if taken is None or taken.sha256 is None or taken.size is None:
        raise _not_stored(
            site,
            f"the node script of {site.node.name} is of an earlier release, which gives no snapshot out",
            f"Install the output of `lockkeeper node-script` there, {_AGAIN}",
        )
    store = SnapshotStore.of(snapshots, site.cluster)
    name = store.name_of(site.attempt_id, site.started_at)
    source = SnapshotSource(site, taken.size, taken.sha256)
    try:
        store.make_folder()
        size = store.size_of(name)  # there already, where a driver before us was killed after it had stored it
        if size is None:
            _check_room(site, store, taken.size)
            runbook = _runbook(site, {**facts, "stored-path": str(store.folder / name)})
            size = store.write(name, source, runbook=runbook, fence=site.fence, before_end=source.check_whole)
            crashpoints.reach("after-store", site.step.verb, site.node.name)
    except (pyrage.EncryptError, OSError) as error:
        if source.failure is not None:  # it went through the library as a text
            raise source.failure from error
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _not_stored(site, f"{store.folder}: {why}", f"Mend the store, {_AGAIN}") from error
    _retire(site, store)
    return str(store.folder / name), size


def _runbook(site: Site, facts: dict[str, str]) -> str:
    """How this very cluster is brought back: where that is needed, nobody may be there to be asked for it."""
    event = Event(Happened.STEP_FINISHED, site.started_at, site.cluster, "", node=site.node.name, facts=facts)
    snapshot = TakenSnapshot.of(event)
    try:
        return write_restore_runbook(site.cluster, snapshot.seats if snapshot else (), snapshot)
    except Refused as error:
        return f"{error}\n"


def _check_room(site: Site, store: SnapshotStore, size: int) -> None:
    if lack := store.lacks_room(size):
        needed, free = (f"{number / _MIB:,.0f} MiB" for number in lack)
        why = f"it needs {needed} in {store.folder}, where {free} are free"
        raise _not_stored(site, why, f"Make room there, {_AGAIN}")


def _retire(site: Site, store: SnapshotStore) -> None:
    """Old ones that cannot be removed are no reason to stop."""
    try:
        for name in store.retire(site.operation_id):
            site.tell(f"The old snapshot {name} was removed: the newest {store.keep} stay.")
    except OSError as error:
        site.tell(f"Old snapshots in {store.folder} could not be removed: {error.strerror}.")


def _not_stored(site: Site, why: str, remedy: str) -> StepBlocked:
    return site.blocked(
        "snapshot-not-stored", f"The etcd snapshot of {site.node.name} could not be stored: {why}.", remedy
    )


class SnapshotSource:
    """A snapshot on its machine as a file to read: piece by piece over a link that may break, and summed up."""

    def __init__(self, site: Site, size: int, sha256: str) -> None:
        self.failure: Exception | None = None
        self._site = site
        self._size, self._sha256 = size, sha256
        self._link = Link(site)
        self._digest = hashlib.sha256()
        self._offset = 0  # of what was fetched
        self._piece, self._used = memoryview(b""), 0
        if size >= _LARGE:
            site.tell(f"The etcd snapshot of {site.node.name} has {size / _MIB:,.0f} MiB; it is copied to the store.")

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many; whatever is raised here stays in `failure`."""
        try:
            if self._used == len(self._piece):
                self._piece, self._used = memoryview(self._fetch()), 0
        except Exception as error:
            self.failure = error
            raise
        found = bytes(self._piece[self._used : self._used + size])
        self._used += len(found)
        return found

    def check_whole(self) -> None:
        """Right before it gets its name: is it what the machine summed up, and is the run still ours?"""
        crashpoints.reach("before-store", self._site.step.verb, self._site.node.name)
        if self._offset != self._size or self._digest.hexdigest() != self._sha256:
            raise self._damaged(f"{self._offset} bytes came, with another SHA-256 than the {self._size} there")
        self._site.check_lease()

    def _fetch(self) -> bytes:
        site = self._site
        if self._offset == self._size:
            return b""
        if site.stopping():
            raise Yielded
        part = self._link.ask(self._ask, patience=site.waits.node_ready)
        if part.size != self._size or not part.chunk:
            raise self._damaged(f"it had {self._size} bytes when it was taken and has {part.size} now")
        self._offset += len(part.chunk)
        self._digest.update(part.chunk)
        return part.chunk

    def _ask(self) -> SnapshotPart:
        return self._site.machine.snapshot(self._site.attempt_id, self._offset)

    def _damaged(self, why: str) -> StepBlocked:
        return _not_stored(self._site, why, f"Find out who changes files on {self._site.node.name}, {_AGAIN}")
