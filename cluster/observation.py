"""Everything that was seen of one cluster before a plan: its versions, its machines, its obstacles."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.examination import Examination
from cluster.report import ClusterReport
from cluster.survey import Survey


@dataclass(frozen=True, slots=True)
class Observation:
    """What a plan is drafted from and judged by; each part says itself when it was read."""

    report: ClusterReport
    survey: Survey
    examination: Examination
