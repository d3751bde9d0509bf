"""The gate before every step: approval genuine, cluster the same, nothing foreign, skew kept by the step itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cluster.approval import Approval
from cluster.findings import Finding, Findings, Severity, blockers
from cluster.operation import Operation, OperationState, RowState
from cluster.plan import PlanKind, PlanNode, PlanRecord, PlanStatus, Role
from cluster.procedure import GIVING_BACK, Step, Verb
from cluster.report import ClusterReport, Unread
from cluster.settings import Settings
from cluster.steering import is_in_hand
from cluster.versions import KubeVersion, ReportedVersion
from policies.approvals import judge_approval
from policies.foreign import find_foreign_changes
from policies.skew import API_SERVERS_APART, api_range, check_skew, check_way_back, lag_of
from policies.windows import check_opening

_CONTROL_PLANE = frozenset({Verb.APPLY, Verb.UPGRADE_NODE})
_FORGED = frozenset({"approval-missing", "approval-not-genuine", "approval-of-another-plan", "approval-of-another-run"})
# Steps in which a control plane's members may be away for a moment: another one that is away already costs the quorum.
_RISKS_A_MEMBER = frozenset({Verb.APPLY, Verb.UPGRADE_NODE, Verb.CORDON, Verb.RESTART_KUBELET, Verb.REBOOT})
_UNTOUCHED = frozenset({RowState.WAITING, RowState.SKIPPED})  # at their first step; a person may skip one before it
_KUBELET = frozenset({Verb.INSTALL_KUBELET, Verb.RESTART_KUBELET})


def check_gate(
    *,
    record: PlanRecord,
    approval: Approval | None,
    operation: Operation,
    report: ClusterReport | None,
    step: Step,
    node: PlanNode,
    settings: Settings,
    now: datetime,
) -> Findings:
    """May this step start now? Blockers stop it; `report` is None while an outage of our own making is expected.

    A blocker that rests on a report older than the last recorded step may be our own doing: observe afresh, and ask
    again, before anything is stopped.
    """
    found = list(check_approval(record=record, approval=approval, operation=operation, settings=settings, now=now))
    gives_back = step.phase in GIVING_BACK or step.verb is Verb.UNCORDON
    if operation.state is OperationState.CANCELLING and gives_back:
        found = [f for f in found if f.code in _FORGED]  # it is given back, whoever lost a right meanwhile
    cluster = settings.clusters.get(record.plan.cluster)
    if cluster is not None and not gives_back and not _in_hand(record, operation, node):
        found.extend(check_opening(record.plan.cluster, cluster, now))
    if report is None:
        return tuple(found)
    found.extend(_same_cluster(record, report, step))
    if gives_back:  # right whatever else has happened
        return tuple(found)
    foreign = find_foreign_changes(record, operation, report)
    if operation.state is OperationState.CANCELLING:  # rows that were never begun say nothing any more
        foreign = tuple(f for f in foreign if f.subject == node.name)
    found.extend(foreign)
    if record.plan.kind is PlanKind.UPGRADE:  # a revert is the way out of a broken skew
        found.extend(blockers(check_skew(report)))
        found.extend(_step_keeps_skew(record, report, step, node))
        found.extend(_peers_are_well(report, step, node))
    if record.plan.kind is PlanKind.ROLLBACK:  # what is wrong with this very node is why it goes back
        found.extend(f for f in blockers(check_skew(report)) if f.subject != node.name)
        found.extend(check_way_back(record.plan.target, node.name, report))
    return tuple(found)


def _in_hand(record: PlanRecord, operation: Operation, node: PlanNode) -> bool:
    """Whom a window that closes lets finish; a cancelled run only finishes."""
    cancelling = operation.state is OperationState.CANCELLING
    return cancelling or is_in_hand(record.plan, node, operation.row(node.name))


def has_started(operation: Operation) -> bool:
    """Whether any node has taken its first step: an approval's expiry bounds that moment only."""
    return any(r.position > 0 or r.attempt > 1 or r.state not in _UNTOUCHED for r in operation.rows)


def check_approval(
    *,
    record: PlanRecord,
    approval: Approval | None,
    operation: Operation,
    settings: Settings,
    now: datetime,
    started: bool | None = None,
) -> Findings:
    """
    Is this run the one that was approved? Needs nothing of the cluster, so it is asked before anything at all.

    `started` is by default what the rows say; whoever knows it from a better witness says it.
    """
    started = has_started(operation) if started is None else started
    return tuple(_approved(record, approval, operation, settings, now, started=started))


def _approved(
    record: PlanRecord,
    approval: Approval | None,
    operation: Operation,
    settings: Settings,
    now: datetime,
    *,
    started: bool,
) -> Iterator[Finding]:
    if approval is None:
        sentence = f"There is no approval of {record.id}."
        yield _stop("approval-missing", record.id, sentence, "Cancel the run, and have the plan approved.")
        return
    yield from judge_approval(approval, record, settings, now, started=started)
    mine = (operation.id, record.plan.digest, record.plan.cluster)
    if (approval.statement.operation_id, operation.digest, operation.cluster) != mine:
        sentence = f"The approval of {record.id} is for another run than {operation.id}."
        yield _stop("approval-of-another-run", operation.id, sentence, "Cancel the run, and plan again.")
    if record.status is not PlanStatus.APPROVED:
        sentence = f"The plan {record.id} is {record.status}, not approved."
        yield _stop("plan-not-approved", record.id, sentence, "Cancel the run, and plan again.")
    if stops := blockers(record.findings):
        sentence = f"The plan {record.id} is blocked by {', '.join(sorted({f.code for f in stops}))}."
        yield _stop("plan-blocked", record.id, sentence, "Cancel the run, mend that, and plan again.")


def _same_cluster(record: PlanRecord, report: ClusterReport, step: Step) -> Iterator[Finding]:
    if report.identity is None and step.verb is not Verb.VERIFY_CONTROL_PLANE:  # that one expects an outage
        sentence = f"The identity of `{report.cluster}` could not be read: it may be another cluster."
        yield _stop("cluster-unreadable", report.cluster, sentence, "Look at its API servers, then `resume`.")
    if report.identity is not None and report.identity != record.plan.identity:
        sentence = f"`{report.cluster}` is another cluster than the one that was planned for."
        yield _stop("other-cluster", report.cluster, sentence, "Check its kubeconfig, cancel the run, and plan again.")


def _peers_are_well(report: ClusterReport, step: Step, node: PlanNode) -> Iterator[Finding]:
    """Every other control plane, before this one's API server and etcd member may be away."""
    if node.role is Role.WORKER or step.verb not in _RISKS_A_MEMBER:
        return
    away = [
        s.node for s in report.api_servers if s.node != node.name and (isinstance(s.version, Unread) or not s.ready)
    ]
    etcd = [p.node for p in report.static_pods if p.component == "etcd" and p.node != node.name and not p.ready]
    for part, names in (("API server", away), ("etcd", etcd)):
        for name in names:
            sentence = f"The {part} on {name} is not ready: {node.name} must not be away as well."
            yield _stop("peer-not-ready", name, sentence, f"Bring the control plane of {name} back, then `resume`.")


def _step_keeps_skew(record: PlanRecord, report: ClusterReport, step: Step, node: PlanNode) -> Iterator[Finding]:
    target, api = record.plan.hops[step.hop].target, api_range(report)
    if api is None:
        return
    if step.verb in _KUBELET and target.minor > api.oldest:
        sentence = f"A kubelet of {target} on {node.name} would be newer than an API server of {api.oldest}."
        yield _stop("kubelet-newer", node.name, sentence, "Wait until every API server is there.")
    if step.verb is Verb.UPGRADE_NODE and isinstance(report.declared, KubeVersion) and report.declared != target:
        sentence = (
            f"kubeadm-config declares {report.declared}: `kubeadm upgrade node` on {node.name} would install that "
            f"instead of {target}."
        )
        yield _stop("config-not-at-target", node.name, sentence, "Let the apply on the first control plane end first.")
    if step.verb in _CONTROL_PLANE and node.role is not Role.WORKER:
        yield from _api_server_moves(report, target, node)


def _api_server_moves(report: ClusterReport, target: KubeVersion, node: PlanNode) -> Iterator[Finding]:
    """An API server of `target` beside every other one and every kubelet as they are now."""
    others = [s.version.version for s in report.api_servers if isinstance(s.version, ReportedVersion)]
    behind = max((target.minors_ahead_of(v) for v in others), default=0)
    if behind > API_SERVERS_APART:
        sentence = f"An API server of {target} on {node.name} would be {behind} minors ahead of another one."
        yield _stop("api-servers-apart", node.name, sentence, "Bring the others forward first.")
    for n in report.nodes:
        if isinstance(n.kubelet, ReportedVersion):
            lag = target.minors_ahead_of(n.kubelet.version)
            if lag > lag_of(n.kubelet.version.minor):
                sentence = f"The kubelet of {n.name} would be {lag} minors behind an API server of {target}."
                yield _stop("kubelet-too-old", n.name, sentence, f"Bring {n.name} forward first.")


def _stop(code: str, subject: str, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, subject, sentence, remedy)
