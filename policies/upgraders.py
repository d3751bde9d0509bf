"""Other tools that upgrade, replace or reboot the same machines, by data/upgraders.yaml."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.findings import Finding, Severity
from cluster.neighbours import Signs
from cluster.report import ClusterReport, DaemonSet
from policies.add_ons import repository_of
from policies.data_files import DataFile, Row
from policies.wording import count_of


class Upgrader(Row):
    """One tool, how it shows itself, and how it is kept quiet."""

    name: str
    does: str
    images: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    pause: str


class Upgraders(DataFile):
    """The whole file."""

    upgraders: tuple[Upgrader, ...]


def read_upgraders() -> tuple[Upgrader, ...]:
    return Upgraders.read("upgraders.yaml").upgraders


def check_upgraders(report: ClusterReport, signs: Signs) -> Iterator[Finding]:
    """Each tool once, by its first sign."""
    for tool in read_upgraders():
        daemon = next((d for d in report.daemon_sets if _runs(tool, d)), None)
        sign = f"the DaemonSet {daemon.namespace}/{daemon.name}" if daemon else _sign(tool, report, signs)
        if sign:
            place = {"namespace": daemon.namespace, "workload": daemon.name} if daemon else {}
            sentence = f"{tool.name}, which {tool.does}, looks after this cluster too: there is {sign}."
            remedy = tool.pause.format(**place) if daemon else tool.pause
            yield Finding("other-upgrader", Severity.WARNING, tool.name, sentence, remedy)


def _runs(tool: Upgrader, daemon: DaemonSet) -> bool:
    names = {repository_of(image).rpartition("/")[2] for image in daemon.images}
    return bool(names & set(tool.images))


def _sign(tool: Upgrader, report: ClusterReport, signs: Signs) -> str:
    if group := next((g for g in tool.groups if g in signs.groups), ""):
        return f"the API {group}"
    for annotated in signs.annotations:
        if tool.annotations and annotated.key.startswith(tool.annotations):
            return f"the annotation {annotated.key} on {count_of(annotated.count, 'node')} ({annotated.nodes[0]})"
    for node in report.nodes if tool.labels else ():
        if label := next((key for key, _ in node.labels if key.startswith(tool.labels)), ""):
            return f"the label {label} on {node.name}"
    return ""
