"""A cluster of any size, on paper: its report, its survey, a plan, a run in the middle; and names for what is timed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cluster.approval import Approval, SignedWith, Statement
from cluster.events import Event, Happened
from cluster.examination import Examination
from cluster.facts import EtcdTool, KubeletUnit, MachineFacts, Offer, OfferState, Package, PackageSource, Room
from cluster.images import ImageOffer, ImageState, WantedImages
from cluster.observation import Observation
from cluster.operation import Operation, OperationState, RowState, schedule
from cluster.options import Options
from cluster.plan import PlanRecord, PlanStatus
from cluster.procedure import Verb, itinerary
from cluster.report import AddOn, ApiServer, ClusterIdentity, ClusterReport, Node, StaticPod, Unread
from cluster.settings import Settings, parse_settings
from cluster.survey import Survey, SurveyedMachine
from cluster.versions import KubeVersion, Minor, PackageVersion, ReportedVersion, parse_target
from policies.drafting import draft_upgrade

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OLD, NEW = "v1.34.7", "v1.35.4"
MASTERS = ("cp-1", "cp-2", "cp-3")
WINDOW = 100  # workers that may be away at once
_GIB = 1024 * 1024
_PACKAGES = ("1.34.7-1.1", "1.34.9-1.1", "1.35.0-1.1", "1.35.4-1.1")
_COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def names(size: int) -> tuple[str, ...]:
    return (*MASTERS, *(f"w-{n}" for n in range(size - len(MASTERS))))


def settings(size: int) -> Settings:
    machine = {"address": "127.0.0.1", "key_file": "key", "host_key": "SHA256:" + "A" * 43}
    pool = {"selector": "pool=general", "max_unavailable": WINDOW}
    cluster = {
        "kubeconfig": "kubeconfig",
        "channel": "C0OPS",
        "machines": dict.fromkeys(names(size), machine),
        "pools": {"general": pool},
    }
    data: dict[str, Any] = {
        "clusters": {"prod": cluster},
        "people": {"ada": {"slack": "U0ADA"}, "grace": {"slack": "U0GRACE"}},
        "approvals": {"approvers": ["grace"]},
    }
    return parse_settings(data)


def report(size: int, version: str = OLD) -> ClusterReport:
    read = ReportedVersion(KubeVersion.parse(version))
    nodes = tuple(
        Node(
            n,
            f"uid-{n}",
            n in MASTERS,
            read,
            ready=True,
            cordoned=False,
            labels=() if n in MASTERS else (("kubernetes.io/hostname", n), ("pool", "general")),
        )
        for n in names(size)
    )
    pods = tuple(
        StaticPod(n, c, f"registry.k8s.io/{c}:{t}", t, ready=True, config_hash="")
        for n in MASTERS
        for c in _COMPONENTS
        for t in ["3.6.5-0" if c == "etcd" else version]
    )
    return ClusterReport(
        cluster="prod",
        identity=ClusterIdentity("prod", "0" * 64, "11111111-2222-3333-4444-555555555555"),
        read_at=NOW,
        api_servers=tuple(ApiServer(n, "127.0.0.1:6443", read, ready=True) for n in MASTERS),
        static_pods=pods,
        nodes=nodes,
        add_ons=(AddOn("kube-proxy", f"registry.k8s.io/kube-proxy:{version}", names(size)),),
        declared=KubeVersion.parse(version),
    )


def survey(size: int, **changes: Any) -> Survey:
    read = [PackageVersion.parse(p) for p in _PACKAGES]
    offers = tuple(
        Offer(m, OfferState.OFFERED, tuple(p for p in read if p.version.minor == m))
        for m in (Minor(1, 34), Minor(1, 35))
    )
    facts = MachineFacts(
        protocol=1,
        time=NOW,
        boot_id="11111111-2222-3333-4444-555555555555",
        fence=0,
        control_plane=False,
        cgroup="v2",
        swap=False,
        packages=tuple(Package(p, "1.34.7-1.1", "hi") for p in ("kubeadm", "kubelet", "kubectl", "containerd")),
        sources=(PackageSource("/etc/apt/sources.list.d/kubernetes.list", "https://example.org", Minor(1, 34), "-"),),
        kubeadm=ReportedVersion.parse(OLD),
        kubelet=ReportedVersion.parse(OLD),
        kubectl=ReportedVersion.parse(OLD),
        kubelet_unit=KubeletUnit(loaded=True, active=True, state="running", restarts=0, started=""),
        etcdctl=EtcdTool.CONTAINER,
        room=(Room("/etc/kubernetes", 20 * _GIB, 10 * _GIB), Room("/var/lib/kubelet", 20 * _GIB, 10 * _GIB)),
        etcd_size_kib=_GIB,
    )
    facts = replace(facts, **changes)
    machines = (SurveyedMachine(n, replace(facts, hostname=n, control_plane=n in MASTERS), offers) for n in names(size))
    return Survey("prod", NOW, tuple(machines))


def seen(report: ClusterReport, survey: Survey) -> Observation:
    return Observation(report, survey, Examination("prod", NOW))


class PaperMachine:
    """One machine of the survey, asked by itself."""

    def __init__(self, name: str) -> None:
        self._told = next(m for m in survey(len(MASTERS) + 1).machines if (m.name in MASTERS) == (name in MASTERS))

    def version(self) -> int:
        return 1

    def observe(self) -> MachineFacts | Unread:
        return self._told.facts

    def offers(self, minors: tuple[Minor, ...]) -> tuple[Offer, ...]:
        return tuple(o for o in self._told.offers if o.minor in minors)

    def images(self, wanted: WantedImages) -> tuple[ImageOffer, ...]:
        return (ImageOffer(f"registry.k8s.io/kube-proxy:{wanted.version}", ImageState.OFFERED),)


def record(size: int, surveyed: Survey | None = None) -> PlanRecord:
    """The plan as a worker drafts it."""
    cluster = settings(size).clusters["prod"]
    drafted = draft_upgrade(
        seen(report(size), surveyed or survey(size)),
        cluster,
        parse_target(NEW),
        options=Options(),
        accepted=(),
        now=NOW,
    )
    return PlanRecord(
        id="p-1a2b3c4d",
        plan=drafted.plan,
        digest=drafted.plan.digest,
        status=PlanStatus.PROPOSED,
        requester="ada",
        requested_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        findings=drafted.findings,
        basis=drafted.basis,
        channel="C0OPS",
        estimate=drafted.estimate,
    )


def approval(of: PlanRecord, operation_id: str = "op-1a2b3c4d") -> Approval:
    statement = Statement(
        plan_id=of.id,
        digest=of.digest,
        cluster="prod",
        decision="approve",
        person="grace",
        requester="ada",
        at=NOW,
        expires_at=of.expires_at,
        evidence="approver list",
        operation_id=operation_id,
    )
    return Approval(statement, SignedWith.BOT, "")


def told(kind: Happened, **parts: Any) -> Event:
    return Event(kind, NOW, "prod", f"{kind} happened.", **parts)


def operation(of: PlanRecord) -> Operation:
    return schedule(of, operation_id="op-1a2b3c4d", approved_by="grace", now=NOW)


def in_the_middle(of: PlanRecord) -> Operation:
    """A run with a third of its workers done, a window in hand at different steps, and the others waiting."""
    steps = itinerary(of.plan, of.plan.nodes[-1])
    end, drain = len(steps) - 1, next(n for n, s in enumerate(steps) if s.verb is Verb.DRAIN)
    begun = next(n for n, s in enumerate(steps) if s.verb is Verb.SET_SOURCE)
    begin = operation(of)
    third = len(begin.rows) // 3
    rows = []
    for index, row in enumerate(begin.rows):
        if row.node in MASTERS:
            at = len(itinerary(of.plan, of.plan.nodes[index])) - 1
            rows.append(replace(row, position=at))
        elif index < third:
            rows.append(replace(row, position=end))
        elif index < third + min(WINDOW, third):
            state = RowState.STARTED if index % 2 else RowState.WAITING
            rows.append(replace(row, position=drain - index % 3, state=state, started_at=NOW))
        else:
            rows.append(replace(row, position=begun))
    return replace(begin, state=OperationState.RUNNING, rows=tuple(rows))
