"""Which release notes belong to a plan: of each minor that it enters, once, in the order of its hops."""

from dataclasses import replace

from cluster.plan import PlanKind
from policies.release_notes import notes_of, unread_notes
from policies.releases import read_releases
from tests.policies_fixture import draft

CHANGELOG = "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG/CHANGELOG-1."


def test_each_hop_names_the_notes_of_its_minor():
    """The way over two minors has two to read."""
    notes = notes_of(draft("v1.36.2").plan)
    assert [n.minor for n in notes] == ["v1.35", "v1.36"]
    assert [n.changelog for n in notes] == [f"{CHANGELOG}35.md", f"{CHANGELOG}36.md"]
    assert notes[0].urgent == f"{CHANGELOG}35.md#urgent-upgrade-notes"


def test_a_minor_that_nobody_knows_is_named_without_a_link():
    """A link is never made up."""
    plan = draft("v1.35.4").plan
    later = replace(plan.hops[0], target=replace(plan.target, release=type(plan.target.release)("1.99.1")))
    (notes,) = notes_of(replace(plan, hops=(later,)))
    assert (notes.minor, notes.changelog, notes.urgent) == ("v1.99", "", "")


def test_what_brings_no_new_minor_has_nothing_to_read():
    """A kubelet that catches up before the first hop, and a revert."""
    plan = draft("v1.35.4").plan
    straggler = replace(plan.hops[0], target=replace(plan.target), whole=False)
    assert notes_of(replace(plan, hops=(straggler,))) == ()
    assert notes_of(replace(plan, kind=PlanKind.REVERT)) == ()


def test_what_was_not_confirmed_is_told_by_its_minor():
    """All of them must be, not any."""
    plan = draft("v1.36.2").plan
    assert unread_notes(plan, ("v1.36",)) == ("v1.35",)
    assert unread_notes(plan, ("v1.35", "v1.36")) == ()


def test_every_minor_of_the_file_has_its_own_changelog():
    """A row that was copied and half changed would send people to the wrong notes."""
    for release in read_releases():
        page = f"{CHANGELOG}{release.minor.minor}.md"
        assert release.changelog == page
        assert release.urgent_notes in {None, f"{page}#urgent-upgrade-notes"}
