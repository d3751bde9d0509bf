"""All that a report tells of one cluster without asking a machine anew: what runs, what it means, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cluster.findings import Finding, Findings, Severity, worst_first
from cluster.inventory import Cluster
from cluster.offers import SourcesTold
from cluster.operation import OperationState
from cluster.report import ClusterReport, Unread
from cluster.survey import ApiUse, Survey, SurveyedMachine
from cluster.versions import ReportedVersion
from policies.deprecations import check_deprecations
from policies.distributions import KUBEADM, check_distribution, maker_of, unread_of
from policies.drift import check_drift
from policies.etcd import check_etcd
from policies.halfway import check_halfway
from policies.inventory import check_inventory
from policies.machines import check_machine
from policies.skew import check_skew
from policies.support import Support, check_age, describe, judge_support
from policies.traces import check_traces

SURVEY_TELLS = timedelta(days=1)  # older facts of machines are shown, and no longer judged
_MOVING = frozenset({"run-in-hand", "cluster-locked-elsewhere"})


@dataclass(frozen=True, slots=True)
class Overview:
    """One cluster at one moment, judged; `survey` is the last one of its machines, if there is any."""

    report: ClusterReport
    survey: Survey | None
    maker: str  # "kubeadm", or what else made it
    meaning: str  # what "we run v1.34" means here, in one sentence
    support: Support
    findings: Findings

    @property
    def unread(self) -> tuple[Unread, ...]:
        return (*unread_of(self.report), *self.support.unasked)


def look_over(
    report: ClusterReport,
    survey: Survey | None,
    cluster: Cluster,
    *,
    installation: str,
    known: Mapping[str, OperationState] | None,
    now: datetime,
    told: SourcesTold | None = None,
) -> Overview:
    """
    `known` holds the state of each operation that the cluster names and that is on record; None: no record.

    `told` is what the package sources said when they alone were asked last; of the machines it says nothing else.
    """
    support = judge_support(report, survey, now, told, askable=bool(cluster.machines))
    traces = check_traces(report, installation, known) if known is not None else ()
    moves = any(f.code in _MOVING for f in traces) or (known is None and bool(report.lease_holder))
    found = (
        *_of_versions(report, _fresh(report, survey, now), cluster, moves=moves),
        *_unsurveyed(report, survey, cluster, now),
        *(_moving(f) if f.code == "run-in-hand" else f for f in traces),
        *_nodes(report),
        *check_age(report, support, now),
    )
    maker, meaning = maker_of(report), describe(report, support)
    return Overview(report, survey, maker, meaning, support, worst_first(found))


def _of_versions(report: ClusterReport, survey: Survey | None, cluster: Cluster, *, moves: bool) -> Iterator[Finding]:
    """`moves` says that a run is in hand, or may be: half way is where it is meant to be then."""
    if not report.nodes_read:
        yield tell_without_nodes(report.cluster, report.nodes_unread)
    if others := check_distribution(report):
        # nothing is wrong with such a cluster; only a plan is impossible there
        yield from (replace(f, severity=Severity.NOTE) for f in others)
        return
    if not report.nodes_read:
        return
    yield from check_skew(report, survey)
    yield from check_inventory(report, cluster) if cluster.machines else (_reported_only(report),)
    if not moves:
        yield from check_drift(report, None)
        yield from check_halfway(report, cluster)
    if survey is not None:
        yield from _machines(report, survey)
        yield from _apis(survey.apis)


def tell_without_nodes(cluster: str, reason: str) -> Finding:
    sentence = f"The nodes of {cluster} cannot be read, and nothing is judged without them: {reason}"
    remedy = "Mend that: without the nodes nothing can be planned, and a run waits."
    return Finding("nodes-unread", Severity.BLOCKER, cluster, sentence, remedy)


def _reported_only(report: ClusterReport) -> Finding:
    sentence = f"No machine of `{report.cluster}` is named in the inventory: it is reported, and could not be upgraded."
    remedy = f"To plan upgrades, add clusters.{report.cluster}.machines to lockkeeper.yaml."
    return Finding("machine-missing", Severity.NOTE, report.cluster, sentence, remedy)


def _moving(finding: Finding) -> Finding:
    sentence = f"{finding.sentence.partition(':')[0]}: versions move, and drift is judged after it."
    return replace(finding, severity=Severity.NOTE, sentence=sentence, remedy="Look with: status")


def _nodes(report: ClusterReport) -> Iterator[Finding]:
    for node in report.nodes:
        if not node.ready:
            sentence = f"{node.name} is not Ready."
            remedy = f"Look with: kubectl describe node {node.name}"
            yield Finding("node-not-ready", Severity.WARNING, node.name, sentence, remedy)
        if node.cordoned and not node.cordoned_by:
            sentence = f"{node.name} was cordoned by somebody else than lockkeeper: no new pod is put there."
            remedy = f"Ask who did it, or uncordon it with: kubectl uncordon {node.name}"
            yield Finding("foreign-cordon", Severity.WARNING, node.name, sentence, remedy)


def _fresh(report: ClusterReport, survey: Survey | None, now: datetime) -> Survey | None:
    """The survey without what has changed since: an upgraded machine has other packages than the survey saw."""
    if survey is None or survey.age(now) > SURVEY_TELLS:
        return None
    return replace(survey, machines=tuple(m for m in survey.machines if _is_current(report, m)))


def _is_current(report: ClusterReport, machine: SurveyedMachine) -> bool:
    node = report.node(machine.name)
    if isinstance(machine.facts, Unread):
        return True
    if node is None or not isinstance(node.kubelet, ReportedVersion):
        return False
    installed = machine.facts.kubelet
    return installed is not None and installed.version >= node.kubelet.version


def _machines(report: ClusterReport, survey: Survey) -> Iterator[Finding]:
    """What the machines said of themselves, with the moment: it may have been mended since."""
    for machine in survey.machines:
        node, facts = report.node(machine.name), survey.facts(machine.name)
        if node is not None and facts is not None:
            yield from _dated(check_machine(node, facts, (), snapshot=False), survey)
        elif node is not None and isinstance(machine.facts, Unread):
            yield from _dated((_silent(machine.name, machine.facts),), survey)
    yield from _dated(check_etcd(report, survey), survey)


def _silent(name: str, unread: Unread) -> Finding:
    sentence = f"The machine of {name} could not be read: {unread.reason}"
    return Finding("machine-unreadable", Severity.WARNING, name, sentence, "Mend that, and check with: doctor")


def _apis(seen: ApiUse | None) -> Iterator[Finding]:
    """Who asks for deprecated APIs: too much to read for each report, and told of the last time that it was read."""
    if seen is None:
        sentence = "Who asks for deprecated APIs was not looked at when the machines were surveyed last."
        remedy = "Something went wrong between the two: look at the worker's log, and ask for a survey again."
        yield Finding("not-examined", Severity.WARNING, "use of deprecated APIs", sentence, remedy)
        return
    moment = f"(Read {seen.read_at:%Y-%m-%d %H:%M} UTC.)"
    for finding in check_deprecations(seen.uses, ()):
        yield replace(finding, sentence=f"{finding.sentence} {moment}")
    for unread in seen.unread:
        sentence = f"Could not check {unread.what}: {unread.reason[:300]} {moment}"
        remedy = "Mend that, or the rights of the worker's account there; the next plan looks again."
        yield Finding("not-examined", Severity.WARNING, unread.what, sentence, remedy)


def _unsurveyed(report: ClusterReport, survey: Survey | None, cluster: Cluster, now: datetime) -> Iterator[Finding]:
    """What nobody looked at is not clean."""
    if maker_of(report) != KUBEADM or not cluster.machines or (survey is not None and survey.age(now) <= SURVEY_TELLS):
        return
    when = f"were last asked on {survey.read_at:%Y-%m-%d}" if survey else "were never asked"
    sentence = (
        f"The machines of {report.cluster} {when}: certificates, packages and their sources, etcd's health and the use "
        "of deprecated APIs are not judged here."
    )
    remedy = f"Ask them: survey {report.cluster}. Any plan asks them too."
    yield Finding("not-surveyed", Severity.NOTE, report.cluster, sentence, remedy)


def _dated(found: Findings, survey: Survey) -> Iterator[Finding]:
    moment = f"(Surveyed {survey.read_at:%Y-%m-%d %H:%M} UTC.)"
    return (replace(f, sentence=f"{f.sentence} {moment}") for f in found)
