"""
The restore runbook, word for word, for the recorded cluster of three control planes.

After a wanted change: `python -m tests.policies.test_restoring` writes the file anew; read the difference.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.errors import Refused
from cluster.etcd import EtcdSeat, read_seats
from cluster.events import Event, Happened
from policies.restoring import Restoring, TakenSnapshot, When, write_restore_runbook, write_seats

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden" / "restore-runbook.md"
SEATS = read_seats(json.loads((ROOT / "recordings" / "etcd" / "ha-pods.stdout").read_text(encoding="utf-8"))["items"])
SNAPSHOT = TakenSnapshot(
    "cp1",
    datetime(2026, 11, 23, 9, tzinfo=UTC),
    "/var/lib/lockkeeper/snapshots/etcd-op-11112222-n0-s6-a1.db",
    "/snapshots/prod/20261123T090000Z-op-11112222-n0-s6-a1.db.age",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "be00044e",
    "1288",
    "v1.34.7",
    SEATS,
)


def write(**changes: object) -> str:
    return write_restore_runbook("prod", SEATS, replace(SNAPSHOT, **changes))


def test_the_runbook_reads_word_for_word() -> None:
    """With the names, addresses and folders of exactly this cluster."""
    assert write() == GOLDEN.read_text(encoding="utf-8")


def test_each_member_is_restored_under_its_own_name_from_one_file_into_one_new_cluster() -> None:
    """As etcd's documentation has it: the same snapshot, the same list of members, the same token."""
    text = write()
    for name, address in (("cp1", "10.77.0.11"), ("cp2", "10.77.0.12"), ("cp3", "10.77.0.13")):
        own = text.partition(f"On `{name}`.")[2].partition("```\n\n")[0]
        assert f"--name {name} " in own
        assert f"--initial-advertise-peer-urls https://{address}:2380 " in own
    commands = [line.strip() for line in text.splitlines()]
    for shared in ("sudo etcdutl snapshot restore /root/etcd.db", "--initial-cluster cp1", "--initial-cluster-token"):
        assert len([c for c in commands if c.startswith(shared)]) == 3
        assert len({c for c in commands if c.startswith(shared)}) == 1
    assert text.index("mv /etc/kubernetes/manifests/") < text.index("snapshot restore") < text.index("restart kubelet")


@pytest.mark.parametrize(
    ("snapshot", "said", "unsaid"),
    [
        (replace(SNAPSHOT, stored=""), "sudo cp /var/lib/lockkeeper/snapshots/etcd-op-", "age --decrypt"),
        (replace(SNAPSHOT, sha256="", hash=""), "a hash, a revision and the number of keys", "sha256sum"),
        (None, "Bring one of your own", "age --decrypt"),
        (replace(SNAPSHOT, stored="/my snapshots/x.age"), "'/my snapshots/x.age'", "etcd.db /my"),
    ],
)
def test_a_runbook_says_what_is_known_of_the_snapshot(snapshot: TakenSnapshot | None, said: str, unsaid: str) -> None:
    """Where it lies, and how its bytes are recognized."""
    text = write_restore_runbook("prod", SEATS, snapshot)
    assert said in text
    assert unsaid not in text


@pytest.mark.parametrize("release", ["", "v1.34.7'; reboot"])
def test_the_release_of_that_time_is_only_put_back_where_it_is_known(release: str) -> None:
    """By kubeadm's own copies of its manifests, and by exactly its packages, on each control plane."""
    text = write()
    assert text.count("grep -l ':v1.34.7$' /etc/kubernetes/tmp/kubeadm-backup-manifests-") == len(SEATS)
    assert "--allow-downgrades kubeadm='1.34.7-*' kubelet='1.34.7-*'" in text
    assert text.index("kubeadm-backup-manifests-NAME") < text.index("restart kubelet")
    unknown = write(release=release)
    assert "--allow-downgrades" not in unknown
    assert "## 5. Start them again" in unknown


def test_revisions_are_bumped_where_etcdutl_surely_knows_how() -> None:
    """The release counts that etcd had when the snapshot was taken; else people are told to look."""
    assert write().count("--bump-revision 1000000000 --mark-compacted") == 3
    old = tuple(replace(seat, image="registry.k8s.io/etcd:3.5.24-0") for seat in SEATS)
    assert "--help` knows it" in write(seats=old)
    assert "registry.k8s.io/etcd:3.5.24-0" in write(seats=old)
    assert "--mark-compacted\n" not in write(seats=old)


@pytest.mark.parametrize(
    "changes",
    [
        {"node": "cp1; reboot"},
        {"name": "$(reboot)"},
        {"peer_url": ""},
        {"peer_url": "https://x' y"},
        {"data_dir": "/a b"},
    ],
)
def test_no_command_is_made_of_what_kubeadm_would_not_write(changes: dict[str, str]) -> None:
    """Everything here is typed as root."""
    strange = (replace(SEATS[0], **changes), *SEATS[1:])
    with pytest.raises(Refused, match="look at its manifest"):
        write_restore_runbook("prod", strange, SNAPSHOT)


def test_an_etcd_that_is_not_kubeadms_has_no_runbook_of_ours() -> None:
    """Nothing is known of its members."""
    with pytest.raises(Refused, match="not kubeadm's own"):
        write_restore_runbook("prod", (), None)


def test_a_snapshot_is_read_again_as_it_was_told() -> None:
    """From the facts of the step's event; any other event tells of none."""
    facts = {
        "snapshot-path": SNAPSHOT.path,
        "stored-path": SNAPSHOT.stored,
        "snapshot-sha256": SNAPSHOT.sha256,
        "snapshot-hash": "be00044e",
        "snapshot-revision": "1288",
        "snapshot-release": "v1.34.7",
        "etcd-members": write_seats(SEATS),
    }
    told = Event(Happened.STEP_FINISHED, SNAPSHOT.at, "prod", "", node="cp1", facts=facts)
    assert TakenSnapshot.of(told) == SNAPSHOT
    assert TakenSnapshot.of(replace(told, facts={"already": "yes"})) is None


def test_flags_are_read_wherever_a_manifest_has_them() -> None:
    """Folders of one's own, and several peer addresses."""
    words = ["--data-dir=/data/etcd", "--initial-advertise-peer-urls=https://a:2380,https://b:2380"]
    container = {"command": ["etcd"], "args": words, "image": "etcd:3.6.5-0"}
    (seat,) = read_seats([{"spec": {"nodeName": "cp1", "containers": [container]}}, {"spec": {}}])
    assert seat == EtcdSeat("cp1", "cp1", "https://a:2380", "/data/etcd", "etcd:3.6.5-0")


def test_every_condition_of_the_file_is_one_that_may_hold() -> None:
    """A step that nothing brings about would never be read."""
    assert {step.when for part in Restoring.read("restoring.yaml").parts for step in part.steps} == set(When)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(write(), encoding="utf-8")
