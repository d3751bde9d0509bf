"""What fires is asked of a real server, in the shapes that Prometheus and the Alertmanager document."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.alerts import Alert
from cluster.errors import AlertsUnreadable, LockkeeperError
from cluster.inventory import Alerts
from cluster.report import Unread
from lab.pki import Authority, server_context
from policies.alerts import check_alerts
from tests.engine_fixture import settings
from tests.monitoring_fixture import LabMonitoring, lab_monitoring
from workers.doctor import try_alerts
from workers.monitoring import Monitoring

AT = datetime(2026, 10, 14, 13, 20, 5, 123456, tzinfo=UTC)
DOWN = {"alertname": "KubeAPIDown", "severity": "critical"}


@pytest.fixture
def lab() -> Iterator[LabMonitoring]:
    """One that answers over plain HTTP."""
    with lab_monitoring() as made:
        yield made


def firing(config: dict[str, Any]) -> tuple[Alert, ...]:
    return Monitoring(Alerts.model_validate(config)).firing()


def test_prometheus_tells_what_fires_and_what_is_only_pending(lab: LabMonitoring) -> None:
    """Only what fires counts, with its labels, its words and since when."""
    lab.alerts = [DOWN, {"alertname": "Soon", "state": "pending"}]
    for address in (f"{lab.url}/", f"{lab.url}/prom/"):
        found = firing({"prometheus": address})
        assert found == (Alert("KubeAPIDown", tuple(sorted(DOWN.items())), AT, "KubeAPIDown is told."),)
    assert [path for path, _ in lab.asked] == ["/api/v1/alerts", "/prom/api/v1/alerts"]


def test_an_alertmanager_is_asked_for_what_is_neither_silenced_nor_inhibited(lab: LabMonitoring) -> None:
    """And one that answers more is not believed."""
    lab.alerts = [DOWN, {"alertname": "Quiet", "state": "suppressed"}, {"alertname": "New", "state": "unprocessed"}]
    assert [a.name for a in firing({"alertmanager": lab.url})] == ["KubeAPIDown", "New"]
    assert lab.asked == [("/api/v2/alerts?active=true&silenced=false&inhibited=false&unprocessed=true", "")]


def test_what_fires_keeps_a_run_and_so_does_a_monitoring_that_is_away(lab: LabMonitoring) -> None:
    """As the policy judges what was read."""
    lab.alerts = [DOWN]
    config = Alerts.model_validate({"prometheus": lab.url})
    (fires,) = check_alerts("prod", config, Monitoring(config).firing())
    assert (fires.code, fires.subject) == ("alert-firing", "KubeAPIDown")
    lab.status = 503
    with pytest.raises(AlertsUnreadable) as away:
        Monitoring(config).firing()
    (unread,) = check_alerts("prod", config, Unread("alerts", str(away.value)))
    assert unread.code == "alerts-unread"


def test_a_token_is_read_anew_for_each_question(lab: LabMonitoring, tmp_path: Path) -> None:
    """A file that is rotated while a run goes on is followed."""
    (tmp_path / "token").write_text("one")
    monitoring = Monitoring(Alerts.model_validate({"prometheus": lab.url, "token": {"file": tmp_path / "token"}}))
    monitoring.firing()
    (tmp_path / "token").write_text("two\n")
    monitoring.firing()
    assert [token for _, token in lab.asked] == ["one", "two"]


@pytest.mark.parametrize(
    ("status", "raw", "words"),
    [
        (403, b"you shall not", "answered with 403 (you shall not)"),
        (302, b"", "answered with 302 (no reason)"),
        (200, b"<html>", "did not answer with JSON"),
        (200, b"", "something else than a list of alerts"),
        (200, b"[1]", "something else than a list of alerts"),
        (200, b'{"status":"error","error":"gone"}', "something else than a list of alerts"),
    ],
)
def test_an_answer_that_is_not_understood_is_none(lab: LabMonitoring, status: int, raw: bytes, words: str) -> None:
    """Never an empty list: that would read as calm."""
    lab.status, lab.raw = status, raw
    for kind in ("prometheus", "alertmanager"):
        with pytest.raises(AlertsUnreadable) as caught:
            firing({kind: lab.url})
        assert words in str(caught.value)


def test_who_cannot_be_reached_is_said_with_the_reason(lab: LabMonitoring) -> None:
    """A closed port, and an answer that drips for ever."""
    with pytest.raises(AlertsUnreadable, match=r"Prometheus at http://127.0.0.1:9 cannot be reached \(.*refused"):
        firing({"prometheus": "http://127.0.0.1:9"})
    lab.drips = True
    with pytest.raises(AlertsUnreadable, match=r"cannot be reached \(no answer in time\): check it"):
        Monitoring(Alerts(alertmanager=lab.url), patience=0.2).firing()


def test_tls_is_checked_against_the_configured_authority(tmp_path: Path) -> None:
    """One that this system does not trust gets no token."""
    authority = Authority("monitoring")
    tls = server_context(authority, authority.serve(("127.0.0.1",)), tmp_path)
    tls.verify_mode = ssl.CERT_NONE
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    (tmp_path / "token").write_text("secret")
    with lab_monitoring(tls) as lab:
        config = {"prometheus": lab.url, "token": {"file": tmp_path / "token"}}
        assert firing(config | {"ca_file": tmp_path / "ca.pem"}) == ()
        for wrong in ({}, {"ca_file": tmp_path / "nowhere.pem"}):
            with pytest.raises(LockkeeperError, match="Prometheus at https"):
                firing(config | wrong)
        assert len(lab.asked) == 1


def test_the_doctor_says_whether_alerts_can_be_read_and_what_a_run_would_wait_for(lab: LabMonitoring) -> None:
    """Where no monitoring is configured it says nothing."""
    place = settings().clusters["prod"]
    assert tuple(try_alerts("prod", place)) == ()
    place = place.model_copy(update={"alerts": Alerts(prometheus=lab.url)})
    lab.alerts = [{"alertname": "Watchdog"}, DOWN]
    (finding,) = try_alerts("prod", place)
    assert finding.code == "alerts-readable"
    assert finding.sentence.endswith("2 alerts now; a run would wait for KubeAPIDown.")
    lab.alerts = []
    assert next(try_alerts("prod", place)).sentence.endswith("0 alerts now, and no run would wait.")
    lab.status = 500
    assert [f.code for f in try_alerts("prod", place)] == ["alerts-unreadable"]
