"""A remote command from start to exit code: started at most once, attached to, read to its end, never killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import TypeVar

from cluster.errors import Fenced, MachineUnreachable
from workers.login import HostKeyChanged, HostKeyUnknown, KeyUnusable, LoginRefused
from workers.machine import NodeScriptFailed
from workers.node_script.attempts import AttemptState, PollAnswer, StartKind
from workers.node_script.lines import UnreadableAnswer
from workers.site import AttemptLost, Site, Yielded

KEPT = 256 * 1024  # bytes of output kept for the failure's sentence; the whole stays on the machine

# Waiting does not help: a person must act first.
_HOPELESS = (HostKeyChanged, HostKeyUnknown, KeyUnusable, LoginRefused)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a remote command ended, with the end of what it printed."""

    code: int
    output: str


class FencedByMachine(Fenced):
    """The machine has seen a driver with a higher fence; `seen` is that fence."""

    def __init__(self, text: str, *, seen: int) -> None:
        super().__init__(text)
        self.seen = seen


class Link:
    """Calls to one machine that outlast a broken connection: each is asked again until a deadline."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def ask(self, call: Callable[[], _T], *, patience: float) -> _T:
        """The call's answer; raises StepBlocked after `patience` seconds without one."""
        site = self._site
        while True:
            try:
                answer = call()
            except _HOPELESS as error:
                raise site.blocked("machine-refused", str(error), "Correct that, then `retry`.") from error
            except NodeScriptFailed as error:
                raise site.blocked("node-script-failed", str(error), "Look at the machine, then `retry`.") from error
            except (MachineUnreachable, UnreadableAnswer) as error:
                self._outlast(error, patience)
            else:
                site.silence.end()
                return answer

    def _outlast(self, error: Exception, patience: float) -> None:
        try:
            self._wait(error, patience)
        except Yielded:
            self._site.silence.leave()
            raise

    def _wait(self, error: Exception, patience: float) -> None:
        site, silence = self._site, self._site.silence
        if site.stopping():  # its answer was not waited for
            raise Yielded from error
        if silence.is_inherited:  # what a driver before had started may run there
            patience = max(patience, site.waits.reboot)
        if silence.begin(site.now()):
            site.tell(f"{site.node.name} cannot be asked just now; what runs there goes on, and it is asked again.")
        elif silence.since is not None and site.elapsed(silence.since) > patience:
            raise site.blocked(
                "machine-unreachable",
                f"{site.node.name} has given no answer since {silence.since:%H:%M} UTC, for {patience:.0f} s: {error}",
                "Bring the machine back, then `retry`: what runs there is attached to, and not started twice.",
            ) from error
        site.wait(site.waits.poll)


def run_remote(site: Site, verb: str, *args: str, attempt: str | None = None) -> Outcome:
    """Run one verb of the node script under this step's attempt id, or attach to it, and wait for its end."""
    attempt = attempt or site.attempt_id
    link = Link(site)
    # Also where it runs already: the machine then knows our fence, and refuses a driver before us.
    _start(site, link, attempt, verb, *args)
    return follow(site, link, attempt)


def follow(site: Site, link: Link, attempt: str) -> Outcome:
    """Read an attempt that was started, to its end."""
    offset, kept, told = 0, b"", False
    since = site.now()
    while True:
        asked = site.now()
        poll = partial(site.machine.poll, attempt, offset, ceil(site.waits.poll))
        answer = link.ask(poll, patience=site.waits.reboot)
        offset += len(answer.chunk)
        kept = (kept + answer.chunk)[-KEPT:]
        if offset < answer.size and answer.chunk:
            continue
        if answer.state is AttemptState.DONE and answer.code is not None:
            return Outcome(answer.code, kept.decode("utf-8", errors="replace"))
        if answer.state is not AttemptState.RUNNING:
            raise lost(site, answer)
        if not told and site.elapsed(site.started_at) > site.waits.remote_step:  # as recorded, whoever drives
            told = True
            limit = f"{site.waits.remote_step:.0f} s"
            site.stick(f"Its command `lockkeeper-{attempt}` has not ended for more than {limit}; it is not killed.")
        site.wait(max(0.0, site.pause(since) - site.elapsed(asked)))  # where the machine itself did not wait


def earlier_attempts(site: Site) -> tuple[str, ...]:
    """The ids of this step's attempts before this one, newest first."""
    stem = site.attempt_id.removesuffix(f"-a{site.attempt}")
    return tuple(f"{stem}-a{number}" for number in range(site.attempt - 1, 0, -1))


def await_earlier(site: Site) -> Outcome | None:
    """Wait for an earlier attempt of this step that still runs; the newest ended one, None when there is none."""
    link = Link(site)
    for attempt in earlier_attempts(site):
        seen = link.ask(partial(site.machine.poll, attempt), patience=site.waits.node_ready)
        if seen.state is AttemptState.RUNNING:
            site.tell(f"An earlier attempt still runs on {site.node.name}; it is waited for.")
        if seen.state in {AttemptState.RUNNING, AttemptState.DONE}:
            return _ended(site, link, attempt)
    return None


def await_running(site: Site, suffix: str) -> Outcome | None:
    """The end of an earlier attempt's command that still runs, so that none is started beside itself; else None."""
    link = Link(site)
    for earlier in earlier_attempts(site):
        attempt = f"{earlier}{suffix}"
        seen = link.ask(partial(site.machine.poll, attempt), patience=site.waits.node_ready)
        if seen.state is AttemptState.RUNNING:
            site.tell(f"An earlier attempt still runs on {site.node.name}; it is waited for.")
            return _ended(site, link, attempt)
    return None


def was_started(site: Site) -> bool:
    """Whether this very attempt was started before: then it is attached to, and nothing is decided anew."""
    seen = Link(site).ask(partial(site.machine.poll, site.attempt_id), patience=site.waits.node_ready)
    return seen.state is not AttemptState.ABSENT


def _ended(site: Site, link: Link, attempt: str) -> Outcome | None:
    try:
        return follow(site, link, attempt)
    except AttemptLost:  # it vanished while it was watched: this attempt takes its place
        return None


def _start(site: Site, link: Link, attempt: str, verb: str, *args: str) -> None:
    link.ask(partial(start_once, site, attempt, verb, *args), patience=site.waits.node_ready)


def start_once(site: Site, attempt: str, verb: str, *args: str) -> None:
    """Start it, or attach; asked again after a broken link this is safe, as the machine starts an attempt id once."""
    site.check_lease()
    answer = site.machine.start(attempt, site.fence, verb, *args)
    if answer.kind is StartKind.FENCED:
        raise FencedByMachine(
            f"{site.node.name} has seen a driver with the fence {answer.fence}, newer than {site.fence}: this one "
            "stops.",
            seen=answer.fence or 0,
        )


def lost(site: Site, answer: PollAnswer) -> AttemptLost:
    """That an attempt vanished without an end."""
    what = "is gone" if answer.state is AttemptState.ABSENT else "ended without an exit code"
    return AttemptLost(
        f"The command of {site.attempt_id} on {site.node.name} {what} (a reboot, or somebody killed it): the machine "
        "is looked at and a new attempt is made."
    )
