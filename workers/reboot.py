"""The reboot of a drained node: begun at most once per attempt, and over when the machine runs in another boot."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from cluster.errors import MachineUnreachable
from cluster.options import Reboot
from workers.complaint import find_complaint
from workers.login import HostKeyChanged, HostKeyUnknown, KeyUnusable
from workers.machine import NodeScriptFailed
from workers.node_script.attempts import AttemptState, PollAnswer
from workers.node_script.lines import UnreadableAnswer
from workers.remote import earlier_attempts, lost, start_once
from workers.site import Site, StepBlocked, StepDone

# A login that is refused is not among them: a system that goes down or comes up takes nobody's but root's.
_HOPELESS = (HostKeyChanged, HostKeyUnknown, KeyUnusable)
_FROM = re.compile(rb"^\[lockkeeper\] rebooting from boot (\S+)$", re.MULTILINE)
_T = TypeVar("_T")


def observe_reboot(site: Site) -> StepDone | None:
    """Done where an earlier attempt is over by now, and where only a machine that asks for it is rebooted."""
    if _poll(site, site.attempt_id).state is not AttemptState.ABSENT:
        return None
    for attempt in earlier_attempts(site):
        if _is_over(answer := _poll(site, attempt)):
            return _done(site, answer)
    asks = _ask(site, partial(site.machine.observe, briefly=True)).reboot_required
    if asks is None:
        raise site.blocked(
            "reboot-impossible",
            f"The node script of {site.node.name} is of an earlier release: it does not tell whether a reboot is due.",
            "Install the output of `lockkeeper node-script` there, then `retry`.",
        )
    if asks or site.plan.options.reboot is Reboot.ALWAYS:
        return None
    return StepDone(f"{site.node.name} asks for no reboot.", {"rebooted": "no"})


def reboot(site: Site) -> StepDone:
    """Begin it and wait until the machine answers from another boot; how it is then is the next step's to see."""
    _ask(site, partial(start_once, site, site.attempt_id, "reboot"))
    site.tell(f"{site.node.name} reboots; it is waited for, for {site.waits.reboot:.0f} s at most.")
    while True:
        answer = _poll(site, site.attempt_id)
        if _is_over(answer):
            return _done(site, answer)
        if answer.state is not AttemptState.RUNNING and not _FROM.search(answer.chunk):
            raise _failed(site, answer) if answer.state is AttemptState.DONE else lost(site, answer)
        if answer.state is AttemptState.DONE and answer.code:
            raise _failed(site, answer)
        _check_time(site, f"{site.node.name} has not gone down")
        site.wait(site.pause(site.started_at))


def _is_over(answer: PollAnswer) -> bool:
    """Its exit code says nothing: the command ends before the machine does, or with it."""
    begun = _FROM.search(answer.chunk)
    return begun is not None and begun[1].decode() != answer.boot_id


def _done(site: Site, answer: PollAnswer) -> StepDone:
    return StepDone(f"{site.node.name} was rebooted and is back.", {"rebooted": "yes", "boot": answer.boot_id})


def _poll(site: Site, attempt: str) -> PollAnswer:
    return _ask(site, partial(site.machine.poll, attempt, 0))


def _ask(site: Site, call: Callable[[], _T]) -> _T:
    """The machine's answer, asked again while it is away, as long as a reboot may take since this attempt began."""
    while True:
        try:
            return call()
        except _HOPELESS as error:
            raise site.blocked("machine-refused", str(error), "Correct that, then `retry`.") from error
        except NodeScriptFailed as error:
            raise site.blocked("node-script-failed", str(error), "Look at the machine, then `retry`.") from error
        except (MachineUnreachable, UnreadableAnswer) as error:
            _check_time(site, f"{site.node.name} is not back ({error})")
        site.wait(site.waits.poll)


def _check_time(site: Site, what: str) -> None:
    if site.elapsed(site.started_at) > site.waits.reboot:
        raise site.blocked(
            "reboot-not-over",
            f"{what} {site.waits.reboot:.0f} s after its reboot was to begin.",
            "Bring the machine up, then `retry`: one that has rebooted by then is not rebooted again.",
        )


def _failed(site: Site, answer: PollAnswer) -> StepBlocked:
    why = find_complaint(answer.chunk.decode("utf-8", errors="replace")) or "it printed nothing"
    return site.blocked(
        "reboot-failed",
        f"{site.node.name} cannot be rebooted (exit {answer.code}): {why}",
        "Correct that on the machine, then `retry`.",
    )
