"""Whether firing alerts forbid to begin a node: those that are looked for, without those of our own work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from cluster.alerts import Alert
from cluster.findings import Finding, Findings, Severity
from cluster.inventory import Alerts
from cluster.operation import Operation
from cluster.report import Unread
from policies.wording import count_of

_GOES_ON = "A run waits, and goes on by itself"


def check_alerts(
    cluster: str,
    config: Alerts,
    seen: tuple[Alert, ...] | Unread,
    in_hand: frozenset[str] = frozenset(),
    spared: frozenset[str] = frozenset(),
) -> Findings:
    """
    One blocker for each name that fires; an unreachable monitoring blocks or is noted, as is configured.

    What an alert says of a node in hand is expected: it is away by our own doing. Those `spared` keep nobody.
    """
    if isinstance(seen, Unread):
        halts = config.unreachable == "halt"
        sentence = f"Whether an alert fires in {cluster} is not known: {seen.reason}"
        remedy = f"{_GOES_ON} when it answers; `alerts.unreachable: go-on` would not wait for it." if halts else ""
        return (Finding("alerts-unread", Severity.BLOCKER if halts else Severity.NOTE, cluster, sentence, remedy),)
    told: dict[str, list[Alert]] = {}
    for alert in seen:
        if alert.name not in spared and _counts(alert, config, in_hand):
            told.setdefault(alert.name, []).append(alert)
    return tuple(_findings(cluster, told, config))


def spared_now(operation: Operation, now: datetime) -> frozenset[str]:
    """The alerts in spite of which it goes on at this moment."""
    return frozenset(s.alert for s in operation.spared if now < s.until)


def _counts(alert: Alert, config: Alerts, in_hand: frozenset[str]) -> bool:
    labels = dict(alert.labels)
    if labels.get(config.node_label) in in_hand or any(re.fullmatch(p, alert.name) for p in config.ignore):
        return False
    return all(re.fullmatch(pattern, labels.get(label, "")) for label, pattern in config.match.items())


def _findings(cluster: str, told: dict[str, list[Alert]], config: Alerts) -> Iterator[Finding]:
    for name, alerts in told.items():
        first = min(alerts, key=lambda a: (a.since is None, a.since and a.since.timestamp()))
        severity = dict(first.labels).get("severity", "")
        parts = [severity] if severity else []
        parts += [count_of(len(alerts), "time")] if len(alerts) > 1 else []
        named = f"{name} ({', '.join(parts)})" if parts else name
        summary = f": {first.summary.rstrip('.')}" if first.summary else ""
        sentence = f"The alert {named} fires in {cluster}{_since(first.since)}{summary}."
        remedy = f"{_GOES_ON} when it has been gone for {count_of(-(-config.calm // 60), 'minute')}."
        yield Finding("alert-firing", Severity.BLOCKER, name, sentence, remedy)


def _since(moment: datetime | None) -> str:
    return f" since {moment:%Y-%m-%d %H:%M} UTC" if moment else ""
