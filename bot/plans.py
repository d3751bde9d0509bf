"""`plan` and `rollback`: the request is written down and a worker woken; the card comes through the notifier."""

from __future__ import annotations

from bot.asked import Asked
from bot.blocks import Message
from bot.commands import Plan
from bot.delivery import SHUT, SlackAway, SlackRefused
from bot.station import Station, new_id
from bot.text import code, escape
from cluster.errors import UnknownThing
from cluster.events import Event, Happened
from cluster.requests import PlanRequest, request_rollback
from policies.consents import read_consents
from policies.wording import some_of


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
    _keep(station, asked, request, f"{person} asked for a plan to {target}.")
    return _say_where(station, asked, request, f"a plan to {target}")


def ask_for_rollback(station: Station, asked: Asked, words: tuple[str, ...]) -> Message | None:
    """`rollback <worker …> [cluster]`: the last word is a cluster if one has that name."""
    named = words[-1] if words and words[-1] in station.settings.clusters else None
    name, _ = station.settings.cluster(named)
    workers = words[:-1] if named else words
    if not workers:
        raise UnknownThing("Name the worker whose kubelet is to go back, as in `rollback worker-3`.")
    person = station.person(asked)
    channel = station.settings.channel(name) or ""
    request = request_rollback(name, workers, new_id("r"), person, station.clock(), channel, asked.channel)
    whose = f"a rollback of {some_of(workers)}"
    _keep(station, asked, request, f"{person} asked for {whose}.")
    return _say_where(station, asked, request, whose)


def _keep(station: Station, asked: Asked, request: PlanRequest, sentence: str) -> None:
    event = Event(
        Happened.PLAN_REQUESTED,
        request.at,
        request.cluster,
        sentence,
        person=request.person,
        facts={"request": request.id, "user": asked.user},
    )
    station.store.put_request(request, event)
    station.wakeups.ask_for_plan(request.id)


def _say_where(station: Station, asked: Asked, request: PlanRequest, what: str) -> Message | None:
    """Said in the plan's own channel, so that one where nothing can be posted shows itself; None when that was it."""
    reading = f"Reading {code(request.cluster)} and its machines for {escape(what)}."
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
