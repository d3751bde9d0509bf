"""Five thousand machines: what is done for each of them does not grow with their number, and every message fits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import pytest

from bot.run_card import render_run
from bot.run_thread import render_result
from bot.terminal import render_operation, render_plan
from cluster.events import Happened
from cluster.operation import Operation
from cluster.plan import PlanRecord
from cluster.procedure import itinerary
from cluster.report import ClusterReport
from cluster.survey import Survey
from policies.foreign import find_foreign_changes
from policies.gate import check_gate
from policies.pools import form_pools
from policies.preflight import check_preflight
from tests import scale_fixture as scale
from workers.progress import cut_short
from workers.schedule import find_runnable

FEW, MANY = 1000, 4000
_SLACKNESS = 2.5  # a square would be as much again as MANY / FEW


@dataclass(frozen=True)
class Sight:
    """One cluster in the middle of its upgrade."""

    report: ClusterReport
    survey: Survey
    record: PlanRecord
    run: Operation
    size: int

    def gate(self) -> object:
        node = self.record.plan.nodes[-1]
        step = itinerary(self.record.plan, node)[self.run.rows[-1].position]
        return check_gate(
            record=self.record,
            approval=scale.approval(self.record),
            operation=self.run,
            report=self.report,
            step=step,
            node=node,
            settings=scale.settings(3),
            now=scale.NOW,
        )

    def anew(self) -> Sight:
        """With nothing worked out yet."""
        plan, run, report = replace(self.record.plan), replace(self.run), replace(self.report)
        return replace(self, record=replace(self.record, plan=plan), run=run, report=report)


@cache
def sight(size: int) -> Sight:
    survey = scale.survey(size)
    record = scale.record(size, survey)
    return Sight(scale.report(size), survey, record, scale.in_the_middle(record), size)


ENDED = scale.told(Happened.OPERATION_COMPLETED)
WORK: dict[str, Callable[[Sight], object]] = {
    "find-runnable": lambda s: find_runnable(s.record.plan, s.run, s.report),
    "foreign-changes": lambda s: find_foreign_changes(s.record, s.run, s.report),
    "gate": lambda s: s.gate(),
    "cancelling": lambda s: cut_short(s.record.plan, s.run),
    "pools": lambda s: form_pools(s.report, scale.settings(3).clusters["prod"]),
    "preflight": lambda s: check_preflight(s.report, s.survey, scale.settings(3).clusters["prod"], target=None),
    "run-card": lambda s: render_run(s.record, s.run, scale.NOW),
    "result": lambda s: render_result(ENDED, s.record, s.run, after=s.report),
    "status-on-a-terminal": lambda s: render_operation(s.run, s.record),
    "plan-on-a-terminal": lambda s: render_plan(s.record),
}


def _cost(work: Callable[[Sight], object], at: Sight) -> float:
    """Seconds of this thread's own, the least of three: what else the machine does is not counted."""
    spent = []
    for _ in range(3):
        fresh, before = at.anew(), time.thread_time()
        work(fresh)
        spent.append(time.thread_time() - before)
    return min(spent)


@pytest.mark.parametrize("name", WORK)
def test_the_cost_of_a_machine_does_not_grow_with_their_number(name: str) -> None:
    """Four times the machines cost about four times as much; looking each one up among all would cost sixteen."""
    few, many = _cost(WORK[name], sight(FEW)), _cost(WORK[name], sight(MANY))
    assert many / few < MANY / FEW * _SLACKNESS
