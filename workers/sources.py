"""Ask the package sources of a cluster what they offer, each at one machine: for a report that somebody looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from cluster.errors import LockkeeperError
from cluster.facts import Offer
from cluster.inventory import Machine
from cluster.offers import MACHINES_EACH, MOST_SOURCES, Source, SourceAnswer, SourcesTold, WantedOffers
from cluster.versions import Minor
from workers.survey import Reach, reach


def ask_sources(
    wanted: WantedOffers, machines: Mapping[str, Machine], now: datetime, connect: Reach = reach
) -> SourcesTold:
    """Each source at the same time; `machines` is our inventory, and nobody else is asked whoever is named."""

    def ask(source: Source) -> SourceAnswer:
        return _ask_until_told(source, wanted.minors, machines, connect)

    with ThreadPoolExecutor(MOST_SOURCES) as pool:
        answers = tuple(pool.map(ask, wanted.sources[:MOST_SOURCES]))
    return SourcesTold(wanted.id, wanted.cluster, now, answers)


def _ask_until_told(
    source: Source, minors: tuple[Minor, ...], machines: Mapping[str, Machine], connect: Reach
) -> SourceAnswer:
    """The first whole answer; where there is none the best one, with what each machine said."""
    best, reasons = SourceAnswer(source.place, next(iter(source.machines), "")), []
    for name in source.machines[:MACHINES_EACH]:
        answer = _ask(source.place, name, minors, machines.get(name), connect)
        if not answer.reason:
            return answer
        reasons.append(f"{name}: {answer.reason}")
        best = max(best, answer, key=lambda a: len(a.minors))
    return SourceAnswer(source.place, best.machine, best.offers, "; ".join(reasons) or "no machine has it")


def _ask(place: str, name: str, minors: tuple[Minor, ...], machine: Machine | None, connect: Reach) -> SourceAnswer:
    if machine is None:
        return SourceAnswer(place, name, reason="it is not in the configuration of the worker that was to ask it")
    try:
        with connect(name, machine) as node:
            node.version()
            offers = node.offers(minors)
    except LockkeeperError as error:
        return SourceAnswer(place, name, reason=str(error))
    answer = SourceAnswer(place, name, offers)
    silent = [offer for offer in offers if offer.minor not in answer.minors]
    return SourceAnswer(place, name, offers, _words(silent))


def _words(silent: Iterable[Offer]) -> str:
    return "; ".join(f"{offer.minor}: {offer.reason or offer.state}" for offer in silent)
