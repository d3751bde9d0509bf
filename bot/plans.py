"""`plan`: the request is written down and a worker woken; the card comes through the notifier."""

from __future__ import annotations

from bot.asked import Asked
from bot.blocks import Message
from bot.commands import Plan
from bot.station import Station, new_id
from bot.text import code, escape
from cluster.events import Event, Happened
from cluster.requests import PlanRequest
from policies.consents import read_consents


def ask_for_plan(station: Station, asked: Asked, command: Plan) -> Message:
    """Check who asks and what for, keep the request, and say where the plan will appear."""
    name, _ = station.settings.cluster(command.cluster)
    consents = read_consents(command.accept)
    person = station.person(asked)
    now, target = station.clock(), str(command.target)
    request = PlanRequest(
        id=new_id("r"),
        kind="plan",
        cluster=name,
        target=target,
        person=person,
        channel=station.settings.channel(name) or "",
        at=now,
        accepted=consents.accepted,
        overrides=consents.overrides,
        without=command.without,
        asked_in=asked.channel,
    )
    sentence = f"{person} asked for a plan to {target}."
    event = Event(
        Happened.PLAN_REQUESTED, now, name, sentence, person=person, facts={"request": request.id, "user": asked.user}
    )
    station.store.put_request(request, event)
    station.wakeups.ask_for_plan(request.id)
    where = f"The plan will appear in <#{request.channel}>." if request.channel else "`status` will show the plan."
    return Message(f"Reading {code(name)} and its machines for a plan to {escape(target)}. {where}")
