"""Nodes that left or joined while an operation runs, and the report at its end: old against new."""

from __future__ import annotations

from dataclasses import replace

from cluster.events import Happened
from cluster.operation import Operation, RowState
from cluster.plan import PlanKind, PlanRecord
from cluster.report import ClusterReport, Unread
from cluster.steering import OVER
from workers import progress
from workers.progress import Move, Teller
from workers.run import Run


def note_arrivals(run: Run, operation: Operation, report: ClusterReport, *, busy: frozenset[str]) -> Operation:
    """Skip whoever left, say who joined. A report lists every node or is none, so an absence is one."""
    known = {n.name for n in (*run.plan.nodes, *run.plan.left_out)}
    for node in report.nodes if run.plan.kind is PlanKind.UPGRADE else ():  # other plans are not of all nodes
        if node.name not in known:
            _say_joined(run, operation, node.name, node.uid)
    present = {n.name for n in report.nodes}
    for row in operation.rows:
        if row.node not in present and row.node not in busy and row.state not in OVER:
            operation = _skip(run, row.node)
    return operation


def old_to_new(record: PlanRecord, report: ClusterReport | None) -> dict[str, str]:
    """What the final event says: each node's kubelet before and after, and the declared version."""
    if report is None:
        return {}
    before = dict(record.basis.kubelets)
    facts = {"cluster": f"{record.basis.declared} -> {_said(report.declared)}"}
    facts |= {n.name: f"{before.get(n.name, 'not read')} -> {_said(n.kubelet)}" for n in report.nodes}
    return facts


def _said(version: object) -> str:
    return "not read" if isinstance(version, Unread) else str(version)


def _say_joined(run: Run, operation: Operation, name: str, uid: str) -> None:
    sentence = f"{name} joined the cluster after the plan was made; it is not touched."
    told = replace(Teller(operation, run.now()).event(Happened.NODE_JOINED, sentence), node=name)
    if (name, uid) not in run.joined:
        run.move(lambda o: Move(o, (told,)), f"{run.id}/joined/{name}/{uid}")
        run.joined.add((name, uid))


def _skip(run: Run, name: str) -> Operation:
    def change(operation: Operation) -> Move | None:
        row = operation.row(name)
        if row.state in OVER or row.state is RowState.STARTED:
            return None
        return progress.skip(operation, row, "it left the cluster", run.now())

    return run.move(change, f"{run.id}/left/{name}/{run.lease.fence}")
