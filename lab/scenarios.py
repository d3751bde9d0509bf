"""The lab's clusters by name: how many machines, which versions, what runs on them, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

START = "v1.34.7"
# What the package source offers of each minor.
OFFERED: Mapping[str, tuple[str, ...]] = {
    "v1.34": ("1.34.6", "1.34.7"),
    "v1.35": ("1.35.0", "1.35.1", "1.35.2", "1.35.3", "1.35.4"),
}
_OLDER = {"v1.23": ("1.23.17",), "v1.31": ("1.31.14",), "v1.33": ("1.33.13",)}
OFFERED_NEXT: Mapping[str, tuple[str, ...]] = {**OFFERED, "v1.36": ("1.36.0", "1.36.1", "1.36.2")}


@dataclass(frozen=True, slots=True)
class App:
    """A Deployment of the lab with its disruption budget."""

    name: str
    replicas: int
    min_available: int | None = None  # None: no budget
    namespace: str = "demo"
    emptydir: bool = False
    cpu: str = ""  # what each pod asks for
    node: str = ""  # the one node that its pods may run on
    labels: tuple[tuple[str, str], ...] = ()  # of its pods, beside their name
    second_budget: bool = False  # somebody wrote another one for the same pods


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another cluster of the same installation."""

    cluster: str
    scenario: Scenario
    is_away: bool = False  # its API answers nobody


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a lab begins with."""

    name: str
    title: str
    control_planes: int
    workers: int
    version: str = START
    offered: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(OFFERED_NEXT))
    apps: tuple[App, ...] = (App("web", 4, 2), App("shop", 3, 1), App("scratch", 2, emptydir=True))
    edited_apiserver: str = ""  # the version that somebody wrote into the first API server's manifest
    blocked_app: str = ""  # this app's budget allows no disruption, and it runs on the first worker
    bare_pods: tuple[str, ...] = ()  # pods that no controller would bring back
    kubeadm: bool = True  # made with it
    network: tuple[str, ...] = ()  # images of its agents; () for a network that does not show
    unlisted: tuple[str, ...] = ()  # machines that nobody put into the inventory
    outside_etcd: tuple[str, ...] = ()  # endpoints of an etcd that is not kubeadm's
    state: str = ""  # what somebody made of it, by its name in lab/states.py
    rules: Mapping[str, Any] = field(default_factory=dict)  # what lockkeeper.yaml says of it beside its machines
    cluster: str = "lab"  # its name in the configuration
    beside: tuple[Neighbour, ...] = ()

    @property
    def control_plane_names(self) -> tuple[str, ...]:
        return tuple(f"cp{n}" for n in range(1, self.control_planes + 1))

    @property
    def worker_names(self) -> tuple[str, ...]:
        return tuple(f"w{n}" for n in range(1, self.workers + 1))


POSTGRES = (("application", "patroni"),)
_ORDERS = (*POSTGRES, ("cluster-name", "orders"))

# A quarter of an hour, and a freeze that somebody meant to lift again.
_NIGHTLY = {"days": ["saturday", "sunday"], "opens": "03:00", "closes": "03:15"}
_FORGOTTEN = {"begins": "2026-01-07", "ends": "2099-12-31", "reason": "until further notice"}

_ALONE = (
    Scenario("healthy", "three control planes and four workers, all well", 3, 4),
    Scenario("small", "one control plane and two workers: the API is away while it is upgraded", 1, 2),
    Scenario("two-minors", "the target is two minors ahead", 1, 3),
    Scenario(
        "pdb-blocked",
        "a disruption budget that allows no eviction from one worker",
        1,
        3,
        apps=(App("web", 3, 1), App("ledger", 1, 1)),
        blocked_app="ledger",
    ),
    Scenario(
        "hand-edited-apiserver",
        "somebody changed the API server's version in its manifest",
        1,
        2,
        edited_apiserver="v1.35.4",
    ),
    Scenario(
        "crowded",
        "a drain would meet two budgets on one pod, a bare pod, pods without another place, and a database",
        1,
        3,
        apps=(
            App("web", 3, 1, second_budget=True),
            App("ledger", 1, 1),
            App("scratch", 2, emptydir=True),
            App("sensor", 1, node="w2"),
            App("engine", 3, cpu="1500m"),
            App("orders-0", 1, labels=(*_ORDERS, ("role", "primary")), node="w1"),
            App("orders-1", 1, labels=(*_ORDERS, ("role", "replica")), node="w2"),
        ),
        bare_pods=("debug",),
        state="crowded",
    ),
    Scenario(
        "obstructed",
        "a webhook that nobody answers for, an old API in use, a hook that is not there, windows that hardly open",
        1,
        2,
        offered={"v1.31": ("1.31.14",), **OFFERED_NEXT},
        state="obstructed",
        rules={"windows": [_NIGHTLY], "hooks": {"pre-drain": [{"command": "leave-balancer"}]}},
    ),
    Scenario(
        "neglected",
        "machines that nobody looked after: packages, sources, keys, certificates, disks, flags and manifests",
        2,
        5,
        version="v1.33.4",
        offered={"v1.33": ("1.33.4", "1.33.6", "1.33.13"), **OFFERED_NEXT},
        network=("quay.io/calico/node:v3.29.1", "docker.io/flannel/flannel:v0.26.1"),
        state="neglected",
        rules={"freezes": [_FORGOTTEN]},
    ),
    Scenario(
        "skewed",
        "a straggler, a kube-proxy that stayed behind, somebody's cordon, and a machine that is no node any more",
        1,
        4,
        offered={**_OLDER, **OFFERED_NEXT},
        state="skewed",
    ),
    Scenario(
        "interrupted",
        "an upgrade to v1.35.4 that was left after its first control plane",
        3,
        2,
        state="interrupted",
    ),
    Scenario(
        "out-of-skew",
        "versions that the skew policy forbids, by edits, a restored backup and nodes that were left out",
        3,
        4,
        offered={**_OLDER, **OFFERED_NEXT},
        unlisted=("w4",),
        state="out-of-skew",
    ),
    Scenario("ailing-etcd", "etcd is full, has lost members, and one control plane is off", 3, 2, state="ailing-etcd"),
    Scenario(
        "external-etcd",
        "an etcd on machines of its own, one of whose members is away",
        1,
        2,
        outside_etcd=("https://10.1.0.5:2379", "https://10.1.0.6:2379", "https://10.1.0.7:2379"),
        state="external-etcd",
    ),
    Scenario(
        "bygone",
        "a cluster of long ago, whose kubeadm is given a configuration that only a later one knows",
        1,
        1,
        version="v1.30.10",
        offered={"v1.30": ("1.30.10", "1.30.14"), "v1.31": ("1.31.14",)},
        state="bygone",
    ),
    Scenario(
        "newest",
        "a cluster whose settings v1.37 reads otherwise, or not at all",
        1,
        1,
        version="v1.36.2",
        offered={"v1.36": ("1.36.2",), "v1.37": ("1.37.0", "1.37.1")},
        state="newest",
    ),
    Scenario(
        "other-distribution",
        "a cluster that k3s made: it is reported, and not upgraded",
        1,
        2,
        version="v1.34.7+k3s1",
        kubeadm=False,
        unlisted=("cp1", "w1", "w2"),
        state="other-distribution",
    ),
)
_ONE_BY_NAME = {scenario.name: scenario for scenario in _ALONE}
_FLEET = Scenario(
    "fleet",
    "five clusters in one configuration: one without an answer, one edited by hand, one of k3s, one that lacks patches",
    1,
    2,
    cluster="shop",
    beside=(
        Neighbour("archive", _ONE_BY_NAME["small"], is_away=True),
        Neighbour("billing", _ONE_BY_NAME["hand-edited-apiserver"]),
        Neighbour("edge", _ONE_BY_NAME["other-distribution"]),
        Neighbour("trial", Scenario("trial", "one of a later minor", 1, 1, version="v1.36.1")),
    ),
)
SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in (*_ALONE, _FLEET)}
