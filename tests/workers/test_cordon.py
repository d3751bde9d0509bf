"""Cordon and uncordon: ours carry their owner, those of others stay as they were found."""

from __future__ import annotations

import pytest

from cluster.options import DrainMode, Options
from cluster.procedure import Verb
from cluster.report import CORDON_OWNER
from tests.workers.drain_fixture import cordoned_bench
from tests.workers.runbook_fixture import OPERATION, Bench, denied, hop, pod
from workers.runbook import StepBlocked, perform


def test_a_patch_with_minor_only_touches_no_pod_and_no_cordon() -> None:
    """Cordon, drain and uncordon are done by observation."""
    bench = Bench(options=Options(drain=DrainMode.MINOR_ONLY))
    bench.plan = bench.plan.__class__(
        kind=bench.plan.kind,
        identity=bench.plan.identity,
        hops=(hop("1.34.9"),),
        pools=bench.plan.pools,
        options=bench.plan.options,
    )
    bench.api.pods["a"] = pod("a", "w1")
    for verb in (Verb.CORDON, Verb.DRAIN, Verb.UNCORDON):
        perform(bench.site("w1", verb))
    assert not any(line.startswith(("PATCH", "POST")) for line in bench.api.log)


def test_a_minor_is_drained_with_minor_only_too() -> None:
    """The mode speaks of patches alone."""
    bench = Bench(options=Options(drain=DrainMode.MINOR_ONLY))
    perform(bench.site("w1", Verb.CORDON))
    assert bench.api.nodes["w1"]["spec"]["unschedulable"] is True


def test_a_cordon_carries_its_owner_in_the_same_patch() -> None:
    """Nobody can see the node cordoned without seeing for whom."""
    bench = cordoned_bench()
    assert sum(line.startswith("PATCH") for line in bench.api.log) == 1
    assert bench.api.nodes["w1"]["metadata"]["annotations"][CORDON_OWNER] == OPERATION


def test_a_foreign_cordon_stays() -> None:
    """What somebody else cordoned is neither marked as ours nor uncordoned."""
    bench = Bench()
    bench.api.nodes["w1"]["spec"]["unschedulable"] = True
    assert "will stay cordoned" in perform(bench.site("w1", Verb.CORDON)).sentence
    assert "as it was found" in perform(bench.site("w1", Verb.UNCORDON)).sentence
    assert bench.api.nodes["w1"]["spec"]["unschedulable"] is True
    assert not any(line.startswith("PATCH") for line in bench.api.log)


def test_a_foreign_cordon_stays_also_after_a_failed_drain() -> None:
    """Giving the node back is for our own cordon only."""
    bench = Bench()
    bench.api.nodes["w1"]["spec"]["unschedulable"] = True
    bench.api.pods["bare"] = pod("bare", "w1", kind=None)
    with pytest.raises(StepBlocked) as blocked:
        perform(bench.site("w1", Verb.DRAIN))
    assert not blocked.value.uncordoned
    assert bench.api.nodes["w1"]["spec"]["unschedulable"] is True


def test_a_cordon_that_comes_in_between_is_read_again() -> None:
    """A conflict is no failure: kubelets write their nodes too."""
    bench = Bench()
    bench.api.answers = [("PATCH", "/nodes/w1", denied(409))]
    perform(bench.site("w1", Verb.CORDON))
    assert bench.api.nodes["w1"]["spec"]["unschedulable"] is True


def test_uncordon_removes_cordon_and_mark() -> None:
    """Nothing of ours is left on the node."""
    bench = cordoned_bench()
    perform(bench.site("w1", Verb.UNCORDON))
    assert "unschedulable" not in bench.api.nodes["w1"]["spec"]
    assert bench.api.nodes["w1"]["metadata"]["annotations"] == {}


def test_a_rebuilt_node_is_not_touched() -> None:
    """Another uid is another machine, which nobody approved."""
    bench = Bench()
    bench.api.nodes["w1"]["metadata"]["uid"] = "uid-other"
    with pytest.raises(StepBlocked, match="another one than at planning"):
        perform(bench.site("w1", Verb.CORDON))
