"""What the machines told, as lines of a report: packages and holds, where they come from, etcd, certificates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot import terminal
from bot.machine_rows import HEAD, machine_lines, machine_rows
from bot.report_rows import NODE_HEAD, node_lines
from bot.text import NOTHING
from cluster.certificates import Certificate
from cluster.etcd import EtcdAlarm, EtcdFacts, EtcdMember
from cluster.facts import MachineFacts, Package
from cluster.packages import OldSource, PackageOrigin, Pin
from cluster.report import Unread
from cluster.survey import Survey, SurveyedMachine
from policies.origins import Kind, MachineOrigin, origins_of
from tests.bot_fixture import overview
from tests.policies_fixture import FACTS, NOW, make_report, make_survey

HELD = ("kubeadm", "kubelet", "kubectl")
COMMUNITY = "https://pkgs.k8s.io/core:/stable:"
SOUND = replace(FACTS, certificates=(), held=HELD, sources=(replace(FACTS.sources[0], base=COMMUNITY),))
MIB = 1024 * 1024
ETCD = EtcdFacts("a", "3.6.5", has_leader=True)


def survey(**facts: MachineFacts | Unread) -> Survey:
    return Survey("prod", NOW, tuple(SurveyedMachine(name, told) for name, told in facts.items()))


def told(**facts: MachineFacts | Unread) -> list[tuple[str, str, str]]:
    return [(r.what, r.version, r.place) for r in machine_rows(survey(**facts))]


def test_machines_that_are_alike_are_one_line() -> None:
    """And the one that differs has its own."""
    loose = replace(SOUND, held=("kubelet",))
    assert told(w1=SOUND, w2=SOUND, w3=loose) == [
        ("packages", "1.34.7-1.1, on hold: all", "2: w1, w2"),
        ("packages", "1.34.7-1.1, on hold: kubelet", "w3"),
        ("package source", "community, v1.34", "3: w1, w2, w3"),
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"held": ()}, ("packages", "1.34.7-1.1, on hold: none", "w1")),
        ({"certificates": None}, ("certificates, first end", "not read", "w1")),
        ({"held": None}, ("packages", "1.34.7-1.1, on hold: not read", "w1")),
        (
            {"packages": (Package("kubeadm", "1.35.4-1.1", "hi"), Package("kubelet", "1.34.7-1.1", "iF"))},
            (
                "packages",
                "kubeadm 1.35.4-1.1, kubelet 1.34.7-1.1 (not whole), kubectl v1.34.7 (no package), on hold: all",
                "w1",
            ),
        ),
        (
            {"packages": (), "kubeadm": None, "kubelet": None, "kubectl": None},
            ("packages", "missing, on hold: all", "w1"),
        ),
        (
            {"origins": (PackageOrigin("kubelet", "(none)", ("http://archive.example/ubuntu",)),)},
            ("package source", "other http://archive.example/ubuntu, v1.34", "w1"),
        ),
        ({"sources": FACTS.sources}, ("package source", "mirror https://example.org, v1.34", "w1")),
        (
            {"sources": (), "old_sources": (OldSource("/etc/apt/a.list", "https://apt.kubernetes.io/"),)},
            ("package source", "frozen https://apt.kubernetes.io/", "w1"),
        ),
        ({"sources": ()}, ("package source", "unknown", "w1")),
        (
            {"pin_rules": (Pin("/etc/apt/preferences.d/k", ("kube*",), "version 1.34.*", 1001),)},
            ("package pin", "kube* to version 1.34.* with priority 1001 in /etc/apt/preferences.d/k", "w1"),
        ),
        ({"pins": ("/etc/apt/preferences.d/k",)}, ("package pin", "/etc/apt/preferences.d/k", "w1")),
        (
            {"certificates": (Certificate("admin.conf", NOW), Certificate("ca", NOW + timedelta(days=9)))},
            ("certificates, first end", str(NOW.date()), "w1"),
        ),
    ],
)
def test_a_machine_tells_its_packages_and_where_they_come_from(changes, line) -> None:
    """What is held, pinned and whole, the kind of its source, and the day on which the first certificate ends."""
    assert line in told(w1=replace(SOUND, **changes))


def test_a_machine_that_could_not_be_read_says_so() -> None:
    """Among the lines and in the table of machines."""
    silent = survey(w1=SOUND, w2=Unread("machine w2", "refused"))
    assert ("machine", "not read: refused", "w2") in told(w1=SOUND, w2=Unread("machine w2", "refused"))
    lines = list(machine_lines(silent))
    assert lines[1][:2] == ("w2", "not read: refused")
    assert {len(line) for line in lines} == {len(HEAD)}


def test_every_machine_has_its_line() -> None:
    """Each package by its own version, and what is on offer."""
    first, *_ = machine_lines(make_survey(facts={"cp1": SOUND}))
    offered = "1.34.9-1.1, 1.35.4-1.1, 1.36.2-1.1"
    assert first == ("cp1", *["1.34.7-1.1"] * 3, "all", "community, v1.34", NOTHING, offered)


def test_the_members_of_etcd_are_told_with_leader_and_size() -> None:
    """One that nobody could ask stands there too, and an alarm, which is everybody's."""
    members = (EtcdMember("a", "cp1"), EtcdMember("b", "cp2"), EtcdMember("c", "", learner=True))
    leader = EtcdFacts("a", "3.6.5", has_leader=True, is_leader=True, size_bytes=512 * MIB, members=members)
    lost = EtcdFacts(
        "b", "3.6.4", has_leader=False, errors=("etcdserver: no leader",), alarms=(EtcdAlarm("a", "NOSPACE"),)
    )
    assert told(cp1=replace(SOUND, etcd=leader), cp2=replace(SOUND, etcd=lost))[:4] == [
        ("etcd member", "3.6.5, leader, 512 MiB (25% of its quota), well", "cp1"),
        ("etcd member", "3.6.4, follower, 0 MiB (0% of its quota), not well: etcdserver: no leader", "cp2"),
        ("etcd member", "learner, told of by the others", "number c"),
        ("etcd alarm", "NOSPACE", NOTHING),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "3.6.5, follower, 0 MiB (0% of its quota), well"),
        ({"raft_behind": 1000}, "3.6.5, follower, 0 MiB (0% of its quota), well"),
        ({"raft_behind": 1001}, "3.6.5, follower, 0 MiB (0% of its quota), 1001 entries behind"),
        ({"size_bytes": 1800 * MIB}, "3.6.5, follower, 1800 MiB (88% of its quota)"),
        ({"has_leader": False}, "3.6.5, follower, 0 MiB (0% of its quota), not well: no leader"),
    ],
)
def test_a_member_is_called_well_only_where_nothing_is_said_against_it(changes, said) -> None:
    """One that is nearly full, or far behind, answers all the same."""
    assert ("etcd member", said, "cp1") in told(cp1=replace(SOUND, etcd=replace(ETCD, **changes)))


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((replace(ETCD, alarms=()), ETCD), "none"),
        ((ETCD, ETCD), "not read"),
        ((ETCD, replace(ETCD, errors=("alarm:NOSPACE",))), "NOSPACE"),
        ((replace(ETCD, alarms=(EtcdAlarm("a", "CORRUPT"),)), replace(ETCD, errors=("alarm:NOSPACE",))), "CORRUPT"),
    ],
)
def test_that_etcd_has_no_alarm_is_said_where_somebody_was_told_so(members, said) -> None:
    """Without etcdctl nobody lists them, and only an error of a member shows that there is one."""
    first, second = members
    rows = told(cp1=replace(SOUND, etcd=first), cp2=replace(SOUND, etcd=second))
    assert ("etcd alarm", said, NOTHING) in rows


def test_a_member_that_could_not_be_asked_is_not_left_out() -> None:
    """Its pod may be well all the same."""
    unread = (Unread("etcd-status", "no such file"), Unread("swap", "no such file"))
    assert ("etcd member", "not read: no such file", "cp1") in told(cp1=replace(SOUND, unread=unread))


def test_programs_get_the_kind_of_each_source() -> None:
    """Of the machines that could be read."""
    found = origins_of(survey(w1=SOUND, w2=Unread("machine w2", "refused")))
    assert found == (MachineOrigin("w1", Kind.COMMUNITY, COMMUNITY),)


def test_very_many_machines_are_listed_one_by_one_only_when_it_is_asked_for() -> None:
    """Those that differ are among the grouped lines all the same."""
    many = Survey("prod", NOW, tuple(SurveyedMachine(f"w{n}", SOUND) for n in range(301)))
    said = terminal.render_report(overview(survey=many))
    assert "301 machines were asked: list them one by one with --images" in said
    assert "301 nodes" in said
    assert "w300 " in terminal.render_report(overview(survey=many), images=True)


def test_every_node_has_its_line() -> None:
    """With its versions, and whatever is unusual of it; those of a large cluster when they are asked for."""
    made = make_report(kubelet={"cp1": "v1.34.7"})
    silent = replace(made.nodes[-1], kubelet=Unread("kubelet of w2", "odd"), ready=False, cordoned=True)
    first, *_, last = node_lines(
        replace(made, nodes=(replace(made.nodes[0], kernel="6.1.0"), *made.nodes[1:-1], silent))
    )
    assert first == ("cp1", "control plane", "Ready", "v1.34.7", NOTHING, NOTHING, "6.1.0")
    assert last == ("w2", "worker", "not Ready, cordoned", "not read: odd", NOTHING, NOTHING, NOTHING)
    assert {len(first), len(last)} == {len(NODE_HEAD)}
    many = replace(made, nodes=tuple(replace(silent, name=f"w{n}") for n in range(301)))
    assert "301 nodes: list them one by one with --images" in terminal.render_report(overview(many))
    assert "w300 " in terminal.render_report(overview(many), images=True)
