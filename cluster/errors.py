"""
Our errors; the text of each is one sentence fit for a person: what, where, what to do next.

* LockkeeperError            anything we raise on purpose
  x InvalidVersion           the text is not a version that we read
  x InvalidConfig            lockkeeper.yaml has mistakes (all of them are listed)
  x InvalidData              a file of facts that comes with the package has mistakes (all of them are listed)
  x UnknownThing             no cluster, plan, operation or node of that name
  x Refused                  a policy said no; carries its findings
  x ClusterUnreadable        the Kubernetes API could not be reached or read
    + KubeDenied             it answered, with an error status
    + AnswerCutOff           it began to answer, and did not come to the end
  x AlertsUnreadable         Prometheus or the Alertmanager could not be reached or read
  x StoreUnavailable         Redis cannot be reached, or refuses to write
  x RecordUnreadable         what stands there was written by another release, or by somebody else
  x Fenced                   another driver took the operation over; this one must stop
  x StaleMove                the record moved on since it was read
  x MachineUnreachable       no SSH session to a machine (subclasses: workers/ssh.py)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.findings import Finding


class LockkeeperError(Exception):
    """Anything that we raise on purpose."""


class InvalidVersion(LockkeeperError):  # noqa: N818 - the tree above reads as facts
    """The text is not a version that we read."""


class InvalidConfig(LockkeeperError):  # noqa: N818 - as above
    """lockkeeper.yaml has mistakes; the text lists every one with its path."""


class InvalidData(LockkeeperError):  # noqa: N818 - as above
    """A file of policies/data has mistakes; the text lists every one with its place."""


class UnknownThing(LockkeeperError):  # noqa: N818 - as above
    """No cluster, plan, operation or node of that name."""


class Refused(LockkeeperError):  # noqa: N818 - as above
    """A policy said no; `findings` say why."""

    def __init__(self, text: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(text)
        self.findings = findings


class ClusterUnreadable(LockkeeperError):  # noqa: N818 - as above
    """The Kubernetes API could not be reached or read."""


class AnswerCutOff(ClusterUnreadable):
    """It began to answer, or took the question, and did not come to the end: nothing says that it would again."""


class KubeDenied(ClusterUnreadable):
    """The API answered with an error; `status` is HTTP's, `body` the Status object (empty if it sent none)."""

    def __init__(self, text: str, *, status: int, body: dict[str, object], retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.body = body
        self.retry_after = retry_after  # seconds, from the header; None when the server named none


class AlertsUnreadable(LockkeeperError):  # noqa: N818 - as above
    """Prometheus or the Alertmanager could not be reached or read."""


class StoreUnavailable(LockkeeperError):  # noqa: N818 - as above
    """Redis cannot be reached, or refuses to write."""


class RecordUnreadable(LockkeeperError, ValueError):  # noqa: N818 - as above
    """A record was written by another release, in a way that this one does not know, or by somebody else."""


class Fenced(LockkeeperError):  # noqa: N818 - as above
    """Another driver took the operation over; this one must stop."""


class StaleMove(LockkeeperError):  # noqa: N818 - as above
    """The record moved on since it was read."""


class MachineUnreachable(LockkeeperError):  # noqa: N818 - as above
    """No SSH session to a machine; its text says which, and why."""
