"""What the package sources of a cluster offer just now, as few machines tell it; the survey of all stays beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cluster.facts import Offer, OfferState
from cluster.versions import Minor

WANTED_FOR = 180.0  # seconds that a report waits: a source that is out of reach takes a minute, at each of two machines
MOST_SOURCES = 8  # that are asked for one report, the most common first
MACHINES_EACH = 2  # that are asked for one source: the second where the first does not answer
_TELLING = frozenset({OfferState.OFFERED, OfferState.ABSENT})


@dataclass(frozen=True, slots=True)
class Source:
    """Machines that have one package source, in the order in which they are asked until one answers."""

    place: str
    machines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WantedOffers:
    """What a report wants to know of the package sources of a cluster, and whom to ask for it."""

    id: str  # a-xxxxxxxx
    cluster: str
    minors: tuple[Minor, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """What one package source offers, as one of its machines said; `reason` tells what was not answered, and why."""

    place: str
    machine: str
    offers: tuple[Offer, ...] = ()
    reason: str = ""

    @property
    def minors(self) -> frozenset[Minor]:
        """Of which it told what it has, be it nothing."""
        return frozenset(offer.minor for offer in self.offers if offer.state in _TELLING)


@dataclass(frozen=True, slots=True)
class SourcesTold:
    """The answers to one ask, begun at `read_at` (UTC)."""

    id: str  # of what was wanted
    cluster: str
    read_at: datetime
    answers: tuple[SourceAnswer, ...]

    @property
    def is_whole(self) -> bool:
        """Whether each source that was asked told all that was wanted."""
        return not any(answer.reason for answer in self.answers)
