"""What a person would type: for every step, in the true order, with the plan's own versions and options."""

import json
import shlex
from dataclasses import replace

import pytest

from cluster.errors import Refused
from cluster.inventory import Smoke
from cluster.options import DrainMode, Options, WorkerMoves
from cluster.procedure import Phase, Verb, itinerary
from lab.podsecurity import violations
from policies.handwork import Place, read_handwork, type_leg
from policies.legs import ANY_NUMBER, legs
from tests.policies_fixture import draft, make_cluster, make_record, make_report

PLANS = {
    "patch": {"target": "v1.34.9"},
    "minor": {"target": "v1.35.4"},
    "two minors": {"target": "v1.36.2"},
    "within skew": {"target": "v1.36.2", "options": Options(workers=WorkerMoves.WITHIN_SKEW)},
    "straggler": {"target": "v1.35.4", "report": make_report(kubelet={"w2": "v1.31.1", "cp2": "v1.31.1"})},
    "pools": {"target": "v1.35.4", "cluster": make_cluster(pools={"all": {"selector": "", "max_unavailable": 2}})},
}


def typed(record, verb, name="w1"):
    """That step of that node, at its first hop."""
    leg = next(leg for leg in legs(record.plan) if name in leg.nodes and verb in leg.verbs)
    return next(t for t in type_leg(record, leg, name) if t.verb is verb)


@pytest.mark.parametrize("verb", Verb)
def test_every_step_can_be_done_by_hand(verb):
    """By a command, by looking, or by knowing why there is nothing to type."""
    work = read_handwork()[verb]
    assert work.commands or work.checks or work.note
    assert work.sources[0].startswith("https://")


@pytest.mark.parametrize("asked", PLANS.values(), ids=PLANS)
def test_the_legs_are_the_way_of_every_node(asked):
    """Each step once, in the node's own order, and no node ahead of the stage of the others."""
    plan = draft(**asked).plan
    found = legs(plan)
    for node in plan.nodes:
        mine = [(leg.hop, leg.phase, verb) for leg in found if node.name in leg.nodes for verb in leg.verbs]
        assert mine == [(s.hop, s.phase, s.verb) for s in itinerary(plan, node)]
    stages = [
        next(s.stage for n in plan.nodes for s in itinerary(plan, n) if (s.hop, s.phase) == (leg.hop, leg.phase))
        for leg in found
    ]
    assert stages == sorted(stages)


def test_the_first_control_plane_goes_first_and_pools_keep_their_limit_and_order():
    """As the engine does it."""
    found = [leg for leg in legs(draft(**PLANS["pools"]).plan) if leg.pool]
    assert [(leg.pool, leg.at_once, leg.nodes) for leg in found] == [
        ("control-plane", 1, ("cp1",)),
        ("control-plane", 1, ("cp2", "cp3")),
        ("control-plane", 1, ("cp1", "cp2", "cp3")),
        ("all", 2, ("w1", "w2")),
    ]


def test_workers_that_go_last_of_all_have_a_leg_of_their_own_at_the_end():
    """Whichever pool they are of."""
    plan = replace(draft(**PLANS["pools"]).plan, last=("w1",))
    found = [leg.nodes for leg in legs(plan) if leg.phase is Phase.WORKERS]
    assert found == [("w2",), ("w1",)]


@pytest.mark.parametrize("asked", PLANS.values(), ids=PLANS)
def test_what_is_typed_on_many_machines_names_none_of_them(asked):
    """One text stands for all of them."""
    record = make_record(drafted=draft(**asked))
    for leg in legs(record.plan):
        if leg.at_once == ANY_NUMBER:
            texts = {tuple(type_leg(record, leg, name)) for name in leg.nodes}
            assert len(texts) == 1


def test_the_packages_are_those_of_the_plan():
    """Exactly these, and held again."""
    (command,) = typed(make_record(), Verb.INSTALL_KUBELET).commands
    assert "install -y kubelet='1.35.4-1.1' kubectl='1.35.4-1.1' && \\\nsudo apt-mark hold kubelet kubectl" in command
    assert typed(make_record(), Verb.APPLY, "cp1").commands == ("sudo kubeadm upgrade apply v1.35.4",)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (Options(), "--ignore-daemonsets --timeout=900s"),
        (Options(delete_emptydir=True, drain_timeout=60), "--ignore-daemonsets --delete-emptydir-data --timeout=60s"),
        (Options(delete_unmanaged=True), "--ignore-daemonsets --force --timeout=900s"),
    ],
)
def test_a_drain_by_hand_may_do_what_the_plan_may(options, arguments):
    """And no more."""
    record = make_record(drafted=draft(options=options))
    assert typed(record, Verb.DRAIN).commands == (f"kubectl drain w1 {arguments}",)
    assert typed(record, Verb.DRAIN).place is Place.KUBECTL


@pytest.mark.parametrize(("target", "spared"), [("v1.34.9", True), ("v1.35.4", False)])
def test_nobody_is_drained_by_hand_where_the_plan_drains_nobody(target, spared):
    """A mere patch with `drain: minor-only` restarts kubelets in place."""
    record = make_record(drafted=draft(target, options=Options(drain=DrainMode.MINOR_ONLY)))
    assert (typed(record, Verb.DRAIN).commands == ()) is spared
    assert typed(record, Verb.RESTART_KUBELET).commands


def test_the_pod_that_is_typed_is_one_that_its_namespace_takes():
    """The chart enforces `restricted` there: a pod without all of that would be refused, and the runbook stop at it."""
    record = make_record()
    leg = next(leg for leg in legs(record.plan) if leg.phase is Phase.WORKERS)
    smoke = next(step for step in type_leg(record, leg, leg.nodes[0]) if step.verb is Verb.SMOKE_TEST)
    words = shlex.split(smoke.commands[0])
    assert words[words.index("-n") + 1] == Smoke().namespace
    overrides = next(word for word in words if word.startswith("--overrides=")).removeprefix("--overrides=")
    assert not list(violations(json.loads(overrides)["spec"]))


def test_an_etcd_of_somebody_elses_is_saved_where_it_runs():
    """kubeadm's paths would save nothing there."""
    record = make_record()
    external = replace(record, plan=replace(record.plan, accepted=("etcd-external",)))
    assert "etcdctl" in typed(record, Verb.SNAPSHOT_ETCD, "cp1").commands[0]
    assert typed(external, Verb.SNAPSHOT_ETCD, "cp1").commands == ()


def test_a_name_that_is_none_is_put_into_no_command():
    """Commands are pasted into a root shell."""
    record = make_record()
    pool = record.plan.pools[1]
    bad = replace(pool.nodes[0], name="w1;reboot")
    plan = replace(record.plan, pools=(record.plan.pools[0], replace(pool, nodes=(bad,))))
    with pytest.raises(Refused, match="no name that Kubernetes gives a node"):
        typed(replace(record, plan=plan), Verb.DRAIN, "w1;reboot")
