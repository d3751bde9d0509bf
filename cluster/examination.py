"""What matters before an upgrade and is no version: read for a plan, not at each look of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cluster.admission import UnavailableApi, Webhook
from cluster.declarations import Declarations
from cluster.deprecation import COUNTS, DeprecatedUse
from cluster.dns import DnsDeployment
from cluster.neighbours import Signs
from cluster.report import Unread
from cluster.survey import ApiUse
from cluster.workloads import Workloads


@dataclass(frozen=True)
class Examination:
    """One cluster's obstacles, read at `read_at` (UTC); "could not be read" is a value, never "clean"."""

    cluster: str
    read_at: datetime
    unread: tuple[Unread, ...] = ()
    workloads: Workloads = field(default_factory=Workloads)  # says itself what of it is unread
    webhooks: tuple[Webhook, ...] = ()  # those that fail closed and are asked about an upgrade's writes
    unavailable: tuple[UnavailableApi, ...] = ()
    deprecated: tuple[DeprecatedUse, ...] = ()
    dns: tuple[DnsDeployment, ...] | None = None  # None where it was not read
    dns_plugins: tuple[str, ...] = ()  # that its Corefile names
    signs: Signs = field(default_factory=Signs)  # of other tools that look after the same machines
    declared: Declarations = field(default_factory=Declarations)

    @property
    def api_use(self) -> ApiUse:
        """What is kept of it for later reports."""
        return ApiUse(self.read_at, self.deprecated, tuple(u for u in self.unread if u.what.startswith(COUNTS)))
