"""Pause, resume, cancel, retry, skip, extend: what a person asks of a running operation, typed or clicked."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from bot.asked import Asked
from bot.blocks import Message
from bot.station import Station, said
from bot.stop_card import MORE
from bot.text import clean
from cluster.errors import Refused, UnknownThing
from cluster.events import Happened
from cluster.operation import Operation, OperationState, Wish


class Control(StrEnum):
    """The verbs that steer a run."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    SKIP = "skip"
    EXTEND = "extend"


_OF_A_NODE = frozenset({Control.RETRY, Control.SKIP})  # they answer for a node, and lift no pause
_ASKED: Mapping[Control, Happened] = {
    Control.PAUSE: Happened.PAUSE_ASKED,
    Control.RESUME: Happened.RESUME_ASKED,
    Control.CANCEL: Happened.CANCEL_ASKED,
    Control.RETRY: Happened.RETRY_ASKED,
    Control.SKIP: Happened.SKIP_ASKED,
    Control.EXTEND: Happened.EXTEND_ASKED,
}
_SAID: Mapping[Control, str] = {
    Control.PAUSE: "{person} asked to pause; the machines in hand are finished first.",
    Control.RESUME: "{person} asked to go on.",
    Control.CANCEL: "{person} asked to cancel; the machines in hand are finished first.",
    Control.RETRY: "{person} asked for a new attempt on {which}.",
    Control.SKIP: "{person} asked to go on without {which}; it is given back as it is.",
    Control.EXTEND: "{person} gave the drain of {which} {minutes} more min.",
}


def steer_cluster(station: Station, asked: Asked, control: Control, cluster: str | None) -> Message:
    """A typed command: it means the operation that holds the cluster's lock."""
    return _steer(station, asked, control, running_operation(station, cluster), None)


def steer_node(station: Station, asked: Asked, control: Control, words: tuple[str, ...]) -> Message:
    """`retry [node] [cluster]`, `skip <node> [cluster]`: the last word is a cluster if one has that name."""
    cluster = words[-1] if words and words[-1] in station.settings.clusters else None
    nodes = words[:-1] if cluster else words
    if len(nodes) > 1:
        station.settings.cluster(nodes[-1])  # raises: there is no such cluster
    if control is Control.SKIP and not nodes:
        raise UnknownThing("Name the worker to go on without, as in `skip worker-3`.")
    operation = running_operation(station, cluster)
    return _steer(station, asked, control, operation, nodes[0] if nodes else None)


def extend_drain(station: Station, asked: Asked, node: str, minutes: int, cluster: str | None) -> Message:
    """`extend <node> <minutes> [cluster]`."""
    return _steer(station, asked, Control.EXTEND, running_operation(station, cluster), node, minutes)


def steer_operation(station: Station, asked: Asked, control: Control, value: str) -> Message:
    """A clicked button: it means the operation of its card, in the channel of its cluster only."""
    operation_id, _, node = value.partition(" ")
    operation = station.store.operation(operation_id)
    if asked.channel != station.settings.channel(operation.cluster):
        raise Refused(f"The run {operation.id} is steered in the channel of its cluster only: click there.")
    return _steer(station, asked, control, operation, node or None, MORE)


def running_operation(station: Station, cluster: str | None) -> Operation:
    """The operation that holds the lock of the named cluster, or of the only one that has any."""
    active = station.store.active_operations()
    if cluster is None and len({o.cluster for o in active}) == 1:
        return active[0]
    name, _ = station.settings.cluster(cluster)
    found = next((o for o in active if o.cluster == name), None)
    if found is not None:
        return found
    if holder := station.store.lock_holder(name):
        return station.store.operation(holder)  # raises: it cannot be read
    raise Refused(f"Nothing runs on `{name}`: there is nothing to steer.")


def _steer(  # noqa: PLR0917 - what was asked, part by part
    station: Station, asked: Asked, control: Control, operation: Operation, node: str | None, minutes: int = 0
) -> Message:
    person = station.person(asked)
    if operation.ended:
        raise Refused(f"The run {operation.id} has ended ({operation.state}): there is nothing to steer.")
    if node is not None and node not in {r.node for r in operation.rows}:
        raise UnknownThing(f"There is no machine `{clean(node, 60)}` in the run {operation.id}: name one of its card.")
    sentence = _SAID[control].format(person=person, which=node or "every blocked machine", minutes=minutes)
    event = station.event(_ASKED[control], operation, sentence, person)
    match control:
        case Control.PAUSE:
            station.store.wish(operation.id, Wish.PAUSE, person, event)
        case Control.CANCEL:
            station.store.wish(operation.id, Wish.CANCEL, person, event)
        case Control.RESUME:
            station.store.resume(operation.id, person, event)
        case Control.RETRY:
            station.store.retry(operation.id, node, person, event)
        case Control.SKIP:
            plan = station.store.plan(operation.plan_id).plan
            station.store.skip(operation.id, plan, node or "", person, event)
        case Control.EXTEND:
            plan = station.store.plan(operation.plan_id).plan
            station.store.extend(operation.id, plan, node or "", minutes, event)
    station.wakeups.wake(operation.id)
    rest = tell_pause(station.store.operation(operation.id)) if control in _OF_A_NODE else ""
    return said(f"{sentence} The card of the run shows it.{rest}")


def tell_pause(operation: Operation) -> str:
    """What keeps a run all the same when somebody has answered for a node of it; "" where nothing does."""
    if operation.state is OperationState.PARKED:
        return f" {operation.id} stands still all the same: `resume` lets it go on."
    if operation.wish is Wish.PAUSE:
        return f" Then it pauses, as {operation.wished_by} asked: `resume` lets the others go on."
    return ""
