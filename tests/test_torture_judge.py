"""The judge of the torture is no stamp: each rule that a run may break is broken here once, and said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cluster.events import Event, Happened
from cluster.report import CORDON_OWNER
from lab.objects import ObjectStore
from lab.toolbox import ExecRecord
from tests.torture import judge
from tests.torture.witness import Sight

NOW = datetime(2026, 10, 14, tzinfo=UTC)
MASTERS = ("cp1", "cp2")
APPLY, NODE = ("kubeadm", "upgrade", "apply", "v1.35.4"), ("kubeadm", "upgrade", "node")
RESTART = ("systemctl", "restart", "kubelet")


def ran(machine: str, *argv: str, code: int | None = 0, took: int = 0) -> ExecRecord:
    ended = None if code is None else NOW + timedelta(seconds=took)
    return ExecRecord(NOW, machine, "op-1", argv, exit=code, ended_at=ended)


def started(machine: str, unit: str) -> ExecRecord:
    return ExecRecord(NOW, machine, unit, ("systemd-run",), started=True)


def in_turn(log: tuple[ExecRecord, ...]) -> tuple[ExecRecord, ...]:
    """One begins each second, and takes the time that it took."""
    moments = (NOW + timedelta(seconds=n) for n in range(len(log)))
    return tuple(
        replace(r, at=at, ended_at=at + (r.ended_at - r.at) if r.ended_at else None)
        for r, at in zip(log, moments, strict=True)
    )


WHOLE = (ran("cp1", *APPLY), ran("cp2", *NODE), ran("w1", *NODE), ran("w1", *RESTART))


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ((started("w1", "op-1-n2-s3-a1"), started("w1", "op-1-n2-s3-a1")), "was started 2 times on w1"),
        ((ran("cp2", *NODE), ran("cp1", *APPLY)), "ran on cp2 before any apply had ended"),
        ((ran("cp1", *APPLY, code=None), ran("cp2", *NODE)), "ran on cp2 before any apply had ended"),
        ((ran("cp1", *APPLY, took=3), ran("cp2", *NODE)), "ran on cp2 before any apply had ended"),
        ((ran("cp1", *APPLY), ran("cp2", *NODE, took=3), ran("w1", *RESTART)), "before the control plane of cp2"),
        ((ran("cp1", *APPLY), ran("w1", *RESTART), ran("cp2", *NODE)), "before the control plane of cp2"),
        ((ran("cp1", *APPLY), ran("cp2", *NODE, code=1), ran("w1", *RESTART)), "before the control plane of cp2"),
        ((ran("cp1", "kubeadm", "upgrade", "plan"), ran("w1", *RESTART)), "before the control plane of cp1, cp2"),
    ],
)
def test_what_came_twice_or_in_another_order_is_said(log: tuple[ExecRecord, ...], words: str) -> None:
    """Also where all of it had come by the end."""
    assert words in "; ".join(judge.judge_log(in_turn(log), MASTERS))
    assert list(judge.judge_log(in_turn(WHOLE), MASTERS)) == []


SIGHT = Sight((("cp1", 34), ("w1", 34)), (("cp1", 34), ("cp2", 35)), frozenset({"w1"}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"api_servers": (("cp1", 33), ("cp2", 35)), "kubelets": ()}, "more than a minor apart"),
        ({"kubelets": (("w1", 35),)}, "the kubelet of w1 (1.35) did not fit"),
        ({"kubelets": (("w1", 31),)}, "the kubelet of w1 (1.31) did not fit"),
        ({"away": frozenset({"w1", "w2"})}, "w1, w2 were away at once, 1 may be"),
    ],
)
def test_a_moment_that_may_not_be_is_said(changes: dict[str, Any], words: str) -> None:
    """Whatever came before and after it."""
    sights = (SIGHT, replace(SIGHT, **changes), SIGHT)
    (said,) = judge.judge_sights(sights, most_away=1)
    assert words in said
    assert list(judge.judge_sights((SIGHT,), most_away=1)) == []


def test_who_was_taken_away_by_a_fault_is_excused() -> None:
    """Nobody else is, nor the same one at another moment."""
    both = replace(SIGHT, away=frozenset({"w1", "w2"}))
    struck = replace(both, foreign=frozenset({"w2"}))
    assert list(judge.judge_sights((struck,), most_away=1)) == []
    assert list(judge.judge_sights((struck,), most_away=0))
    assert list(judge.judge_sights((struck, both), most_away=1))


def told(*words: str) -> Iterator[Event]:
    """`started cordon` and the like, of one node."""
    for word in words:
        kind, _, step = word.partition(" ")
        node, place = ("w1", f"0/workers/{step}") if step else ("", "")
        yield Event(Happened(kind), NOW, "lab", f"{word} happened.", node=node, step=place)


BEGUN, ENDED, BACK = "step-started cordon", "step-finished cordon", "node-uncordoned drain"
OVER = "operation-completed"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((ENDED, OVER), "which it was never told to begin"),
        ((BEGUN, ENDED, ENDED, OVER), "w1 ended 0/workers/cordon 2 times"),
        ((BEGUN, OVER), "w1 never ended 0/workers/cordon"),
        ((BEGUN, ENDED, BACK, OVER), "w1 never ended 0/workers/cordon"),
        ((BEGUN, ENDED, "operation-blocked"), "the run is completed, and the last word"),
        ((BEGUN, ENDED), "the run is completed, and the last word of its events is None"),
    ],
)
def test_a_state_without_its_event_is_said(words: tuple[str, ...], said: str) -> None:
    """And an event that comes twice."""
    assert said in "; ".join(judge.judge_events(tuple(told(*words)), "completed"))


def test_whoever_was_given_back_begins_its_stage_anew() -> None:
    """Its steps end a second time, and that is no fault."""
    words = (BEGUN, ENDED, BACK, BEGUN, ENDED, OVER)
    assert list(judge.judge_events(tuple(told(*words)), "completed")) == []


def test_what_is_left_of_a_run_is_said() -> None:
    """Its Lease, and its mark on a node."""
    objects = ObjectStore()
    objects.put({"kind": "Node", "metadata": {"name": "w1", "annotations": {}}})
    assert list(judge.judge_marks(objects)) == []
    objects.put({"kind": "Lease", "metadata": {"name": "lockkeeper", "namespace": "kube-system"}, "spec": {}})
    objects.merge("Node", "w1", "", {"metadata": {"annotations": {CORDON_OWNER: "op-1"}}})
    assert len(list(judge.judge_marks(objects))) == 2


@pytest.mark.parametrize(
    ("what", "value"), [("kubelet", "v1.34.7"), ("apiserver", "v1.34.7"), ("cordoned", True), ("holds", ["kubelet"])]
)
def test_an_end_that_is_not_the_one_of_the_plan_is_said(what: str, value: object) -> None:
    """An old version, a cordon that stayed, a hold that is another one."""
    before = {"kubelet": "v1.34.7", "apiserver": "v1.34.7", "cordoned": False, "holds": []}
    good = {**before, "kubelet": "v1.35.4", "apiserver": "v1.35.4"}
    assert list(judge.judge_end({"cp1": before}, {"cp1": good}, "v1.35.4")) == []
    assert len(list(judge.judge_end({"cp1": before}, {"cp1": {**good, what: value}}, "v1.35.4"))) == 1
