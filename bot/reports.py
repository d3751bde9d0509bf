"""`versions`, `status` and `help`: what is read and shown, to the person who asked alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bot.asked import Asked
from bot.blocks import Block, Message, bullets, context, header, rich_text, section, spans, text_element
from bot.fleet_card import FLEET, render_fleet
from bot.grammar import HELP
from bot.plan_card import card_key as plan_key
from bot.plan_card import summarise as summarise_plan
from bot.report_card import render_listing, render_report
from bot.run_card import card_key as run_key
from bot.run_card import summarise as summarise_run
from bot.station import Station
from bot.text import clamp, escape
from cluster.operation import Operation
from cluster.plan import PlanRecord, PlanStatus
from policies.fleet import FleetLine
from policies.overview import Overview

_MOST = 10  # plans and runs that a status lists


def look(station: Station, asked: Asked, cluster: str | None) -> Overview | tuple[FleetLine, ...]:
    """Read the cluster now, or all where none is named."""
    station.check_home(asked)
    if cluster == FLEET or (cluster is None and len(station.settings.clusters) > 1):
        return station.sights.fleet()
    name, _ = station.settings.cluster(cluster)
    return station.sights.overview(name)


def report_versions(station: Station, seen: Overview | tuple[FleetLine, ...], *, share: bool) -> Message:
    """`share` adds the button that shows it to the channel."""
    if isinstance(seen, Overview):
        return render_report(seen, share=share)
    return render_fleet(seen, station.command, share=share)


def list_everything(station: Station, asked: Asked, cluster: str) -> tuple[Message, ...]:
    """Every line and every image of one cluster, in parts."""
    station.check_home(asked)
    name, _ = station.settings.cluster(cluster)
    return render_listing(station.sights.overview(name))


def report_status(station: Station, asked: Asked, cluster: str | None) -> Message:
    """Plans that wait and runs in hand; the last run where there is none."""
    station.check_home(asked)
    names = [station.settings.cluster(cluster)[0]] if cluster else list(station.settings.clusters)
    active = station.store.active_operations()
    waiting = sorted(station.store.open_plans(), key=lambda record: record.requested_at, reverse=True)
    found = [one for name in names for one in _status_of(station, name, active, waiting)]
    if not found:
        nothing = f"Nothing is proposed and nothing has run. Begin with `{station.command} plan v1.35`."
        return Message(nothing, (section(nothing),))
    # a link costs a call to Slack
    blocks = [section(f"\u2022 {summary}{_link(station, key)}") for summary, key in found[:_MOST]]
    if len(found) > _MOST:
        blocks.append(context(f"and {len(found) - _MOST} more: name a cluster, or look with `lockkeeper status`."))
    return Message(clamp(found[0][0], 600), tuple(blocks))


def _status_of(
    station: Station, cluster: str, active: Iterable[Operation], waiting: Iterable[PlanRecord]
) -> Iterator[tuple[str, str]]:
    """A sentence and the key of its card; what runs before what waits."""
    for operation in [o for o in active if o.cluster == cluster] or station.store.operations(cluster, most=1):
        yield summarise_run(station.store.plan(operation.plan_id), operation), run_key(operation.id)
    for record in (r for r in waiting if r.plan.cluster == cluster):
        if record.status is PlanStatus.PROPOSED and record.expires_at > station.clock():
            yield summarise_plan(record), plan_key(record.id)


def _link(station: Station, key: str) -> str:
    posted = station.store.message(key)
    link = station.delivery.link(posted.channel, posted.ts) if posted else ""
    return f" <{link}|Open>" if link else ""


def show_help(station: Station, problem: str = "") -> Message:
    """Six lines that can be copied; with what was not understood on top."""
    command = station.command
    rows = [[text_element(f"{command} {usage}", code=True), text_element("  "), *spans(what)] for usage, what in HELP]
    blocks: list[Block] = [section(escape(problem))] if problem else [header("lockkeeper")]
    blocks += [rich_text(bullets(rows)), context("In a thread, where slash commands do not work, mention me instead.")]
    first = problem or f"lockkeeper says what runs where, and upgrades clusters: {command} versions, {command} plan …"
    return Message(escape(first, 600), tuple(blocks))
