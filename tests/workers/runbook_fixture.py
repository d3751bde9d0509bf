"""A machine and an API with a memory, so that every step can be taken without a cluster; time is a counter."""
# ruff: noqa: ARG002 - both fakes have the signatures of the real clients

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from cluster.errors import KubeDenied, MachineUnreachable
from cluster.facts import EtcdTool, KubeletUnit, MachineFacts, Package, PackageSource
from cluster.options import Options
from cluster.plan import Hop, PlanKind, PlanNode, PlanPool, Role, UpgradePlan
from cluster.procedure import Phase, Step, Verb
from cluster.report import ClusterIdentity
from cluster.settings import parse_settings
from cluster.versions import KubeVersion, Minor, PackageVersion, ReportedVersion
from workers.login import LoginRefused
from workers.node_script.attempts import AttemptState, PollAnswer, StartAnswer, StartKind
from workers.node_script.snapshots import SnapshotPart
from workers.site import Site

Raw = dict[str, Any]
_T = TypeVar("_T")
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
OPERATION = "op-11112222"
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


class Clock:
    """Time that passes when somebody sleeps, and a little with every look at it, as real time does."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        self.at += timedelta(microseconds=1)
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=max(seconds, 0.01))


def denied(status: int, message: str = "no", *, cause: str = "", retry_after: float | None = None) -> KubeDenied:
    """An error answer as the API server gives it."""
    details = {"causes": [{"reason": cause, "message": message}]} if cause else {}
    body = {"kind": "Status", "status": "Failure", "message": message, "code": status, "details": details}
    return KubeDenied(message, status=status, body=body, retry_after=retry_after)


def pod(name: str, node: str, *, kind: str | None = "ReplicaSet", namespace: str = "demo", **spec: Any) -> Raw:
    """A pod that runs and is ready, of a controller of that kind (None: of nobody)."""
    owners = [{"kind": kind, "name": f"of-{name}", "controller": True, "apiVersion": "apps/v1"}] if kind else []
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "labels": {"app": name},
            "annotations": {},
            "ownerReferences": owners,
        },
        "spec": {"nodeName": node, "containers": [{"image": "app:1"}], **spec},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def static_pod(component: str, node: str, tag: str) -> Raw:
    made = pod(f"{component}-{node}", node, kind="Node", namespace="kube-system")
    made["metadata"]["labels"] = {"component": component, "tier": "control-plane"}
    made["metadata"]["annotations"] = {"kubernetes.io/config.mirror": tag, "kubernetes.io/config.hash": tag}
    made["spec"]["containers"] = [{"image": f"registry.k8s.io/{component}:{tag}"}]
    return made


@dataclass
class FakeApi:
    """The API of one cluster, from memory; `answers` are given before it is asked (errors, by method and path)."""

    nodes: dict[str, Raw] = field(default_factory=dict)
    pods: dict[str, Raw] = field(default_factory=dict)  # by name
    budgets: list[Raw] = field(default_factory=list)
    attachments: list[Raw] = field(default_factory=list)
    claims: dict[str, str] = field(default_factory=dict)  # PersistentVolumeClaim → its volume
    daemon_sets: set[str] = field(default_factory=set)
    daemon_list: list[Raw] = field(default_factory=list)
    drivers: dict[str, list[str]] = field(default_factory=dict)  # node → CSI drivers that are registered there
    versions: dict[str, str] = field(default_factory=dict)  # API server of a node → version
    unready: dict[str, str] = field(default_factory=dict)  # endpoint → body of its /readyz
    declared: str = "v1.34.7"
    answers: list[tuple[str, str, Exception]] = field(default_factory=list)
    always: dict[str, Exception] = field(default_factory=dict)  # part of a path → what it answers for ever
    log: list[str] = field(default_factory=list)
    endpoint: str = ""
    slow_to_end: set[str] = field(default_factory=set)  # pods that stay Terminating
    deployments: dict[str, Raw] = field(default_factory=dict)
    replica_sets: dict[str, Raw] = field(default_factory=dict)
    scalers: list[Raw] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)  # claims that several nodes may mount
    most_replicas: int = 2  # that a Deployment brings up

    def at(self, endpoint: str) -> FakeApi:
        there = copy.copy(self)
        there.endpoint = endpoint
        return there

    def get(self, path: str, query: Mapping[str, str] = {}, *, accept: str | None = None, timeout: float = 10) -> Raw:
        self._may("GET", path)
        kind, name = path.rsplit("/", 2)[-2:]
        if path == "/version":
            return {"gitVersion": self.versions[self.endpoint]}
        held = {
            "nodes": self.nodes,
            "pods": self.pods,
            "deployments": self.deployments,
            "daemonsets": dict.fromkeys(self.daemon_sets, Raw()),
            "replicasets": self.replica_sets,
            "persistentvolumeclaims": {claim: self._claim(claim) for claim in self.claims},
        }.get(kind, {})
        if name in held:
            return copy.deepcopy(held[name])
        if kind == "csinodes" and name in self.drivers:
            return {"spec": {"drivers": [{"name": driver} for driver in self.drivers[name]]}}
        if kind == "configmaps":
            return {"data": {"ClusterConfiguration": f"kubernetesVersion: {self.declared}\n"}}
        if kind == "leases":
            self.nodes[name]["renewals"] = self.nodes[name].get("renewals", 0) + 1
            return {"spec": {"renewTime": str(self.nodes[name]["renewals"])}}
        raise denied(404, f"{name} not found")

    def items(self, path: str, query: Mapping[str, str] = {}) -> Iterator[Raw]:
        self._may("LIST", path)
        kind = path.rsplit("/", 1)[-1]
        if kind in {"pods", "deployments"}:
            node = query.get("fieldSelector", "").removeprefix("spec.nodeName=")
            key, asks_value, value = query.get("labelSelector", "").partition("=")
            for found in list((self.pods if kind == "pods" else self.deployments).values()):
                if node and found["spec"].get("nodeName") != node:
                    continue
                own = found["metadata"]["labels"].get(key)
                if key and (own is None or (asks_value and own != value)):
                    continue
                yield copy.deepcopy(found)
        else:
            held = {"poddisruptionbudgets": self.budgets, "volumeattachments": self.attachments}
            held |= {"daemonsets": self.daemon_list, "horizontalpodautoscalers": self.scalers}
            yield from held[kind]

    def text(self, path: str, *, timeout: float = 5) -> tuple[int, str]:
        self._may("GET", path)
        body = self.unready.get(self.endpoint, "")
        return (500, body) if body else (200, "ok")

    def post(self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = {}) -> Raw:
        self._may("POST", path)
        if path.endswith("/eviction"):
            name = path.split("/")[-2]
            found = self.pods.get(name)
            if found is None:
                raise denied(404)
            if body["deleteOptions"]["preconditions"]["uid"] != found["metadata"]["uid"]:
                raise denied(409, "the UID in the precondition differs")
            if name in self.slow_to_end:
                found["metadata"]["deletionTimestamp"] = "now"
            else:
                del self.pods[name]
            return {}
        made = copy.deepcopy(dict(body))
        made["metadata"]["uid"] = "uid-new"
        if path.endswith("/deployments"):
            made["status"] = {"availableReplicas": min(made["spec"]["replicas"], self.most_replicas)}
            self.deployments[made["metadata"]["name"]] = made
            return made
        made["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        made["spec"]["nodeName"] = made["spec"]["nodeSelector"]["kubernetes.io/hostname"]
        self.pods[made["metadata"]["name"]] = made
        return made

    def patch(self, path: str, body: Mapping[str, Any], query: Mapping[str, str] = {}) -> Raw:
        self._may("PATCH", path)
        if "/deployments/" in path:
            found = self.deployments[path.rsplit("/", 1)[-1]]
            _merge(found, {part: dict(body[part]) for part in ("metadata", "spec") if part in body})
            found["status"]["availableReplicas"] = min(found["spec"]["replicas"], self.most_replicas)
            return found
        node = self.nodes[path.rsplit("/", 1)[-1]]
        if body["metadata"]["resourceVersion"] != node["metadata"]["resourceVersion"]:
            raise denied(409)
        _merge(node, {"spec": body["spec"], "metadata": {"annotations": body["metadata"]["annotations"]}})
        node["metadata"]["resourceVersion"] += "1"
        return node

    def delete(self, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, str] = {}) -> Raw:
        self._may("DELETE", path)
        held = self.deployments if "/deployments/" in path else self.pods
        if held.pop(path.rsplit("/", 1)[-1], None) is None:
            raise denied(404)
        return {}

    def _claim(self, name: str) -> Raw:
        mode = "ReadWriteMany" if name in self.shared else "ReadWriteOnce"
        return {"spec": {"volumeName": self.claims[name], "accessModes": [mode]}}

    def _may(self, method: str, path: str) -> None:
        self.log.append(f"{method} {path}")
        for index, (wanted, part, error) in enumerate(self.answers):
            if wanted == method and part in path:
                del self.answers[index]
                raise error
        for part, error in self.always.items():
            if part in path:
                raise error


def _merge(target: Raw, change: Raw) -> None:
    for key, value in change.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


@dataclass
class Attempt:
    words: tuple[str, ...]
    looks: int  # polls until it has ended
    code: int | None
    output: bytes


class FakeMachine:
    """A node script with a memory of its attempts; an attempt's effect happens when it starts."""

    def __init__(self, name: str, api: FakeApi, *, control_plane: bool = False) -> None:
        self.name = name
        self.control_plane = control_plane
        self.started: list[tuple[str, tuple[str, ...]]] = []
        self.attempts: dict[str, Attempt] = {}
        self.fence = 0
        self.looks = 1
        self.ends: dict[str, tuple[int | None, bytes]] = {}  # verb → how it ends; None: LOST
        self.cuts = 0  # calls that do not reach it, the next ones
        self.refuse_logins = 0  # logins that are refused, the next ones
        self.lose: set[int] = set()  # answers that are lost on the way back, by their number from 1
        self.answered = 0
        self.packages = dict.fromkeys(("kubeadm", "kubelet", "kubectl"), "1.34.7-1.1")
        self.minor = Minor.parse("v1.34")
        self.dpkg_problem = ""
        self.missing: tuple[str, ...] = ()
        self.etcdctl = EtcdTool.CONTAINER
        self.restarts = 0
        self.restarting = 0  # observations in which the kubelet restarts once more
        self.snapshot_bytes = b""  # of whichever attempt is asked for
        self.piece = 65536  # bytes of it in one answer
        self.boot = 1  # which boot it is in
        self.reboot_required: bool | None = False
        self.boot_looks: int | None = 3  # calls that do not reach it while it reboots; None: it never goes down
        self._api = api

    def observe(self, *, briefly: bool = False) -> MachineFacts:
        self._link()
        if self.restarting:
            self.restarting, self.restarts = self.restarting - 1, self.restarts + 1
        kubeadm = ReportedVersion(PackageVersion.parse(self.packages["kubeadm"]).version)
        return MachineFacts(
            protocol=1,
            time=START,
            boot_id=f"boot-{self.boot}",
            fence=self.fence,
            control_plane=self.control_plane,
            packages=tuple(Package(n, v, "ii") for n, v in self.packages.items()),
            dpkg_problem=self.dpkg_problem,
            sources=(PackageSource("/etc/apt/sources.list.d/kubernetes.list", "https://x", self.minor, "-"),),
            kubeadm=kubeadm,
            reboot_required=self.reboot_required,
            kubelet_unit=KubeletUnit(True, True, "running", self.restarts, "Mon"),
            missing_manifests=self.missing,
            etcdctl=self.etcdctl,
        )

    def start(self, attempt: str, fence: int, verb: str, *args: str) -> StartAnswer:
        self._link()
        if fence < self.fence:
            return self._reply(StartAnswer(StartKind.FENCED, fence=self.fence))
        self.fence = fence
        if attempt in self.attempts:
            return self._reply(StartAnswer(StartKind.ATTACHED))
        spoken = b"The snapshot /snapshots/etcd.db is there, 20 bytes.\n" if verb == "snapshot-etcd" else b"fine\n"
        if verb == "reboot":
            spoken = f"[lockkeeper] rebooting from boot boot-{self.boot}\n".encode()
        code, output = self.ends.get(verb, (0, spoken))
        self.started.append((attempt, (verb, *args)))
        self.attempts[attempt] = Attempt((verb, *args), self.looks, code, output)
        if code == 0:
            self._effect(verb, args)
        return self._reply(StartAnswer(StartKind.STARTED))

    def poll(self, attempt: str, offset: int = 0, seconds: int = 0) -> PollAnswer:
        self._link()
        return self._reply(self._poll(attempt, offset))

    def _poll(self, attempt: str, offset: int) -> PollAnswer:
        if attempt not in self.attempts:
            return PollAnswer(AttemptState.ABSENT, None, 0, f"boot-{self.boot}", b"")
        found = self.attempts[attempt]
        chunk = found.output[offset : offset + 65536]
        if found.looks > 0:
            found.looks -= 1
            return PollAnswer(AttemptState.RUNNING, None, len(found.output), f"boot-{self.boot}", chunk)
        if found.code is None:
            return PollAnswer(AttemptState.LOST, None, len(found.output), f"boot-{self.boot}", chunk)
        return PollAnswer(AttemptState.DONE, found.code, len(found.output), f"boot-{self.boot}", chunk)

    def snapshot(self, attempt: str, offset: int) -> SnapshotPart:
        self._link()
        piece = self.snapshot_bytes[offset : offset + self.piece]
        return self._reply(SnapshotPart(len(self.snapshot_bytes), piece))

    def logs(self, unit: str) -> str:
        return f"Starting {unit}\nE1123 failed to run Kubelet: unknown flag: --pod-infra-container-image\n"

    @property
    def words(self) -> list[str]:
        return [" ".join(words) for _, words in self.started]

    def _link(self) -> None:
        if self.refuse_logins > 0:
            self.refuse_logins -= 1
            raise LoginRefused(f"{self.name} does not accept the key")
        if self.cuts > 0:
            self.cuts -= 1
            raise MachineUnreachable(f"{self.name} cannot be reached")

    def _reply(self, answer: _T) -> _T:
        self.answered += 1
        if self.answered in self.lose:
            raise MachineUnreachable(f"the answer of {self.name} was lost")
        return answer

    def _effect(self, verb: str, args: tuple[str, ...]) -> None:
        if verb in {"apply", "upgrade-node", "revert"} and self.control_plane:
            self._api.declared = args[-1]
            self._api.versions[f"{self.name}:6443"] = args[-1]
            for component in COMPONENTS:
                self._api.pods[f"{component}-{self.name}"] = static_pod(component, self.name, args[-1])
        if verb == "install-kubeadm":
            self.packages["kubeadm"] = args[0]
        if verb in {"install-kubelet", "roll-back-kubelet"}:
            self.packages |= {"kubelet": args[0], "kubectl": args[0]}
        if verb == "set-source":
            self.minor = Minor.parse(args[0])
        if verb in {"restart-kubelet", "roll-back-kubelet"}:
            version = PackageVersion.parse(self.packages["kubelet"]).version
            self._api.nodes[self.name]["status"]["nodeInfo"]["kubeletVersion"] = str(version)
        if verb == "reboot" and self.boot_looks is not None:
            self.boot, self.cuts, self.reboot_required = self.boot + 1, self.boot_looks, False
        if verb == "repair":
            self.dpkg_problem, self.missing = "", ()


def node(name: str, version: str = "v1.34.7", *, control_plane: bool = False) -> Raw:
    taints = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}] if control_plane else []
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "labels": {"kubernetes.io/hostname": name},
            "annotations": {},
        },
        "spec": {"taints": taints},
        "status": {
            "nodeInfo": {"kubeletVersion": version},
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": ["registry.k8s.io/pause:3.10.1", "registry.k8s.io/pause:3.9"]}],
        },
    }


def hop(version: str) -> Hop:
    package = PackageVersion.parse(f"{version}-1.1")
    return Hop(KubeVersion.parse(version), package, package, package)


class Bench:
    """Two control planes and a worker, and the site of any step of them."""

    def __init__(self, *versions: str, options: Options | None = None, kind: PlanKind = PlanKind.UPGRADE) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.stopped = False
        self.leased = True
        self.api = FakeApi(
            nodes={n: node(n, control_plane=n != "w1") for n in ("cp1", "cp2", "w1")},
            pods={f"{c}-{n}": static_pod(c, n, "v1.34.7") for c in COMPONENTS for n in ("cp1", "cp2")},
            versions={"cp1:6443": "v1.34.7", "cp2:6443": "v1.34.7"},
        )
        self.machines = {n: FakeMachine(n, self.api, control_plane=n != "w1") for n in ("cp1", "cp2", "w1")}
        self.plan = UpgradePlan(
            kind=kind,
            identity=ClusterIdentity("lab", "ca", "ks"),
            hops=tuple(hop(v) for v in versions or ("1.35.4",)),
            pools=(
                PlanPool(
                    "control-plane",
                    1,
                    (
                        PlanNode("cp1", "uid-cp1", Role.FIRST_CONTROL_PLANE),
                        PlanNode("cp2", "uid-cp2", Role.CONTROL_PLANE),
                    ),
                ),
                PlanPool("workers", 1, (PlanNode("w1", "uid-w1", Role.WORKER),)),
            ),
            options=options or Options(),
        )

    @property
    def w1(self) -> FakeMachine:
        return self.machines["w1"]

    def site(self, name: str, verb: Verb, *, hop: int = 0, attempt: int = 1, fence: int = 1, position: int = 0) -> Site:
        found = self.plan.node(name)
        assert found is not None
        return Site(
            settings=SETTINGS,
            cluster="lab",
            plan=self.plan,
            node=found,
            step=Step(hop, Phase.WORKERS, verb),
            operation_id=OPERATION,
            attempt_id=f"{OPERATION}-n0-s{position}-a{attempt}",
            attempt=attempt,
            fence=fence,
            started_at=self.clock.now(),
            machine=self.machines[name],
            kube=lambda: self.api,
            endpoints=lambda: {"cp1": "cp1:6443", "cp2": "cp2:6443"},
            tell=self.told.append,
            stopping=lambda: self.stopped,
            may_start=lambda: self.leased,
            now=self.clock.now,
            sleep=self.clock.sleep,
        )


SETTINGS = parse_settings(
    {
        "clusters": {
            "lab": {
                "kubeconfig": "/nowhere",
                "machines": {"w1": {"address": "127.0.0.1", "key_file": "/nowhere", "host_key": "SHA256:" + "a" * 43}},
            }
        },
        "people": {"ann": {}},
        "approvals": {"approvers": ["ann"]},
    }
)
