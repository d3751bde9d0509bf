"""The restore runbook of one cluster, by what it says now and what its runs recorded; either may be away then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cluster.errors import ClusterUnreadable, StoreUnavailable
from cluster.etcd import EtcdSeat, read_seats
from cluster.inventory import Cluster
from cluster.kube import Kube
from cluster.pods import PODS
from cluster.settings import Settings
from cluster.store import Store
from policies.restoring import TakenSnapshot, write_restore_runbook

FindSeats = Callable[[str, Cluster], tuple[EtcdSeat, ...]]


@dataclass(frozen=True, slots=True)
class RestoreRunbook:
    """Markdown, and what could not be asked for it."""

    text: str
    unasked: tuple[str, ...]


def read_members(name: str, cluster: Cluster) -> tuple[EtcdSeat, ...]:
    """Where etcd's members are now; raises ClusterUnreadable."""
    with Kube.connect(name, cluster) as kube:
        return read_seats(kube.items(PODS, {"labelSelector": "component=etcd"}))


def make_runbook(
    settings: Settings, store: Store, cluster: str | None, *, find: FindSeats = read_members
) -> RestoreRunbook:
    """Raises Refused where no member is known, neither from the cluster nor from its last snapshot."""
    name, place = settings.cluster(cluster)
    unasked = []
    try:
        snapshot = last_snapshot(store, name)
    except StoreUnavailable as error:
        snapshot = None
        unasked.append(f"{error} Look into the store of snapshots: beside each lies its own runbook.")
    try:
        seats = find(name, place)
    except ClusterUnreadable as error:
        seats = snapshot.seats if snapshot else ()
        unasked.append(f"{error} The members are those of the last snapshot.")
    return RestoreRunbook(write_restore_runbook(name, seats, snapshot), tuple(unasked))


def last_snapshot(store: Store, cluster: str) -> TakenSnapshot | None:
    """The newest one that a run of this cluster recorded."""
    for operation_id in store.operation_ids(cluster):
        taken = [found for _, event in store.events(operation_id) if (found := TakenSnapshot.of(event))]
        if taken:
            return taken[-1]
    return None
