"""The nouns as JSON: one adapter each, made once."""

from __future__ import annotations

from pydantic import TypeAdapter

from cluster.approval import Approval
from cluster.bulletin import Bulletin
from cluster.events import Event
from cluster.force import ForceRequest
from cluster.offers import SourcesTold, WantedOffers
from cluster.operation import NodeRow, Operation
from cluster.outbox import OutboxItem
from cluster.plan import PlanRecord
from cluster.requests import Answer, PlanRequest
from cluster.sighting import Sighting
from cluster.survey import Survey

EVENT = TypeAdapter(Event)
APPROVAL = TypeAdapter(Approval)
OPERATION = TypeAdapter(Operation)
ROW = TypeAdapter(NodeRow)
PLAN = TypeAdapter(PlanRecord)
REQUEST = TypeAdapter(PlanRequest)
ANSWER = TypeAdapter(Answer)
OUTBOX_ITEM = TypeAdapter(OutboxItem)
SIGHTING = TypeAdapter(Sighting)
SURVEY = TypeAdapter(Survey)
WANTED_OFFERS = TypeAdapter(WantedOffers)
SOURCES_TOLD = TypeAdapter(SourcesTold)
FORCE = TypeAdapter(ForceRequest)
BULLETIN = TypeAdapter(Bulletin)
