"""A foreign change: a value that is neither what the plan started from nor what a recorded step made of it."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.findings import Finding, Findings, Severity
from cluster.operation import NodeRow, Operation, RowState
from cluster.plan import PlanKind, PlanNode, PlanRecord
from cluster.procedure import Step, Verb, itinerary
from cluster.report import ClusterReport, Unread
from cluster.versions import KubeVersion, ReportedVersion

# verb that begins to change a value → verb after which the change has been seen; between them both values are right
_API_SERVER = {Verb.APPLY: Verb.VERIFY_CONTROL_PLANE, Verb.UPGRADE_NODE: Verb.VERIFY_CONTROL_PLANE}
_REVERT = {Verb.REVERT: Verb.VERIFY_CONTROL_PLANE}
_KUBELET = {Verb.INSTALL_KUBELET: Verb.VERIFY_NODE, Verb.ROLL_BACK_KUBELET: Verb.VERIFY_NODE}
_DECLARED = {Verb.APPLY: Verb.VERIFY_CONTROL_PLANE}


def find_foreign_changes(record: PlanRecord, operation: Operation, report: ClusterReport) -> Findings:
    """Every foreign change on the plan's nodes; one that left or joined the cluster is none, and is told elsewhere."""
    found: list[Finding] = []
    rows = {r.node: r for r in operation.rows}
    for node in record.plan.nodes:
        row = rows.get(node.name)
        if row is not None and row.state is not RowState.SKIPPED and not row.skipped_by:
            found.extend(_of_node(record, node, row, report))
    found.extend(_of_declared(record, rows, report))
    return tuple(found)


def _of_node(record: PlanRecord, node: PlanNode, row: NodeRow, report: ClusterReport) -> Iterator[Finding]:
    seen = report.node(node.name)
    if seen is None:
        return
    if seen.uid != node.uid:
        sentence = f"{node.name} is another node than the one of the plan: it was removed and joined again."
        yield _foreign(node.name, sentence)
        return
    if isinstance(seen.kubelet, ReportedVersion):
        begun = record.basis.kubelet_of.get(node.name, "")
        allowed = _allowed(record, node, row, _KUBELET, begun)
        yield from _compare(f"The kubelet of {node.name}", node.name, seen.kubelet, allowed)
    server = next((s for s in report.api_servers if s.node == node.name), None)
    if server is not None and isinstance(server.version, ReportedVersion):
        begun = record.basis.api_server_of.get(node.name, "")
        verbs = _REVERT if record.plan.kind is PlanKind.REVERT else _API_SERVER
        allowed = _allowed(record, node, row, verbs, begun)
        yield from _compare(f"The API server on {node.name}", node.name, server.version, allowed)


def _of_declared(record: PlanRecord, rows: dict[str, NodeRow], report: ClusterReport) -> Iterator[Finding]:
    """kubeadm-config follows the apply on the first control plane."""
    if isinstance(report.declared, Unread):
        return
    node = next((n for n in record.plan.nodes if any(s.verb is Verb.APPLY for s in itinerary(record.plan, n))), None)
    allowed = {record.basis.declared}
    if node is not None and node.name in rows:
        allowed = _allowed(record, node, rows[node.name], _DECLARED, record.basis.declared)
    yield from _compare("kubeadm-config", report.cluster, report.declared, allowed)


def _allowed(record: PlanRecord, node: PlanNode, row: NodeRow, verbs: dict[Verb, Verb], begun: str) -> set[str]:
    """The values that this node may show at its place on its way; empty where nothing was known at the start."""
    steps = itinerary(record.plan, node)
    value, becoming = begun, ""
    ends: Verb | None = None
    for index, step in enumerate(steps):
        if not _has_begun(index, row):
            break
        if step.verb in verbs:
            becoming, ends = _target(record, step), verbs[step.verb]
        if step.verb is ends and index < row.position:
            value, becoming, ends = becoming, "", None
    return {v for v in (value, becoming) if v}


def _has_begun(index: int, row: NodeRow) -> bool:
    """A blocked or repeated step may have had part of its effect."""
    if index == row.position:
        return row.state in {RowState.STARTED, RowState.BLOCKED} or row.attempt > 1
    return index < row.position


def _target(record: PlanRecord, step: Step) -> str:
    return str(record.plan.hops[step.hop].target)


def _compare(what: str, subject: str, seen: ReportedVersion | KubeVersion, allowed: set[str]) -> Iterator[Finding]:
    # nothing known at the start: the plan was drafted without that reading, so nothing can be foreign to it
    if allowed and str(seen) not in allowed:
        expected = " or ".join(sorted(allowed))
        yield _foreign(subject, f"{what} shows {seen} and should show {expected}: somebody else changed it.")


def _foreign(subject: str, sentence: str) -> Finding:
    remedy = "Find out who did it; undo it and resume, or cancel this run and plan again."
    return Finding("foreign-change", Severity.BLOCKER, subject, sentence, remedy)
