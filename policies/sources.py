"""Which package sources the machines of a cluster have, whom to ask for each, and what all of them offer by now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cluster.facts import MachineFacts
from cluster.inventory import Cluster
from cluster.offers import MACHINES_EACH, MOST_SOURCES, Source, SourceAnswer, SourcesTold
from cluster.report import ClusterReport, Unread
from cluster.survey import Survey, SurveyedMachine
from cluster.versions import Minor
from policies.distributions import KUBEADM, maker_of
from policies.origins import origin_of

_IN_VAIN = timedelta(minutes=5)  # until sources that did not tell are asked again: each ask sends a worker to machines
_IN_VAIN_TELLS = timedelta(days=1)  # later nobody knows whether it would be so again
_ALONE = Unread("machine", "it was asked for its package source alone")


@dataclass(frozen=True)  # without slots: a survey in it is looked up by name
class KnownOffers:
    """What is on offer by the last survey and by what the sources told since; for the report alone, and never kept."""

    survey: Survey | None  # with what was told since in the place of what it was told
    asked_at: datetime | None = None  # when the sources alone were asked; None where the survey is newer
    anew: frozenset[Minor] = frozenset()  # of which each source told since
    unasked: tuple[Unread, ...] = ()  # the sources that did not

    def told_at(self, minor: Minor) -> datetime | None:
        """When the oldest answer of that minor was given."""
        if minor in self.anew:
            return self.asked_at
        return self.survey.read_at if self.survey else None


def lasting(told: SourcesTold | None, now: datetime) -> SourcesTold | None:
    """What was told, without what was asked in vain longer than a day ago: a short trouble would be told for ever."""
    if told is None or now - told.read_at <= _IN_VAIN_TELLS:
        return told
    answers = tuple(replace(answer, reason="") for answer in told.answers if answer.minors)
    return replace(told, answers=answers) if answers else None


def known_offers(survey: Survey | None, told: SourcesTold | None) -> KnownOffers:
    """Both together; a survey that is newer than what was told knows better."""
    if told is None or (survey is not None and told.read_at <= survey.read_at):
        return KnownOffers(survey)
    known = sources_of(survey) if survey else ()
    if survey is None or not known:
        machines = tuple(SurveyedMachine(a.machine, _ALONE, a.offers) for a in told.answers if a.minors)
        alone = Survey(told.cluster, told.read_at, machines) if machines else survey
        return KnownOffers(alone, told.read_at, _common(told.answers), tuple(_unasked(told, survey)))
    answered = [(source, _answer_of(source, told)) for source in known]
    by_name = {name: answer for source, answer in answered if answer for name in source.machines}
    merged = replace(survey, machines=tuple(_renewed(m, by_name.get(m.name)) for m in survey.machines))
    anew = _common(answer for _, answer in answered)
    return KnownOffers(merged, told.read_at, anew, tuple(_unasked(told, survey)))


def sources_of(survey: Survey) -> tuple[Source, ...]:
    """
    The most common first; two mirrors behind one address are two sources where they offered different releases.

    Of those machines that could be read: nobody knows what the others have.
    """
    groups: dict[tuple[object, ...], list[str]] = {}
    for machine in survey.machines:
        if isinstance(machine.facts, MachineFacts):
            offered = ((offer.minor, offer.newest) for offer in machine.offers)
            groups.setdefault((_place_of(machine.facts), *offered), []).append(machine.name)
    by_size = sorted(groups.items(), key=lambda group: -len(group[1]))
    return tuple(Source(str(place), tuple(names)) for (place, *_), names in by_size)


def whom_to_ask(report: ClusterReport, survey: Survey | None, cluster: Cluster) -> tuple[Source, ...]:
    """For each source few machines that have it, where nobody was ever surveyed of each role; never all of them."""
    found = sources_of(survey) if survey else ()
    here = [replace(s, machines=tuple(n for n in s.machines if n in cluster.machines)) for s in found]
    roles = {
        "the control planes": [n.name for n in report.control_plane if n.name in cluster.machines],
        "the workers": [n.name for n in report.worker_nodes if n.name in cluster.machines],
    }
    asked = [s for s in here if s.machines] or [Source(role, tuple(names)) for role, names in roles.items() if names]
    return tuple(replace(s, machines=s.machines[:MACHINES_EACH]) for s in asked[:MOST_SOURCES])


def why_not_asked(report: ClusterReport, cluster: Cluster) -> str:
    """Why the sources of this cluster cannot be asked for a report; "" where they can."""
    name = report.cluster
    if not cluster.machines:
        return f"no machine of `{name}` is named that could be asked: add clusters.{name}.machines to lockkeeper.yaml"
    if maker_of(report) != KUBEADM:
        return f"`{name}` was not made by kubeadm, and its packages come from elsewhere"
    return "" if minors_of(report) else "no version is known that could be asked for"


def minors_of(report: ClusterReport) -> tuple[Minor, ...]:
    """The minors that run."""
    return tuple(sorted({v.minor for v in (*report.api_versions, *report.kubelet_versions)}))


def are_old(survey: Survey | None, told: SourcesTold | None, now: datetime, fresh: timedelta) -> bool:
    """Whether the sources last told longer ago than that; an ask in vain tells nothing, and is not repeated at once."""
    asked = [(survey.read_at, fresh)] if survey else []
    asked += [(told.read_at, fresh if told.is_whole else min(fresh, _IN_VAIN))] if told else []
    return all(now - at > good_for for at, good_for in asked)


def _place_of(facts: MachineFacts) -> str:
    bases = dict.fromkeys(source.base for source in facts.sources)
    return " and ".join(bases) or origin_of(facts).place or "a place that is not known"


def _answer_of(source: Source, told: SourcesTold) -> SourceAnswer | None:
    return next((answer for answer in told.answers if answer.machine in source.machines), None)


def _renewed(machine: SurveyedMachine, answer: SourceAnswer | None) -> SurveyedMachine:
    if answer is None or not answer.minors:
        return machine
    kept = tuple(offer for offer in machine.offers if offer.minor not in answer.minors)
    told = tuple(offer for offer in answer.offers if offer.minor in answer.minors)
    return replace(machine, offers=(*kept, *told))


def _common(answers: Iterable[SourceAnswer | None]) -> frozenset[Minor]:
    """What each of them told of."""
    told = [answer.minors if answer else frozenset[Minor]() for answer in answers]
    return frozenset.intersection(*told) if told else frozenset()


def _unasked(told: SourcesTold, survey: Survey | None) -> Iterator[Unread]:
    """With the reason, and the day from which on the sources are known."""
    last = f"what it offers is of {survey.read_at:%Y-%m-%d}" if survey else "it has never told"
    for answer in told.answers:
        if answer.reason:
            when = f"{told.read_at:%Y-%m-%d %H:%M} UTC"
            yield Unread(f"the package source of {answer.place}", f"asked in vain at {when}, {last}: {answer.reason}")
