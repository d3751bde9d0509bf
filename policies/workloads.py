"""What a drain does to the pods of a cluster: whom it stops for, whom it interrupts, who cannot go anywhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from cluster.findings import Finding, Severity
from cluster.options import Options
from cluster.report import ClusterReport
from cluster.workloads import Workload, Workloads
from policies.databases import operator_of
from policies.places import Places
from policies.wording import count_of, some_of

_PASSING = frozenset({"", "Job"})  # nobody counts on these to be there all the time


def check_workloads(
    found: Workloads, options: Options, places: Places, cluster: str, left_out: frozenset[str]
) -> Iterator[Finding]:
    """Findings about the pods of all nodes but those left out: one for each matter, however many it concerns."""
    groups = tuple(leaving for g in found.groups if (leaving := _leaving(g, left_out)).nodes)
    yield from _emptydir([g for g in groups if g.emptydir], cluster, consent=options.delete_emptydir)
    yield from _unmanaged([g for g in groups if not g.kind], cluster, consent=options.delete_unmanaged)
    yield from _single(found.groups, cluster, options)
    yield from _pinned([g for g in groups if places.pins(g.placement)], cluster)
    yield from _bound([g for g in groups if places.binds(g.placement)], cluster)


def check_daemon_sets(found: Workloads, report: ClusterReport, options: Options) -> Iterator[Finding]:
    """Pods that would stay for a DaemonSet's sake, which is gone; nothing where nobody read which there are."""
    if any(u.what == "daemon sets" for u in report.unread):
        return
    known = {(d.namespace, d.name) for d in report.daemon_sets}
    if gone := [f"{namespace}/{name}" for namespace, name in found.daemon_sets if (namespace, name) not in known]:
        sentence = f"There are pods of DaemonSets that are gone, and nobody would bring them back: {some_of(gone)}."
        yield Finding(
            "daemonset-gone", Severity.WARNING, report.cluster, sentence, _way(consent=options.delete_unmanaged)
        )


def check_reading(found: Workloads, cluster: str) -> Iterator[Finding]:
    """What of it could not be read or understood, and so is judged by nobody."""
    for unread in found.unread:
        sentence = f"The {unread.what} could not be read, and what a drain would meet is not known: {unread.reason}"
        remedy = "Check the rights of lockkeeper's account there, and plan again."
        yield Finding("workloads-unread", Severity.WARNING, cluster, sentence, remedy)
    if found.malformed:
        sentence = f"{count_of(found.malformed, 'object')} could not be understood, and nothing is judged by them: "
        remedy = "Look at them with kubectl; if they are in order, it is lockkeeper that errs."
        told = sentence + some_of(found.examples)
        yield Finding("objects-malformed", Severity.WARNING, cluster, told, remedy)


def _leaving(group: Workload, left_out: frozenset[str]) -> Workload:
    """Those of its pods that are told: nobody drains the others away."""
    return replace(group, nodes=tuple((n, c) for n, c in group.nodes if n not in left_out)) if left_out else group


def _emptydir(groups: list[Workload], cluster: str, *, consent: bool) -> Iterator[Finding]:
    if not groups:
        return
    sentence = f"{_pods(groups)} with data in an emptyDir, which a drain deletes: {_told(groups)}."
    yield Finding(
        "emptydir-pods",
        Severity.WARNING,
        cluster,
        sentence,
        "Consented to with `delete-emptydir`: save before what is still needed."
        if consent
        else "The drain of their nodes stops there: move them, or ask for the plan with `accept delete-emptydir`.",
    )


def _unmanaged(groups: list[Workload], cluster: str, *, consent: bool) -> Iterator[Finding]:
    if not groups:
        return
    sentence = f"{_pods(groups)} that nobody would bring back after a drain, for want of a controller: {_told(groups)}."
    yield Finding(
        "unmanaged-pods",
        Severity.WARNING,
        cluster,
        sentence,
        _way(consent=consent),
    )


def _way(*, consent: bool) -> str:
    if consent:
        return "Consented to with `delete-unmanaged`: they are gone for good."
    return "The drain of their nodes stops there: move them, or ask for the plan with `accept delete-unmanaged`."


def _single(groups: Iterable[Workload], cluster: str, options: Options) -> Iterator[Finding]:
    counted: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], Workload] = {}
    for group in groups:
        owner = group.namespace, group.kind, group.name
        counted[owner] += group.count
        first.setdefault(owner, group)
    single = [
        g
        for owner, g in first.items()
        if counted[owner] == 1 and g.nodes and g.kind not in _PASSING and not operator_of(g, options.databases)
    ]
    if single:
        sentence = f"{count_of(len(single), 'workload')} with a single replica: {_told(single)}."
        remedy = (
            "They are away from the eviction of their pod until another one is ready; scale up before what must not be."
        )
        if options.surge:
            remedy = (
                "Deployments among them get a second replica first, unless their strategy, a volume or an autoscaler "
                "forbids that; the others are away until another pod is ready."
            )
        yield Finding("single-replica", Severity.NOTE, cluster, sentence, remedy)


def _pinned(groups: list[Workload], cluster: str) -> Iterator[Finding]:
    if groups:
        sentence = f"{_pods(groups)} that may run on one node alone, by node selector or affinity: {_told(groups)}."
        remedy = "They stay Pending while their node is upgraded, and come back with it."
        yield Finding("pinned-pods", Severity.NOTE, cluster, sentence, remedy)


def _bound(groups: list[Workload], cluster: str) -> Iterator[Finding]:
    if groups:
        sentence = f"{_pods(groups)} whose volumes can be reached from one node alone: {_told(groups)}."
        remedy = "They stay Pending while their node is upgraded, and come back with it and their data."
        yield Finding("volumes-on-one-node", Severity.NOTE, cluster, sentence, remedy)


def _pods(groups: list[Workload]) -> str:
    return count_of(sum(count for g in groups for _, count in g.nodes), "pod")


def _told(groups: list[Workload]) -> str:
    nodes = sorted({node for g in groups for node, _ in g.nodes})
    return f"{some_of(sorted({g.place for g in groups}))} (on {some_of(nodes)})"
