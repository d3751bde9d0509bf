"""Read over the API what an upgrade may stumble over; what cannot be read is said, never left out."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime

from cluster.examination import Examination
from cluster.kube import Kube
from cluster.report import ClusterReport
from cluster.settings import Cluster
from cluster.tally import read_workloads


def examine(
    name: str, cluster: Cluster, report: ClusterReport, *, now: datetime, kube: Kube | None = None
) -> Examination:
    """The whole examination of the cluster that `report` tells of."""
    del report
    with ExitStack() as stack:
        kube = kube or stack.enter_context(Kube.connect(name, cluster))
        return Examination(name, now, workloads=read_workloads(kube))
