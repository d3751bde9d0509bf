"""etcd by what kubeadm-config says of it, and by what runs before a minor that changes its line."""

from dataclasses import replace
from datetime import date

import pytest

from cluster.declarations import Declarations
from cluster.etcd import EtcdEndpoint, EtcdFacts, EtcdMember
from cluster.examination import Examination
from cluster.findings import Severity
from cluster.observation import Observation
from cluster.versions import Minor
from policies.etcd_jumps import check_etcd_jumps, read_jumps
from tests.policies_fixture import FACTS, NOW, codes, make_report, make_survey

MEMBERS = (EtcdMember("1", "infra1", client_urls=("https://10.0.0.1:2379",)),)
EXTERNAL = Declarations(external_etcd=("https://10.0.0.1:2379",))


def minors(*numbers):
    return tuple(Minor(1, n) for n in numbers)


def running(tag, *, on=None):
    """The report with that tag in etcd's image: everywhere, or on one node only."""
    report = make_report()
    pods = (replace(p, tag=tag) if p.component == "etcd" and on in {None, p.node} else p for p in report.static_pods)
    return replace(report, static_pods=tuple(pods))


def judge(report, *numbers, declared=None, machine=None):
    survey = make_survey(facts={"cp1": machine} if machine else {})
    examination = Examination("prod", NOW, declared=declared or Declarations())
    return list(check_etcd_jumps(Observation(report, survey, examination), minors(*numbers)))


@pytest.mark.parametrize(
    ("tag", "numbers", "warned"),
    [
        ("3.5.24-0", (34,), True),
        ("3.5.25-0", (34,), True),
        ("3.5.26-0", (34,), False),
        ("3.6.4-0", (34,), False),  # it was left half way: the change is behind it
        ("3.5.24-0", (33, 34), True),  # what v1.33 brings
        ("3.5.15-0", (32, 33), False),
        ("3.6.5-0", (35,), False),
        ("3.6.8-0", (37,), True),
        ("3.6.11-0", (37,), False),
        ("3.6.11-0", (36, 37), True),  # v1.36 brings an older one
        ("", (34,), True),
        ("latest", (34,), True),
        ("", (35,), False),
        ("3.5.24-0", (), False),
    ],
)
def test_what_runs_before_a_new_line_of_etcd_is_to_be_new_enough(tag, numbers, warned):
    """What the hop before brings counts, and what cannot be told is said."""
    assert codes(judge(running(tag), *numbers)) == (["etcd-before-jump"] if warned else [])


def test_the_members_that_are_too_old_are_named():
    """With what they run, what they should, and why."""
    (finding,) = judge(running("3.5.24-0", on="cp2"), 34)
    assert finding.severity is Severity.WARNING
    assert "etcd on cp2 is 3.5.24-0; it should be 3.5.26 or later" in finding.sentence
    assert "etcd on cp1" not in finding.sentence


def test_an_external_etcd_is_told_apart():
    """It has no pods here, nobody snapshots it, and the plan does not move it."""
    (finding,) = judge(replace(make_report(), static_pods=()), 34, declared=EXTERNAL)
    assert (finding.code, finding.severity) == ("etcd-external", Severity.WARNING)
    assert "https://10.0.0.1:2379" in finding.sentence
    assert "could not be asked" in finding.sentence
    assert "snapshot" in finding.remedy


@pytest.mark.parametrize(
    ("version", "told"), [("3.5.24", "first step."), ("3.6.1", "first step."), ("3.5.9", "bring it to 3.5.24 or later")]
)
def test_an_external_etcd_is_told_with_what_it_runs(version, told):
    """Version, members, leader, size and alarms; one that is too old for a new cluster is said."""
    here = EtcdFacts("1", version, has_leader=True, leader="1", size_bytes=20 << 20, members=MEMBERS, alarms=())
    machine = replace(FACTS, outside_etcd=(EtcdEndpoint("https://10.0.0.1:2379", here),))
    (finding,) = judge(replace(make_report(), static_pods=()), 34, declared=EXTERNAL, machine=machine)
    assert f"It told: {version}, 1 member, leader 10.0.0.1:2379, at most 20 MiB, no alarm." in finding.sentence
    assert told in finding.remedy


@pytest.mark.parametrize("numbers", [(34,), (35,), ()])
def test_a_pinned_image_is_said_and_does_not_change_its_line(numbers):
    """The pin is the way over one jump, and to be taken out after it."""
    (finding,) = judge(running("3.5.24-0"), *numbers, declared=Declarations(etcd_tag="3.5.24-0"))
    assert (finding.code, finding.subject) == ("etcd-image-pinned", "kubeadm-config")
    assert ("3.6.5-0" in finding.sentence) == (numbers == (34,))


def test_jumps_are_dated():
    """The file says when somebody last looked."""
    assert [j.to for j in read_jumps()] == [Minor(1, 34), Minor(1, 37)]
    assert all(j.verified_on <= date(2026, 11, 23) for j in read_jumps())
