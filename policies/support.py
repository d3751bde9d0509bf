"""How long what runs still gets fixes: ends of life, newest patches, and what "we run v1.34" means for this cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from cluster.facts import OfferState
from cluster.findings import Finding, Findings, Severity
from cluster.offers import SourcesTold
from cluster.report import ApiServer, ClusterReport, Unread
from cluster.survey import Survey
from cluster.versions import KubeVersion, Minor, ReportedVersion
from policies.distributions import KUBEADM, maker_of
from policies.hops import Offered, offered, offers_of
from policies.releases import Release, read_file, release_of
from policies.sources import KnownOffers, known_offers, lasting
from policies.wording import count_of, some_of

SOON = timedelta(days=60)  # a minor that ends earlier than this is said to end
_ELSEWHERE = "Whoever made this distribution may give fixes longer: look there."
_NAMED = 2  # nodes with a version of their own that the one sentence names


@dataclass(frozen=True, slots=True)
class MinorSupport:
    """One minor that runs: until when it gets fixes, and its newest patch. None: the release facts do not know it."""

    minor: Minor
    oldest: KubeVersion  # of what runs of it
    planned_end: date | None
    actual_end: date | None
    has_ended: bool
    offered: KubeVersion | None  # the newest that every machine's package source has, by what was told last
    known: KubeVersion | None  # the newest of the release facts
    offered_at: datetime | None = None  # when the oldest of the answers was given that `offered` is taken from
    lagging: tuple[str, ...] = ()  # machines whose package source does not have `known` yet

    @property
    def end(self) -> date | None:
        return self.actual_end or self.planned_end

    @property
    def newest(self) -> KubeVersion | None:
        """What can be installed counts; the release facts are only for where nothing is known of that."""
        return self.offered or self.known

    @property
    def patches_behind(self) -> int:
        return max(0, self.newest.patch - self.oldest.patch) if self.newest else 0


@dataclass(frozen=True, slots=True)
class Support:
    """The minors that run and those that get fixes, newest first, at one moment."""

    running: tuple[MinorSupport, ...]
    supported: tuple[Minor, ...]
    next_to_end: Minor | None
    next_end: date | None
    minors_behind: int  # from the newest API server up to the newest release
    facts_of: date  # when the release facts were verified
    surveyed_on: date | None
    asked_at: datetime | None = None  # when the package sources alone were asked, if that was after the survey
    unasked: tuple[Unread, ...] = ()  # those that did not tell what they offer then, with the reason
    askable: bool = True  # whether a machine is named that could be asked

    @property
    def is_out(self) -> bool:
        return any(m.has_ended for m in self.running)


def judge_support(
    report: ClusterReport,
    survey: Survey | None,
    now: datetime,
    told: SourcesTold | None = None,
    *,
    askable: bool = True,
) -> Support:
    """
    `survey` is the last one that was stored, and `told` what the package sources said since.

    What they offer outweighs the release facts, which only age.
    """
    known = known_offers(survey, lasting(told, now))
    today = now.date()
    released = [r for r in read_file().releases if r.ga <= today]
    alive = sorted((r for r in released if r.eol > today), key=lambda r: r.minor, reverse=True)
    following = min(alive, key=lambda r: r.eol, default=None)
    versions = {*report.api_versions, *report.kubelet_versions}
    running = sorted({v.minor for v in versions}, reverse=True)
    newest_api = max(report.api_versions, default=None)
    newest = max((r.minor for r in released), default=None)
    return Support(
        running=tuple(_of_minor(m, min(v for v in versions if v.minor == m), known, today) for m in running),
        supported=tuple(r.minor for r in alive),
        next_to_end=following.minor if following else None,
        next_end=following.eol if following else None,
        minors_behind=_behind(newest_api.minor, newest) if newest_api and newest else 0,
        facts_of=read_file().verified_on,
        surveyed_on=survey.read_at.date() if survey else None,
        asked_at=known.asked_at,
        unasked=known.unasked,
        askable=askable,
    )


def _of_minor(minor: Minor, oldest: KubeVersion, known: KnownOffers, today: date) -> MinorSupport:
    release = release_of(minor)
    choice = offered(known.survey, minor) if known.survey else Offered((), ())
    releases = {p.version for p in choice.versions} | set(choice.differing)
    return MinorSupport(
        minor=minor,
        oldest=oldest,
        planned_end=release.eol_planned if release else None,
        actual_end=release.eol_actual if release else None,
        has_ended=_has_ended(release, today),
        offered=max(releases, default=None),
        known=release.latest_patch_seen if release else None,
        offered_at=known.told_at(minor) if releases else None,
        lagging=tuple(_lagging(known, release)) if release else (),
    )


def _lagging(known: KnownOffers, release: Release) -> Iterator[str]:
    """One that tells of nothing is a finding elsewhere; one that told before that patch was known may have it now."""
    told_at = known.told_at(release.minor)
    if known.survey is None or told_at is None or told_at.date() < release.verified_on:
        return
    for name, offer in offers_of(known.survey, release.minor):
        newest = offer.newest
        if offer.state is OfferState.OFFERED and newest is not None and newest.version < release.latest_patch_seen:
            yield name


def _has_ended(release: Release | None, today: date) -> bool:
    return release is not None and release.eol <= today


def _behind(minor: Minor, newest: Minor) -> int:
    return max(0, (newest.major - minor.major) * 1000 + newest.minor - minor.minor)


def check_age(report: ClusterReport, support: Support, now: datetime) -> Findings:
    """What runs without fixes, or soon will, or is not the newest patch."""
    return tuple(f for minor in support.running for f in _aged(report, minor, support, now.date()))


def _aged(report: ClusterReport, minor: MinorSupport, support: Support, today: date) -> Iterator[Finding]:
    cluster, facts, ours = report.cluster, f"by the release facts of {support.facts_of}", maker_of(report) == KUBEADM
    if minor.end is None:
        sentence = f"{cluster} runs {minor.minor}, of which this lockkeeper knows no end, {facts}."
        yield Finding("release-unknown", Severity.NOTE, cluster, sentence, "Look at https://kubernetes.io/releases/")
    elif minor.has_ended:
        sentence = f"{cluster} runs {minor.minor}, which gets no more fixes since {_end(minor)}, {facts}."
        later = f"Plan to go on to {min(support.supported)} or later." if support.supported else "Plan to go on."
        yield Finding("release-ended", Severity.WARNING, cluster, sentence, later if ours else _ELSEWHERE)
    elif minor.end - today <= SOON:
        sentence = f"{cluster} runs {minor.minor}, which gets fixes until {_end(minor)}, {facts}."
        later = "Plan to go on to a later minor before that." if ours else _ELSEWHERE
        yield Finding("release-ending", Severity.NOTE, cluster, sentence, later)
    if minor.newest is not None and minor.patches_behind and ours:
        sentence = (
            f"{cluster} runs {minor.oldest}, {count_of(minor.patches_behind, 'patch', 'patches')} behind "
            f"{tell_newest(minor, support)}."
        )
        remedy = "Patches mend faults, security holes among them: plan latest-patch."
        yield Finding("patches-behind", Severity.NOTE, cluster, sentence, remedy)
    if minor.lagging and ours:
        yield _source_behind(minor, support)


def _source_behind(minor: MinorSupport, support: Support) -> Finding:
    sentence = (
        f"The package source of {some_of(minor.lagging)} does not offer {minor.known}, which was out on "
        f"{support.facts_of} (asked on {_moment(minor, support)})."
    )
    remedy = "If it is a mirror, bring it up to date: until then no plan goes to that patch."
    return Finding("source-behind", Severity.NOTE, str(minor.minor), sentence, remedy)


def describe(report: ClusterReport, support: Support) -> str:
    """What "we run v1.34" means for this cluster, in one sentence whose parts are set apart by semicolons."""
    parts = [_servers(report.api_servers), _kubelets(report)]
    parts += [_age(m, support) for m in support.running]
    if support.supported:
        listed = _joined([str(m) for m in support.supported])
        parts.append(f"supported are {listed}, of which {support.next_to_end} ends next, on {support.next_end}")
    if support.minors_behind:
        parts.append(f"the newest minor is {support.minors_behind} ahead")
    return f"{'; '.join(parts)}; release facts as of {support.facts_of}."


def _servers(servers: tuple[ApiServer, ...]) -> str:
    versions = {s.version.version for s in servers if isinstance(s.version, ReportedVersion)}
    silent = sum(isinstance(s.version, Unread) for s in servers)
    emulated = sorted({s.emulation for s in servers if s.emulation})
    said = "API server " if len(servers) == 1 else "API servers "
    said += _joined([str(v) for v in sorted(versions, reverse=True)]) or "not read"
    said += f" ({silent} not read)" if silent and versions else ""
    return f"{said}, behaving like {some_of(map(str, emulated))}" if emulated else said


def _kubelets(report: ClusterReport) -> str:
    """Grouped by version, the most common first; a few nodes that stand apart are named."""
    nodes: dict[KubeVersion, list[str]] = {}
    for node in report.nodes:
        if isinstance(node.kubelet, ReportedVersion):
            nodes.setdefault(node.kubelet.version, []).append(node.name)
    groups = sorted(sorted(nodes.items(), reverse=True), key=lambda group: -len(group[1]))
    if len(groups) == 1 and len(groups[0][1]) == len(report.nodes):
        return f"kubelets {groups[0][0]}"
    most = len(groups[0][1]) if groups else 0
    said = (some_of(n) if len(n) <= _NAMED and len(n) < most else count_of(len(n), "node") for _, n in groups)
    parts = [f"{version} ({where})" for (version, _), where in zip(groups, said, strict=True)]
    silent = len(report.nodes) - sum(len(names) for _, names in groups)
    return f"kubelets {_joined([*parts, *([f'{silent} not read'] if silent and groups else [])]) or 'not read'}"


def _joined(parts: list[str]) -> str:
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else "".join(parts)


def _age(minor: MinorSupport, support: Support) -> str:
    if minor.end is None:
        said = f"of {minor.minor} no end is known here"
    elif minor.has_ended:
        said = f"{minor.minor} gets no more fixes since {_end(minor)}"
    else:
        said = f"{minor.minor} gets fixes until {_end(minor)}"
    return f"{said}, its {call_newest(minor)} is {tell_newest(minor, support)}" if minor.newest else said


def _end(minor: MinorSupport) -> str:
    """The day, and what it is worth: planned ends slip by days or weeks."""
    if minor.actual_end is None:
        return f"{minor.planned_end} (planned)"
    if minor.actual_end == minor.planned_end:
        return str(minor.actual_end)
    return f"{minor.actual_end} (planned for {minor.planned_end})"


def call_newest(minor: MinorSupport) -> str:
    """There may be a newer one where a source lags behind."""
    return "newest patch on offer" if minor.lagging else "newest patch"


def tell_newest(minor: MinorSupport, support: Support) -> str:
    """With where it is known from; a newer one that the machines were not offered is said too."""
    if minor.offered is None:
        return f"{minor.known} (by the facts of {support.facts_of}, {_why_unknown(support)})"
    newer = minor.known is not None and minor.known > minor.offered
    also = f", while {minor.known} was out on {support.facts_of}" if newer else ""
    return f"{minor.offered} (offered on {_moment(minor, support)}{also})"


def _why_unknown(support: Support) -> str:
    if not support.askable:
        return "no machine is named that could be asked what is offered"
    if support.asked_at is None:
        return "what is offered was not surveyed"
    return "what is offered was asked in vain" if support.unasked else "no package source offers one"


def _moment(minor: MinorSupport, support: Support) -> str:
    """The day of a survey; to the minute where the package sources were asked for the report."""
    at = minor.offered_at or (None if support.surveyed_on else support.asked_at)
    if at is None:
        return str(support.surveyed_on)
    return f"{at:%Y-%m-%d at %H:%M} UTC" if at == support.asked_at else f"{at:%Y-%m-%d}"
