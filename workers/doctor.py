"""`lockkeeper doctor`: is every cluster readable and every machine ready to be worked on? It changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from tempfile import TemporaryFile

from cluster.errors import KubeDenied, LockkeeperError
from cluster.findings import Finding, Findings, Severity, blockers
from cluster.inventory import Cluster, Machine
from cluster.kube import Kube
from cluster.observe import observe
from cluster.settings import Settings
from policies.alerts import check_alerts
from policies.distributions import unread_of
from policies.wording import count_of, some_of
from workers.monitoring import Monitoring
from workers.patience import NOT_FOUND
from workers.site import Api
from workers.smoke import missing_namespace, pods_of
from workers.smoke_deployment import build_deployment, deployments_of
from workers.smoke_pod import build_pod
from workers.survey import Reach, parallel, reach


def examine(settings: Settings, *, now: datetime, connect: Reach = reach) -> Findings:
    """A note of what is well, one for all machines of a cluster; a finding with its remedy for what is not."""
    found = [finding for name in settings.clusters for finding in _examine_cluster(settings, name, now)]
    for name, cluster in settings.clusters.items():
        found += [*try_store(name, cluster), *try_alerts(name, cluster), *try_secrets(name, cluster)]
        found += _examine_machines(name, cluster, connect)
    return tuple(found)


def _examine_cluster(settings: Settings, name: str, now: datetime) -> Iterator[Finding]:
    cluster = settings.clusters[name]
    try:
        with Kube.connect(name, cluster) as kube:
            report = observe(name, cluster, now=now, kube=kube)
            smoke = (*try_smoke_pod(kube, name, cluster), *try_surge(kube, name, cluster)) if cluster.machines else ()
    except LockkeeperError as error:
        yield Finding("cluster-unreadable", Severity.BLOCKER, name, str(error), "Check its kubeconfig and the network.")
        return
    for unread in unread_of(report):
        sentence = f"{unread.what} of {name} could not be read: {unread.reason}"
        yield Finding("partly-unreadable", Severity.WARNING, name, sentence, "Check the rights of the account.")
    yield from smoke
    counted = f"{name}: API servers read {len(report.api_servers)}, nodes {len(report.nodes)}."
    yield Finding("cluster-readable", Severity.NOTE, name, counted, "")


def try_smoke_pod(api: Api, name: str, cluster: Cluster) -> Iterator[Finding]:
    """What a smoke test would meet before any node is asked: tried by the API server, which keeps nothing of it."""
    nowhere: dict[str, dict[str, str]] = {"metadata": {"name": name}}
    smoke = cluster.smoke
    pod = build_pod("lockkeeper-doctor", smoke, node=nowhere, image=smoke.image or "pause", owner="doctor", seconds=1)
    what = "pod"
    try:
        api.post(pods_of(smoke), pod, {"dryRun": "All"})
        if smoke.deployment:
            what = "Deployment"
            api.post(deployments_of(smoke), build_deployment(pod), {"dryRun": "All"})
    except KubeDenied as error:
        if error.status == NOT_FOUND:
            yield Finding("smoke-namespace-missing", Severity.WARNING, name, *missing_namespace(smoke, name))
            return
        sentence = f"A smoke {what} in {smoke.namespace} of {name} would be refused: {error}"
        remedy = "Run this with the worker's account, and apply the chart's rights there again if it is refused then."
        yield Finding("smoke-pod-refused", Severity.WARNING, name, sentence, remedy)


def try_surge(api: Api, name: str, cluster: Cluster) -> Iterator[Finding]:
    """Whether single replicas may be given a second one, where the defaults ask for that."""
    if not cluster.defaults.surge:
        return
    wish = {"group": "apps", "resource": "deployments", "verb": "patch"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {"name": ""},
        "spec": {"resourceAttributes": wish},
    }
    answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    if not (answer.get("status") or {}).get("allowed"):
        sentence = f"`surge` is set for {name}, and this account may not scale Deployments there."
        remedy = "Run this with the worker's account; if it says so then, apply the chart's rights with `surge=true`."
        yield Finding("surge-refused", Severity.WARNING, name, sentence, remedy)


def try_store(name: str, cluster: Cluster) -> Iterator[Finding]:
    """Whether snapshots could be written where they shall go: a file without a name, gone at once."""
    if cluster.snapshots is None:
        return
    store = cluster.snapshots.store
    try:
        with TemporaryFile(dir=store / name if (store / name).is_dir() else store):
            sentence = f"Snapshots of {name} can be written in {store}."
    except OSError as error:
        sentence = f"Snapshots of {name} cannot be written in {store}: {error.strerror}."
        remedy = "Mount it where the workers run, writable by their user, and run `lockkeeper doctor` there."
        yield Finding("snapshot-store-unwritable", Severity.BLOCKER, name, sentence, remedy)
        return
    yield Finding("snapshot-store-ready", Severity.NOTE, name, sentence, "")


def try_secrets(name: str, cluster: Cluster) -> Iterator[Finding]:
    """Whether the webhooks' messages could be signed; nothing is sent, since it would be taken for true."""
    for moment, hooks in cluster.hooks.items():
        for hook in hooks:
            try:
                if hook.secret is not None:
                    hook.secret.read()
            except LockkeeperError as error:
                sentence = f"The {hook.planned(moment)} of {name} could not be signed at {moment}: {error}"
                remedy = "Give the workers that secret, and run `lockkeeper doctor` where they run."
                yield Finding("hook-secret-missing", Severity.BLOCKER, name, sentence, remedy)


def try_alerts(name: str, cluster: Cluster) -> Iterator[Finding]:
    """Whether a run could learn what fires, and what would keep it waiting now."""
    if cluster.alerts is None:
        return
    try:
        firing = Monitoring(cluster.alerts).firing()
    except LockkeeperError as error:
        remedy = "Mend that where the workers run: they ask it before each node."
        severity = Severity.BLOCKER if cluster.alerts.unreachable == "halt" else Severity.WARNING
        yield Finding("alerts-unreadable", severity, name, str(error), remedy)
        return
    waits = blockers(check_alerts(name, cluster.alerts, firing))
    told = f"; a run would wait for {some_of(f.subject for f in waits)}" if waits else ", and no run would wait"
    sentence = f"Alerts of {name} are read from {cluster.alerts.address}: {count_of(len(firing), 'alert')} now{told}."
    yield Finding("alerts-readable", Severity.NOTE, name, sentence, "")


def _examine_machines(name: str, cluster: Cluster, connect: Reach) -> Iterator[Finding]:
    machines = cluster.machines
    with ThreadPoolExecutor(parallel(len(machines))) as pool:
        answers = pool.map(lambda named: _knock(*named, connect=connect), machines.items())
        told = dict(zip(machines, answers, strict=True))
    for machine, answer in told.items():
        if isinstance(answer, LockkeeperError):
            remedy = "Mend it, and run `lockkeeper doctor` again."
            yield Finding("machine-unreachable", Severity.BLOCKER, machine, str(answer), remedy)
    for protocol in sorted({answer for answer in told.values() if isinstance(answer, int)}):
        ready = [machine for machine, answer in told.items() if answer == protocol]
        counted = f"{count_of(len(ready), 'machine')} of {name}"
        sentence = f"{counted} answered with protocol {protocol} of the node script: {some_of(ready)}."
        yield Finding("machines-ready", Severity.NOTE, name, sentence, "")


def _knock(name: str, machine: Machine, *, connect: Reach) -> int | LockkeeperError:
    """The protocol of its node script, or why there is none."""
    try:
        with connect(name, machine) as node:
            return node.version()
    except LockkeeperError as error:
        return error
