"""What kubeadm is given at each upgrade is said in the plan and its export; what it lacks or is not given is found."""

from dataclasses import replace

import pytest

from cluster.findings import Severity
from cluster.procedure import Verb
from cluster.versions import Minor
from policies.handwork import type_leg
from policies.legs import legs
from policies.patches import check_given, check_patches
from tests.policies_fixture import FACTS, draft, make_record, make_report, make_survey

NODE = make_report().nodes[0]
FOLDER, FILE = "present /etc/kubernetes/patches", "present /etc/kubernetes/upgrade.yaml"


def survey_of(**facts):
    return make_survey(facts={n.name: replace(FACTS, **facts) for n in make_report().nodes})


@pytest.mark.parametrize(
    ("facts", "code", "severity"),
    [
        ({"patches": "none"}, None, None),
        ({"patches": FOLDER, "upgrade_config": FILE}, None, None),
        ({"patches": "missing /p"}, "patches-missing", Severity.BLOCKER),
        ({"upgrade_config": "missing /u.yaml"}, "upgrade-config-missing", Severity.BLOCKER),
        ({"patches": "unused /etc/kubernetes/patches"}, "patches-unused", Severity.WARNING),
    ],
)
def test_what_is_configured_has_to_be_there_and_what_is_there_should_be_configured(facts, code, severity):
    """An upgrade would undo what the patches changed."""
    found = [(f.code, f.severity) for f in check_patches(NODE, replace(FACTS, **facts))]
    assert found == ([(code, severity)] if code else [])


def test_what_kubeadm_is_given_is_one_note_with_its_machines():
    """Nothing is said where nothing is given."""
    assert list(check_given(make_report(), survey_of(), ())) == []
    (note,) = check_given(make_report(), survey_of(patches=FOLDER, upgrade_config=FILE), (Minor(1, 35),))
    assert (note.code, note.severity, note.subject) == ("kubeadm-given", Severity.NOTE, "prod")
    assert "the patches of /etc/kubernetes/patches (cp1, " in note.sentence
    assert "the file /etc/kubernetes/upgrade.yaml (cp1, " in note.sentence


def test_what_kubeadms_configuration_leaves_out_is_warned_of_with_its_machines():
    """It is approved with the plan, and not passed on unmentioned."""
    seen = survey_of(upgrade_config=FILE, passed_over=(("ignorePreflightErrors", "CreateJob"), ("skipPhases", "addon")))
    (finding,) = (f for f in draft(survey=seen).findings if f.code == "kubeadm-passes-over")
    assert (finding.severity, finding.subject) == (Severity.WARNING, "prod")
    assert "on cp1, " in finding.sentence
    assert "(ignorePreflightErrors: CreateJob; skipPhases: addon)" in finding.sentence
    assert "kubeadm-passes-over" in draft(survey=seen).plan.accepted


@pytest.mark.parametrize(("minors", "blocked"), [((35,), False), ((30, 31), True), ((31,), False), ((), False)])
def test_a_configuration_blocks_where_a_minors_kubeadm_takes_none(minors, blocked):
    """It would be refused on the machine, in the middle of the upgrade."""
    found = check_given(make_report(), survey_of(upgrade_config=FILE), tuple(Minor(1, m) for m in minors))
    assert ("upgrade-config-early" in {f.code for f in found}) is blocked


def test_whoever_types_the_steps_is_told_what_to_add_to_them():
    """In the exported runbook, at kubeadm's own commands alone."""
    drafted = draft(survey=survey_of(patches=FOLDER))
    assert "kubeadm-given" in {f.code for f in drafted.findings}
    for record, expected in ((make_record(drafted=drafted), True), (make_record(), False)):
        typed = [t for leg in legs(record.plan) for name in leg.nodes for t in type_leg(record, leg, name)]
        told = {t.verb for t in typed if "--patches FOLDER" in t.note}
        assert told == ({Verb.APPLY, Verb.UPGRADE_NODE} if expected else set())
