"""
Whether a plan that waits for its approval can still be carried out as it was made.

It is void once its cluster is another one, its control plane has other members, a machine of it is another one or has
another part, a version moved that it starts from, a package of it is no longer offered, or something new blocks it that
does not pass by itself. A worker that left is skipped by the run, and one that joined is left alone: neither voids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from cluster.events import Event, Happened
from cluster.facts import Offer, OfferState
from cluster.findings import Findings, blockers
from cluster.plan import Hop, PlanKind, PlanNode, PlanRecord, Role, UpgradePlan
from cluster.procedure import kubelet_moves
from cluster.report import ClusterIdentity, ClusterReport
from cluster.sighting import SeenNode, Sighting
from cluster.survey import Survey
from policies.basis import basis_of

MOST_TOLD = 5  # reasons that are told in words; of a large cluster's thousands nobody reads more
# What comes and goes while machines restart and links break: the worker looks again before the first step.
_PASSING = frozenset(
    {
        "api-server-not-ready",
        "api-server-unread",
        "api-version-unread",
        "dpkg-interrupted",
        "etcd-quorum-at-risk",
        "kubeadm-config-unread",
        "kubelet-not-running",
        "kubelet-unread",
        "machine-unreadable",
        "node-not-ready",
        "partly-unread",
        "source-unreachable",
        "static-pod-missing",
        "webhook-unanswered",
    }
)
_OF_THE_SKEW = frozenset({"kubelet-newer", "kubelet-too-old", "kubelet-too-old-for-hop", "plan-breaks-skew"})
_ANSWERED = frozenset({OfferState.OFFERED, OfferState.ABSENT})


def sight(report: ClusterReport) -> Sighting:
    nodes = tuple(SeenNode(n.name, n.uid, n.control_plane) for n in report.nodes)
    return Sighting(report.cluster, report.identity, nodes, basis_of(report))


def void_reasons(record: PlanRecord, seen: Sighting | None, survey: Survey | None) -> tuple[str, ...]:
    """Why it cannot be carried out any more, one sentence each; what is older than the plan says nothing of it."""
    made = record.basis.seen_at
    found: list[str] = []
    if seen is not None and seen.basis.seen_at > made:
        if other := _other_cluster(record.plan.identity, seen):
            return (other,)
        found += [*_members(record.plan, seen), *_versions(record, seen)]
    if survey is not None and survey.read_at > made and record.plan.kind is not PlanKind.REVERT:
        found += _packages(record.plan, survey)
    return tuple(found)


def blocked_since(record: PlanRecord, found: Findings, joined: frozenset[str]) -> tuple[str, ...]:
    """New blockers of a fresh preflight, but what passes by itself; of nodes that joined only what breaks the skew."""
    known = {(f.code, f.subject) for f in blockers(record.findings)}
    return tuple(
        f.sentence
        for f in blockers(found)
        if f.code not in _PASSING
        and (f.subject not in joined or f.code in _OF_THE_SKEW)
        and (f.code, f.subject) not in known
    )


def tell_void(record: PlanRecord, reasons: tuple[str, ...], now: datetime) -> Event:
    """The fact that goes with the move, for the thread."""
    sentence = f"The plan {record.id} is void: {in_words(reasons)} Plan again."
    return Event(Happened.PLAN_VOIDED, now, record.plan.cluster, sentence, plan_id=record.id)


def in_words(reasons: tuple[str, ...]) -> str:
    """All of them, or the first and how many more there are."""
    if (more := len(reasons) - MOST_TOLD) > 0:
        return f"{' '.join(reasons[:MOST_TOLD])} And {more} more like these."
    return " ".join(reasons)


def _other_cluster(planned: ClusterIdentity, seen: Sighting) -> str:
    now = seen.identity
    if now is None:
        return ""
    if now.kube_system_uid != planned.kube_system_uid:
        return f"`{seen.cluster}` is another cluster than the one that was planned for."
    if now.ca_hash and planned.ca_hash and now.ca_hash != planned.ca_hash:
        return f"`{seen.cluster}` has another CA than when the plan was made."
    return ""


def _members(plan: UpgradePlan, seen: Sighting) -> Iterator[str]:
    for node in plan.nodes:
        yield from _member(node, seen.node(node.name))
    if plan.kind is PlanKind.UPGRADE:
        for other in seen.nodes:
            if other.control_plane and plan.node(other.name) is None:
                yield f"The control plane {other.name} joined; the plan does not move it."


def _member(node: PlanNode, seen: SeenNode | None) -> Iterator[str]:
    is_worker = node.role is Role.WORKER
    if seen is None:
        if not is_worker:
            yield f"The control plane {node.name} left the cluster."
    elif seen.uid != node.uid:
        yield f"{node.name} is another node than the one of the plan: it was removed and joined again."
    elif seen.control_plane is is_worker:
        yield f"{node.name} is {'a control plane' if is_worker else 'no control plane'} now."


def _versions(record: PlanRecord, seen: Sighting) -> Iterator[str]:
    before, now = record.basis, seen.basis
    names = [n.name for n in record.plan.nodes]
    yield from _moved("API server on", names, before.api_server_of, now.api_server_of)
    if before.declared and now.declared and before.declared != now.declared:
        yield f"kubeadm-config declares {now.declared}, and declared {before.declared} when the plan was made."
    yield from _moved("kubelet of", names, before.kubelet_of, now.kubelet_of)


def _moved(what: str, names: list[str], before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in names:
        was, runs = before.get(name), now.get(name)
        if was and runs and was != runs:
            yield f"The {what} {name} is {runs}, and was {was} when the plan was made."


def _packages(plan: UpgradePlan, survey: Survey) -> Iterator[str]:
    for index, hop in enumerate(plan.hops):
        nodes = plan.nodes if hop.whole else [n for n in plan.nodes if kubelet_moves(plan, n, index)]
        lost = [n.name for n in nodes if (o := _offer(survey, n, hop)) and not _is_offered(hop, o)]
        if lost:
            others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            yield f"{hop.kubeadm} is no longer offered to {lost[0]}{others}."


def _offer(survey: Survey, node: PlanNode, hop: Hop) -> Offer | None:
    """What the machine's source said of the hop's minor; None where it was not asked or did not answer."""
    machine = survey.machine(node.name)
    offer = machine.offer(hop.target.minor) if machine else None
    return offer if offer is not None and offer.state in _ANSWERED else None


def _is_offered(hop: Hop, offer: Offer) -> bool:
    return {hop.kubeadm, hop.kubelet, hop.kubectl} <= set(offer.versions)
