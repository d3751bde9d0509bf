"""What runs beside the control plane, by its images: network, DNS, storage; what nobody knows is called unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache

from cluster.findings import Finding, Findings, Severity
from cluster.pods import tag_of
from cluster.report import ClusterReport
from cluster.versions import Minor, ReportedVersion
from policies.data_files import DataFile, Row

UNKNOWN = "unknown add-on"
_SYSTEM = "kube-system"


class Role(StrEnum):
    """What an add-on does for the cluster."""

    NETWORK = "network"
    PROXY = "proxy"
    DNS = "dns"
    METRICS = "metrics"
    STORAGE = "storage"
    OTHER = "other"


class Tested(Row):
    """The Kubernetes minors that one line of an add-on is tested with, by its project."""

    line: str  # "3.31"
    first: Minor
    last: Minor


class AddOnFacts(Row):
    """One add-on that is recognised by its images."""

    name: str
    role: Role
    images: tuple[str, ...]
    agent: tuple[str, ...] = ()
    matrix: str = ""
    tested: tuple[Tested, ...] = ()
    no_range: str = ""  # what its project says of Kubernetes where it names no minors that it is tested with


class AddOns(DataFile):
    """The whole file."""

    add_ons: tuple[AddOnFacts, ...]


@dataclass(frozen=True, slots=True)
class Recognised:
    """One image of one workload, and which add-on it is of."""

    title: str  # "Calico", or that it is an unknown one
    role: Role
    namespace: str
    workload: str
    image: str
    version: str  # the tag; the digest where there is none
    is_agent: bool  # its version is the add-on's
    nodes: tuple[str, ...]  # empty where only their number is known
    count: int


def read_add_ons() -> tuple[AddOnFacts, ...]:
    return AddOns.read("add_ons.yaml").add_ons


def recognise(report: ClusterReport) -> tuple[Recognised, ...]:
    """Every image of kube-system; of other namespaces the DaemonSets of add-ons that are known. Networks come first."""
    found = [_recognised(_SYSTEM, a.name, a.image, a.nodes, len(a.nodes)) for a in report.add_ons]
    for daemon in report.daemon_sets:
        if daemon.namespace != _SYSTEM:
            known = (_recognised(daemon.namespace, daemon.name, i, (), daemon.wanted) for i in daemon.images)
            found += [r for r in known if r.title != UNKNOWN]
    order = list(Role)
    return tuple(sorted(found, key=lambda r: (order.index(r.role), r.title, not r.is_agent, r.workload, r.image)))


def check_networks(report: ClusterReport, minors: Iterable[Minor]) -> Findings:
    """Whether each network add-on goes with the minors that a plan comes to, as far as its project has said."""
    agents = {(r.title, r.version): r for r in recognise(report) if r.role is Role.NETWORK and r.is_agent}
    goals = sorted(set(minors))
    return tuple(f for agent in agents.values() for f in _fitting(agent, goals))


def _fitting(agent: Recognised, goals: list[Minor]) -> Iterator[Finding]:
    facts = next(f for f in read_add_ons() if f.name == agent.title)
    tested = _tested(facts, agent.version)
    title, place = f"{agent.title} {agent.version}", f"{agent.namespace}/{agent.workload}"
    if tested is None:
        if goals:
            yield _unknown(title, place, goals[-1], facts)
        return
    missing = [str(m) for m in goals if not tested.first <= m <= tested.last]
    if missing:
        sentence = (
            f"{title} ({place}) is tested with {tested.first} to {tested.last} by its project (as of "
            f"{facts.verified_on}), not with {', '.join(missing)}."
        )
        remedy = f"Bring {agent.title} to a release that is tested with both first, or check its matrix: {facts.matrix}"
        yield Finding("network-untested", Severity.WARNING, place, sentence, remedy)


def _unknown(title: str, place: str, goal: Minor, facts: AddOnFacts) -> Finding:
    """Nothing is known here, or there is nothing to know: no matrix would tell more."""
    sentence = f"Whether {title} ({place}) goes with {goal} is not known here."
    remedy = f"Check its matrix: {facts.matrix}"
    if facts.no_range:
        sentence = (
            f"{title} ({place}) cannot be held against {goal}, since its project names no range of minors: "
            f"{facts.no_range} (as of {facts.verified_on})."
        )
        remedy = f"Look whether its releases say anything of {goal}, and try both elsewhere first: {facts.matrix}"
    return Finding("network-fit-unknown", Severity.NOTE, place, sentence, remedy)


def _tested(facts: AddOnFacts, version: str) -> Tested | None:
    read = ReportedVersion.read(version)
    return next((t for t in facts.tested if read and f"v{t.line}" == str(read.version.minor)), None)


def _recognised(namespace: str, workload: str, image: str, nodes: tuple[str, ...], count: int) -> Recognised:
    repository = repository_of(image)
    facts = _facts_of(repository)
    return Recognised(
        title=facts.name if facts else UNKNOWN,
        role=facts.role if facts else Role.OTHER,
        namespace=namespace,
        workload=workload,
        image=image,
        version=version_of(image),
        is_agent=facts is not None and _matches(repository, facts.agent),
        nodes=nodes,
        count=count,
    )


@cache
def _facts_of(repository: str) -> AddOnFacts | None:
    return next((f for f in read_add_ons() if _matches(repository, f.images)), None)


def _matches(repository: str, patterns: tuple[str, ...]) -> bool:
    """A pattern is matched against the end of the path: mirrors put their own names before it."""
    return any(fnmatchcase(repository, p) or fnmatchcase(repository, f"*/{p}") for p in patterns)


def version_of(image: str) -> str:
    """The tag, also where a digest pins it; else a short digest."""
    name, _, digest = image.partition("@")
    return tag_of(name) or digest[: len("sha256:") + 12] or "latest"


def repository_of(image: str) -> str:
    """The image's name without its tag and its digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
