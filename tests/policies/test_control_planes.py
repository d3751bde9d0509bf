"""Before each hop touches the control plane its machines and etcd are judged anew: days may lie between two hops."""

from dataclasses import replace

import pytest

from cluster.etcd import EtcdAlarm, EtcdFacts
from cluster.facts import EtcdTool, Room
from cluster.report import Unread
from cluster.survey import SurveyedMachine
from policies.machines import check_control_planes
from tests.policies_fixture import FACTS, codes, draft, make_report, make_survey

PLAN = draft().plan
MASTER = replace(FACTS, control_plane=True)
WELL = EtcdFacts(ident="1", version="3.6.5", has_leader=True, is_leader=True, learner=False)


@pytest.mark.parametrize(
    ("name", "facts", "code"),
    [
        ("cp3", replace(MASTER, room=(Room("/etc/kubernetes", 100, 100),)), "disk-space"),
        ("cp2", replace(MASTER, missing_manifests=("etcd",)), "manifest-missing"),
        ("cp2", replace(MASTER, etcd=replace(WELL, alarms=(EtcdAlarm("1", "NOSPACE"),))), "etcd-alarm"),
        ("cp1", replace(MASTER, etcdctl=EtcdTool.NONE), "no-etcdctl"),
    ],
)
def test_what_went_wrong_on_any_control_plane_since_the_plan_stops_the_hop(name, facts, code):
    """Also on one whose turn comes last: the hop would be stuck half way."""
    assert codes(check_control_planes(PLAN, make_report(), make_survey(facts={name: facts}))) == [code]


def test_our_own_doing_and_what_was_consented_to_stop_nothing():
    """Packages and kubelets are between two versions by then, workers are not looked at, warnings were approved."""
    ours = replace(MASTER, packages=(), sources=(), kubelet=None, stray_manifests=("x",))
    seen = make_survey(facts={"cp1": replace(ours, etcdctl=EtcdTool.NONE), "w1": replace(FACTS, dpkg_problem="half")})
    assert check_control_planes(replace(PLAN, accepted=("no-etcdctl",)), make_report(), seen) == ()


def test_a_control_plane_that_cannot_be_asked_is_not_called_sound():
    """Its etcd could be ill, and its disk full."""
    survey = make_survey()
    silent = SurveyedMachine("cp2", Unread("machine cp2", "no route"))
    machines = tuple(silent if m.name == "cp2" else m for m in survey.machines)
    (finding,) = check_control_planes(PLAN, make_report(), replace(survey, machines=machines))
    assert (finding.code, finding.subject) == ("machine-unreadable", "cp2")
    assert "no route" in finding.sentence
