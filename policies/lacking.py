"""Workers whose package source lacks what a plan goes through, so that leaving them out lets the others go."""

from __future__ import annotations

from cluster.facts import OfferState
from cluster.survey import Survey
from cluster.versions import KubeVersion, Minor, Target
from policies.hops import line_of, offers_of, way_of


def workers_without(target: Target, current: KubeVersion, survey: Survey, workers: frozenset[str]) -> tuple[str, ...]:
    """Those of `workers` whose source answers, and has no release of some hop that the control planes have."""
    lacking: list[str] = []
    for minor in way_of(current.minor, line_of(target, current.minor)):
        wanted = _wanted(target, minor, survey, workers)
        for name, offer in offers_of(survey, minor):
            has = wanted.intersection(v.version for v in offer.versions)
            if name in workers and wanted and not has and offer.state is not OfferState.UNREACHABLE:
                lacking.append(name)
    return tuple(dict.fromkeys(lacking))


def _wanted(target: Target, minor: Minor, survey: Survey, workers: frozenset[str]) -> frozenset[KubeVersion]:
    """The releases of which one would do: the target itself, or whatever all control planes offer of the minor."""
    if isinstance(target, KubeVersion) and target.minor == minor:
        return frozenset({target})
    lists = [
        frozenset(v.version for v in offer.versions)
        for name, offer in offers_of(survey, minor)
        if name not in workers and offer.state is OfferState.OFFERED
    ]
    return lists[0].intersection(*lists[1:]) if lists else frozenset()
