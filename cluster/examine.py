"""Read over the API what an upgrade may stumble over; what cannot be read is said, never left out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial

from cluster.configmaps import read_declarations, read_dns_deployments, read_dns_plugins
from cluster.examination import Examination
from cluster.gatekeepers import read_answers, read_hooks, read_unavailable_apis
from cluster.inquiry import ONE_READ, Inquiry
from cluster.inventory import Cluster
from cluster.kube import Kube
from cluster.neighbours import Annotated, Signs, read_annotations, read_groups
from cluster.report import ClusterReport
from cluster.tally import read_workloads
from cluster.usage import by_api, read_callers, read_counted

_PARALLEL = 8


def examine(
    name: str, cluster: Cluster, report: ClusterReport, *, now: datetime, kube: Kube | None = None
) -> Examination:
    """The whole examination of the cluster that `report` tells of."""
    with ExitStack() as stack:
        kube = kube or stack.enter_context(Kube.connect(name, cluster))
        pool = stack.enter_context(ThreadPoolExecutor(_PARALLEL))
        ask = Inquiry(kube)
        workloads = pool.submit(read_workloads, kube)
        hooks = pool.submit(read_hooks, ask)
        unavailable = pool.submit(ask.attempt, "APIs of others", partial(read_unavailable_apis, kube), ())
        declared = pool.submit(read_declarations, ask)
        dns = pool.submit(ask.attempt, "Deployments of CoreDNS", partial(read_dns_deployments, kube), None)
        plugins = pool.submit(ask.attempt, "the ConfigMap coredns", partial(read_dns_plugins, kube), ())
        groups = pool.submit(ask.attempt, "groups of the API", partial(_groups, kube), ())
        annotations = pool.submit(ask.attempt, "annotations of nodes", partial(_annotations, kube), ())
        counted = pool.map(partial(read_counted, ask), report.api_servers)
        answers = read_answers(ask, hooks.result(), pool.map)
        uses = by_api({s.node or s.endpoint: apis for s, apis in zip(report.api_servers, counted, strict=True)})
        callers = pool.map(lambda use: read_callers(ask, use.api), uses)
        return Examination(
            name,
            now,
            workloads=workloads.result(),
            webhooks=tuple(replace(h, ready=answers.get(h.service)) for h in hooks.result()),
            unavailable=unavailable.result(),
            deprecated=tuple(replace(use, callers=found) for use, found in zip(uses, callers, strict=True)),
            dns=dns.result(),
            dns_plugins=plugins.result(),
            signs=Signs(groups.result(), annotations.result()),
            declared=declared.result(),
            unread=tuple(sorted(ask.unread, key=lambda u: u.what)),
        )


def _groups(kube: Kube) -> tuple[str, ...]:
    return read_groups(kube.get("/apis", timeout=ONE_READ))


def _annotations(kube: Kube) -> tuple[Annotated, ...]:
    return read_annotations(metadata for _, metadata in kube.rows("/api/v1/nodes"))
