"""Which firing alerts keep a run from beginning a node, and how that is said."""

from datetime import UTC, datetime

import pytest

from cluster.alerts import Alert
from cluster.findings import Severity
from cluster.inventory import Alerts
from cluster.report import Unread
from policies.alerts import check_alerts

AT = datetime(2026, 10, 14, 13, 20, tzinfo=UTC)


def config(**changes):
    return Alerts(prometheus="https://prometheus.example.org", **changes)


def alert(name="KubeAPIDown", since=AT, summary="", **labels):
    return Alert(name, tuple(sorted(labels.items())), since, summary)


def codes(*alerts, in_hand=frozenset(), **changes):
    return [f.subject for f in check_alerts("prod", config(**changes), alerts, in_hand)]


@pytest.mark.parametrize("name", ["Watchdog", "InfoInhibitor", "KubeVersionMismatch"])
def test_what_fires_where_all_is_well_keeps_nobody(name):
    """The last one fires during every upgrade; whoever sets `ignore` says all of it."""
    assert codes(alert(name)) == []
    assert codes(alert(name), ignore=("Watch.*",)) == ([] if name == "Watchdog" else [name])


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, ["KubeAPIDown", "DiskSlow"]),
        ({"severity": "critical"}, ["KubeAPIDown"]),
        ({"severity": "critical|warning"}, ["KubeAPIDown", "DiskSlow"]),
        ({"severity": "crit"}, []),
        ({"severity": "critical", "cluster": "prod"}, []),
        ({"cluster": "|prod"}, ["KubeAPIDown", "DiskSlow"]),
    ],
)
def test_only_alerts_whose_labels_match_as_a_whole_count(match, expected):
    """A label that is missing is empty."""
    assert codes(alert(severity="critical"), alert("DiskSlow", severity="warning"), match=match) == expected


def test_an_alert_of_a_node_in_hand_is_of_our_own_making():
    """The same alert of another node is not."""
    ours, foreign = alert("KubeNodeNotReady", node="w1"), alert("KubeNodeNotReady", node="w2")
    assert codes(ours, in_hand=frozenset({"w1"})) == []
    assert codes(ours, foreign, in_hand=frozenset({"w1"})) == ["KubeNodeNotReady"]
    assert codes(alert("KubeNodeNotReady", host="w1"), in_hand=frozenset({"w1"}), node_label="host") == []


def test_alerts_of_one_name_are_said_once_with_the_first_of_them():
    """How often, how bad, since when, and in its own words."""
    later = alert(since=AT.replace(hour=15), severity="critical")
    (finding,) = check_alerts(
        "prod", config(), (later, alert(since=None), alert(severity="critical", summary="The API is down."))
    )
    told = "The alert KubeAPIDown (critical, 3 times) fires in prod since 2026-10-14 13:20 UTC: The API is down."
    assert (finding.code, finding.severity, finding.sentence) == ("alert-firing", Severity.BLOCKER, told)
    assert finding.remedy == "A run waits, and goes on by itself when it has been gone for 5 minutes."
    assert check_alerts("prod", config(), (alert(since=None),))[0].sentence == "The alert KubeAPIDown fires in prod."


@pytest.mark.parametrize(("unreachable", "severity"), [("halt", Severity.BLOCKER), ("go-on", Severity.NOTE)])
def test_an_unreachable_monitoring_is_said_and_the_configuration_decides(unreachable, severity):
    """It is never taken for calm without a word."""
    (finding,) = check_alerts("prod", config(unreachable=unreachable), Unread("alerts", "It is away."))
    assert (finding.code, finding.severity) == ("alerts-unread", severity)
    assert finding.sentence == "Whether an alert fires in prod is not known: It is away."


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "exactly one"),
        ({"prometheus": "https://a.example", "alertmanager": "https://b.example"}, "exactly one"),
        ({"prometheus": "prometheus:9090"}, "must be an address"),
        ({"prometheus": "https://user:word@a.example"}, "must be an address"),
        ({"prometheus": "https://a.example?x=1"}, "must be an address"),
        ({"prometheus": "http://a.example", "token": {"env": "TOKEN"}}, "needs an address with https"),
        ({"prometheus": "http://a.example", "ignore": ["("]}, "regular expression"),
    ],
)
def test_a_monitoring_that_could_not_be_asked_is_refused(wrong, words):
    """Before any run; a token is sent over TLS only, or on this host."""
    with pytest.raises(ValueError, match=words):
        Alerts.model_validate(wrong)
    assert Alerts.model_validate({"prometheus": "http://127.0.0.1:9090", "token": {"env": "TOKEN"}}).calm == 300
