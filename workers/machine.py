"""One machine of a cluster as the node script lets us see and change it."""

from __future__ import annotations

from cluster.errors import LockkeeperError, MachineUnreachable
from cluster.facts import MachineFacts, Offer
from cluster.images import ImageOffer, WantedImages
from cluster.report import Unread
from cluster.versions import Minor
from workers.node_script import PROTOCOL
from workers.node_script.attempts import (
    JobLine,
    PollAnswer,
    StartAnswer,
    parse_jobs,
    parse_poll,
    parse_start,
    parse_version,
)
from workers.node_script.images import parse_images
from workers.node_script.snapshots import SnapshotPart, parse_snapshot
from workers.node_script.survey import parse_facts, parse_offers
from workers.ssh import Answer, Shell

QUICK = 30.0  # a reading verb that asks only the machine
SLOW = 90.0  # one that asks kubeadm, or waits behind another start
OFFER = 60.0  # one minor of a package source that may be unreachable
LONGEST_POLL = 60  # that it may wait for an end, as the script has it

_WRONG_ARGUMENT = 64
_GOES_DOWN = 75
_NOT_FOUND = (126, 127)


class NodeScriptFailed(LockkeeperError):  # noqa: N818 - reads as a fact, as in cluster/errors.py
    """The node script is missing, refused or ended with an error; `code` is its exit code."""

    def __init__(self, text: str, *, code: int) -> None:
        super().__init__(text)
        self.code = code


class WrongProtocol(LockkeeperError):  # noqa: N818 - reads as a fact, as in cluster/errors.py
    """The machine has the node script of another release."""


class NodeMachine:
    """The typed client of one machine's node script; nothing else is ever run on a machine."""

    def __init__(self, shell: Shell, node_script: str, *, name: str) -> None:
        self.name = name
        self._shell = shell
        self._script = node_script
        self._is_new = True  # until it refuses what an earlier release did not know

    def version(self) -> int:
        """The protocol that both sides speak; WrongProtocol when they do not."""
        spoken = parse_version(_text(self._ask("version")))
        if spoken != PROTOCOL:
            raise WrongProtocol(
                f"The node script on {self.name} speaks protocol {spoken or 'unknown'} and this release speaks "
                f"{PROTOCOL}: install the output of `lockkeeper node-script` there as {self._script}."
            )
        return spoken

    def observe(self, *, briefly: bool = False) -> MachineFacts:
        """Everything, or only what the steps of a run ask for; everything where its script is of an earlier release."""
        words = ("observe", "briefly") if briefly and self._is_new else ("observe",)
        try:
            return parse_facts(_text(self._ask(*words, timeout=SLOW)))
        except NodeScriptFailed as error:
            if error.code != _WRONG_ARGUMENT or len(words) == 1:
                raise
            self._is_new = False
            return self.observe()

    def offers(self, minors: tuple[Minor, ...]) -> tuple[Offer, ...]:
        """What its package source offers of each minor; one that cannot be read is an Offer that says so."""
        if not minors:
            return ()
        answer = self._ask("offers", *(str(m) for m in minors), timeout=OFFER * len(minors))
        return parse_offers(_text(answer), minors)

    def images(self, wanted: WantedImages) -> tuple[ImageOffer, ...] | Unread:
        """Where it can have the images of a release from; Unread where it could not tell which ones they are."""
        tags = (tag or "-" for tag in (wanted.etcd, wanted.coredns, wanted.pause))
        return parse_images(_text(self._ask("images", str(wanted.version), *tags, timeout=SLOW)))

    def start(self, attempt: str, fence: int, verb: str, *args: str) -> StartAnswer:
        """Start one attempt, detached; MachineUnreachable may mean that it started: then ask `poll`."""
        return parse_start(_text(self._ask("start", attempt, str(fence), verb, *args, timeout=SLOW)))

    def poll(self, attempt: str, offset: int = 0, seconds: int = 0) -> PollAnswer:
        """
        An attempt's state and its output from `offset`; read on while `offset + len(chunk) < size`.

        The machine answers at its end, or after so many seconds; at once where its script is of an earlier release.
        """
        if not seconds or not self._is_new:
            return parse_poll(self._ask("poll", attempt, str(offset)).output)
        seconds = min(seconds, LONGEST_POLL)
        try:
            return parse_poll(self._ask("poll", attempt, str(offset), str(seconds), timeout=QUICK + seconds).output)
        except NodeScriptFailed as error:
            if error.code != _WRONG_ARGUMENT:
                raise
            self._is_new = False
            return self.poll(attempt, offset)

    def snapshot(self, attempt: str, offset: int) -> SnapshotPart:
        """Bytes of the snapshot that this attempt took, from `offset`; read on until its size is reached."""
        return parse_snapshot(self._ask("snapshot", attempt, str(offset), timeout=SLOW).output)

    def list_jobs(self) -> tuple[JobLine, ...]:
        return parse_jobs(_text(self._ask("list")))

    def logs(self, unit: str) -> str:
        return _text(self._ask("logs", unit))

    def diff(self) -> str:
        """What kubeadm would change in the manifests at the version that the cluster declares: drift."""
        return _text(self._ask("diff", timeout=SLOW))

    def certs(self) -> str:
        """`kubeadm certs check-expiration -o json`, as it came."""
        return _text(self._ask("certs", timeout=SLOW))

    def _ask(self, *args: str, timeout: float = QUICK) -> Answer:
        answer = self._shell.run((self._script, *args), timeout=timeout)
        if answer.code == 0:
            return answer
        if answer.code is None:
            raise MachineUnreachable(
                f"The connection to {self.name} ended while it answered `{args[0]}`: what became of it is asked again."
            )
        if answer.code == _GOES_DOWN:  # for its links it is not away yet, but it begins nothing any more
            raise MachineUnreachable(f"{self.name} goes down, and begins nothing before its next boot.")
        raise NodeScriptFailed(self._complaint(args[0], answer), code=answer.code)

    def _complaint(self, verb: str, answer: Answer) -> str:
        said = " ".join(_text(answer).split())[-400:]
        if "sudo: " in said and "password is required" in said:
            return (
                f"{self.name} wants a password for `sudo {self._script}`: allow exactly that command without one "
                "in its sudoers."
            )
        if answer.code in _NOT_FOUND or "command not found" in said:
            return (
                f"{self.name} has no node script at {self._script}: install the output of `lockkeeper node-script` "
                "there, owned by root, mode 0755."
            )
        return f"{self.name} refused `{verb}` (exit {answer.code}): {said or 'it said nothing'}"


def _text(answer: Answer) -> str:
    return answer.output.decode("utf-8", errors="replace")
