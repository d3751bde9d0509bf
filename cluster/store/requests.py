"""Requests to workers and their answers, and what was last seen of each cluster and its machines."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import TypeAdapter

from cluster.collector import uncollected
from cluster.dry_run import DryRun
from cluster.errors import UnknownThing
from cluster.events import Event
from cluster.findings import Findings
from cluster.offers import WANTED_FOR, SourcesTold, WantedOffers
from cluster.requests import Answer, PlanRequest
from cluster.sighting import Sighting
from cluster.store.ledger import Check, Effect, Ledger, key, new_token, reading, record_events
from cluster.store.records import ANSWER, REQUEST, SIGHTING, SOURCES_TOLD, SURVEY, WANTED_OFFERS
from cluster.survey import Survey

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
_HOUR = 3_600_000  # milliseconds; Slack tries for a few minutes
_DAY = 86_400  # seconds that an answered request is kept


@dataclass
class Requests(Ledger):
    """What was asked for; a request stays open until it is answered."""

    _surveys: dict[str, tuple[bytes, Survey | None]] = field(default_factory=dict, repr=False)

    def hear(self, event_id: str) -> bool:
        """Whether nobody heard this event of Slack's before."""
        return self.hold(key("heard", event_id), new_token(), _HOUR)

    def put_request(self, request: PlanRequest, event: Event) -> None:
        place = key("request", request.id)
        effects: list[Effect] = [
            ("HSET", place, "request", REQUEST.dump_json(request).decode()),
            ("SADD", key("requests", "open"), request.id),
            *record_events(event),
        ]
        self.commit(token=f"put/{request.id}", checks=[], effects=effects)

    def request(self, request_id: str) -> PlanRequest:
        text = self.field(key("request", request_id), "request")
        if text is None:
            raise UnknownThing(f"There is no request {request_id}: ask again.")
        with reading(request_id):
            return REQUEST.validate_json(text)

    def open_requests(self) -> tuple[PlanRequest, ...]:
        """Unanswered ones, oldest first."""
        open_ones = self.each(self.request, self.members(key("requests", "open")))
        return tuple(sorted(open_ones, key=lambda q: q.at))

    def answer_request(
        self,
        request_id: str,
        *,
        plan_ids: tuple[str, ...] = (),
        refusal: str = "",
        findings: Findings = (),
        dry_run: DryRun | None = None,
        event: Event | None = None,
    ) -> Answer:
        """Answer once; a second answer changes nothing. Returns the one that counts."""
        answer = Answer(request_id, plan_ids, refusal, findings, dry_run)
        place = key("request", request_id)
        effects: list[Effect] = [
            ("HSET", place, "answer", ANSWER.dump_json(answer).decode()),
            ("SREM", key("requests", "open"), request_id),
            ("EXPIRE", place, str(7 * _DAY)),
            *record_events(*([event] if event else [])),
        ]
        checks = [Check("unanswered", place, "", "answer")]
        self.commit(token=f"answer/{request_id}", checks=checks, effects=effects)
        return self.answer(request_id) or answer

    def answer(self, request_id: str) -> Answer | None:
        text = self.field(key("request", request_id), "answer")
        return None if text is None else ANSWER.validate_json(text)

    def take_request(self, request_id: str, owner: str, ttl_ms: int) -> bool:
        """Become the worker that answers it, or stay it."""
        return self.hold(key("request", request_id, "worker"), owner, ttl_ms)

    def drop_request(self, request_id: str, owner: str) -> None:
        self.let_go(key("request", request_id, "worker"), owner)

    def request_is_taken(self, request_id: str) -> bool:
        return self.text(key("request", request_id, "worker")) is not None

    def save_survey(self, survey: Survey) -> None:
        text = SURVEY.dump_json(survey).decode()
        self.ask(lambda r: r.set(key("survey", survey.cluster), text))

    def survey(self, cluster: str) -> Survey | None:
        """The last survey, whatever its age; made of its megabytes of text only where that has changed."""
        text = self.text(key("survey", cluster))
        mark = hashlib.blake2b((text or "").encode()).digest()
        known, survey = self._surveys.get(cluster, (b"", None))
        if known != mark:
            survey = _last(SURVEY, text)
            self._surveys[cluster] = mark, survey
        return survey

    def want_offers(self, wanted: WantedOffers) -> bool:
        """Whether nobody wants them already: two asks at once are one. Forgotten when nobody waits for it any more."""
        text = WANTED_OFFERS.dump_json(wanted).decode()
        return self.hold(key("offers", wanted.cluster, "wanted"), text, int(WANTED_FOR * 1000))

    def wanted_offers(self, cluster: str) -> WantedOffers | None:
        return _last(WANTED_OFFERS, self.text(key("offers", cluster, "wanted")))

    def save_sources(self, told: SourcesTold) -> None:
        """Beside the survey, which is of all machines and stays as it was told; what was wanted is answered by it."""
        text = SOURCES_TOLD.dump_json(told).decode()
        self.ask(lambda r: r.set(key("offers", told.cluster), text))
        self.ask(lambda r: r.delete(key("offers", told.cluster, "wanted")))

    def sources(self, cluster: str) -> SourcesTold | None:
        """What the package sources told last when they alone were asked, whatever its age."""
        return _last(SOURCES_TOLD, self.text(key("offers", cluster)))

    def save_sighting(self, sighting: Sighting) -> None:
        text = SIGHTING.dump_json(sighting).decode()
        self.ask(lambda r: r.set(key("sighting", sighting.cluster), text))

    def sighting(self, cluster: str) -> Sighting | None:
        """What was last seen of its nodes and versions, whatever its age."""
        return _last(SIGHTING, self.text(key("sighting", cluster)))


def _last(adapter: TypeAdapter[_T], text: str | None) -> _T | None:
    """None also for what another release wrote in another way: the next look takes its place."""
    if text is None:
        return None
    try:
        with uncollected():
            return adapter.validate_json(text)
    except ValueError as error:
        _LOG.warning("What was last seen cannot be read, and is left out (%s)", type(error).__name__)
        return None
