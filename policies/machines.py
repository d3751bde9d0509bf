"""What an upgrade would stumble over on one machine, by what its node script told."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.declarations import Declarations
from cluster.facts import EtcdTool, MachineFacts, Offer
from cluster.findings import Finding, Findings, Severity
from cluster.report import Node
from policies.certificates import check_certificates
from policies.etcd import ASKED_OF_ETCD
from policies.kubelets import check_kubelet
from policies.manifests import check_manifests
from policies.origins import check_origins
from policies.packages import check_packages
from policies.runtimes import check_runtime

KIB_PER_GIB = 1024 * 1024
LOW_KIB = KIB_PER_GIB  # images and packages of one hop need about this much
ETCD_COPIES = 1.5  # kubeadm copies the etcd data once, and it grows meanwhile


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
        *_room(node, facts),
        *check_kubelet(node, facts, last, declared),
        *(check_runtime(node, facts, last) if last is not None else ()),
        *_notes(node, facts),
    )


def _upgrade_tools(node: Node, facts: MachineFacts, *, snapshot: bool) -> Iterator[Finding]:
    if snapshot and facts.etcdctl is EtcdTool.NONE:
        sentence = (
            f"{node.name} has no etcdctl, neither in its etcd container nor on the host: no snapshot is possible."
        )
        remedy = "Install etcdctl there, or ask for the plan with `accept no-etcdctl` to go on without a snapshot."
        yield _stop("no-etcdctl", node, sentence, remedy)
    if facts.patches.startswith("missing"):
        sentence = f"{node.name} has no patches folder{facts.patches.removeprefix('missing')}, which is configured."
        yield _stop("patches-missing", node, sentence, "Put the folder there: without it the patches would be undone.")


def _room(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    tmp = facts.room_of("/etc/kubernetes")
    needed = int((facts.etcd_size_kib or 0) * ETCD_COPIES)
    if tmp is not None and node.control_plane and tmp.free_kib < needed:
        sentence = (
            f"{node.name} has {tmp.free_kib // 1024} MiB free for a copy of etcd that needs {needed // 1024} MiB."
        )
        yield _stop(
            "disk-space", node, sentence, "Free room at /etc/kubernetes/tmp: old kubeadm backups stay for ever."
        )
    for room in facts.room:
        if room.free_kib < LOW_KIB:
            sentence = f"{node.name} has only {room.free_kib // 1024} MiB free at {room.place}."
            remedy = "Free room there before images and packages of the next hop come."
            yield Finding("disk-low", Severity.WARNING, node.name, sentence, remedy)


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
