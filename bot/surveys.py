"""`survey`: the request is written down and a worker woken; what the machines told is said to the person who asked."""

from __future__ import annotations

from bot.asked import Asked
from bot.blocks import Message
from bot.station import Station, new_id
from bot.text import code, count
from cluster.events import Event, Happened
from cluster.requests import request_survey


def ask_for_survey(station: Station, asked: Asked, cluster: str | None) -> Message:
    """Check who asks, keep the request, and say what will come of it."""
    name, place = station.settings.cluster(cluster)
    person, now = station.person(asked), station.clock()
    request = request_survey(
        name, place, new_id("r"), person, now, channel=station.settings.channel(name) or "", asked_in=asked.channel
    )
    sentence, facts = f"{person} asked for a survey of {name}.", {"request": request.id, "user": asked.user}
    station.store.put_request(request, Event(Happened.SURVEY_ASKED, now, name, sentence, person=person, facts=facts))
    station.wakeups.ask_for_survey(request.id)
    asks = f"Asking {count(len(place.machines), 'machine')} of {code(name)}"
    then = "what they told will be said here" if request.channel else f"then `{station.command} versions` shows it"
    return Message(f"{asks}; {then}. Nothing is changed on any.")
