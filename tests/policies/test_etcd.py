"""What the members of etcd told, judged: alarms, learners, a quorum in danger, sizes."""

from dataclasses import replace

import pytest

from cluster.etcd import EtcdAlarm, EtcdFacts, EtcdMember
from cluster.findings import Severity
from cluster.report import Unread
from cluster.survey import SurveyedMachine
from policies.etcd import check_etcd
from tests.policies_fixture import FACTS, MASTERS, codes, draft, make_report, make_survey

MEMBERS = tuple(EtcdMember(str(n), name, client_urls=(f"https://{name}:2379",)) for n, name in enumerate(MASTERS, 1))
SOUND = EtcdFacts("1", "3.6.5", has_leader=True, leader="2", size_bytes=1 << 20, members=MEMBERS, alarms=())
NO_LEADER = {"has_leader": False, "leader": None, "errors": ("etcdserver: no leader",), "members": None}
SILENT = Unread("etcd-status", "context deadline exceeded")


def survey_of(changes=None, *, masters=MASTERS, **everywhere):
    """`changes` are those of the etcd facts by node; an Unread is a member that did not answer."""
    facts = {}
    for number, node in enumerate(masters, 1):
        change = (changes or {}).get(node, {})
        plain = replace(FACTS, control_plane=True)
        if isinstance(change, Unread):
            facts[node] = replace(plain, unread=(change,))
        else:
            facts[node] = replace(plain, etcd=replace(SOUND, ident=str(number), **{**everywhere, **change}))
    return make_survey(facts=facts, masters=masters)


def found(survey, report=None):
    return check_etcd(report or make_report(), survey)


def with_etcd_pod(node, *, ready):
    report = make_report()
    pods = (replace(p, ready=ready) if (p.node, p.component) == (node, "etcd") else p for p in report.static_pods)
    return replace(report, static_pods=tuple(pods))


def test_three_sound_members_give_no_finding():
    """Nor does a machine with an older node script, which told nothing of etcd and said so."""
    assert found(survey_of()) == ()
    assert found(make_survey()) == ()


LEARNER = (*MEMBERS, EtcdMember("9", "", learner=True))
GONE = (*MEMBERS, EtcdMember("9", "cp9", client_urls=("https://10.0.0.9:2379",)))
UNSTARTED = (*MEMBERS, EtcdMember("9", ""))


@pytest.mark.parametrize(
    ("changes", "everywhere", "expected"),
    [
        ({}, {"alarms": (EtcdAlarm("2", "NOSPACE"),)}, {"etcd-alarm": "blocker"}),
        ({"cp1": {"errors": ("alarm:CORRUPT",), "alarms": None}}, {}, {"etcd-alarm": "blocker"}),
        ({}, {"members": LEARNER}, {"etcd-learner": "blocker"}),
        ({"cp1": NO_LEADER}, {}, {"etcd-member-unhealthy": "warning", "etcd-quorum-at-risk": "blocker"}),
        ({}, {"members": UNSTARTED}, {"etcd-member-unhealthy": "warning", "etcd-quorum-at-risk": "blocker"}),
        ({}, {"members": GONE}, {"etcd-member-unhealthy": "warning", "etcd-quorum-at-risk": "blocker"}),
        ({"cp3": SILENT}, {}, {"etcd-unread": "warning"}),
        ({"cp3": {"version": "3.5.24"}}, {}, {"etcd-versions-differ": "warning"}),
        ({"cp2": {"size_bytes": 1800 << 20}}, {}, {"etcd-database-large": "warning"}),
        ({"cp2": {"size_bytes": 1600 << 20}}, {}, {}),
        ({"cp2": {"raft_behind": 5000}}, {}, {"etcd-lagging": "warning"}),
        ({"cp2": {"raft_behind": 3}}, {}, {}),
    ],
)
def test_what_a_member_tells_weighs_what_it_should(changes, everywhere, expected):
    """A blocker where the upgrade would stop etcd or cannot write; warnings for what wants a look."""
    findings = found(survey_of(changes, **everywhere))
    assert {f.code: f.severity.value for f in findings} == expected


def test_a_member_without_an_answer_is_ill_only_when_its_pod_says_so_too():
    """A slow machine is no dead member: no blocker by that alone."""
    assert codes(found(survey_of({"cp3": SILENT}), with_etcd_pod("cp3", ready=True))) == ["etcd-unread"]
    dead = found(survey_of({"cp3": SILENT}), with_etcd_pod("cp3", ready=False))
    assert codes(dead) == ["etcd-member-unhealthy", "etcd-quorum-at-risk", "etcd-unread"]


def test_five_members_may_lose_one_beside_the_one_that_is_replaced():
    """The quorum of five is three."""
    masters = ("cp1", "cp2", "cp3", "cp4", "cp5")
    members = tuple(EtcdMember(str(n), name) for n, name in enumerate(masters, 1))
    survey = survey_of({"cp1": NO_LEADER}, masters=masters, members=members)
    findings = check_etcd(make_report(dict.fromkeys(masters, "v1.34.7"), masters=masters), survey)
    assert [(f.code, f.severity) for f in findings] == [("etcd-member-unhealthy", Severity.WARNING)]


def test_one_member_alone_is_never_short_of_a_quorum_that_it_cannot_have():
    """With a single control plane the API is away for a while in any case."""
    report = make_report({"cp1": "v1.34.7"}, masters=("cp1",))
    survey = survey_of(masters=("cp1",), members=MEMBERS[:1])
    assert check_etcd(report, survey) == ()


def test_a_member_is_at_home_by_name_or_by_address():
    """A node may have another name than its member."""
    renamed = (*MEMBERS[:2], EtcdMember("3", "old-name", client_urls=("https://10.0.0.3:2379",)))
    report = make_report()
    nodes = tuple(replace(n, address="10.0.0.3") if n.name == "cp3" else n for n in report.nodes)
    assert found(survey_of(members=renamed), replace(report, nodes=nodes)) == ()
    assert "etcd-member-unhealthy" in codes(found(survey_of(members=renamed)))


def test_who_raised_an_alarm_is_named():
    """By the node that runs the member."""
    (finding,) = found(survey_of(alarms=(EtcdAlarm("2", "NOSPACE"),)))
    assert "NOSPACE, raised by its member cp2" in finding.sentence


def test_a_plan_is_blocked_by_etcd_and_says_why():
    """The rule is asked before every upgrade."""
    blocked = draft(survey=survey_of(members=LEARNER))
    assert "etcd-learner" in codes(blocked.findings)


def test_a_member_whose_node_and_machine_are_both_away_counts_as_lost():
    """Its pod still shows as ready, as nobody is left there to say otherwise; a silent machine alone proves nothing."""
    machine = SurveyedMachine("cp3", Unread("machine cp3", "it does not answer"))
    seen = survey_of(masters=("cp1", "cp2"))
    survey = replace(seen, machines=(*(m for m in seen.machines if m.name != "cp3"), machine))
    report = make_report()
    away = replace(report, nodes=tuple(replace(n, ready=n.name != "cp3") for n in report.nodes))
    assert found(survey, report) == ()
    assert codes(found(survey, away)) == ["etcd-member-unhealthy", "etcd-quorum-at-risk"]
