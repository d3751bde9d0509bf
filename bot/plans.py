"""`plan`: the request is written down and a worker woken; the card comes through the notifier."""

from __future__ import annotations

from bot.asked import Asked
from bot.blocks import Message
from bot.commands import Plan
from bot.delivery import SHUT, SlackAway, SlackRefused
from bot.station import Station, new_id
from bot.text import code, escape
from cluster.events import Event, Happened
from cluster.requests import PlanRequest
from policies.consents import read_consents


def ask_for_plan(station: Station, asked: Asked, command: Plan) -> Message | None:
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
    return _say_where(station, asked, request)


def _say_where(station: Station, asked: Asked, request: PlanRequest) -> Message | None:
    """Said in the plan's own channel, so that one where nothing can be posted shows itself; None when that was it."""
    reading = f"Reading {code(request.cluster)} and its machines for a plan to {escape(request.target)}."
    channel, is_there = request.channel, asked.channel == request.channel
    if not channel:
        return Message(f"{reading} `status` will show the plan.")
    here = Message(f"{reading} The plan will appear here.")
    try:
        station.delivery.whisper(channel, asked.user, here, asked.thread if is_there else "")
    except SlackRefused as error:
        if error.code in SHUT:
            return Message(
                f"{reading} It cannot be shown yet, as lockkeeper may not post in <#{channel}> ({error.code}): "
                f"/invite it there, or correct `channel` of {code(request.cluster)} in lockkeeper.yaml."
            )
    except SlackAway:
        pass  # the plan waits until Slack is back
    else:
        if is_there:
            return None
    return Message(f"{reading} The plan will appear in <#{channel}>.")
