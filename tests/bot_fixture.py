"""Nouns for the bot's tests: one cluster of three and four machines, three people, and a plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cluster.findings import Finding, Severity
from cluster.offers import SourcesTold
from cluster.operation import NodeRow, Operation, OperationState
from cluster.options import Options
from cluster.plan import Basis, Hop, PlanKind, PlanNode, PlanPool, PlanRecord, PlanStatus, Role, UpgradePlan
from cluster.report import AddOn, ApiServer, ClusterIdentity, ClusterReport, Node, StaticPod, Unread
from cluster.settings import Settings, parse_settings
from cluster.survey import Survey
from cluster.versions import KubeVersion, PackageVersion, ReportedVersion
from policies.overview import Overview, look_over

NOW = datetime(2026, 10, 14, 14, 0, tzinfo=UTC)
CONTROL_PLANES = ("cp-1", "cp-2", "cp-3")
WORKERS = ("w-1", "w-2", "w-3", "w-4")
CHANNEL = "C0OPS"
NASTY = (
    "",
    " ",
    "\u202egnp.exe",
    "a\u200bb\u2066c\u2069",
    "<!channel> <https://evil|Approve via portal>",
    "`<https://evil|x>`",
    "&amp;<&>",
    "line\nbreak\ttab\x00nul\x1b[31m",
    "*bold* _it_ ~no~ :x:",
    "e" + "\u0301" * 400,
    "\ud800",
    "漢字" * 400,
    "<" * 4000,
    "\u3164\u2800",
    "`" * 7,
)


def settings(**changes: Any) -> Settings:
    """A configuration with Ada (may not approve), Grace (approver) and Linus (in the user group)."""
    machine = {"address": "127.0.0.1", "key_file": "key", "host_key": "SHA256:" + "A" * 43}
    data: dict[str, Any] = {
        "clusters": {
            "prod": {
                "kubeconfig": "kubeconfig",
                "channel": CHANNEL,
                "machines": dict.fromkeys((*CONTROL_PLANES, *WORKERS), machine),
            }
        },
        "people": {
            "ada": {"slack": "U0ADA"},
            "grace": {"slack": "U0GRACE"},
            "linus": {"slack": "U0LINUS"},
            "gus": {"slack": "U0GUS"},
        },
        "approvals": {"approvers": ["grace", "gus"], "user_groups": ["S0KEEPERS"]},
        "slack": {
            "mode": "socket",
            "bot_token": {"env": "LOCKKEEPER_TEST_BOT_TOKEN"},
            "app_token": {"env": "LOCKKEEPER_TEST_APP_TOKEN"},
            "team_id": "T0HOME",
        },
        "waits": {"slack_edit": 0.2},
    }
    return parse_settings({**data, **changes})


def plan(kind: PlanKind = PlanKind.UPGRADE, targets: tuple[str, ...] = ("1.35.4",)) -> UpgradePlan:
    roles = (Role.FIRST_CONTROL_PLANE, Role.CONTROL_PLANE, Role.CONTROL_PLANE)
    masters = tuple(PlanNode(n, f"uid-{n}", r) for n, r in zip(CONTROL_PLANES, roles, strict=True))
    workers = tuple(PlanNode(n, f"uid-{n}", Role.WORKER) for n in WORKERS)
    package = [PackageVersion.parse(f"{t}-1.1") for t in targets]
    return UpgradePlan(
        kind=kind,
        identity=ClusterIdentity("prod", "0" * 64, "11111111-2222-3333-4444-555555555555"),
        hops=tuple(Hop(p.version, p, p, p) for p in package),
        pools=(PlanPool("control-plane", 1, masters), PlanPool("general", 2, workers)),
        options=Options(),
    )


def record(**changes: Any) -> PlanRecord:
    made = changes.pop("plan", plan())
    before = tuple((n, "v1.34.7") for n in (*CONTROL_PLANES, *WORKERS))
    whole = PlanRecord(
        id="p-1a2b3c4d",
        plan=made,
        digest=made.digest,
        status=PlanStatus.PROPOSED,
        requester="ada",
        requested_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        findings=(),
        basis=Basis(before[:3], before, "v1.34.7", NOW),
        channel=CHANNEL,
        estimate=(1500, 2400),
    )
    return replace(whole, **changes)


def operation(state: OperationState = OperationState.RUNNING, **changes: Any) -> Operation:
    rows = tuple(NodeRow(n) for n in (*CONTROL_PLANES, *WORKERS))
    made = record()
    whole = Operation("op-1a2b3c4d", made.id, made.digest, "prod", state, NOW, "grace", rows)
    return replace(whole, **changes)


def finding(severity: Severity = Severity.WARNING, text: str = "Something is off on `w-1`.") -> Finding:
    return Finding("some-code", severity, "w-1", text, "Look at it.")


def report(name: str = "prod", where: tuple[str, ...] = (*CONTROL_PLANES, *WORKERS)) -> ClusterReport:
    version = ReportedVersion(KubeVersion.parse("v1.34.7"))
    masters = where[:3]
    return ClusterReport(
        cluster=name,
        identity=plan().identity,
        read_at=NOW,
        api_servers=tuple(ApiServer(n, "10.0.0.1:6443", version, ready=True) for n in masters),
        static_pods=tuple(
            StaticPod(
                n,
                c,
                f"registry.k8s.io/{c}:v1.34.7",
                "3.6.5-0" if c == "etcd" else "v1.34.7",
                ready=True,
                config_hash="",
            )
            for n in masters
            for c, tag in (("kube-apiserver", "v1.34.7"), ("kube-scheduler", "v1.34.7"), ("etcd", "3.6.5-0"))
        ),
        nodes=tuple(Node(n, f"uid-{n}", n in masters, version, ready=True, cordoned=False) for n in where),
        add_ons=(AddOn("kube-proxy", "registry.k8s.io/kube-proxy:v1.34.7", where),),
        declared=KubeVersion.parse("v1.34.7"),
        unread=(Unread("the add-on list", "timed out after 10 s"),),
    )


def overview(
    seen: ClusterReport | None = None,
    findings: tuple[Finding, ...] | None = None,
    survey: Survey | None = None,
    told: SourcesTold | None = None,
) -> Overview:
    """A report that was looked over; `findings` stand in for what the policies say of it."""
    seen, cluster = seen or report(), settings().clusters["prod"]
    whole = look_over(seen, survey, cluster, installation="lockkeeper", known={}, now=NOW, told=told)
    return whole if findings is None else replace(whole, findings=findings)
