"""What an upgrade would stumble over on one machine, by what its node script told."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.facts import UPGRADED_PACKAGES, EtcdTool, MachineFacts, Offer, OfferState
from cluster.findings import Finding, Findings, Severity
from cluster.report import Node
from cluster.versions import Minor, ReportedVersion
from policies.certificates import check_certificates
from policies.etcd import ASKED_OF_ETCD
from policies.manifests import check_manifests
from policies.releases import read_releases

KIB_PER_GIB = 1024 * 1024
LOW_KIB = KIB_PER_GIB  # images and packages of one hop need about this much
ETCD_COPIES = 1.5  # kubeadm copies the etcd data once, and it grows meanwhile
CGROUP_V2_ONLY = Minor(1, 35)  # from here on the kubelet refuses cgroup v1 by default


def check_machine(node: Node, facts: MachineFacts, offers: tuple[Offer, ...], *, snapshot: bool) -> Findings:
    """`offers` are those of the plan's minors; `snapshot` marks the machine where etcd's snapshot is to be taken."""
    last = max((o.minor for o in offers), default=None)
    return (
        *_packages(node, facts),
        *_sources(node, offers),
        *check_manifests(node, facts),
        *check_certificates(node, facts),
        *_upgrade_tools(node, facts, snapshot=snapshot),
        *_room(node, facts),
        *_kubelet(node, facts, last),
        *_notes(node, facts),
    )


def _packages(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    broken = [p.name for p in facts.packages if p.name in UPGRADED_PACKAGES and not p.whole]
    if facts.dpkg_problem or broken:
        what = facts.dpkg_problem or f"{', '.join(broken)} is not installed whole"
        sentence = f"dpkg on {node.name} was interrupted ({what[:200]})."
        yield _stop("dpkg-interrupted", node, sentence, "Run there: sudo dpkg --configure -a")
    if not facts.sources:
        sentence = f"{node.name} has no enabled package source of Kubernetes."
        yield _stop("source-missing", node, sentence, "Enable it in /etc/apt/sources.list.d.")
    elif len({s.minor for s in facts.sources}) > 1:
        files = ", ".join(sorted({s.file for s in facts.sources}))
        sentence = f"{node.name} has package sources of several minors ({files})."
        yield _stop("sources-differ", node, sentence, "Leave one of them enabled.")


def _sources(node: Node, offers: tuple[Offer, ...]) -> Iterator[Finding]:
    for offer in offers:
        if offer.state is OfferState.UNREACHABLE:
            sentence = f"{node.name} cannot reach its package source for {offer.minor} ({offer.reason[:200]})."
            yield _stop("source-unreachable", node, sentence, "Mend its network, proxy or mirror, and plan again.")


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
            yield _warn("disk-low", node, sentence, "Free room there before images and packages of the next hop come.")


def _kubelet(node: Node, facts: MachineFacts, last: Minor | None) -> Iterator[Finding]:
    unit = facts.kubelet_unit
    if unit is not None and not (unit.loaded and unit.active):
        sentence = f"The kubelet's service on {node.name} is {unit.state or 'not loaded'}."
        yield _stop("kubelet-not-running", node, sentence, "Look there with: journalctl -u kubelet")
    if facts.kubelet and isinstance(node.kubelet, ReportedVersion) and facts.kubelet.version != node.kubelet.version:
        sentence = f"{node.name} runs the kubelet {node.kubelet} while {facts.kubelet} is installed."
        yield _warn("installed-not-running", node, sentence, "The next restart of the kubelet changes its version.")
    if last is None:
        return
    if facts.cgroup == "v1" and last >= CGROUP_V2_ONLY:
        sentence = f"{node.name} uses cgroup v1, which the kubelet of {CGROUP_V2_ONLY} and later refuses by default."
        remedy = "Set failCgroupV1: false in the kubelet-config ConfigMap first, or move the host to cgroup v2."
        yield _warn("cgroup-v1", node, sentence, remedy)
    for flag in _removed_flags(facts.kubelet_extra_args, last):
        sentence = f"KUBELET_EXTRA_ARGS on {node.name} sets {flag}, which the kubelet of {last} does not know."
        yield _stop(
            "removed-flag", node, sentence, "Take it out of /etc/default/kubelet: the new kubelet would not start."
        )


def _removed_flags(arguments: str, last: Minor) -> tuple[str, ...]:
    words = {word.partition("=")[0] for word in arguments.split()}
    gone = {flag for r in read_releases() if r.minor <= last for flag in r.removed_kubelet_flags}
    return tuple(sorted(words & gone))


def _notes(node: Node, facts: MachineFacts) -> Iterator[Finding]:
    for unread in (u for u in facts.unread if u.what not in ASKED_OF_ETCD):
        sentence = f"{node.name} could not tell {unread.what} ({unread.reason[:200]})."
        yield _warn("machine-partly-unread", node, sentence, "Look there whether that matters.")
    if facts.pins:
        sentence = f"{node.name} pins Kubernetes packages ({', '.join(facts.pins)[:200]}); exact versions override it."
        yield _note("version-pinned", node, sentence, "Move the pin to the new version afterwards.")
    if facts.unattended_upgrades:
        sentence = f"{node.name} has unattended upgrades; Kubernetes packages are on hold during the run."
        yield _note("unattended-upgrades", node, sentence, "Keep Kubernetes out of them.")
    if facts.swap:
        sentence = f"{node.name} has swap on; kubeadm warns about it."
        yield _note("swap-on", node, sentence, "Turn it off, unless the kubelet is set up for it.")


def _stop(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, node.name, sentence, remedy)


def _warn(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, node.name, sentence, remedy)


def _note(code: str, node: Node, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.NOTE, node.name, sentence, remedy)
