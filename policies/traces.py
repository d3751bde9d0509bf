"""What runs left in the cluster itself: our Lease and our cordons, held against the operations that are on record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cluster.findings import Finding, Findings, Severity
from cluster.operation import ENDED, OperationState
from cluster.report import ClusterReport


def operations_named(report: ClusterReport) -> tuple[str, ...]:
    """The operation ids that the cluster names, whether or not they are on record."""
    leased = report.lease_holder.partition("/")[2]
    cordons = {_operation(n.cordoned_by) for n in report.nodes if n.cordoned_by}
    return tuple(sorted(cordons | ({leased} if leased else set())))


def check_traces(report: ClusterReport, installation: str, known: Mapping[str, OperationState]) -> Findings:
    """`known` holds the state of each named operation that is on record; the others are traces without one."""
    return (*_lease(report, installation, known), *_cordons(report, known))


def held_elsewhere(cluster: str, holder: str, installation: str) -> Findings:
    """Whether the Lease of the cluster, held by `holder` ("installation/operation" or ""), is another one's."""
    if not holder or holder.partition("/")[0] == installation:
        return ()
    sentence = f"`{cluster}` is locked by another installation, `{holder[:80]}`."
    remedy = "Wait until its run has ended, or release it there."
    return (_stop("cluster-locked-elsewhere", cluster, sentence, remedy),)


def _lease(report: ClusterReport, installation: str, known: Mapping[str, OperationState]) -> Iterator[Finding]:
    if not report.lease_holder:
        return
    operation = report.lease_holder.partition("/")[2]
    name = report.cluster
    if elsewhere := held_elsewhere(name, report.lease_holder, installation):
        yield from elsewhere
    elif operation not in known:
        yield _without_record(name, f"`{name}` is locked by our run {operation}")
    elif known[operation] in ENDED:
        sentence = f"The Lease of `{name}` still names the run {operation}, which has ended."
        remedy = "Delete it with: kubectl -n kube-system delete lease lockkeeper"
        yield Finding("lease-left", Severity.WARNING, name, sentence, remedy)
    else:
        sentence = f"The run {operation} is in hand on `{name}`: this plan sees a cluster that moves."
        yield Finding("run-in-hand", Severity.WARNING, name, sentence, "Wait for its end, and plan again.")


def _cordons(report: ClusterReport, known: Mapping[str, OperationState]) -> Iterator[Finding]:
    for node in report.nodes:
        if not node.cordoned_by:
            continue
        operation = _operation(node.cordoned_by)
        if operation not in known:
            yield _without_record(node.name, f"{node.name} was cordoned by our run {operation}")
        elif known[operation] in ENDED and node.cordoned:
            sentence = f"{node.name} is still cordoned by the run {operation}, which has ended."
            remedy = f"Uncordon it with: kubectl uncordon {node.name}"
            yield Finding("cordon-left", Severity.WARNING, node.name, sentence, remedy)


def _operation(owner: str) -> str:
    return owner.rpartition("/")[2]


def _without_record(subject: str, what: str) -> Finding:
    sentence = f"{what}, of which there is no record: the Redis that knew it was lost or is another one."
    remedy = "Find out how far that run came, clean up after it (Lease, cordons, holds), and plan again."
    return _stop("traces-without-record", subject, sentence, remedy)


def _stop(code: str, subject: str, sentence: str, remedy: str) -> Finding:
    return Finding(code, Severity.BLOCKER, subject, sentence, remedy)
