"""The same facts as on the cards, for the command line: plain text for people, JSON with a schema for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter

from bot.blocks import monospace_columns
from bot.finding_lines import finding_lines
from bot.fleet_card import fleet_row
from bot.left_out import left_out_words, options_without
from bot.machine_rows import HEAD, machine_lines, machine_rows
from bot.option_words import at_once, drain_sentences
from bot.plan_card import node_rows
from bot.plan_card import title as plan_title
from bot.plan_changes import changes_lines
from bot.plan_notes import notes_lines
from bot.report_rows import NODE_HEAD, count_images, image_lines, node_lines, overview_rows
from bot.run_card import machine_words, machines_done
from bot.run_card import title as run_title
from bot.text import NOTHING, clean, clock, count, duration, moment
from cluster.dry_run import DryRun
from cluster.events import Event
from cluster.findings import Finding, blockers
from cluster.force import ForceRequest
from cluster.operation import Operation
from cluster.plan import Hop, PlanKind, PlanRecord
from cluster.report import ClusterReport
from cluster.survey import Survey
from policies.add_ons import recognise
from policies.fleet import FleetLine
from policies.hooks import tell_hooks
from policies.origins import origins_of
from policies.overview import Overview
from policies.permanence import find_permanent
from policies.release_notes import notes_of
from policies.sparing import tell_standing
from policies.stops import tell_held, tell_stuck
from policies.support import Support

SCHEMA = 1  # grows when a field changes its meaning
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}
_MOST_LINES = 300  # of a listing that nobody asked for


def _plain(noun: object) -> Any:
    """As JSON has it; an adapter is made when it is first used, since text needs none of them."""
    kind = type(noun)
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind].dump_python(noun, mode="json")


def as_json(kind: str, **parts: Any) -> str:
    """One object: `schema`, `kind`, and the parts; keys in a fixed order."""
    return json.dumps({"schema": SCHEMA, "kind": kind, **parts}, indent=2, ensure_ascii=False)


def report_json(seen: Overview) -> str:
    return as_json(
        "report",
        report=_plain(seen.report),
        survey=_plain(seen.survey) if seen.survey else None,
        maker=seen.maker,
        meaning=seen.meaning,
        support=_plain(seen.support),
        add_ons=[_plain(a) for a in recognise(seen.report)],
        origins=[_plain(o) for o in origins_of(seen.survey)] if seen.survey else [],
        findings=[_plain(f) for f in seen.findings],
    )


def fleet_json(lines: Iterable[FleetLine]) -> str:
    return as_json("fleet", fleet=[_plain(one) for one in lines])


def plan_json(record: PlanRecord) -> str:
    notes, lasting = notes_of(record), find_permanent(record)
    return as_json(
        "plan", plan=_plain(record), notes=[_plain(n) for n in notes], permanent=[_plain(p) for p in lasting]
    )


def dry_run_json(made: DryRun) -> str:
    return as_json("dry-run", dry_run=_plain(made))


def operation_json(operation: Operation) -> str:
    return as_json("operation", operation=_plain(operation))


def force_json(request: ForceRequest) -> str:
    return as_json("force", force=_plain(request))


def events_json(events: Iterable[Event]) -> str:
    return as_json("events", events=[_plain(e) for e in events])


def findings_json(findings: Iterable[Finding]) -> str:
    return as_json("findings", findings=[_plain(f) for f in findings])


def render_report(seen: Overview, *, images: bool = False) -> str:
    """Every version with where it runs, what it means, and what is wrong; what could not be read is said."""
    report, survey = seen.report, seen.survey
    rows = [("WHAT", "VERSION", "WHERE"), *((r.what, r.version, r.place) for r in overview_rows(seen))]
    lines = [f"{clean(report.cluster)}, read {moment(report.read_at)}", *_sentence_lines(seen.meaning), ""]
    lines += [monospace_columns(rows), *(f"not read: {clean(u.what)}: {clean(u.reason, 300)}" for u in seen.unread)]
    if seen.support.running:
        lines += ["", monospace_columns(_support_rows(seen.support))]
    if survey is not None:
        lines += ["", *_survey_lines(survey, whole=images)]
    if report.nodes:
        lines += ["", *_node_listing(report, whole=images)]
    if count_images(report):
        lines += ["", *_image_listing(report, whole=images)]
    return "\n".join([*lines, "", render_findings(seen.findings)] if seen.findings else lines)


def _sentence_lines(meaning: str) -> Iterator[str]:
    """The one sentence, a line for each of its parts."""
    *parts, last = clean(meaning, 2000).split("; ")
    yield from (f"{part};" for part in parts)
    yield last


def _support_rows(support: Support) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("MINOR", "OLDEST", "NEWEST OFFERED", "NEWEST KNOWN", "PLANNED END", "ACTUAL END")]
    for m in support.running:
        said = (m.minor, m.oldest, m.offered, m.known, m.planned_end, m.actual_end)
        rows.append(tuple(str(value) if value else NOTHING for value in said))
    return rows


def _node_listing(report: ClusterReport, *, whole: bool) -> Iterator[str]:
    """Each with its versions; those of a large cluster only when they are asked for."""
    if whole or len(report.nodes) <= _MOST_LINES:
        yield monospace_columns([NODE_HEAD, *node_lines(report)])
    else:
        yield f"{len(report.nodes)} nodes: list them one by one with --images"


def _image_listing(report: ClusterReport, *, whole: bool) -> Iterator[str]:
    """As the classic listing: node, workload, image, tag; a large cluster's only when it is asked for."""
    if not whole and (number := count_images(report)) > _MOST_LINES:
        yield f"{number} images run in kube-system: list them by node with --images"
        return
    lines = list(image_lines(report))
    kept: dict[str, str] = {}  # thousands of lines repeat a few texts
    cells = [[kept.get(c) or kept.setdefault(c, clean(c, 400)) for c in row] for row in lines]
    cells.insert(0, ["NODE", "IN KUBE-SYSTEM", "IMAGE", "TAG"])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    yield from ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)


def render_fleet(lines: Sequence[FleetLine]) -> str:
    """One line a cluster, the worst first."""
    rows = [("CLUSTER", "STANDS", "NODES", "API SERVERS", "KUBELETS", "NOTE"), *map(fleet_row, lines)]
    return monospace_columns(rows)


def _survey_lines(survey: Survey, *, whole: bool) -> Iterator[str]:
    """What the machines told, grouped and then one by one; very many of them only when it is asked for."""
    rows = [("WHAT", "VERSION OR STATE", "WHERE"), *((r.what, r.version, r.place) for r in machine_rows(survey))]
    yield f"Machines, surveyed {moment(survey.read_at)}:"
    yield from (monospace_columns(rows), "")
    if whole or len(survey.machines) <= _MOST_LINES:
        yield monospace_columns([HEAD, *machine_lines(survey)])
    else:
        yield f"{len(survey.machines)} machines were asked: list them one by one with --images"


def render_plan(record: PlanRecord) -> str:
    """The plan with its findings, and how to decide on it."""
    lines = [
        plan_title(record),
        f"{record.id}, {record.status}, asked for by {clean(record.requester)}, expires {moment(record.expires_at)}",
        f"digest {record.digest}",
        f"hops: {', '.join(_hop(h) for h in record.plan.hops)}",
    ]
    lines += [f"pool {clean(p.name)}: {at_once(p)}" for p in record.plan.pools if p.nodes]
    if record.plan.kind is PlanKind.UPGRADE:
        lines += [f"workers move: {record.plan.options.workers}", f"reboot: {record.plan.options.reboot}"]
    lines += [f"drains: {clean(sentence, 3000)}" for sentence in drain_sentences(record.plan)]
    lines += [f"hook {clean(sentence, 400)}" for sentence in tell_hooks(record.plan.hooks)]
    lines += [f"order: {clean(sentence, 400)}" for sentence in record.order]
    if left_out := left_out_words(record, most=100_000):
        lines.append(f"left out: {left_out}")
    if record.estimate[1]:
        grounds = f", {clean(record.estimate_grounds, 400)}" if record.estimate_grounds else ""
        lines.append(f"estimate: {duration(record.estimate[0])} to {duration(record.estimate[1])}{grounds}")
    lines += ["", monospace_columns([("MACHINE", "ROLE", "KUBELET NOW", "AFTER"), *node_rows(record, most=100_000)])]
    lines += [*changes_lines(record), *notes_lines(record)]
    if lasting := find_permanent(record):
        lines += ["", "What cannot be undone:", *(f"  {clean(p.sentence, 700)}" for p in lasting)]
    if record.findings:
        lines += ["", render_findings(record.findings)]
    if record.decided_by or record.reason:
        lines += ["", f"{record.status}: {clean(record.decided_by)} {clean(record.reason, 500)}"]
    elif blockers(record.findings):
        lines += ["", "This plan cannot be approved: clear the blockers and plan again."]
        if command := options_without(record):
            lines.append(f"To go on without {count(len(record.blocked_workers), 'worker')}: {command}")
    else:
        lines += ["", f"Somebody other than {clean(record.requester)} approves it with: lockkeeper approve {record.id}"]
    return "\n".join(lines)


def _hop(hop: Hop) -> str:
    return f"{hop.target} (packages {hop.kubeadm}{'' if hop.whole else ', some kubelets only'})"


def render_operation(operation: Operation, record: PlanRecord) -> str:
    """Where a run stands, one line per machine."""
    done = len(machines_done(record, operation))
    head = f"{operation.id}: {run_title(record)}, {operation.state}, {done} of {count(len(operation.rows), 'machine')}"
    lines = [head, f"approved by {clean(operation.approved_by)}, started {moment(operation.created_at)}"]
    if operation.wish:
        lines.append(f"{clean(operation.wished_by)} asked to {operation.wish}")
    if operation.reason:
        lines.append(clean(operation.reason, 1000))
    lines += [clean(sentence, 400) for sentence in tell_standing(operation)]
    lines += [clean(sentence, 700) for sentence in (*tell_held(record.plan, operation), *tell_stuck(operation))]
    rows = [
        ("MACHINE", "STATE", "DOING"),
        *((r.node, r.state.value, machine_words(record, operation, r)) for r in operation.rows),
    ]
    lines += ["", monospace_columns(rows)]
    found = tuple(r.finding for r in operation.rows if r.finding)
    return "\n".join([*lines, "", render_findings(found)] if found else lines)


def render_events(events: Iterable[Event]) -> str:
    """Oldest first."""
    rows = [(clock(e.at), e.node or NOTHING, clean(e.sentence, 400)) for e in events]
    return monospace_columns(rows) if rows else "Nothing has happened yet."


def render_findings(findings: Sequence[Finding]) -> str:
    """Worst first, each with its code and what to do about it."""
    return "\n".join(finding_lines(findings)) if findings else "No findings."
