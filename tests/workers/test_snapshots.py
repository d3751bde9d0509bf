"""A snapshot of etcd leaves its machine: whole, encrypted, under its name at once or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pyrage
import pytest

from cluster.errors import ClusterUnreadable
from cluster.etcd import EtcdSeat
from cluster.events import Event, Happened
from cluster.findings import Severity
from cluster.inventory import Snapshots
from cluster.procedure import Verb
from policies.restoring import TakenSnapshot
from tests.workers.runbook_fixture import OPERATION, SETTINGS, START, Bench, FakeMachine, static_pod
from workers.doctor import try_store
from workers.machine import NodeScriptFailed
from workers.runbook import Site, StepBlocked, StepDone, Yielded, perform
from workers.snapshot_store import SnapshotStore

IDENTITY = pyrage.x25519.Identity.generate()
BODY = os.urandom(300_000)
STEP = Verb.SNAPSHOT_ETCD


class Yard:
    """One control plane, its snapshot, and a store."""

    def __init__(self, store: Path, body: bytes = BODY) -> None:
        self.bench = Bench()
        self.folder = store / "lab"
        self.snapshots = Snapshots(store=store, recipients=(str(IDENTITY.to_public()),), keep=2)
        cluster = SETTINGS.clusters["lab"].model_copy(update={"snapshots": self.snapshots})
        self.settings = SETTINGS.model_copy(update={"clusters": {"lab": cluster}})
        self.machine.snapshot_bytes = body
        self.machine.ends["snapshot-etcd"] = (0, told(body))

    @property
    def machine(self) -> FakeMachine:
        return self.bench.machines["cp1"]

    def site(self, **changes: Any) -> Site:
        made = self.bench.site("cp1", STEP, position=6)
        return dataclasses.replace(made, **{"settings": self.settings, "started_at": START, **changes})

    def take(self, **changes: Any) -> StepDone:
        return perform(self.site(**changes))

    def blocked(self, **changes: Any) -> str:
        with pytest.raises(StepBlocked) as error:
            self.take(**changes)
        assert error.value.finding.code == "snapshot-not-stored"
        assert "retry" in error.value.finding.remedy
        return error.value.finding.sentence

    def files(self) -> list[str]:
        """But for the runbooks beside them."""
        found = self.folder.iterdir() if self.folder.exists() else ()
        return sorted(p.name for p in found if p.suffix != ".md")


def told(body: bytes, digest: str | None = None) -> bytes:
    digest = digest or hashlib.sha256(body).hexdigest()
    return (
        '{"hash":3187672142,"revision":1288,"totalKey":412,"totalSize":4218912}\n'
        f"[lockkeeper] snapshot of {len(body)} bytes, SHA-256 {digest}\n"
        f"The snapshot is /snapshots/etcd-x.db, {len(body)} bytes.\n"
    ).encode()


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


NAME = f"20261123T090000Z-{OPERATION}-n0-s6-a1.db.age"


def test_a_snapshot_is_stored_so_that_only_its_keys_open_it(yard: Yard):
    """What is decrypted is byte for byte what the machine has; nobody else on the worker may read the file."""
    done = yard.take()
    path = yard.folder / NAME
    assert done.sentence.endswith(f"Encrypted, it is stored as {path}.")
    assert pyrage.decrypt(path.read_bytes(), [IDENTITY]) == BODY
    assert BODY[:64] not in path.read_bytes()
    assert (path.stat().st_mode & 0o777, yard.folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_what_became_of_a_snapshot_is_told_to_programs_too(yard: Yard):
    """Its place, size and sums, and what etcd's own tool read in it."""
    facts = yard.take().facts
    assert facts == {
        "snapshot-path": "/snapshots/etcd-x.db",
        "snapshot-size": str(len(BODY)),
        "snapshot-sha256": hashlib.sha256(BODY).hexdigest(),
        "snapshot-hash": "be00044e",
        "snapshot-release": "v1.34.7",
        "snapshot-revision": "1288",
        "snapshot-keys": "412",
        "stored-path": str(yard.folder / NAME),
        "stored-size": str((yard.folder / NAME).stat().st_size),
    }


def test_a_runbook_for_this_very_cluster_lies_beside_its_snapshot(yard: Yard):
    """Where it is needed, neither the cluster nor lockkeeper may be there to be asked; it goes with its snapshot."""
    etcd = static_pod("etcd", "cp1", "3.6.5-0")
    etcd["spec"]["containers"][0]["command"] = [
        "etcd",
        "--name=cp1",
        "--initial-advertise-peer-urls=https://10.0.0.1:2380",
    ]
    yard.bench.api.pods["etcd-cp1"] = etcd
    done = yard.take()
    runbook = yard.folder / NAME.replace(".db.age", ".md")
    assert f"--output etcd.db {yard.folder / NAME}" in runbook.read_text()
    assert "--initial-cluster cp1=https://10.0.0.1:2380" in runbook.read_text()
    assert runbook.stat().st_mode & 0o777 == 0o600
    told = Event(Happened.STEP_FINISHED, START, "lab", "", node="cp1", facts=done.facts)
    snapshot = TakenSnapshot.of(told)
    assert snapshot is not None
    assert snapshot.seats == (
        EtcdSeat("cp1", "cp1", "https://10.0.0.1:2380", "/var/lib/etcd", "registry.k8s.io/etcd:3.6.5-0"),
    )
    store = SnapshotStore(yard.folder, (), keep=1)
    (yard.folder / NAME.replace("20261123", "20261124")).write_bytes(b"newer")
    assert list(store.retire("op-another")) == [NAME]
    assert not runbook.exists()


def test_an_api_that_is_away_stops_no_snapshot(yard: Yard):
    """The runbook says then what could not be learnt."""
    yard.bench.api.always["/pods"] = ClusterUnreadable("the API is away")
    assert "etcd-members" not in yard.take().facts
    assert "No member of etcd is known" in (yard.folder / NAME.replace(".db.age", ".md")).read_text()


def test_without_a_store_a_snapshot_stays_on_its_machine(yard: Yard):
    """As before, and its sums are told."""
    done = yard.take(settings=SETTINGS)
    assert done.sentence == f"The etcd snapshot of cp1 is /snapshots/etcd-x.db, {len(BODY)} bytes."
    assert done.facts["snapshot-revision"] == "1288"
    assert yard.files() == []


def test_a_link_that_breaks_costs_one_piece_and_no_byte(yard: Yard):
    """It is asked again from where it was; answers that are lost on the way back are asked again, too."""
    yard.machine.lose = {4, 6, 7}
    yard.take()
    assert pyrage.decrypt((yard.folder / NAME).read_bytes(), [IDENTITY]) == BODY
    assert any("it is asked again" in sentence for sentence in yard.bench.told)


def test_bytes_that_are_not_those_that_were_summed_up_are_never_stored(yard: Yard):
    """Whoever changed them, and wherever."""
    yard.machine.ends["snapshot-etcd"] = (0, told(BODY, "0" * 64))
    assert "another SHA-256" in yard.blocked()
    assert list(yard.folder.iterdir()) == []
    yard.machine.ends["snapshot-etcd"] = (0, told(BODY + b"x"))
    yard.bench.machines["cp1"].attempts.clear()
    assert f"had {len(BODY) + 1} bytes when it was taken and has {len(BODY)} now" in yard.blocked()
    assert yard.files() == []


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path):
    """Where its mount is missing the snapshot would lie on the worker's own disk, and go with it."""
    yard = Yard(tmp_path / "not-mounted")
    assert "No such file or directory" in yard.blocked()
    assert not (tmp_path / "not-mounted").exists()


def test_a_store_without_room_is_told_before_anything_is_copied(yard: Yard):
    """With both figures."""
    yard.machine.ends["snapshot-etcd"] = (0, told(BODY).replace(b"of 300000 bytes", b"of 9000000000000000 bytes"))
    assert "it needs 8,591,651,917 MiB in" in yard.blocked()
    assert yard.files() == []


def test_a_disk_that_fills_up_leaves_nothing_behind(yard: Yard, monkeypatch: pytest.MonkeyPatch):
    """Other writers may have been faster than the look at the free space."""
    monkeypatch.setattr(os, "fsync", _full)
    assert "No space left on device" in yard.blocked()
    assert yard.files() == []


def _full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_node_script_of_an_earlier_release_is_named(yard: Yard):
    """It works out no sum, and knows no verb that gives bytes out."""
    yard.machine.ends["snapshot-etcd"] = (0, b"The snapshot is /snapshots/etcd-x.db, 20 bytes.\n")
    assert "of an earlier release" in yard.blocked()


def test_a_machine_that_keeps_its_snapshots_stops_the_run_in_its_own_words(yard: Yard):
    """SNAPSHOT_EXPORT=no is said to whoever configured a store."""

    def refuse(*_: object) -> None:
        raise NodeScriptFailed("cp1 refused `snapshot` (exit 70): SNAPSHOT_EXPORT=no keeps them", code=70)

    setattr(yard.machine, "snapshot", refuse)  # noqa: B010 - a method of the fake
    with pytest.raises(StepBlocked) as error:
        yard.take()
    assert "SNAPSHOT_EXPORT=no" in error.value.finding.sentence
    assert yard.files() == []


def test_a_driver_that_leaves_in_the_middle_leaves_no_half_file(yard: Yard):
    """The next one begins anew with the same snapshot; nothing is taken twice."""
    asked = 0

    def stopping() -> bool:
        nonlocal asked
        asked += bool(yard.files())
        return asked > 1

    with pytest.raises(Yielded):
        yard.take(stopping=stopping)
    assert yard.files() == []
    yard.take()
    assert yard.files() == [NAME]
    assert yard.machine.words == ["snapshot-etcd"]


def test_a_driver_that_lost_its_lease_gives_no_name(yard: Yard):
    """Another one may be at it already."""
    leased = iter((True, False))
    with pytest.raises(Yielded):
        yard.take(may_start=lambda: next(leased))
    assert yard.files() == []


def test_what_a_killed_worker_left_is_begun_anew_or_taken_as_it_is(yard: Yard):
    """Killed before the name was given: its part goes. Killed after: the whole is there, and is not copied again."""
    yard.folder.mkdir()
    (yard.folder / f".{NAME}.1.part").write_bytes(b"half")
    foreign = yard.folder / ".mine.part"
    foreign.write_bytes(b"somebody's")
    yard.take()
    assert yard.files() == [foreign.name, NAME]
    before = (yard.folder / NAME).stat()
    again = yard.take(fence=2)
    assert (yard.folder / NAME).stat().st_mtime_ns == before.st_mtime_ns
    assert again.facts["stored-size"] == str(before.st_size)


def test_the_newest_stay_and_those_of_the_running_operation_with_them(yard: Yard):
    """Only whole snapshots of ours count; an old one that goes is told."""
    yard.folder.mkdir()
    days = [f"2026110{day}T090000Z-op-0000000{day}-n0-s6-a1.db.age" for day in range(1, 4)]
    ours = f"20261101T080000Z-{OPERATION}-n0-s6-a1.db.age"
    for name in (*days, ours, "notes.txt", "20261101T090000Z-op-1-n0-s6-a1.db.age.bak"):
        (yard.folder / name).write_bytes(b"x")
    yard.take()
    left = yard.files()
    assert [name for name in left if name.endswith(".age")] == sorted([ours, days[2], NAME])
    assert {"notes.txt", "20261101T090000Z-op-1-n0-s6-a1.db.age.bak"} <= set(left)
    assert any(days[0] in sentence for sentence in yard.bench.told)


def test_old_snapshots_that_cannot_be_removed_stop_nothing(yard: Yard):
    """The new one is safe; that is said."""
    yard.folder.mkdir()
    for day in range(1, 4):  # no file is a folder
        (yard.folder / f"2026110{day}T090000Z-op-0000000{day}-n0-s6-a1.db.age").mkdir()
    yard.take()
    assert any("could not be removed: Is a directory" in sentence for sentence in yard.bench.told)


def test_a_large_snapshot_needs_no_more_memory_than_a_small_one(tmp_path: Path):
    """Piece by piece: 8 GB pass through a worker of 768 MiB."""

    class Zeros:
        left = 64 * 1024 * 1024

        def read(self, size: int) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return bytes(size)

    store = SnapshotStore(tmp_path, (str(IDENTITY.to_public()),), 1)
    tracemalloc.start()
    size = store.write(NAME, Zeros(), fence=1, before_end=lambda: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 64 * 1024 * 1024
    assert peak < 4 * 1024 * 1024
    opened = io.BytesIO()
    with (tmp_path / NAME).open("rb") as file:
        pyrage.decrypt_io(file, opened, [IDENTITY])
    assert opened.getbuffer().nbytes == 64 * 1024 * 1024


def test_the_doctor_says_whether_a_store_can_be_written(yard: Yard):
    """And leaves nothing there."""
    cluster = yard.settings.clusters["lab"]
    (ready,) = try_store("lab", cluster)
    assert (ready.code, ready.severity) == ("snapshot-store-ready", Severity.NOTE)
    yard.snapshots.store.rename(yard.snapshots.store.with_name("elsewhere"))
    (missing,) = try_store("lab", cluster)
    assert (missing.code, missing.severity) == ("snapshot-store-unwritable", Severity.BLOCKER)
    assert "No such file or directory" in missing.sentence
    assert list(try_store("lab", SETTINGS.clusters["lab"])) == []


def test_every_recipient_can_open_it(tmp_path: Path):
    """One key may be lost."""
    second = pyrage.x25519.Identity.generate()
    store = SnapshotStore(tmp_path, (str(IDENTITY.to_public()), str(second.to_public())), 1)
    store.write(NAME, io.BytesIO(BODY), fence=1, before_end=lambda: None)
    for identity in (IDENTITY, second):
        assert pyrage.decrypt((tmp_path / NAME).read_bytes(), [identity]) == BODY
