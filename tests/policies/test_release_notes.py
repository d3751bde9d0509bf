"""Which release notes belong to a plan: of each minor that it enters, once, in the order of its hops."""

from dataclasses import replace

import pytest

from cluster.plan import PlanKind
from policies.release_notes import notes_of, unread_notes
from policies.releases import read_releases
from tests.policies_fixture import make_record

CHANGELOG = "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1."


def test_each_hop_names_the_notes_of_its_minor():
    """The way over two minors has two to read."""
    notes = notes_of(make_record("v1.36.2"))
    assert [n.minor for n in notes] == ["v1.35", "v1.36"]
    assert [n.changelog for n in notes] == [f"{CHANGELOG}35.md", f"{CHANGELOG}36.md"]
    assert notes[0].urgent == f"{CHANGELOG}35.md#urgent-upgrade-notes"


def test_a_minor_that_nobody_knows_is_named_without_a_link():
    """A link is never made up."""
    record = make_record()
    plan = record.plan
    later = replace(plan.hops[0], target=replace(plan.target, release=type(plan.target.release)("1.99.1")))
    (notes,) = notes_of(replace(record, plan=replace(plan, hops=(later,))))
    assert (notes.minor, notes.changelog, notes.urgent) == ("v1.99", "", "")


def test_what_brings_no_new_minor_has_nothing_to_read():
    """A kubelet that catches up before the first hop, and a revert."""
    record = make_record()
    plan = record.plan
    straggler = replace(plan.hops[0], target=replace(plan.target), whole=False)
    assert notes_of(replace(record, plan=replace(plan, hops=(straggler,)))) == ()
    assert notes_of(replace(record, plan=replace(plan, kind=PlanKind.REVERT))) == ()


@pytest.mark.parametrize(
    ("servers", "declared", "listed"),
    [
        (("v1.34.7", "v1.34.7"), "v1.34.7", ["v1.35", "v1.36"]),
        (("v1.35.0", "v1.35.1"), "v1.35.0", ["v1.36"]),
        (("v1.35.0", "v1.34.7"), "v1.35.0", ["v1.35", "v1.36"]),
        (("v1.35.0", "v1.35.0"), "v1.34.7", ["v1.35", "v1.36"]),
        (("v1.36.0", "v1.36.0"), "v1.36.0", []),
        ((), "", ["v1.35", "v1.36"]),
    ],
)
def test_what_the_control_plane_runs_already_is_not_to_be_read_again(servers, declared, listed):
    """All of it: a minor that was only begun, or is at one machine by hand, still is."""
    record = make_record("v1.36.2")
    basis = replace(record.basis, api_servers=tuple((f"cp{n}", v) for n, v in enumerate(servers)), declared=declared)
    assert [n.minor for n in notes_of(replace(record, basis=basis))] == listed


def test_a_patch_of_the_running_minor_has_no_notes_to_read():
    """Whoever approves it is asked for no confirmation."""
    record = make_record("v1.34.9")
    assert [str(h.target) for h in record.plan.hops] == ["v1.34.9"]
    assert (notes_of(record), unread_notes(record, ())) == ((), ())


def test_what_was_not_confirmed_is_told_by_its_minor():
    """All of them must be, not any."""
    record = make_record("v1.36.2")
    assert unread_notes(record, ("v1.36",)) == ("v1.35",)
    assert unread_notes(record, ("v1.35", "v1.36")) == ()


def test_every_minor_of_the_file_has_its_own_changelog():
    """A row that was copied and half changed would send people to the wrong notes."""
    for release in read_releases():
        page = f"{CHANGELOG}{release.minor.minor}.md"
        assert release.changelog == page
        assert release.urgent_notes in {None, f"{page}#urgent-upgrade-notes"}
