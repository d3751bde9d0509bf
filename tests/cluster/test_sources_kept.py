"""What package sources are asked and tell is kept beside the survey of all machines, on a real server."""

from __future__ import annotations

from dataclasses import replace

from cluster.facts import Offer, OfferState
from cluster.offers import Source, SourceAnswer, SourcesTold, WantedOffers
from cluster.store import Store
from cluster.survey import Survey
from cluster.versions import Minor, PackageVersion
from tests.engine_fixture import CLUSTER, NOW
from tests.redis_fixture import redis_server, redis_url, store

__all__ = ["redis_server", "redis_url", "store"]  # pytest finds fixtures by name in this module


def test_what_the_sources_are_asked_is_asked_once_until_it_is_answered(store: Store) -> None:
    """Whoever asks meanwhile waits for the same answer; a survey stays what it was."""
    survey, first = Survey(CLUSTER, NOW), WantedOffers("a-1", CLUSTER, (Minor(1, 34),), (Source("x", ("w1",)),))
    store.save_survey(survey)
    assert [store.want_offers(replace(first, id=name)) for name in ("a-1", "a-2")] == [True, False]
    assert store.wanted_offers(CLUSTER) == first
    offer = Offer(Minor(1, 34), OfferState.OFFERED, (PackageVersion.parse("1.34.9-1.1"),))
    told = SourcesTold("a-1", CLUSTER, NOW, (SourceAnswer("x", "w1", (offer,)),))
    store.save_sources(told)
    assert (store.sources(CLUSTER), store.wanted_offers(CLUSTER)) == (told, None)
    assert store.survey(CLUSTER) == survey
    assert store.want_offers(replace(first, id="a-3"))
