"""What a person asks of a worker, and what the worker answers; kept until it is answered, whoever crashes between."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cluster.findings import Findings

RequestKind = Literal["plan", "survey", "revert"]


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A plan, a survey or a revert that somebody asked for."""

    id: str  # r-xxxxxxxx
    kind: RequestKind
    cluster: str
    target: str  # as typed: "v1.35.4", "v1.35", "next"; "" for a survey
    person: str  # a name in `people:`
    channel: str  # where the plan may be decided; "" on the command line of a cluster without one
    at: datetime
    accepted: tuple[str, ...] = ()  # codes of findings that the person consents to
    overrides: dict[str, bool | int | str] = field(default_factory=dict)  # of plan.Options, by field name
    without: tuple[str, ...] = ()  # workers to be left out; `blocked` stands for those that block the plan
    asked_in: str = ""  # the Slack channel where it was typed: a refusal is told there, to the person alone


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: plans, or one sentence of refusal with its findings."""

    request_id: str
    plan_ids: tuple[str, ...] = ()
    refusal: str = ""
    findings: Findings = ()
