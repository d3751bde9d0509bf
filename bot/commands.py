"""What people may ask for, as values: one frozen command each."""

from __future__ import annotations

from dataclasses import dataclass

from bot.export_forms import ExportForm
from cluster.versions import Target


@dataclass(frozen=True, slots=True)
class Help:
    """`help`, or nothing at all."""


@dataclass(frozen=True, slots=True)
class Versions:
    """What runs where."""

    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """Ask the machines anew what they run and where it came from."""

    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Draft an upgrade to this version."""

    target: Target
    cluster: str | None = None
    accept: tuple[str, ...] = ()  # what the person consents to; read by policies.consents
    without: tuple[str, ...] = ()  # workers to leave out; read by policies.left_out


@dataclass(frozen=True, slots=True)
class Status:
    """What is proposed and what runs."""

    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop after the nodes in hand."""

    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with what was paused or blocked."""

    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Finish the nodes in hand, then end."""

    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Begin a new attempt on one blocked node, or on all of them."""

    words: tuple[str, ...] = ()  # `[node] [cluster]`: which is which is seen against the settings


@dataclass(frozen=True, slots=True)
class Skip:
    """Go on without one worker."""

    words: tuple[str, ...]  # `node [cluster]`


@dataclass(frozen=True, slots=True)
class Extend:
    """Give the drain of one node more time."""

    node: str
    minutes: int
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class IgnoreAlert:
    """Let a run go on in spite of an alert that keeps it."""

    alert: str
    minutes: int
    words: tuple[str, ...]  # `[cluster] reason …`


@dataclass(frozen=True, slots=True)
class ForceDelete:
    """Have one pod deleted that holds up a drain."""

    pod: str  # namespace/name
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Rollback:
    """Draft a plan that puts the kubelets of workers back to what they ran before."""

    words: tuple[str, ...]  # `worker … [cluster]`


@dataclass(frozen=True, slots=True)
class Export:
    """A plan as a file in its thread."""

    plan: str = ""  # p-…; "" for the newest one of the channel
    form: ExportForm = ExportForm.MARKDOWN


@dataclass(frozen=True, slots=True)
class DryRun:
    """Have the API server judge every eviction of a plan now."""

    plan: str = ""  # p-…; "" for the newest one of the channel


Command = (
    Help
    | Versions
    | Survey
    | Plan
    | Rollback
    | Export
    | DryRun
    | Status
    | Pause
    | Resume
    | Cancel
    | Retry
    | Skip
    | Extend
    | IgnoreAlert
    | ForceDelete
)
