"""What fires now, asked of Prometheus or an Alertmanager; an answer that is not understood is none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import urllib3

from cluster.alerts import Alert
from cluster.deadlines import DeadlinePool, PlainDeadlinePool
from cluster.errors import AlertsUnreadable
from cluster.inventory import Alerts

_CONNECT, _ANSWER = 3.0, 10.0  # seconds; the second bounds the whole answer
_LARGEST = 32 * 1024 * 1024  # bytes; thousands of alerts are some megabytes
_FIRING = frozenset({"active", "unprocessed"})  # of an Alertmanager; the others are silenced or inhibited


class Monitoring:
    """One Prometheus or Alertmanager; its token is read anew for each question."""

    def __init__(self, config: Alerts, *, patience: float = _ANSWER) -> None:
        self._config = config
        self._patience = patience
        self._pool = urllib3.PoolManager(ca_certs=str(config.ca_file) if config.ca_file else None)
        self._pool.pool_classes_by_scheme = {"http": PlainDeadlinePool, "https": DeadlinePool}

    def firing(self) -> tuple[Alert, ...]:
        """Raises AlertsUnreadable, with a sentence that says where and why."""
        if self._config.prometheus:
            return tuple(_of_prometheus(self.ask("GET", "/api/v1/alerts")))
        query = "active=true&silenced=false&inhibited=false&unprocessed=true"
        return tuple(_of_alertmanager(self.ask("GET", f"/api/v2/alerts?{query}")))

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer as JSON, None for an empty one; the whole exchange has one deadline."""
        token = self._config.token.read() if self._config.token else ""
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            response = self._pool.request(
                method,
                f"{self._config.address}{path}",
                headers=headers,
                json=body,
                timeout=urllib3.Timeout(connect=_CONNECT, read=self._patience),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            data = response.read(_LARGEST + 1)
            response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise AlertsUnreadable(f"{self._where} cannot be reached ({_reason(error)}): check it.") from error
        if response.status not in {200, 202, 204}:
            said = " ".join(data[:200].decode(errors="replace").split())
            raise AlertsUnreadable(f"{self._where} answered with {response.status} ({said or 'no reason'}): check it.")
        try:
            return json.loads(data) if data.strip() else None
        except ValueError as error:
            raise AlertsUnreadable(f"{self._where} did not answer with JSON: check the address.") from error

    @property
    def _where(self) -> str:
        kind = "Prometheus" if self._config.prometheus else "The Alertmanager"
        return f"{kind} at {self._config.address}"


def _reason(error: Exception) -> str:
    """Of a chain of wrappings only the last words say what happened."""
    if isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError)) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    ):
        return "no answer in time"
    return str(error).rpartition(": ")[2].strip("()'\" ") or type(error).__name__


def _of_prometheus(answer: Any) -> Iterator[Alert]:
    data = answer.get("data") if isinstance(answer, dict) and answer.get("status") == "success" else None
    found = data.get("alerts") if isinstance(data, dict) else None
    for alert in _listed(found, "Prometheus"):
        if alert.get("state") == "firing":
            yield _alert(alert, alert.get("activeAt"))


def _of_alertmanager(answer: Any) -> Iterator[Alert]:
    for alert in _listed(answer, "The Alertmanager"):
        status = alert.get("status")
        if isinstance(status, dict) and status.get("state") in _FIRING:
            yield _alert(alert, alert.get("startsAt"))


def _listed(found: Any, who: str) -> list[dict[str, Any]]:
    if not isinstance(found, list) or not all(isinstance(a, dict) for a in found):
        raise AlertsUnreadable(f"{who} answered with something else than a list of alerts: check the address.")
    return found


def _alert(found: dict[str, Any], since: object) -> Alert:
    labels, notes = _texts(found.get("labels")), _texts(found.get("annotations"))
    summary = notes.get("summary") or notes.get("message") or ""
    name = labels.get("alertname", "without a name")
    return Alert(name, tuple(sorted(labels.items())), moment_of(since), " ".join(summary.split())[:300])


def _texts(found: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def moment_of(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
