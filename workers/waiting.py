"""Plans that wait for their approval, held against what was just seen of their cluster."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from cluster.events import Event
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.plan import PlanRecord
from cluster.sighting import Sighting
from cluster.store import Decided
from policies.drafting import recheck
from policies.voiding import blocked_since, in_words, sight, tell_void, void_reasons


class Waiting(Protocol):
    """What this needs of cluster.store.Store."""

    def open_plans(self) -> tuple[PlanRecord, ...]: ...
    def save_sighting(self, sighting: Sighting) -> None: ...
    def void(self, plan_id: str, reason: str, now: datetime, event: Event) -> Decided: ...


def judge_waiting(store: Waiting, seen: Observation, cluster: Cluster, now: datetime) -> None:
    """Void each plan of this cluster that cannot be carried out any more, and keep what was seen for later clicks."""
    sighting = sight(seen.report)
    store.save_sighting(sighting)
    for record in store.open_plans():
        if record.plan.cluster != seen.report.cluster:
            continue
        reasons = void_reasons(record, sighting, seen.survey) or _new_blockers(record, seen, cluster)
        if reasons:
            store.void(record.id, in_words(reasons), now, tell_void(record, reasons, now))


def _new_blockers(record: PlanRecord, seen: Observation, cluster: Cluster) -> tuple[str, ...]:
    plan = record.plan
    known = {n.name for n in (*plan.nodes, *plan.left_out)}
    joined = frozenset(n.name for n in seen.report.nodes if n.name not in known)
    return blocked_since(record, recheck(plan, seen, cluster), joined)
