"""A run that is steered on a terminal: paused, resumed, tried again, given more time, and its lock released by hand."""

from __future__ import annotations

from bot.desk import Desk
from cluster.errors import Refused
from cluster.events import Happened
from cluster.findings import demand_clear
from cluster.operation import Operation, Wish
from policies.approvals import check_person
from policies.goals import tell_release
from policies.sparing import tell_spared


def wish(desk: Desk, operation: Operation, what: Wish) -> None:
    """Pause or cancel it."""
    asked = {Wish.PAUSE: Happened.PAUSE_ASKED, Wish.CANCEL: Happened.CANCEL_ASKED}[what]
    sentence = f"{desk.person} asked to {what.value}; the nodes in hand are finished first."
    desk.store.wish(operation.id, what, desk.person, desk.event(asked, operation, sentence))
    desk.wakeups.wake(operation.id)


def resume(desk: Desk, operation: Operation) -> None:
    event = desk.event(Happened.RESUME_ASKED, operation, f"{desk.person} resumed the operation.")
    desk.store.resume(operation.id, desk.person, event)
    desk.wakeups.wake(operation.id)


def retry(desk: Desk, operation: Operation, node: str | None) -> None:
    which = f"on {node}" if node else "on every blocked node"
    event = desk.event(Happened.RETRY_ASKED, operation, f"{desk.person} asked for a new attempt {which}.")
    desk.store.retry(operation.id, node, desk.person, event)
    desk.wakeups.wake(operation.id)


def skip(desk: Desk, operation: Operation, node: str) -> None:
    sentence = f"{desk.person} asked to go on without {node}; it is given back as it is."
    event = desk.event(Happened.SKIP_ASKED, operation, sentence)
    desk.store.skip(operation.id, desk.store.plan(operation.plan_id).plan, node, desk.person, event)
    desk.wakeups.wake(operation.id)


def extend(desk: Desk, operation: Operation, node: str, minutes: int) -> None:
    sentence = f"{desk.person} gave the drain of {node} {minutes} more min."
    event = desk.event(Happened.EXTEND_ASKED, operation, sentence)
    desk.store.extend(operation.id, desk.store.plan(operation.plan_id).plan, node, minutes, event)
    desk.wakeups.wake(operation.id)


def ignore_alert(desk: Desk, operation: Operation, alert: str, minutes: int, reason: str) -> None:
    """Let the run go on in spite of one alert that keeps it; raises Refused for whoever may not approve."""
    person = desk.person
    demand_clear(check_person(None, person, {}, desk.settings))
    sentence = tell_spared(person, (alert,), minutes, reason)
    event = desk.event(Happened.ALERT_SPARED, operation, sentence)
    desk.store.spare(operation.id, (alert,), person, reason, minutes, event)
    desk.wakeups.wake(operation.id)


def check_locked(desk: Desk, cluster: str) -> tuple[str, str]:
    """The cluster's name and the operation that holds its lock; refused before anybody is asked to type it."""
    name, _ = desk.settings.cluster(cluster)
    holder = desk.store.lock_holder(name)
    if holder is None:
        raise Refused(f"No operation holds the lock of `{name}`: there is nothing to release.")
    return name, holder


def release(desk: Desk, cluster: str, typed: str) -> str:
    """Release the cluster's lock; `typed` must repeat the operation's id. The answer says what is left behind."""
    name, holder = check_locked(desk, cluster)
    if typed != holder:
        raise Refused(f"The lock of `{name}` is held by {holder}: type exactly that to release it.")
    operation = desk.store.operation(holder)
    sentence = tell_release(operation, desk.person)
    desk.store.release(name, holder, desk.person, desk.event(Happened.LOCK_RELEASED, operation, sentence))
    return sentence
