"""Workers that a plan leaves out on purpose: who may be, who should be for the rest to go on, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from cluster.findings import Finding, Findings, Severity, blockers
from cluster.plan import PlanPool, UpgradePlan
from cluster.report import ClusterReport, Unread
from cluster.survey import Survey
from cluster.versions import KubeVersion, ReportedVersion
from policies.drift import settled_version
from policies.named import check_workers
from policies.skew import check_skew
from policies.wording import some_of

BLOCKED = "blocked"  # in place of names: exactly the workers that block the plan when it is made
THERE = "there already"  # why a worker is left out that nobody named: it is at the target
_UNKNOWN = "kubelet-unread"  # whether it stays within the skew cannot be told then


def named_workers(report: ClusterReport, names: Iterable[str]) -> frozenset[str]:
    """The workers of these names, `blocked` aside; raises Refused for a control plane and for a name there is not."""
    chosen = frozenset(names) - {BLOCKED}
    check_workers(
        report,
        sorted(chosen),
        "leave out",
        lambda name: f"a control plane is upgraded as a whole: leave out workers only, and mend {name} first.",
    )
    return chosen


def done_workers(report: ClusterReport, survey: Survey, release: KubeVersion) -> frozenset[str]:
    """
    Workers that an earlier run has brought to this release whole, beside a control plane that is there.

    Draining them again would disturb people for nothing. One that is away, or has other packages than it runs, is none.
    """
    if settled_version(report) != release:
        return frozenset()
    here = (n for n in report.worker_nodes if n.ready and not n.cordoned and _runs(n.kubelet, release))
    told = ((n.name, survey.facts(n.name)) for n in here)
    return frozenset(name for name, f in told if f and _runs(f.kubeadm, release) and _runs(f.kubelet, release))


def _runs(seen: ReportedVersion | Unread | None, release: KubeVersion) -> bool:
    return isinstance(seen, ReportedVersion) and seen.version == release


def blocking_workers(plan: UpgradePlan, report: ClusterReport, survey: Survey, findings: Findings) -> tuple[str, ...]:
    """The workers of the plan whose own blockers go away when they are left out; those of the skew do not."""
    counts = frozenset(check_skew(report, survey))
    subjects = {f.subject for f in blockers(findings) if f not in counts and f.code != _UNKNOWN}
    masters = {n.name for n in report.control_plane}
    return tuple(n.name for n in plan.nodes if n.name in subjects and n.name not in masters)


def spare(found: Findings, left_out: frozenset[str], report: ClusterReport, survey: Survey) -> Findings:
    """The findings without those of workers that nobody touches; what they run beside the others still counts."""
    if not left_out:
        return found
    counts = frozenset(check_skew(report, survey))
    return tuple(f for f in found if f.subject not in left_out or f in counts or f.code == _UNKNOWN)


def reasons(
    found: Findings,
    left_out: frozenset[str],
    lacking: frozenset[str] = frozenset(),
    done: frozenset[str] = frozenset(),
) -> tuple[tuple[str, str], ...]:
    """Each worker left out, in words what would block the plan with it; "" where nothing would."""
    told = {name: ["target not offered"] if name in lacking else [] for name in sorted(left_out)}
    told |= {name: [THERE] for name in sorted(left_out & done)}
    for finding in blockers(found):
        if finding.subject in told and finding.subject not in done:
            told[finding.subject].append(finding.code.replace("-", " "))
    return tuple((name, ", ".join(dict.fromkeys(words))) for name, words in told.items())


def check_left_out(pools: Iterable[PlanPool], report: ClusterReport) -> Iterator[Finding]:
    """Pools that could not move at all, since those left out of them are away already."""
    nodes = {n.name: n for n in report.nodes}
    for pool in pools:
        seen = (nodes[n.name] for n in pool.left_out if n.name in nodes)
        away = [n.name for n in seen if not n.ready or n.cordoned]
        if pool.nodes and len(away) >= pool.max_unavailable:
            sentence = (
                f"{some_of(away)} of the pool {pool.name} would be left out and away, and {pool.max_unavailable} may "
                "be away at most: no other node of it could ever start."
            )
            remedy = f"Raise `max_unavailable` of the pool above {len(away)}, or bring them back or out of the cluster."
            yield Finding("left-out-fill-pool", Severity.BLOCKER, pool.name, sentence, remedy)


def tell_left_behind(found: Iterable[Finding], left_out: frozenset[str]) -> Iterator[Finding]:
    """What the simulated plan breaks, saying so where it is for want of a worker that was left out."""
    for finding in found:
        if finding.subject in left_out and finding.severity is Severity.BLOCKER:
            sentence = f"{finding.sentence} {finding.subject} is left out of this plan, so nothing brings it forward."
            remedy = (
                f"Take {finding.subject} into the plan, end at an earlier hop, or take the node out of the cluster."
            )
            yield replace(finding, sentence=sentence, remedy=remedy)
        else:
            yield finding
