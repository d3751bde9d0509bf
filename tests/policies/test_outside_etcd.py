"""An etcd that kubeadm did not make, judged by what the control planes were told by its endpoints."""

from dataclasses import replace

import pytest

from cluster.etcd import EtcdAlarm, EtcdEndpoint, EtcdFacts, EtcdMember
from cluster.report import Unread
from policies.etcd import check_etcd
from policies.outside_etcd import describe_outside
from tests.policies_fixture import FACTS, MASTERS, draft, make_report, make_survey

PLACES = ("10.0.0.5:2379", "10.0.0.6:2379", "10.0.0.7:2379")
MEMBERS = tuple(EtcdMember(str(n), f"infra{n}", client_urls=(f"https://{p}",)) for n, p in enumerate(PLACES, 1))
SOUND = EtcdFacts(
    "1", "3.5.24", has_leader=True, leader="2", size_bytes=3 << 30, quota_bytes=0, members=MEMBERS, alarms=()
)
NO_LEADER = {"has_leader": False, "leader": None, "errors": ("etcdserver: no leader",)}
AWAY = Unread("outside-etcd", "context deadline exceeded")
REPORT = replace(make_report(), static_pods=tuple(p for p in make_report().static_pods if p.component != "etcd"))


def survey_of(*changes, asked_by=MASTERS, unread=()):
    """One change for each endpoint: of its facts, or an Unread; `unread` machines were answered by none of them."""
    told = tuple(
        EtcdEndpoint(f"https://{place}", change if isinstance(change, Unread) else _facts(number, change))
        for number, (place, change) in enumerate(zip(PLACES, changes, strict=False), 1)
    )
    silent = tuple(EtcdEndpoint(e.url, AWAY) for e in told)
    machines = {n: replace(FACTS, control_plane=True, outside_etcd=told) for n in asked_by}
    machines |= {n: replace(FACTS, control_plane=True, outside_etcd=silent) for n in unread}
    return make_survey(facts=machines)


def _facts(number, change):
    return replace(SOUND, ident=str(number), **change)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (({}, {}, {}), {}),
        (({"alarms": (EtcdAlarm("2", "NOSPACE"),)}, {}, {}), {"etcd-alarm": "blocker"}),
        (({"errors": ("memberID:2 alarm:CORRUPT",), "alarms": None},), {"etcd-alarm": "blocker"}),
        ((NO_LEADER, {}, {}), {"etcd-member-unhealthy": "warning"}),
        (({}, AWAY, {}), {"etcd-unread": "warning"}),
        ((AWAY, AWAY, AWAY), {"etcd-unread": "warning"}),
        (({}, {"version": "3.5.9"}, {}), {"etcd-versions-differ": "warning"}),
        (({"members": (*MEMBERS, EtcdMember("9", "", learner=True))}, {}, {}), {"etcd-learner": "warning"}),
        (({"quota_bytes": 3 << 30}, {}, {}), {"etcd-database-large": "warning"}),
        (({"raft_behind": 5000}, {}, {}), {"etcd-lagging": "warning"}),
    ],
)
def test_a_member_elsewhere_weighs_by_what_it_does_to_the_upgrade(changes, expected):
    """Nothing is taken from it, so that only an alarm stops; a size without a known quota says nothing."""
    assert {f.code: f.severity.value for f in check_etcd(REPORT, survey_of(*changes))} == expected


def test_a_control_plane_that_is_not_answered_is_named_though_others_are():
    """Its API server asks by the same address."""
    found = check_etcd(REPORT, survey_of({}, {}, {}, asked_by=("cp1", "cp2"), unread=("cp3",)))
    assert {f.subject for f in found} == set(PLACES)
    assert all("by cp3, and others are answered: context deadline" in f.sentence for f in found)


def test_it_is_described_in_one_line():
    """As a plan says it."""
    described = describe_outside(REPORT, survey_of({}, {"version": "3.5.9", "size_bytes": 4 << 30}, {}))
    assert described == "3.5.24 and 3.5.9, 3 members, leader 10.0.0.6:2379, at most 4096 MiB, no alarm"
    assert describe_outside(REPORT, survey_of(AWAY)) == ""
    bare = describe_outside(REPORT, survey_of({"members": None, "alarms": None, "leader": None}))
    assert bare == "3.5.24, members unknown, no leader, at most 3072 MiB, alarms unknown"


def test_a_plan_is_blocked_by_an_alarm_of_an_etcd_elsewhere():
    """It would write to it."""
    drafted = draft(report=REPORT, survey=survey_of({"alarms": (EtcdAlarm("1", "NOSPACE"),)}, {}, {}))
    assert "etcd-alarm" in {f.code for f in drafted.findings}
