"""An etcd that is not kubeadm's own, by what the control planes' machines were told by each of its endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.etcd import ALARM, EtcdFacts
from cluster.findings import Finding, Findings, Severity
from cluster.report import ClusterReport, Unread
from cluster.survey import Survey
from policies.etcd_members import Told, check_alarms, check_sizes, check_versions
from policies.wording import count_of, some_of

_MIB = 1024 * 1024
_APART = "Bring them to one version, as its own guide says, before the upgrade."


@dataclass(frozen=True, slots=True)
class Outside:
    """Each endpoint by its address, as the first machine that was answered has it; `silent` ones by who was not."""

    told: Told
    silent: dict[str, dict[str, Unread]]


def look_outside(report: ClusterReport, survey: Survey) -> Outside:
    told: dict[str, EtcdFacts] = {}
    silent: dict[str, dict[str, Unread]] = {}
    for node in report.control_plane:
        facts = survey.facts(node.name)
        for endpoint in facts.outside_etcd if facts is not None else ():
            if isinstance(endpoint.told, Unread):
                silent.setdefault(endpoint.place, {})[node.name] = endpoint.told
            else:
                told.setdefault(endpoint.place, endpoint.told)
    return Outside(Told(told), silent)


def check_outside_etcd(report: ClusterReport, survey: Survey) -> Findings:
    """The plan takes none of its members away: what is not well there is a warning, unless it takes no writes."""
    seen = look_outside(report, survey)
    return (
        *check_alarms(report.cluster, seen.told),
        *_learners(report, seen.told),
        *_ill(seen.told),
        *_silent(seen),
        *check_versions(report.cluster, seen.told, _APART),
        *check_sizes(seen.told),
    )


def _learners(report: ClusterReport, told: Told) -> Iterator[Finding]:
    if learners := [m.name or "one that never started" for m in told.members if m.learner]:
        sentence = f"etcd of {report.cluster} has a learner ({some_of(learners)}), which has no vote."
        remedy = "Promote it with etcdctl member promote, or take it out with etcdctl member remove."
        yield Finding("etcd-learner", Severity.WARNING, report.cluster, sentence, remedy)


def _ill(told: Told) -> Iterator[Finding]:
    for place, facts in told.by.items():
        if not facts.healthy:
            why = some_of(e for e in facts.errors if ALARM not in e)[:200] or "it has no leader"
            sentence = f"etcd's member at {place} is not well: {why}."
            yield Finding(
                "etcd-member-unhealthy", Severity.WARNING, place, sentence, "Look at its log on its own machine."
            )


def _silent(seen: Outside) -> Iterator[Finding]:
    for place, asked in seen.silent.items():
        reason = next(iter(asked.values())).reason
        others = ", and others are answered" if place in seen.told.by else ""
        sentence = f"etcd at {place} could not be asked how it is by {some_of(asked)}{others}: {reason[:200]}."
        remedy = f"Look at it, and at the way to it, from there: the API server asks it by the same address ({place})."
        yield Finding("etcd-unread", Severity.WARNING, place, sentence, remedy)


def describe_outside(report: ClusterReport, survey: Survey) -> str:
    """`3.5.24, 3 members, leader 10.0.0.5:2379, at most 20 MiB, no alarm`; "" where nobody was told anything."""
    told = look_outside(report, survey).told
    if not told.by:
        return ""
    facts = told.by.values()
    leader = next((told.name_of(f.leader) for f in facts if f.leader), "")
    alarms = sorted({a.kind for f in facts for a in f.alarms or ()})
    unknown = all(f.alarms is None for f in facts)
    parts = (
        " and ".join(sorted({f.version for f in facts})),
        count_of(len(told.members), "member") if told.members else "members unknown",
        f"leader {leader}" if leader else "no leader",
        f"at most {max(f.size_bytes for f in facts) // _MIB} MiB",
        f"alarm {', '.join(alarms)}" if alarms else "alarms unknown" if unknown else "no alarm",
    )
    return ", ".join(parts)


def oldest_outside(report: ClusterReport, survey: Survey) -> str:
    """The lowest version that a member told, "" for none."""
    versions = {f.version for f in look_outside(report, survey).told.by.values() if f.version}
    return min(versions, key=lambda text: tuple(int(p) if p.isdecimal() else 0 for p in text.split(".")), default="")
