"""Nouns for the tests of store and engine: a cluster of three and four machines, a plan, an approval, an operation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cluster.approval import Approval, SignedWith, Statement
from cluster.events import Event, Happened
from cluster.operation import Operation, schedule
from cluster.options import Options
from cluster.plan import Basis, Hop, PlanKind, PlanNode, PlanPool, PlanRecord, PlanStatus, Role, UpgradePlan
from cluster.report import ApiServer, ClusterIdentity, ClusterReport, Node
from cluster.settings import Settings, parse_settings
from cluster.store import Decision, Store
from cluster.versions import KubeVersion, PackageVersion, ReportedVersion

NOW = datetime(2026, 10, 14, 14, 0, tzinfo=UTC)
CLUSTER = "prod"
MASTERS = ("cp-1", "cp-2", "cp-3")
WORKERS = ("w-1", "w-2", "w-3", "w-4")
NODES = (*MASTERS, *WORKERS)


def settings(nodes: tuple[str, ...] = NODES, **changes: Any) -> Settings:
    machine = {"address": "127.0.0.1", "key_file": "key", "host_key": "SHA256:" + "A" * 43}
    data: dict[str, Any] = {
        "clusters": {CLUSTER: {"kubeconfig": "kubeconfig", "machines": dict.fromkeys(nodes, machine)}},
        "people": {"ada": {"slack": "U0ADA"}, "grace": {"slack": "U0GRACE"}},
        "approvals": {"approvers": ["grace"]},
        "waits": {"poll": 0.05, "control_plane": 5.0},
    }
    return parse_settings({**data, **changes})


def plan(
    masters: tuple[str, ...] = MASTERS,
    workers: tuple[str, ...] = WORKERS,
    *,
    max_unavailable: int = 2,
    targets: tuple[str, ...] = ("1.35.4",),
    kind: PlanKind = PlanKind.UPGRADE,
) -> UpgradePlan:
    roles = (Role.FIRST_CONTROL_PLANE, *[Role.CONTROL_PLANE] * len(masters))
    first = tuple(PlanNode(n, f"uid-{n}", r) for n, r in zip(masters, roles, strict=False))
    rest = tuple(PlanNode(n, f"uid-{n}", Role.WORKER) for n in workers)
    packages = [PackageVersion.parse(f"{t}-1.1") for t in targets]
    return UpgradePlan(
        kind=kind,
        identity=ClusterIdentity(CLUSTER, "0" * 64, "11111111-2222-3333-4444-555555555555"),
        hops=tuple(Hop(p.version, p, p, p) for p in packages),
        pools=(PlanPool("control-plane", 1, first), PlanPool("general", max_unavailable, rest)),
        options=Options(),
    )


def record(made: UpgradePlan | None = None, plan_id: str = "p-1", **changes: Any) -> PlanRecord:
    made = made or plan()
    before = tuple((n.name, "v1.34.7") for n in made.nodes)
    servers = tuple((n.name, "v1.34.7") for n in made.nodes if n.role is not Role.WORKER)
    whole = PlanRecord(
        id=plan_id,
        plan=made,
        digest=made.digest,
        status=PlanStatus.PROPOSED,
        requester="ada",
        requested_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        findings=(),
        basis=Basis(servers, before, "v1.34.7", NOW),
    )
    return replace(whole, **changes)


def approval(of: PlanRecord, operation_id: str = "op-1", person: str = "grace") -> Approval:
    """Unsigned: whether a signature is genuine is asked of the gate, not of the store."""
    statement = Statement(
        plan_id=of.id,
        digest=of.digest,
        cluster=of.plan.cluster,
        decision="approve",
        person=person,
        requester=of.requester,
        at=NOW,
        expires_at=of.expires_at,
        evidence="approver list",
        operation_id=operation_id,
    )
    return Approval(statement, SignedWith.BOT, "")


def event(kind: Happened, **parts: Any) -> Event:
    return Event(kind, NOW, CLUSTER, f"{kind} happened.", **parts)


def propose(store: Store, of: PlanRecord | None = None) -> PlanRecord:
    made = of or record()
    store.propose(made, event(Happened.PLAN_PROPOSED, plan_id=made.id))
    return made


def approve(store: Store, of: PlanRecord, operation_id: str = "op-1", now: datetime = NOW) -> Operation:
    """Propose and approve; the operation is scheduled."""
    propose(store, of)
    operation = schedule(of, operation_id=operation_id, approved_by="grace", now=now)
    told = event(Happened.PLAN_APPROVED, plan_id=of.id, operation_id=operation_id)
    outcome = store.approve(of, approval(of, operation_id), operation, told, now)
    assert outcome.decision is Decision.APPROVED, outcome
    return operation


def report(of: UpgradePlan, **changes: Any) -> ClusterReport:
    """The cluster as it was before: every node Ready, none cordoned."""
    version = ReportedVersion(KubeVersion.parse("v1.34.7"))
    masters = {n.name for n in of.pools[0].nodes}
    nodes = tuple(Node(n.name, n.uid, n.name in masters, version, ready=True, cordoned=False) for n in of.nodes)
    whole = ClusterReport(
        cluster=CLUSTER,
        identity=of.identity,
        read_at=NOW,
        api_servers=tuple(ApiServer(n, "127.0.0.1:6443", version, ready=True) for n in sorted(masters)),
        nodes=nodes,
        declared=KubeVersion.parse("v1.34.7"),
    )
    return replace(whole, **changes)
