"""Hooks: what else runs at a moment of a run, as lockkeeper.yaml names it and as the plan has it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Moment(StrEnum):
    """When; each value is also the verb of the step in which that moment's hooks run, in the order of the file."""

    PRE_RUN = "pre-run"  # once, before anything is changed
    PRE_DRAIN = "pre-drain"  # of each node that is drained: it is cordoned, and its pods are there
    POST_UPGRADE = "post-upgrade"  # of each node: it has its work back
    POST_RUN = "post-run"  # once, when nothing is left to be done; also of a run that was cancelled


PER_RUN = frozenset({Moment.PRE_RUN, Moment.POST_RUN})  # on the first control plane, where it is a command


class OnFailure(StrEnum):
    """What a failed hook does to its node."""

    BLOCK = "block"
    GO_ON = "go-on"


@dataclass(frozen=True, slots=True)
class PlanHook:
    """One hook of a plan: an executable of the machine by its name, or a webhook by its host and its address' sum."""

    moment: Moment
    name: str  # a webhook's is scheme and host alone: the rest of an address may be a secret
    timeout: int  # seconds, for each try
    on_failure: OnFailure = OnFailure.BLOCK
    address_sha256: str = ""  # of a webhook: another address is another plan
    tries: int = 1

    @property
    def is_webhook(self) -> bool:
        return bool(self.address_sha256)

    def __str__(self) -> str:
        return f"webhook {self.name}" if self.is_webhook else f"`{self.name}`"
