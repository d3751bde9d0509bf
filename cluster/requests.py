"""What a person asks of a worker, and what the worker answers; kept until it is answered, whoever crashes between."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cluster.dry_run import DryRun
from cluster.errors import Refused
from cluster.findings import Findings
from cluster.inventory import Cluster
from cluster.plan import PlanRecord

RequestKind = Literal["plan", "survey", "revert", "dry-run", "rollback"]


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A plan, a survey, a revert, a rollback or a dry run that somebody asked for."""

    id: str  # r-xxxxxxxx
    kind: RequestKind
    cluster: str
    target: str  # as typed: "v1.35.4", "v1.35", "next"; "" for a survey and a rollback, the plan's id for a dry run
    person: str  # a name in `people:`
    channel: str  # where the plan may be decided; "" on the command line of a cluster without one
    at: datetime
    accepted: tuple[str, ...] = ()  # codes of findings that the person consents to
    overrides: dict[str, bool | int | str] = field(default_factory=dict)  # of Options, by field name
    without: tuple[str, ...] = ()  # workers to be left out; `blocked` stands for those that block the plan
    workers: tuple[str, ...] = ()  # whose kubelets are to be rolled back
    asked_in: str = ""  # the Slack channel where it was typed: a refusal is told there, to the person alone


def request_dry_run(record: PlanRecord, request_id: str, person: str, now: datetime, asked_in: str = "") -> PlanRequest:
    """The request for a dry run of this plan; what comes of it is told where the plan is."""
    return PlanRequest(
        id=request_id,
        kind="dry-run",
        cluster=record.plan.cluster,
        target=record.id,
        person=person,
        channel=record.channel,
        at=now,
        asked_in=asked_in,
    )


def request_survey(
    name: str, cluster: Cluster, request_id: str, person: str, now: datetime, *, channel: str = "", asked_in: str = ""
) -> PlanRequest:
    """The request to ask the machines of this cluster anew; raises Refused where there are none to ask."""
    if not cluster.machines:
        raise Refused(
            f"No machine of `{name}` is named that could be asked: add clusters.{name}.machines to lockkeeper.yaml."
        )
    return PlanRequest(
        id=request_id, kind="survey", cluster=name, target="", person=person, channel=channel, at=now, asked_in=asked_in
    )


def request_rollback(  # noqa: PLR0917 - as the fields of a request stand
    cluster: str,
    workers: tuple[str, ...],
    request_id: str,
    person: str,
    now: datetime,
    channel: str,
    asked_in: str = "",
) -> PlanRequest:
    """The request for the plan that puts the kubelets of these workers back."""
    return PlanRequest(request_id, "rollback", cluster, "", person, channel, now, workers=workers, asked_in=asked_in)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: plans, a dry run of one, or one sentence of refusal with its findings."""

    request_id: str
    plan_ids: tuple[str, ...] = ()
    refusal: str = ""
    findings: Findings = ()
    dry_run: DryRun | None = None
