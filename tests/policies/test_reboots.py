"""Machines that ask for a reboot are said, those that could not be followed through one block a plan that has them."""

from dataclasses import replace

import pytest

from cluster.events import Happened
from cluster.options import DrainMode, Options, Reboot
from cluster.procedure import Verb
from policies.consents import consents_of, read_consents, words_of
from policies.drained import is_drained
from policies.estimates import REBOOT, estimate, tell_grounds
from policies.handwork import type_leg
from policies.history import Part, Past, PastRun, learn
from policies.legs import legs
from policies.permanence import find_permanent
from policies.reboots import check_reboots
from tests.policies.test_history import even, record_of, walk
from tests.policies_fixture import FACTS, draft, make_record, make_report, make_survey

ASKED = {mode: Options(reboot=mode) for mode in Reboot}


def look(told, options, left_out=frozenset()):
    facts = replace(FACTS, reboot_required=told)
    survey = make_survey(facts={n.name: facts for n in make_report().nodes})
    return {(f.code, f.subject, f.severity.value) for f in check_reboots(make_report(), survey, options, left_out)}


@pytest.mark.parametrize(
    ("told", "mode", "code"),
    [
        (True, Reboot.NEVER, ("reboot-due", "note")),
        (True, Reboot.IF_REQUIRED, None),
        (False, Reboot.NEVER, None),
        (None, Reboot.NEVER, None),
        (None, Reboot.IF_REQUIRED, ("reboot-impossible", "blocker")),
        (None, Reboot.ALWAYS, ("reboot-impossible", "blocker")),
    ],
)
def test_a_due_reboot_is_a_note_and_one_that_nobody_could_follow_blocks(told, mode, code):
    """An older node script tells neither what is due nor the boot that it leaves."""
    found = look(told, ASKED[mode])
    assert {(c, s) for c, _, s in found} == ({code} if code else set())


def test_workers_that_are_left_out_and_plans_that_visit_nobody_are_not_judged():
    """Nobody reboots them."""
    names = frozenset(n.name for n in make_report().nodes)
    assert not look(None, ASKED[Reboot.ALWAYS], names)
    assert not look(True, None)


def test_the_option_is_asked_for_by_name_and_asked_for_again():
    """It stands in the plan, so that the next one can be asked for with the same words."""
    assert read_consents(("reboot-if-required",)).overrides == {"reboot": "if-required"}
    plan = draft(options=ASKED[Reboot.ALWAYS]).plan
    assert "reboot-always" in consents_of(plan)
    assert not [w for w in consents_of(draft().plan) if w.startswith("reboot")]


def test_a_no_to_what_the_cluster_does_otherwise_is_asked_for_again_too():
    """Without that word the next plan would reboot the machines, and scale the single replicas."""
    asked = words_of(read_consents(("reboot-never", "no-surge")).overrides)
    assert consents_of(draft().plan, asked) == ("reboot-never", "no-surge")


@pytest.mark.parametrize(("mode", "shortest"), [(Reboot.ALWAYS, REBOOT[0]), (Reboot.IF_REQUIRED, 0)])
def test_an_estimate_has_each_machines_reboot_in_it(mode, shortest):
    """At best nobody asks for one, where only those are rebooted that do."""
    plan = draft(options=ASKED[mode]).plan
    plain, asked = estimate(draft().plan), estimate(plan)
    turns = len(plan.nodes)  # one at a time
    assert (asked[0] - plain[0], asked[1] - plain[1]) == (turns * shortest, turns * REBOOT[1])
    assert tell_grounds(plan) == "from documented figures"


def test_reboots_are_learnt_apart_from_the_drains_around_them():
    """A cluster that always reboots still knows how long a worker takes without."""
    record = record_of(12, reboot=Reboot.ALWAYS)
    told = tuple(
        replace(e, facts={"rebooted": "yes"}) if e.kind is Happened.STEP_FINISHED and e.step.endswith("/reboot") else e
        for e in walk(record, lambda _, step: 100.0 if step.verb is Verb.REBOOT else 10.0)
    )
    past = learn([PastRun(record, told)])
    assert past.times == {Part.WORKER: (100, 100), Part.REBOOT: (100, 100)}
    quiet = learn([PastRun(record, walk(record, even))])
    assert quiet == Past({Part.WORKER: (110, 110)}, {Part.WORKER: 12})


def test_a_patch_with_reboots_drains_whatever_the_plan_says_of_patches():
    """A reboot ends every pod on the machine."""
    options = Options(drain=DrainMode.MINOR_ONLY, reboot=Reboot.IF_REQUIRED)
    asked = make_record(drafted=draft("v1.34.9", options=options))
    plain = make_record(drafted=draft("v1.34.9", options=replace(options, reboot=Reboot.NEVER)))
    assert all(is_drained(asked, node, 0) for node in asked.plan.nodes)
    assert not any(is_drained(plain, node, 0) for node in plain.plan.nodes)


@pytest.mark.parametrize(
    ("mode", "who", "typed"),
    [
        (Reboot.ALWAYS, "Every machine is rebooted once", "sudo systemctl reboot"),
        (
            Reboot.IF_REQUIRED,
            "Each machine that asks for it is rebooted once",
            "test ! -e /run/reboot-required || sudo systemctl reboot",
        ),
    ],
)
def test_what_a_reboot_ends_is_said_and_a_person_would_type_the_same(mode, who, typed):
    """Before the approval, and in the runbook."""
    record = make_record(drafted=draft(options=ASKED[mode]))
    assert next(p.sentence for p in find_permanent(record) if p.code == "reboot").startswith(who)
    leg = next(leg for leg in legs(record.plan) if Verb.REBOOT in leg.verbs and "w1" in leg.nodes)
    step = next(t for t in type_leg(record, leg, "w1") if t.verb is Verb.REBOOT)
    assert step.commands[-1] == typed
    assert "reboot" not in {p.code for p in find_permanent(make_record())}
