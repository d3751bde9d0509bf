"""What etcd told on one machine: its member there, all members, and the alarms that are raised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.report import Unread

DEFAULT_QUOTA = 2 * 1024**3  # bytes, where etcd is given none
ALARM = "alarm:"  # in a member's errors: an alarm is everybody's, and no illness of that member


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """One member as etcd's own list has it."""

    ident: str
    name: str  # "" for one that never started
    learner: bool = False
    client_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EtcdAlarm:
    """NOSPACE or CORRUPT; `member` is who raised it, and every member suffers from it."""

    member: str
    kind: str


@dataclass(frozen=True, slots=True)
class EtcdFacts:
    """The member on one machine, and what it says of the others; None where etcdctl is needed to know."""

    ident: str
    version: str
    has_leader: bool
    is_leader: bool = False
    learner: bool = False
    leader: str | None = None
    raft_term: int | None = None
    raft_behind: int | None = None  # entries that it knows of and has not applied yet
    size_bytes: int = 0
    in_use_bytes: int = 0
    quota_bytes: int = DEFAULT_QUOTA  # 0 where nobody can know it
    errors: tuple[str, ...] = ()
    members: tuple[EtcdMember, ...] | None = None
    alarms: tuple[EtcdAlarm, ...] | None = None

    @property
    def healthy(self) -> bool:
        """Whether this member itself is well."""
        return self.has_leader and not any(ALARM not in error for error in self.errors)

    @property
    def quota_share(self) -> float:
        return self.size_bytes / self.quota_bytes if self.quota_bytes else 0.0


@dataclass(frozen=True, slots=True)
class EtcdEndpoint:
    """A member of an etcd that is not kubeadm's own, as a control plane saw it."""

    url: str
    told: EtcdFacts | Unread

    @property
    def place(self) -> str:
        """`10.0.0.5:2379`."""
        return self.url.rpartition("//")[2]


@dataclass(frozen=True, slots=True)
class EtcdSeat:
    """Where kubeadm runs a member, as its static pod says: what a restore of that member has to name."""

    node: str
    name: str
    peer_url: str
    data_dir: str
    image: str


def read_seats(pods: Iterable[Mapping[str, Any]]) -> tuple[EtcdSeat, ...]:
    """By node; `pods` are those of kube-system with the label `component=etcd`."""
    return tuple(sorted(_seats(pods), key=lambda seat: seat.node))


def _seats(pods: Iterable[Mapping[str, Any]]) -> Iterator[EtcdSeat]:
    for pod in pods:
        spec = pod.get("spec") or {}
        container = (spec.get("containers") or [{}])[0]
        words = [*(container.get("command") or ()), *(container.get("args") or ())]
        flags = {key: value for key, _, value in (word.lstrip("-").partition("=") for word in words)}
        if node := spec.get("nodeName"):
            yield EtcdSeat(
                node,
                flags.get("name", node),
                flags.get("initial-advertise-peer-urls", "").partition(",")[0],
                flags.get("data-dir", "/var/lib/etcd"),
                str(container.get("image", "")),
            )
