"""Plans on recordings of a real cluster: before its upgrade, half way, after it, edited by hand, and with an HA one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.errors import Refused
from cluster.findings import blockers
from cluster.observation import Observation
from cluster.options import Options
from cluster.plan import Role
from cluster.survey import SurveyedMachine
from cluster.versions import parse_target
from policies.drafting import Draft, draft_revert, draft_upgrade
from tests.policies_fixture import FACTS, make_cluster, make_offers
from tests.recorded_api import READ_AT, recorded_report
from tests.recorded_findings import observed

OFFERS = make_offers("1.34.7-1.1", "1.35.4-1.1", "1.36.2-1.1")
MACHINE = {"address": "10.0.0.1", "key_file": "/key", "host_key": "SHA256:" + "a" * 43}
OPTIONS = Options(delete_emptydir=True)


def seen_at(stage: str) -> Observation:
    """With its machines as they were recorded; those that were not are well, and all have the room of another host."""
    report = recorded_report(stage)
    seen = observed(stage, report)

    def machine(name: str, *, control_plane: bool) -> SurveyedMachine:
        facts = seen.survey.facts(name) or replace(FACTS, control_plane=control_plane)
        return SurveyedMachine(name, replace(facts, room=FACTS.room, snapshots=FACTS.snapshots), OFFERS)

    machines = tuple(machine(n.name, control_plane=n.control_plane) for n in report.nodes)
    return replace(seen, survey=replace(seen.survey, machines=machines))


def plan_at(stage: str, target: str) -> Draft:
    seen = seen_at(stage)
    cluster = make_cluster(machines={n.name: MACHINE for n in seen.report.nodes})
    return draft_upgrade(seen, cluster, parse_target(target), options=OPTIONS, accepted=(), now=READ_AT)


@pytest.mark.parametrize("target", ["v1.35.4", "v1.35", "next"])
@pytest.mark.parametrize("stage", ["before", "ha-before"])
def test_a_real_cluster_is_planned_to_the_next_minor_whatever_way_it_is_named(stage: str, target: str) -> None:
    """Nothing of it blocks; the first control plane is the one that applies, and every node has its turn."""
    made = plan_at(stage, target)
    assert [str(h.target) for h in made.plan.hops] == ["v1.35.4"]
    assert blockers(made.findings) == ()
    first, *_ = made.plan.nodes
    assert (first.name, first.role) == ("cp1", Role.FIRST_CONTROL_PLANE)
    assert {n.name for n in made.plan.nodes} == {n.name for n in recorded_report(stage).nodes}


@pytest.mark.parametrize("stage", ["applied", "half", "mixed"])
def test_an_upgrade_that_was_left_is_finished_by_a_plan_to_where_it_went(stage: str) -> None:
    """After the first apply, with one worker to go, and with two of three control planes behind."""
    made = plan_at(stage, "v1.35.4")
    assert [str(h.target) for h in made.plan.hops] == ["v1.35.4"]
    assert blockers(made.findings) == ()


def test_a_real_cluster_at_its_target_has_nothing_to_do_there_and_goes_on_to_the_next() -> None:
    """In one sentence; the way to the minor after it is free."""
    with pytest.raises(Refused, match=r"Nothing to do: every API server and kubelet of `real` already runs v1\.35\.4"):
        plan_at("after", "v1.35.4")
    made = plan_at("after", "next")
    assert ([str(h.target) for h in made.plan.hops], blockers(made.findings)) == (["v1.36.2"], ())


@pytest.mark.parametrize("stage", ["before", "mixed"])
def test_a_real_cluster_is_never_planned_backwards(stage: str) -> None:
    """Where a part of it is ahead already, by a blocker; else in one sentence."""
    if stage == "before":
        with pytest.raises(Refused, match="would be a downgrade"):
            plan_at(stage, "v1.33.4")
    else:
        assert "downgrade" in {f.code for f in blockers(plan_at(stage, "v1.34.7").findings)}


def test_a_real_api_server_that_was_edited_by_hand_is_put_back_first() -> None:
    """kubeadm itself saw nothing to upgrade there, in the recording beside it."""
    assert [f.code for f in blockers(plan_at("drift", "v1.35.4").findings)] == ["hand-edited-apiserver"]
    seen = seen_at("drift")
    made = draft_revert(seen, make_cluster(machines={n.name: MACHINE for n in seen.report.nodes}), options=OPTIONS)
    assert made is not None
    assert ([n.name for n in made.plan.nodes], str(made.plan.target)) == (["cp1"], "v1.34.7")
    assert blockers(made.findings) == ()


def test_kubelets_ahead_of_a_control_plane_block_until_its_api_server_is_there() -> None:
    """Recorded: the documented order takes the kubelets of two control planes along before the third is upgraded."""
    stops = blockers(plan_at("ha-second", "v1.35.4").findings)
    assert {(f.code, f.subject) for f in stops} == {("kubelet-newer", "cp1"), ("kubelet-newer", "cp2")}
    assert {f.remedy for f in stops} == {"Run `kubeadm upgrade node` with kubeadm v1.35.4 on cp3 first."}


@pytest.mark.parametrize(("stage", "node"), [("notready", "w2"), ("cp-notready", "cp1")])
def test_a_real_node_that_is_not_ready_blocks_by_its_name(stage: str, node: str) -> None:
    """A drain of the real one hung, as recorded; a worker can be left out."""
    made = plan_at(stage, "v1.35.4")
    assert [(f.code, f.subject) for f in blockers(made.findings)] == [("node-not-ready", node)]
    assert made.blocked_workers == ()  # the only other worker could never start while this one counts as away
