"""When upgrades of a cluster may go on: its maintenance windows and freezes, in its own time zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cluster.fields import WEEKDAYS
from cluster.findings import Finding, Findings, Severity
from cluster.inventory import Cluster, Freeze, Window

GO_ON_BY_THEMSELVES = frozenset({"freeze", "window-closed"})  # findings of which the end is known beforehand
_HORIZON = timedelta(days=366)  # nobody plans farther: what stays closed for longer has no known opening
_DAY = timedelta(days=1)
_TWO_DAYS = 2  # the one before a moment, and its own


@dataclass(frozen=True, slots=True)
class Span:
    """One time in which a cluster is open, in UTC as all moments; `ends` is the first moment after it."""

    begins: datetime
    ends: datetime


def check_opening(name: str, cluster: Cluster, now: datetime) -> Findings:
    """May a node of this cluster be begun now? One in hand goes on: half way it would be away for longer."""
    if _freeze_at(cluster, now) is None and _is_in_window(cluster, now):
        return ()
    return (_closed(name, cluster, now, Severity.BLOCKER),)


def check_plan_fits(name: str, cluster: Cluster, now: datetime, estimate: tuple[int, int]) -> Iterator[Finding]:
    """When a plan could begin, and whether its estimate, shortest and longest seconds, fits in there."""
    opening = next_opening(cluster, now)
    if opening is None or opening > now:
        yield _closed(name, cluster, now, Severity.NOTE)
    end = open_until(cluster, opening) if opening is not None else None
    if opening is None or end is None:
        return
    shortest, longest = (timedelta(seconds=s) for s in estimate)
    if longest <= end - opening:
        return
    fits = shortest <= end - opening
    sentence = (
        f"The plan takes {_hours(shortest)} to {_hours(longest)}, and {name} is open for {_hours(end - opening)}, "
        f"until {_moment(cluster, end)}: it {'may stop' if fits else 'stops'} between two nodes then, versions apart."
    )
    remedy = "It goes on by itself in the next window. Begin it early in a window, or make the windows longer."
    yield Finding("window-too-short", Severity.NOTE if fits else Severity.WARNING, name, sentence, remedy)


def next_opening(cluster: Cluster, now: datetime) -> datetime | None:
    """`now` where it is open; None where no opening is known."""
    moments = {
        now,
        *(span.begins for span in _windows(cluster, now)),
        *(_frozen(cluster, f).ends for f in cluster.freezes),
    }
    for moment in sorted(m for m in moments if m >= now):
        if _freeze_at(cluster, moment) is None and _is_in_window(cluster, moment):
            return moment
    return None


def open_until(cluster: Cluster, moment: datetime) -> datetime | None:
    """The end of the opening in which `moment` lies; None where none is known. Windows that meet are one."""
    stops = [span.begins for f in cluster.freezes if (span := _frozen(cluster, f)).begins > moment]
    end = moment if cluster.windows else None
    for span in sorted(_windows(cluster, moment), key=lambda s: s.begins):
        if end is not None and span.begins <= end < span.ends:
            end = span.ends
    return min([*stops, *([end] if end is not None and end < moment + _HORIZON - 2 * _DAY else [])], default=None)


def _closed(name: str, cluster: Cluster, now: datetime, severity: Severity) -> Finding:
    opening = next_opening(cluster, now)
    until = f"until {_moment(cluster, opening)}" if opening else "and no window opens within a year"
    remedy = (
        "A run waits for it and goes on by itself; `resume` does not hurry it." if opening else "Change its windows."
    )
    if (freeze := _freeze_at(cluster, now)) is not None:
        why = f" ({freeze.reason})" if freeze.reason else ""
        return Finding("freeze", severity, name, f"{name} is frozen{why} {until}: nothing new is begun.", remedy)
    sentence = f"No maintenance window of {name} is open {until}: nothing new is begun."
    return Finding("window-closed", severity, name, sentence, remedy)


def _is_in_window(cluster: Cluster, moment: datetime) -> bool:
    return not cluster.windows or any(s.begins <= moment < s.ends for s in _windows(cluster, moment, _TWO_DAYS))


def _windows(cluster: Cluster, moment: datetime, days: int = _HORIZON.days) -> Iterator[Span]:
    """Every opening from the day before `moment` on: one that began then may still be open."""
    zone = ZoneInfo(cluster.timezone)
    first = moment.astimezone(zone).date() - _DAY
    for window in cluster.windows:
        for number in range(days):
            day = first + number * _DAY
            if WEEKDAYS[day.weekday()] in window.days:
                yield _opening(window, day, zone)


def _opening(window: Window, day: date, zone: ZoneInfo) -> Span:
    opens, closes = time.fromisoformat(window.opens), time.fromisoformat(window.closes)
    last = day if closes > opens else day + _DAY  # past midnight, or round the clock
    return Span(_utc(day, opens, zone), _utc(last, closes, zone))


def _freeze_at(cluster: Cluster, moment: datetime) -> Freeze | None:
    """The one that lasts the longest."""
    held = [f for f in cluster.freezes if (span := _frozen(cluster, f)).begins <= moment < span.ends]
    return max(held, key=lambda f: f.ends, default=None)


def _frozen(cluster: Cluster, freeze: Freeze) -> Span:
    zone = ZoneInfo(cluster.timezone)
    return Span(_utc(freeze.begins, time.min, zone), _utc(freeze.ends + _DAY, time.min, zone))


def _utc(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(ZoneInfo("UTC"))


def _moment(cluster: Cluster, moment: datetime) -> str:
    return f"{moment.astimezone(ZoneInfo(cluster.timezone)):%A %Y-%m-%d %H:%M} {cluster.timezone}"


def _hours(span: timedelta) -> str:
    minutes = max(1, round(span / timedelta(minutes=1)))
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"  # noqa: PLR2004
