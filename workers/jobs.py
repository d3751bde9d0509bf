"""The functions that a wake-up names, and the real collaborators that they work with."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import cache, partial

from cluster.errors import LockkeeperError, StoreUnavailable, UnknownThing
from cluster.events import Event, Happened
from cluster.examination import Examination
from cluster.examine import examine
from cluster.findings import Findings
from cluster.kube import Kube
from cluster.observe import observe
from cluster.plan import Role, UpgradePlan
from cluster.queues import Wakeups
from cluster.report import ClusterReport
from cluster.requests import PlanRequest
from cluster.settings import Settings, load_settings
from cluster.store import Store
from policies.gate import check_approval, check_gate
from policies.machines import check_control_planes
from workers import engine, proposals, runbook
from workers.crew import Crew
from workers.dry_run import answer_dry_run
from workers.errand import errand
from workers.login import SshTarget
from workers.machine import NodeMachine
from workers.monitoring import Monitoring
from workers.preflight import Preflight
from workers.silencing import Alertmanager
from workers.site import RemoteNode
from workers.sources import ask_sources
from workers.ssh import SshShell
from workers.survey import run_survey

SETTINGS: ContextVar[Settings] = ContextVar("SETTINGS")  # the worker's; its forked children inherit them
STOP = threading.Event()  # set by SIGUSR1: hand over at the next poll
_LOG = logging.getLogger(__name__)


def drive(operation_id: str) -> None:
    """Move one operation on, as far as it goes."""
    settings = _settings()
    url = settings.redis.url.read()
    store = Store.connect(url)
    try:
        cluster = store.operation(operation_id).cluster
        engine.drive(assemble(settings, cluster, url), operation_id, stop=STOP)
    except UnknownThing as error:  # a wake-up from before Redis lost its data, or forged
        _LOG.warning("%s", error)


def propose(request_id: str) -> None:
    """Answer one request; only one worker at a time does."""
    settings = _settings()
    store = Store.connect(settings.redis.url.read())
    with errand(Store.connect(settings.redis.url.read()), request_id) as taken:
        if not taken or store.answer(request_id) is not None:
            return
        request = store.request(request_id)
        answer = answer_dry_run if request.kind == "dry-run" else proposals.propose
        try:
            answer(request, settings=settings, store=store, now=datetime.now(UTC))
        except StoreUnavailable:
            raise  # the request stays open, and a reconciler brings it back
        except Exception as error:  # noqa: BLE001 - the edge of a job: whoever asked gets an answer
            _refuse(store, request, error)


def survey(request_id: str) -> None:
    """A survey is a request like any other."""
    propose(request_id)


def offers(cluster: str) -> None:
    """Ask the package sources what a report wants to know of them; nobody where no report waits any more."""
    settings = _settings()
    url = settings.redis.url.read()
    store = Store.connect(url)
    with errand(Store.connect(url), f"offers-{cluster}") as taken:
        wanted = store.wanted_offers(cluster) if taken else None
        if wanted is not None:
            place = settings.clusters.get(cluster)
            store.save_sources(ask_sources(wanted, place.machines if place else {}, datetime.now(UTC)))


def _refuse(store: Store, request: PlanRequest, error: Exception) -> None:
    reference = secrets.token_hex(4)
    _LOG.exception("%s: failed, reference %s", request.id, reference)
    sentence = f"Something unexpected happened, reference {reference}: find it in the worker's log."
    if isinstance(error, LockkeeperError):
        sentence = str(error)
    told = Event(
        Happened.REQUEST_REFUSED,
        datetime.now(UTC),
        request.cluster,
        sentence,
        person=request.person,
        facts={"request": request.id},
    )
    store.answer_request(request.id, refusal=sentence, event=told)


def assemble(settings: Settings, cluster: str, url: str) -> Crew:
    """The real collaborators for one operation."""
    _, place = settings.cluster(cluster)
    wakeups = Wakeups.connect(url)

    @cache
    def kube() -> Kube:
        return Kube.connect(cluster, place)

    def look() -> datetime:
        return datetime.now(UTC)

    def see() -> tuple[ClusterReport, Examination]:
        report = observe(cluster, place, now=look(), kube=kube())
        return report, examine(cluster, place, report, now=look(), kube=kube())

    def inspect(plan: UpgradePlan) -> Findings:
        control_planes = {n.name for n in plan.nodes if n.role is not Role.WORKER}
        machines = {name: machine for name, machine in place.machines.items() if name in control_planes}
        survey = run_survey(cluster, place.model_copy(update={"machines": machines}), (), look())
        return check_control_planes(plan, observe(cluster, place, now=look(), kube=kube()), survey)

    alerts = place.alerts
    monitoring = Monitoring(alerts) if alerts else None
    return Crew(
        settings=settings,
        store=Store.connect(url),
        lease_store=Store.connect(url),
        observe=lambda: observe(cluster, place, now=look(), kube=kube()),
        check_gate=check_gate,
        check_approval=check_approval,
        perform=runbook.perform,
        preflight=Preflight(cluster, place, see, look, timedelta(seconds=settings.waits.survey_fresh)),
        inspect=inspect,
        machine=partial(log_in, settings, cluster),
        kube=kube,
        now=look,
        others_wait=wakeups.anything_waits,
        firing=monitoring.firing if monitoring else None,
        silencer=Alertmanager(monitoring, alerts.node_label) if alerts and monitoring and alerts.silence else None,
    )


@contextmanager
def log_in(settings: Settings, cluster: str, name: str) -> Iterator[RemoteNode]:
    """One machine over SSH, until the end of a stage."""
    machine = settings.clusters[cluster].machines.get(name)
    if machine is None:
        raise UnknownThing(f"The node {name} has no machine in the configuration: add it under `clusters.{cluster}`.")
    with SshShell(SshTarget.of(name, machine), give_up=STOP.is_set) as shell:
        yield NodeMachine(shell, machine.node_script, name=name)


def _settings() -> Settings:
    return SETTINGS.get(None) or load_settings()
