"""A survey that is asked for on a terminal: wait for a worker to ask every machine, then look at the cluster."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime

from bot.desk import Desk
from cluster.errors import Refused
from cluster.events import Event, Happened
from cluster.findings import worst_first
from cluster.requests import request_survey
from policies.overview import Overview


def ask_for_survey(desk: Desk, cluster: str | None, *, timeout: float) -> Overview:
    """The report with all that was found just now; raises Refused where the machines were not asked in time."""
    name, place = desk.settings.cluster(cluster)
    person, now = desk.person, datetime.now(UTC)
    request = request_survey(
        name, place, f"r-{secrets.token_hex(4)}", person, now, channel=desk.settings.channel(name) or ""
    )
    sentence = f"{person} asked for a survey of {name}."
    desk.store.put_request(request, Event(Happened.SURVEY_ASKED, now, name, sentence, person=person))
    desk.wakeups.ask_for_survey(request.id)
    answer = desk.wait_for_answer(request.id, timeout)
    if answer.refusal:
        raise Refused(answer.refusal, answer.findings)
    seen = desk.sights.overview(name)
    told = {(f.code, f.subject) for f in seen.findings}  # a report weighs some of them otherwise than a plan
    more = (f for f in answer.findings if (f.code, f.subject) not in told)
    return replace(seen, findings=worst_first((*seen.findings, *more)))
