"""Room for the copies that an upgrade makes of etcd, by disk: what lies together is added up, and said in figures."""

from dataclasses import replace

import pytest

from cluster.facts import EtcdTool, Room
from policies.disks import check_disks
from tests.policies_fixture import FACTS, GIB, codes, make_report

CP1 = make_report().node("cp1")
ONE, TWO, THREE = "/", "/var/lib/etcd", "/backup"


def facts(free, *, backups=ONE, data=ONE, snapshots=ONE, **changes):
    """One GiB of etcd; `free` GiB by file system."""

    def room(place, mount):
        return Room(place, 20 * GIB, int(free.get(mount, 9) * GIB), mount)

    rooms = (room("/etc/kubernetes", backups), room("/var/lib/etcd", data))
    return replace(FACTS, control_plane=True, room=rooms, snapshots=room("/snapshots", snapshots), **changes)


@pytest.mark.parametrize(
    ("seen", "blocks"),
    [
        (facts({ONE: 2.6}), False),  # a copy and what it grows meanwhile, and a snapshot
        (facts({ONE: 2.4}), True),
        (facts({ONE: 1.6}, data=TWO, snapshots=TWO), False),
        (facts({ONE: 1.4}, data=TWO, snapshots=TWO), True),
        (facts({TWO: 1.6}, data=TWO, snapshots=TWO), False),  # written beside the data, and only renamed
        (facts({TWO: 1.4}, data=TWO, snapshots=TWO), True),
        (facts({THREE: 1.1}, data=TWO, snapshots=THREE), False),
        (facts({THREE: 0.9}, data=TWO, snapshots=THREE), True),
        (facts({ONE: 1.6}, etcdctl=EtcdTool.NONE), False),  # nobody can take one there
        (facts({ONE: 0.1}, etcd_size_kib=None), False),  # etcd runs elsewhere, or could not be measured
    ],
)
def test_each_disk_needs_the_room_of_all_that_comes_to_lie_on_it(seen, blocks):
    """kubeadm's copy, the snapshot while it is written, and the snapshot where it is kept."""
    assert ("disk-space" in codes(check_disks(CP1, seen, snapshot=True))) is blocks


def test_the_figures_are_in_the_sentence():
    """Whoever makes room wants to know how much."""
    (finding,) = (f for f in check_disks(CP1, facts({ONE: 2}), snapshot=True) if f.code == "disk-space")
    assert finding.sentence == (
        "cp1 has 2048 MiB free at /etc/kubernetes and needs 1536 MiB for kubeadm's copy of etcd and 1024 MiB for "
        "etcd's snapshot there."
    )


def test_what_is_short_is_never_said_to_be_enough():
    """Free room is rounded down, and what is needed up."""
    room = (Room("/etc/kubernetes", GIB, 1500),)
    seen = replace(FACTS, room=room, etcd_size_kib=1040)
    (finding,) = (f for f in check_disks(CP1, seen, snapshot=False) if f.code == "disk-space")
    assert "has 1 MiB free at /etc/kubernetes and needs 2 MiB" in finding.sentence


def test_the_other_control_planes_need_no_room_for_a_snapshot():
    """It is taken once."""
    assert codes(check_disks(CP1, facts({ONE: 1.6}), snapshot=False)) == []


def test_a_disk_that_is_low_is_said_once():
    """Whatever lies on it; an older script names no file system, and each of its folders counts."""
    low = tuple(Room(place, GIB, GIB // 2, "/") for place in ("/var/lib/kubelet", "/var/lib/containerd"))
    (finding,) = check_disks(CP1, replace(FACTS, control_plane=False, room=low, etcd_size_kib=None), snapshot=False)
    assert "at /var/lib/kubelet, /var/lib/containerd" in finding.sentence
    older = tuple(replace(room, mount="") for room in low)
    assert len(list(check_disks(CP1, replace(FACTS, room=older, etcd_size_kib=None), snapshot=False))) == 2
