"""`ignore-alert`, and the button of a halted run: an approver lets it go on in spite of alerts, for a while."""

from __future__ import annotations

from bot.asked import Asked
from bot.blocks import Message
from bot.commands import IgnoreAlert
from bot.controls import running_operation
from bot.spare_view import Chosen, spare_view
from bot.station import Station, said
from bot.text import clean
from cluster.errors import Refused
from cluster.events import Happened
from cluster.findings import demand_clear
from cluster.operation import Operation
from policies.approvals import check_person
from policies.sparing import tell_spared


def ignore_alert(station: Station, asked: Asked, command: IgnoreAlert) -> Message:
    """`<alert> <minutes> [cluster] <reason …>`: the word after the minutes is a cluster if one has that name."""
    words = command.words
    cluster = words[0] if words and words[0] in station.settings.clusters else None
    operation = running_operation(station, cluster)
    reason = " ".join(words[1:] if cluster else words)
    return _spare(station, asked, operation, (command.alert,), command.minutes, reason)


def ask_for_reason(station: Station, asked: Asked, operation_id: str) -> None:
    """Open the window; it remembers the alerts that it shows, and only these are passed over."""
    operation = station.store.operation(operation_id)
    if not operation.halting:
        raise Refused(f"No alert keeps {operation.id} waiting any more: look at its card.")
    view = spare_view(operation.id, asked.channel, operation.halting)
    if view is None:
        raise Refused(f"Too many alerts keep {operation.id} waiting for one window: name each with `ignore-alert`.")
    station.delivery.open_view(asked.trigger_id, view)


def go_on(station: Station, asked: Asked, chosen: Chosen) -> Message:
    """What the window came back with; the run is steered in the channel of its cluster only."""
    operation = station.store.operation(chosen.operation_id)
    if chosen.channel != station.settings.channel(operation.cluster):
        raise Refused(f"The run {operation.id} is steered in the channel of its cluster only: click there.")
    if not (chosen.minutes.isascii() and chosen.minutes.isdecimal()):
        raise Refused(
            f"`{clean(chosen.minutes, 40)}` is no whole number of minutes: click again, and name one like 60."
        )
    return _spare(station, asked, operation, chosen.alerts, int(chosen.minutes), chosen.reason)


def _spare(  # noqa: PLR0917 - what was asked, part by part
    station: Station, asked: Asked, operation: Operation, alerts: tuple[str, ...], minutes: int, reason: str
) -> Message:
    user = station.check_home(asked, fresh=True)
    person = station.settings.person_of_slack(asked.user) or ""
    demand_clear(check_person(user, person, station.approver_groups(person), station.settings))
    sentence = tell_spared(person, alerts, minutes, reason)
    event = station.event(Happened.ALERT_SPARED, operation, sentence, person)
    station.store.spare(operation.id, alerts, person, reason, minutes, event)
    station.wakeups.wake(operation.id)
    return said(f"{sentence.rstrip('.')}. The thread of the run says it.")
