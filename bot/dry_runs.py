"""`dry-run`: the request is written down and a worker woken; what the server says comes into the plan's thread."""

from __future__ import annotations

from bot.asked import Asked
from bot.blocks import Message
from bot.exports import newest_plan
from bot.plan_card import card_key
from bot.station import Station, new_id
from bot.text import code
from cluster.errors import Refused
from cluster.events import Event, Happened
from cluster.requests import request_dry_run
from policies.drained import check_living


def ask_for_dry_run(station: Station, asked: Asked, plan_id: str) -> Message:
    """Check who asks and of which plan, keep the request, and say where the verdict will appear."""
    person = station.person(asked)
    record = station.store.plan(plan_id) if plan_id else newest_plan(station, asked)
    check_living(record)
    posted = station.store.message(card_key(record.id))
    if posted is None:
        terminal = f"`lockkeeper dry-run {record.id}`"
        raise Refused(f"The plan {record.id} has no card in Slack whose thread could tell of it: type {terminal}.")
    now = station.clock()
    request = request_dry_run(record, new_id("r"), person, now, asked.channel)
    sentence, facts = f"{person} asked for a dry run of {record.id}.", {"request": request.id, "user": asked.user}
    event = Event(Happened.DRY_RUN_ASKED, now, request.cluster, sentence, record.id, person=person, facts=facts)
    station.store.put_request(request, event)
    station.wakeups.ask_for_plan(request.id)
    link = station.delivery.link(posted.channel, posted.ts)
    where = f"<{link}|the thread of its card>" if link else "the thread of its card"
    return Message(f"Trying every eviction of {code(record.id)}; none happens. The verdict will appear in {where}.")
