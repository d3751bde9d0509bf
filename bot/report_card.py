"""The report as a message: which version runs where, grouped so that a cluster of any size fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bot.blocks import (
    Block,
    Element,
    Message,
    actions,
    bullets,
    button,
    context,
    emoji,
    header,
    rich_text,
    spans,
    stamp,
    table,
    text_element,
)
from bot.text import NOTHING, clean, count, escape, listing, local_moment
from cluster.findings import Finding, Findings, Severity, worst_first
from cluster.report import ApiServer, ClusterReport, Node, StaticPod, Unread

SHARE = "report_share"
_MOST_FINDINGS = 8
_MOST_ALIKE = 3  # findings of one kind that are told one by one; more of them are told as one
_MOST_ROWS = 60  # about what the text budget of one message carries
_SIGNS = {Severity.BLOCKER: "x", Severity.WARNING: "warning", Severity.NOTE: "information_source"}
_COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report: what, in which version, on which nodes."""

    what: str
    version: str
    where: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{len(self.where)}: {listing(self.where)}" if len(self.where) > 1 else listing(self.where) or NOTHING


def report_rows(report: ClusterReport) -> tuple[Row, ...]:
    """Everything that has a version, grouped by it; "not read" is a version of its own."""
    servers = ((_server_name(a), _reading(a.version), a.node) for a in report.api_servers)
    pods = sorted(report.static_pods, key=lambda p: (_order(p), p.component))
    images = ((p.component, _tag(p), p.node) for p in pods if p.component != "kube-apiserver" or _differs(report, p))
    kubelets = ((_kubelet_name(n), _reading(n.kubelet), n.name) for n in (*report.control_plane, *report.worker_nodes))
    declared = ("kubeadm-config", _reading(report.declared), "")
    add_ons = (Row(a.name, _image_tag(a.image), a.nodes) for a in report.add_ons)
    return (*_grouped(servers), *_grouped(images), *_grouped(kubelets), *_grouped((declared,)), *add_ons)


def _grouped(readings: Iterable[tuple[str, str, str]]) -> Iterator[Row]:
    groups: dict[tuple[str, str], list[str]] = {}
    for what, version, where in readings:
        groups.setdefault((what, version), []).append(where)
    for (what, version), names in groups.items():
        yield Row(what, version, tuple(n for n in names if n))


def _reading(value: object) -> str:
    return f"not read: {value.reason}" if isinstance(value, Unread) else str(value)


def _tag(pod: StaticPod) -> str:
    return (pod.tag or "image without a tag") + ("" if pod.ready else ", not ready")


def _image_tag(image: str) -> str:
    """`v1.34.7` of `registry/kube-proxy:v1.34.7`; the whole last part where no tag is in it."""
    last = image.rpartition("/")[2]
    return last.partition(":")[2] if "@" not in last and ":" in last else last


def _order(pod: StaticPod) -> int:
    return _COMPONENTS.index(pod.component) if pod.component in _COMPONENTS else len(_COMPONENTS)


def _differs(report: ClusterReport, pod: StaticPod) -> bool:
    """An API server's image is worth a line of its own only where it is not what the server says it is."""
    said = next((str(a.version) for a in report.api_servers if a.node == pod.node), "")
    return str(pod.version) != said


def _server_name(server: ApiServer) -> str:
    return "API server" if server.ready else "API server, not ready"


def _kubelet_name(node: Node) -> str:
    states = [("not Ready", not node.ready), ("cordoned", node.cordoned)]
    said = "".join(f", {word}" for word, holds in states if holds)
    return f"kubelet ({'control plane' if node.control_plane else 'worker'}){said}"


def render_report(report: ClusterReport, findings: Findings = (), *, share: bool = True) -> Message:
    """The card; `share` adds the button that shows it to the whole channel."""
    rows = report_rows(report)
    body = table(("What", "Version", "Where"), [(r.what, r.version, r.place) for r in rows[:_MOST_ROWS]])
    blocks: list[Block] = [header(f"Versions in {clean(report.cluster, 60)}")]
    blocks.append(body)
    if len(rows) > _MOST_ROWS:
        blocks.append(context(f"{len(rows) - _MOST_ROWS} more lines: `lockkeeper versions` shows them all."))
    if report.unread:
        blocks.append(rich_text(bullets([_unread(u) for u in report.unread[:_MOST_FINDINGS]])))
    blocks += render_findings(findings)
    if share:
        blocks.append(actions(button("Share in channel", SHARE, report.cluster[:60])))
    blocks.append(context(f"Read from the cluster: {local_moment(report.read_at)}"))
    return Message(summarise(report, findings), stamp(blocks, f"report:{report.cluster}"))


def summarise(report: ClusterReport, findings: Findings = ()) -> str:
    """One escaped sentence, the result first, for screen readers and notifications."""
    servers = sorted({str(v) for v in report.api_versions})
    kubelets = sorted({str(v) for v in report.kubelet_versions})
    said = (
        f"{report.cluster}: API servers {listing(tuple(servers)) or 'not read'}, "
        f"{count(len(report.nodes), 'kubelet')} {listing(tuple(kubelets)) or 'not read'}"
    )
    found = [f.sentence for f in worst_first(findings) if f.severity is not Severity.NOTE]
    return escape(f"{said}. {found[0]}" if found else f"{said}.")


def render_findings(findings: Findings, most: int = _MOST_FINDINGS) -> list[Block]:
    """Worst first: what was found, under which code, and what to do about it."""
    if not findings:
        return []
    told = _told_together(findings)
    blocks: list[Block] = [rich_text(bullets([_finding(group) for group in told[:most]]))]
    if left := sum(len(group) for group in told[most:]):
        blocks.append(context(f"{count(left, 'more finding')}: see the full plan, or the command line."))
    return blocks


def _told_together(findings: Findings) -> list[Findings]:
    """Worst first; many machines with one ailment are one thing to know, and must not hide another."""
    kinds: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in worst_first(findings):
        kinds.setdefault((finding.severity, finding.code), []).append(finding)
    return [
        group
        for alike in kinds.values()
        for group in ([(f,) for f in alike] if len(alike) <= _MOST_ALIKE else [tuple(alike)])
    ]


def _finding(alike: Findings) -> list[Element]:
    finding, others = alike[0], tuple(clean(f.subject, 80) for f in alike[1:])
    more = [text_element(f" The same of {count(len(others), 'other')}: {listing(others, 3)}.")] if others else []
    remedy = [text_element(" "), *spans(finding.remedy, 400)] if finding.remedy else []
    return [
        emoji(_SIGNS[finding.severity]),
        text_element(f" {finding.severity.capitalize()} ", bold=True),
        *spans(finding.sentence, 500),
        *remedy,
        *more,
        text_element(f" ({clean(finding.code, 60)})", italic=True),
    ]


def _unread(unread: Unread) -> list[Element]:
    return [emoji("warning"), text_element(f" {clean(unread.what)} could not be read: {clean(unread.reason, 300)}")]
