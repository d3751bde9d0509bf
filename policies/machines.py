"""What an upgrade would stumble over on one machine, by what its node script told."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.declarations import Declarations
from cluster.facts import EtcdTool, MachineFacts, Offer
from cluster.findings import Finding, Findings, Severity, blockers
from cluster.plan import Role, UpgradePlan
from cluster.report import ClusterReport, Node, Unread
from cluster.survey import Survey
from policies.certificates import check_certificates
from policies.disks import check_disks
from policies.etcd import ASKED_OF_ETCD, check_etcd
from policies.kubelets import check_kubelet
from policies.manifests import check_manifests
from policies.origins import check_origins
from policies.packages import check_packages
from policies.patches import check_patches
from policies.runtimes import check_runtime


def check_machine(
    node: Node,
    facts: MachineFacts,
    offers: tuple[Offer, ...],
    *,
    snapshot: bool,
    declared: Declarations | None = None,
) -> Findings:
    """`offers` are those of the plan's minors; `snapshot` marks the machine where etcd's snapshot is to be taken."""
    last = max((o.minor for o in offers), default=None)
    return (
        *check_packages(node, facts, offers),
        *check_origins(node, facts),
        *check_manifests(node, facts),
        *check_certificates(node, facts),
        *_upgrade_tools(node, facts, snapshot=snapshot),
        *check_disks(node, facts, snapshot=snapshot),
        *check_kubelet(node, facts, last, declared),
        *(check_runtime(node, facts, last) if last is not None else ()),
        *_notes(node, facts),
    )


def check_control_planes(plan: UpgradePlan, report: ClusterReport, survey: Survey) -> Findings:
    """
    The blockers before a hop's first change of the control plane: its machines, and their etcd, as they are now.

    Packages, their sources and the kubelet are left out: by then they are on their way by our own doing.
    """
    found: list[Finding] = list(check_etcd(report, survey))
    members = {p.node for p in report.static_pods if p.component == "etcd"}
    for node in (n for n in report.nodes if n.control_plane):
        planned, machine, facts = plan.node(node.name), survey.machine(node.name), survey.facts(node.name)
        if planned is None:
            continue
        if facts is None:
            reason = machine.facts.reason if machine and isinstance(machine.facts, Unread) else "it was not asked"
            sentence = f"The machine of {node.name} cannot be read: {reason}"
            found.append(_stop("machine-unreadable", node, sentence, "Mend that: its etcd could not be judged."))
            continue
        snapshot = planned.role is Role.FIRST_CONTROL_PLANE and node.name in members
        found += check_manifests(node, facts)
        found += check_certificates(node, facts)
        found += _upgrade_tools(node, facts, snapshot=snapshot)
        found += check_disks(node, facts, snapshot=snapshot)
    return blockers(f for f in found if f.code not in plan.accepted)


def _upgrade_tools(node: Node, facts: MachineFacts, *, snapshot: bool) -> Iterator[Finding]:
    if snapshot and facts.etcdctl is EtcdTool.NONE:
        sentence = (
            f"{node.name} has no etcdctl, neither in its etcd container nor on the host: no snapshot is possible."
        )
        # the image of etcd has one since long, but only these get at it
        what = "etcdctl" if {"crictl", "ctr"} & set(facts.tools) else "crictl (the package cri-tools) or etcdctl"
        remedy = f"Install {what} there, or ask for the plan with `accept no-etcdctl` to go on without a snapshot."
        yield _stop("no-etcdctl", node, sentence, remedy)
    yield from check_patches(node, facts)


def check_export(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    """Of the machine where etcd's snapshot is to be taken, in a cluster that has a store for it."""
    if facts.snapshot_export or facts.etcdctl is EtcdTool.NONE:  # without etcdctl there is no snapshot at all
        return
    if facts.snapshot_export is None:
        sentence = f"The node script of {node.name} is of an earlier release: it gives no snapshot out for the store."
        remedy = "Install the output of `lockkeeper node-script` there, and plan again."
    else:
        sentence = f"{node.name} keeps its snapshots to itself (SNAPSHOT_EXPORT=no), and there is a store for them."
        remedy = "Set it to yes in /etc/lockkeeper-node.conf there, or take `snapshots` out of lockkeeper.yaml."
    yield _stop("snapshot-kept-back", node, sentence, remedy)


def _notes(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    for unread in (u for u in facts.unread if u.what not in ASKED_OF_ETCD):
        sentence = f"{node.name} could not tell {unread.what} ({unread.reason[:200]})."
        remedy = "Look there whether that matters."
        yield Finding("machine-partly-unread", Severity.WARNING, node.name, sentence, remedy)
    if facts.swap:
        sentence = f"{node.name} has swap on; kubeadm warns about it."
        remedy = "Turn it off, unless the kubelet is set up for it."
        yield Finding("swap-on", Severity.NOTE, node.name, sentence, remedy)


def _stop(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, node.name, sentence, remedy)
