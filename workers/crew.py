"""What a driver works with, as arguments: tests bring their own, workers/jobs.py brings the real ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cluster.alerts import Alert
from cluster.approval import Approval
from cluster.findings import Findings
from cluster.operation import Operation
from cluster.plan import PlanNode, PlanRecord, UpgradePlan
from cluster.procedure import Step
from cluster.report import ClusterReport
from cluster.settings import Settings
from cluster.store import Store
from workers.attachments import Attachments
from workers.cordon import uncordon
from workers.silencing import Silencer
from workers.site import Api, RemoteNode, Site, StepDone


class CheckGate(Protocol):
    """policies.gate.check_gate: may this step start now?"""

    def __call__(
        self,
        *,
        record: PlanRecord,
        approval: Approval | None,
        operation: Operation,
        report: ClusterReport | None,
        step: Step,
        node: PlanNode,
        settings: Settings,
        now: datetime,
    ) -> Findings: ...


class CheckApproval(Protocol):
    """policies.gate.check_approval: is this run the one that was approved?"""

    def __call__(
        self,
        *,
        record: PlanRecord,
        approval: Approval | None,
        operation: Operation,
        settings: Settings,
        now: datetime,
        started: bool | None = None,
    ) -> Findings: ...


@dataclass(frozen=True)
class Crew:
    """The collaborators of one driver; `machine` logs in anew for each stage of a node, with credentials read anew."""

    settings: Settings
    store: Store
    lease_store: Store  # a connection of its own: a slow answer elsewhere must not cost the lease
    observe: Callable[[], ClusterReport]
    check_gate: CheckGate
    check_approval: CheckApproval
    perform: Callable[[Site], StepDone]
    preflight: Callable[[UpgradePlan], Findings]  # the blockers that stand against the plan, by a fresh survey
    inspect: Callable[[UpgradePlan], Findings]  # the blockers on its control planes and in their etcd, as they are now
    machine: Callable[[str], AbstractContextManager[RemoteNode]]
    kube: Callable[[], Api]
    now: Callable[[], datetime]
    others_wait: Callable[[], bool]  # whether work waits that no worker is free for
    uncordon: Callable[[Site], bool] = uncordon
    attachments: Attachments = field(default_factory=Attachments)
    firing: Callable[[], tuple[Alert, ...]] | None = None  # where a monitoring is configured
    silencer: Silencer | None = None  # where alerts of nodes in hand are silenced


def endpoints_of(report: ClusterReport | None) -> Mapping[str, str]:
    """Node → host:port of its own API server."""
    return {a.node: a.endpoint for a in report.api_servers if a.endpoint} if report else {}
