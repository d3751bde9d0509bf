"""The report as a message: which version runs where, what that means, and what is wrong; it fits at any size."""

from __future__ import annotations

from bot.blocks import (
    ROOM,
    Block,
    Element,
    Message,
    actions,
    bullets,
    button,
    context,
    emoji,
    header,
    in_parts,
    line,
    monospace_columns,
    rich_text,
    spans,
    stamp,
    table,
    text_element,
    text_size,
)
from bot.finding_lines import finding_lines
from bot.machine_rows import HEAD, machine_lines, machine_rows
from bot.report_rows import NODE_HEAD, Row, image_lines, node_lines, overview_rows
from bot.text import clean, count, escape, listing, local_moment
from cluster.findings import Finding, Findings, Severity, worst_first
from cluster.report import Unread
from policies.overview import Overview

SHARE = "report_share"
LISTING = "report_listing"
FILE = "report_file"
_MOST_FINDINGS = 8
_FEWEST_FINDINGS = 3
_MOST_ALIKE = 3  # findings of one kind that are told one by one; more of them are told as one
_MOST_ROWS = 60  # about what the text budget of one message carries
_TABLE_ROOM = 3500  # characters that findings leave to the table, where there is that much in it
_MOST_PARTS = 4  # messages of one whole listing: a response_url takes five
IN_THE_REPORT = "the whole list of the report has them, and so has `lockkeeper versions`"
IN_THE_PLAN = "the full plan has more of them, and the command line has all"
_ELSEWHERE = "the command line has all of them"
_SIGNS = {Severity.BLOCKER: "x", Severity.WARNING: "warning", Severity.NOTE: "information_source"}


def render_report(seen: Overview, *, share: bool = True) -> Message:
    """The card; `share` adds the buttons that show it to the whole channel, and everything to one person."""
    report, rows = seen.report, all_rows(seen)
    blocks: list[Block] = [
        header(f"Versions in {clean(report.cluster, 60)}"),
        rich_text(line(*spans(seen.meaning, 1500))),
        *([rich_text(bullets([_unread(u) for u in seen.unread[:_MOST_FINDINGS]]))] if seen.unread else []),
        *_findings_beside(seen.findings, _width_of(rows)),
    ]
    foot = [context(*_foot(seen))]
    shown = fitting(rows, ROOM - text_size([*blocks, *foot]))
    blocks.insert(2, table(("What", "Version", "Where"), [(r.what, r.version, r.place) for r in shown]))
    if len(rows) > len(shown):
        left = count(len(rows) - len(shown), "more line")
        blocks.insert(3, context(f"{left}: the whole list, or `lockkeeper versions`, shows them."))
    if share:
        name = report.cluster[:60]
        shown_to = (("Share in channel", SHARE), ("Whole list", LISTING), ("As a file in channel", FILE))
        foot.insert(0, actions(*(button(label, action, name) for label, action in shown_to)))
    return Message(summarise(seen), stamp([*blocks, *foot], f"report:{report.cluster}"))


def render_listing(seen: Overview) -> tuple[Message, ...]:
    """Every line, finding, node, machine and image, in as many messages as one answer may have."""
    rows = [
        ("WHAT", "VERSION", "WHERE"),
        *((r.what, r.version, ", ".join(r.where) or r.place) for r in all_rows(seen)),
    ]
    nodes = [NODE_HEAD, *node_lines(seen.report)] if seen.report.nodes else []
    machines = [HEAD, *machine_lines(seen.survey)] if seen.survey else []
    images = [("NODE", "WORKLOAD", "IMAGE", "TAG"), *image_lines(seen.report)]
    first, *grids = (monospace_columns(grid) for grid in (rows, nodes, machines, images) if grid)
    found = ["\n".join(finding_lines(seen.findings))] if seen.findings else []
    parts = in_parts("\n\n".join((first, *found, *grids)))
    pages: list[list[Block]] = [[]]
    for part in parts:
        if pages[-1] and text_size([*pages[-1], part]) > ROOM:
            pages.append([])
        pages[-1].append(part)
    if len(pages) > _MOST_PARTS:
        pages = pages[:_MOST_PARTS]
        pages[-1].append(context("There is more: the file has it all, and so has `lockkeeper versions --images`."))
    name = clean(seen.report.cluster, 60)
    titles = [f"Everything that runs in {name}, part {n} of {len(pages)}" for n in range(1, len(pages) + 1)]
    return tuple(
        Message(escape(f"{title}."), stamp([header(title), *page], f"listing:{n}:{name}"))
        for n, (title, page) in enumerate(zip(titles, pages, strict=True))
    )


def all_rows(seen: Overview) -> tuple[Row, ...]:
    """What the API shows, and then what the machines told."""
    return (*overview_rows(seen), *(machine_rows(seen.survey) if seen.survey else ()))


def _width_of(rows: tuple[Row, ...]) -> int:
    return sum(len(clean(cell)) for r in rows[:_MOST_ROWS] for cell in (r.what, r.version, r.place))


def fitting(rows: tuple[Row, ...], room: int) -> tuple[Row, ...]:
    """As many rows as a message has room for, at least one."""
    shown: list[Row] = []
    for row in rows[:_MOST_ROWS]:
        room -= sum(len(clean(cell)) for cell in (row.what, row.version, row.place))
        if room < 0 and shown:
            break
        shown.append(row)
    return tuple(shown)


def _findings_beside(findings: Findings, wanted: int) -> list[Block]:
    """As many findings as leave the table its room; those that are left out are counted."""
    return findings_within(findings, ROOM - min(wanted, _TABLE_ROOM) - 2000, _FEWEST_FINDINGS, IN_THE_REPORT)


def findings_within(findings: Findings, room: int, fewest: int = 1, rest: str = _ELSEWHERE) -> list[Block]:
    """As many findings as there is room for; a message over the budget would lose its form, and with it all of them."""
    for most in range(_MOST_FINDINGS, fewest, -1):
        blocks = render_findings(findings, most, rest)
        if text_size(blocks) <= room:
            return blocks
    return render_findings(findings, fewest, rest)


def _foot(seen: Overview) -> list[str]:
    said = [f"Read from the cluster: {local_moment(seen.report.read_at)}"]
    if seen.survey is not None:
        said.append(f"Machines surveyed: {local_moment(seen.survey.read_at)}")
    return said


def summarise(seen: Overview) -> str:
    """One escaped sentence, the result first, for screen readers and notifications."""
    report = seen.report
    servers = sorted({str(v) for v in report.api_versions})
    kubelets = sorted({str(v) for v in report.kubelet_versions})
    counted = count(len(report.nodes), "kubelet") if report.nodes_read else "kubelets"
    said = (
        f"{report.cluster}: API servers {listing(tuple(servers)) or 'not read'}, "
        f"{counted} {listing(tuple(kubelets)) or 'not read'}"
    )
    found = [f.sentence for f in worst_first(seen.findings) if f.severity is not Severity.NOTE]
    return escape(f"{said}. {found[0]}" if found else f"{said}.")


def render_findings(findings: Findings, most: int = _MOST_FINDINGS, rest: str = _ELSEWHERE) -> list[Block]:
    """Worst first: what was found, under which code, and what to do about it; `rest` says where the others are told."""
    if not findings:
        return []
    told = _told_together(findings)
    blocks: list[Block] = [rich_text(bullets([_finding(group) for group in told[:most]]))]
    if left := sum(len(group) for group in told[most:]):
        blocks.append(context(f"{count(left, 'more finding')}: {rest}."))
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
