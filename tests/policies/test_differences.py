"""What a plan does another way than the one before: told change by change, and nothing where nothing is another way."""

from dataclasses import replace

import pytest

from cluster.difference import Change, Part
from cluster.options import DrainMode, Options
from cluster.plan import PlanStatus, Role
from policies.differences import find_difference
from tests.policies_fixture import draft, make_offers, make_record, make_report, make_survey, with_node

OLDER = make_record(status=PlanStatus.VOID)


def changes(newer):
    return find_difference(OLDER, replace(newer, id="p-22222222")).changes


def of(newer, part):
    return [(c.subject, c.before, c.after) for c in changes(newer) if c.part is part]


def test_the_same_plan_again_is_no_other_way():
    """Then the digest is the same, too."""
    assert changes(make_record()) == ()


def test_a_plan_knows_the_one_before_it_unless_that_was_approved():
    """After an upgrade a new story begins."""
    assert find_difference(OLDER, make_record()).plan_id == OLDER.id
    assert find_difference(replace(OLDER, status=PlanStatus.APPROVED), make_record()) is None
    assert find_difference(None, make_record()) is None


def test_another_target_is_another_way():
    """All hops, as they are shown on the card."""
    newer = make_record("v1.36.2")
    assert of(newer, Part.HOPS) == [("", "v1.35.4", "v1.35.4 → v1.36.2")]
    assert of(newer, Part.ESTIMATE) == []  # neither of the two says a time


def test_other_packages_of_the_same_release_are_told():
    """They are part of the intent."""
    offers = dict.fromkeys(("cp1", "cp2", "cp3", "w1", "w2"), make_offers("1.34.7-1.1", "1.35.4-2.1"))
    newer = make_record(drafted=draft(survey=make_survey(offers=offers)))
    assert of(newer, Part.PACKAGES) == [("v1.35.4", "1.35.4-1.1", "1.35.4-2.1")]


def test_machines_that_came_and_went_are_told_with_their_part():
    """By name; a machine that was rebuilt keeps its name and has another UID."""
    report = make_report()
    new = replace(report.node("w2"), name="w3", uid="uid-w3")
    report = with_node(replace(report, nodes=(*report.nodes[:-1], new)), "w1", uid="uid-new")
    newer = make_record(drafted=draft(report=report))
    assert of(newer, Part.MACHINE) == [
        ("w2", "worker, pool other", ""),
        ("w3", "", "worker, pool other"),
        ("w1", "UID uid-w1", "UID uid-new: removed and joined again"),
    ]


def test_another_part_and_a_machine_that_is_left_out_are_told():
    """What is done on a machine changes with both."""
    plan = OLDER.plan
    masters, workers = plan.pools
    nodes = (replace(masters.nodes[0], role=Role.CONTROL_PLANE), *masters.nodes[1:])
    pools = (
        replace(masters, nodes=nodes),
        replace(workers, nodes=workers.nodes[:1], left_out=workers.nodes[1:], max_unavailable=2),
    )
    newer = replace(make_record(), plan=replace(plan, pools=pools))
    assert of(newer, Part.MACHINE) == [
        ("cp1", "first control plane, pool control-plane", "control plane, pool control-plane"),
        ("w2", "worker, pool other", "left out"),
    ]
    assert of(newer, Part.POOL) == [("other", "1 away at once", "2 away at once")]


def test_what_runs_now_another_way_is_told():
    """The kubelet that somebody moved by hand."""
    newer = make_record(drafted=draft(report=make_report(kubelet={"w2": "v1.34.9"})))
    assert of(newer, Part.VERSION) == [("kubelet of w2", "v1.34.7", "v1.34.9")]


def test_options_and_consents_are_told():
    """Each by its own name."""
    options = Options(drain=DrainMode.MINOR_ONLY, delete_emptydir=True)
    newer = make_record(drafted=draft(options=options))
    assert of(newer, Part.OPTION) == [("drain", "always", "minor-only"), ("delete emptydir", "no", "yes")]
    newer = replace(newer, plan=replace(newer.plan, accepted=("no-etcdctl", "foreign-cordon")))
    assert of(newer, Part.CONSENT) == [("no-etcdctl", "", "given")]


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (with_node(make_report(), "w1", ready=False), ("node-not-ready w1", "", "blocker")),
        (with_node(make_report(), "w1", cordoned=True), ("foreign-cordon w1", "", "warning")),
    ],
)
def test_findings_that_are_new_are_told_and_those_that_are_gone(report, expected):
    """By code and subject, with their weight."""
    newer = make_record(drafted=draft(report=report))
    assert expected in of(newer, Part.FINDING)
    subject, before, after = expected
    gone = find_difference(replace(newer, status=PlanStatus.EXPIRED), make_record()).changes
    assert Change(Part.FINDING, subject, after, before) in gone


def test_another_duration_is_told_in_minutes():
    """Rounded as in the plan itself."""
    older, newer = replace(OLDER, estimate=(90, 600)), replace(make_record(), estimate=(90, 1250))
    (change,) = find_difference(older, newer).changes
    assert (change.before, change.after) == ("2 to 10 minutes", "2 to 21 minutes")


def test_thousands_of_machines_that_came_are_told_each():
    """The card shortens them; the record does not."""
    masters, workers = OLDER.plan.pools
    many = tuple(replace(workers.nodes[0], name=f"n{i}", uid=f"u{i}") for i in range(5000))
    newer = replace(make_record(), plan=replace(OLDER.plan, pools=(masters, replace(workers, nodes=many))))
    assert len(of(newer, Part.MACHINE)) == 5002
