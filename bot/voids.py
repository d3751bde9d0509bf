"""Plans that wait, held against what was seen last: by whoever looks at the cluster, and once more at the approval."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cluster.errors import StaleMove
from cluster.plan import PlanRecord
from cluster.report import ClusterReport
from cluster.store import Store
from policies.voiding import in_words, sight, tell_void, void_reasons


def notice(store: Store, report: ClusterReport, now: datetime) -> None:
    """A report was read: a plan of this cluster that it has overtaken becomes void."""
    waiting = [r for r in store.open_plans() if r.plan.cluster == report.cluster]
    if not waiting:
        return
    identity = report.identity and replace(report.identity, ca_hash="")  # our way in may be another than the workers'
    seen = sight(replace(report, identity=identity))
    store.save_sighting(seen)
    for record in waiting:
        _void(store, record, void_reasons(record, seen, None), now)


def check_still_fits(store: Store, record: PlanRecord, now: datetime) -> None:
    """Raises StaleMove for a plan that what was stored last has overtaken, and voids it; no cluster is waited for."""
    cluster = record.plan.cluster
    reasons = void_reasons(record, store.sighting(cluster), store.survey(cluster))
    if reasons:
        raise StaleMove(_void(store, record, reasons, now))


def _void(store: Store, record: PlanRecord, reasons: tuple[str, ...], now: datetime) -> str:
    if not reasons:
        return ""
    event = tell_void(record, reasons, now)
    store.void(record.id, in_words(reasons), now, event)
    return event.sentence
