"""Getting a snapshot off its machine: whole, in pieces, and nothing else than a snapshot."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.workers.node_bench import Bench, make_bench
from workers.node_script.lines import UnreadableAnswer
from workers.node_script.snapshots import Taken, parse_snapshot, read_taken

PIECE = 8 * 1024 * 1024


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path / "m")
    bench.control_plane()
    return bench


def keep(bench: Bench, body: bytes, name: str = "etcd-op-1.db") -> Path:
    path = bench.file(f"/var/lib/lockkeeper/snapshots/{name}")
    path.write_bytes(body)
    return path


def test_what_was_taken_is_told_with_its_sums(bench: Bench):
    """Ours of the file, and etcd's own of what is in it."""
    end = bench.finish("op-1", "snapshot-etcd")
    digest = hashlib.sha256(b"snapshot\n").hexdigest()
    path = "/var/lib/lockkeeper/snapshots/etcd-op-1.db"
    assert read_taken(end.chunk.decode()) == Taken(path, 9, digest, "be00044e", 1288, 412)


def test_what_an_older_script_tells_is_read_as_far_as_it_goes():
    """It looked into the snapshot with a table, and worked out no sum."""
    told = "+-----+\n| fe01cf57 | 10 | 7 | 2.1 MB |\nThe snapshot is /snapshots/etcd-op-1.db, 20 bytes.\n"
    assert read_taken(told) == Taken("/snapshots/etcd-op-1.db")
    assert read_taken("lockkeeper-node: The snapshot could not be moved.\n") is None


def test_a_snapshot_is_read_in_pieces_byte_by_byte(bench: Bench):
    """Whatever the bytes are, and from wherever the last piece ended."""
    body = os.urandom(PIECE + 70_000) + b"\r\n\0\n"
    keep(bench, body)
    first = parse_snapshot(bench.run("snapshot", "op-1", "0").stdout)
    assert (first.size, len(first.chunk)) == (len(body), PIECE)
    rest = parse_snapshot(b"sudo: unable to resolve host m\n" + bench.run("snapshot", "op-1", str(PIECE)).stdout)
    assert first.chunk + rest.chunk == body
    assert parse_snapshot(bench.run("snapshot", "op-1", str(len(body) + 5)).stdout).chunk == b""


def test_a_cut_piece_is_asked_for_again(bench: Bench):
    """A link that dies must not become a shorter snapshot."""
    keep(bench, b"whole")
    whole = bench.run("snapshot", "op-1", "0").stdout
    with pytest.raises(UnreadableAnswer, match="is cut"):
        parse_snapshot(whole[:-1])
    with pytest.raises(UnreadableAnswer, match="cannot be read"):
        parse_snapshot(b"")


def test_nothing_but_our_own_whole_snapshots_is_given_out(bench: Bench):
    """No half one, no link to a file of root, none that others could have written."""
    secret = bench.file("/etc/shadow", "root:x")
    folder = keep(bench, b"half", "etcd-op-1.db.part").parent
    (folder / "etcd-op-2.db").symlink_to(secret)
    keep(bench, b"foreign", "etcd-op-3.db").chmod(0o666)
    for attempt in ("op-1", "op-2", "op-3"):
        done = bench.run("snapshot", attempt, "0")
        assert (done.returncode, done.stdout) == (66, b"")
        assert b"There is no snapshot" in done.stderr


def test_a_machines_owner_may_keep_its_snapshots_there(bench: Bench):
    """They hold every Secret of the cluster: the settings of root have the last word."""
    keep(bench, b"x")
    bench.file("/etc/lockkeeper-node.conf", "SNAPSHOT_EXPORT=no\n")
    done = bench.run("snapshot", "op-1", "0")
    assert (done.returncode, done.stdout) == (70, b"")
    assert b"set it to yes there" in done.stderr
