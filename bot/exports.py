"""`export`: a plan as a file in the thread of its card, where everybody who may decide on it can read it."""

from __future__ import annotations

from bot.asked import Asked
from bot.blocks import Message
from bot.commands import Export
from bot.delivery import SlackRefused
from bot.plan_card import card_key
from bot.plan_export import Document, export_plan
from bot.station import Station
from bot.text import code
from cluster.errors import Refused
from cluster.plan import PlanRecord

_SCOPE_MISSING = "missing_scope"  # the app was installed before it asked for files:write


def export(station: Station, asked: Asked, command: Export) -> Message:
    """Put the file where the plan's card is, and say so to the person who asked."""
    station.person(asked)
    record = station.store.plan(command.plan) if command.plan else newest_plan(station, asked)
    posted = station.store.message(card_key(record.id))
    terminal = f"`lockkeeper export {record.id} --as {command.form}`"
    if posted is None:
        raise Refused(f"The plan {record.id} has no card in Slack whose thread could take a file: type {terminal}.")
    document = export_plan(record, command.form, station.settings.approvals)
    put_file(station, (posted.channel, posted.ts), document, terminal)
    link = station.delivery.link(posted.channel, posted.ts)
    return Message(f"{code(document.name)} is in the thread of its plan.{f' <{link}|Open>' if link else ''}")


def put_file(station: Station, where: tuple[str, str], document: Document, terminal: str) -> None:
    """Into a channel and thread; raises Refused with what to type on a terminal where the app may not."""
    try:
        station.delivery.upload(*where, document.name, document.text)
    except SlackRefused as error:
        if error.code != _SCOPE_MISSING:
            raise
        raise Refused(
            "This app may not put files into channels yet: give it the scope `files:write` and install it anew, or "
            f"type {terminal}."
        ) from error


def newest_plan(station: Station, asked: Asked) -> PlanRecord:
    """Of the clusters of this channel; of all of them elsewhere."""
    names = set(station.settings.clusters)
    here = {name for name in names if station.settings.channel(name) == asked.channel}
    plans = [record for name in sorted(here or names) for record in station.store.plans(name, most=1)]
    if not plans:
        raise Refused(f"There is no plan yet: make one with `{station.command} plan v1.35`.")
    return max(plans, key=lambda record: record.requested_at)
