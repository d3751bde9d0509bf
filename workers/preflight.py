"""What one driver looks at before its first step: all of it once, and then the machines whose answer is in doubt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cluster.examination import Examination
from cluster.findings import Findings
from cluster.inventory import Cluster
from cluster.observation import Observation
from cluster.plan import UpgradePlan
from cluster.report import ClusterReport, Unread
from cluster.survey import Survey
from cluster.versions import Minor
from policies.drafting import recheck
from workers.survey import Reach, reach, run_survey

See = Callable[[], tuple[ClusterReport, Examination]]


@dataclass
class Preflight:
    """
    Asked several times, since links do break: a survey of thousands of machines takes minutes, and most stand.

    What was answered more than `fresh` ago is asked again.
    """

    name: str
    place: Cluster
    see: See  # the cluster itself, which is read anew at each look
    now: Callable[[], datetime]
    fresh: timedelta
    connect: Reach = reach
    _last: Survey | None = None
    _until: datetime | None = None  # when the last survey of all machines has become old
    _doubted: frozenset[str] = frozenset()

    def __call__(self, plan: UpgradePlan) -> Findings:
        """The blockers that stand against the plan now."""
        survey = self._survey(tuple(hop.target.minor for hop in plan.hops))
        report, examination = self.see()
        found = recheck(plan, Observation(report, survey, examination), self.place)
        self._doubted = in_doubt(found, report, survey)
        return found

    def _survey(self, minors: tuple[Minor, ...]) -> Survey:
        if self._last is None or self._until is None or self.now() > self._until:
            survey = run_survey(self.name, self.place, minors, self.now(), self.connect)
            self._until = self.now() + self.fresh
        else:
            machines = {name: machine for name, machine in self.place.machines.items() if name in self._doubted}
            some = self.place.model_copy(update={"machines": machines})
            asked = run_survey(self.name, some, minors, self.now(), self.connect)
            survey = replace(self._last, machines=tuple(asked.machine(m.name) or m for m in self._last.machines))
        self._last, self._doubted = survey, unread(survey)  # stands where the cluster cannot be read after it
        return survey


def in_doubt(found: Findings, report: ClusterReport, survey: Survey) -> frozenset[str]:
    """The machines whose answer may be behind a blocker: those named, and all of etcd for one that names none."""
    named = {f.subject for f in found}
    machines = {m.name for m in survey.machines}
    of_all = set() if named <= machines else {n.name for n in report.control_plane}
    return frozenset(machines & (named | of_all))


def unread(survey: Survey) -> frozenset[str]:
    return frozenset(m.name for m in survey.machines if isinstance(m.facts, Unread))
