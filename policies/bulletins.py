"""When the periodic report is due, and what has changed since the last one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cluster.bulletin import Bulletin, Snapshot
from cluster.fields import WEEKDAYS
from cluster.findings import Severity
from cluster.report import Unread
from cluster.settings import Digest
from policies.fleet import Standing, line_of, worst_clusters_first
from policies.overview import Overview
from policies.wording import count_of, some_of

_STANDS = "stands"
_ALONE = 2  # findings of one kind that are told sentence by sentence; more of them are told as one
_SURVEYED = re.compile(r" \((Surveyed|Read) [^)]*\)$")
_Told = tuple[tuple[str, str, str], ...]


def period_of(digest: Digest, now: datetime) -> str:
    """The day, in its own zone, on which the last one was due: what is told once."""
    here = now.astimezone(ZoneInfo(digest.timezone))
    hour, minute = (int(part) for part in digest.at.split(":"))
    day = here.date()
    if (here.hour, here.minute) < (hour, minute):
        day -= timedelta(days=1)
    if digest.every == "weekly":
        day -= timedelta(days=(day.weekday() - WEEKDAYS.index(digest.day)) % len(WEEKDAYS))
    return day.isoformat()


def take_snapshot(cluster: str, seen: Overview | Unread, before: Snapshot | None) -> Snapshot:
    """What counts of a cluster; of one that cannot be read what was known stays, so that its changes are told later."""
    line = line_of(cluster, seen)
    if isinstance(seen, Unread) or not seen.report.nodes_read:
        facts = [(k, v) for k, v in before.facts if k != _STANDS] if before else []
        known = (before.findings, before.surveyed) if before else ()
        return Snapshot(cluster, ((_STANDS, line.standing.value), *facts), *known)
    kept = _kept(seen, before)
    facts = [
        (_STANDS, _worse(line.standing, before) if kept else line.standing.value),
        ("made by", seen.maker),
        ("API servers", ", ".join(map(str, line.api_servers)) or "not read"),
        ("kubelets", ", ".join(map(str, line.kubelets)) or "not read"),
        ("nodes", str(line.nodes)),
        *((f"newest {m.minor}", str(m.newest)) for m in seen.support.running if m.newest),
    ]
    weighty = [f for f in seen.findings if f.severity is not Severity.NOTE]
    unread = (("unread", u.what, f"{u.what} could not be read: {u.reason}") for u in seen.unread)
    found = ((f.code, f.subject, f.sentence) for f in weighty if not _SURVEYED.search(f.sentence))
    dated = ((f.code, f.subject, _SURVEYED.sub("", f.sentence)) for f in weighty if _SURVEYED.search(f.sentence))
    return Snapshot(cluster, tuple(facts), (*found, *unread), (*dated, *kept))


def _kept(seen: Overview, before: Snapshot | None) -> _Told:
    """What a survey told and nobody could ask anew: that is not gone."""
    known = before.surveyed if before else ()
    if any(f.code == "not-surveyed" for f in seen.findings):
        return known
    machines = seen.survey.machines if seen.survey else ()
    silent = {m.name for m in machines if isinstance(m.facts, Unread)}
    return tuple(f for f in known if f[1] in silent)


def _worse(now: Standing, before: Snapshot | None) -> str:
    """While something was not asked anew, nobody knows that it stands better than before."""
    order = [standing.value for standing in Standing if standing is not Standing.UNREADABLE]
    was = dict(before.facts).get(_STANDS, "") if before else ""
    return min(was, now.value, key=order.index) if was in order else now.value


def write_bulletin(
    period: str, seen: Iterable[tuple[str, Overview | Unread]], last: Bulletin | None, now: datetime
) -> Bulletin:
    """Only what changed since `last`; the first one says everything in short."""
    known = {s.cluster: s for s in last.snapshots} if last else {}
    sights = dict(seen)
    ranked = worst_clusters_first(line_of(name, sight) for name, sight in sights.items())
    looked = {one.cluster: sights[one.cluster] for one in ranked}
    snapshots = tuple(take_snapshot(name, sight, known.get(name)) for name, sight in looked.items())
    news: dict[str, tuple[str, ...]] = {s.cluster: tuple(_changes(known.get(s.cluster), s)) for s in snapshots}
    news |= {name: ("is no longer in the configuration",) for name in known if name not in looked}
    if last is None:
        news = {name: (_in_short(name, sight),) for name, sight in looked.items()}
    told = tuple((name, sentences) for name, sentences in news.items() if sentences)
    return Bulletin(period, now, last.period if last else "", told, len(news) - len(told), snapshots)


def _in_short(name: str, sight: Overview | Unread) -> str:
    line = line_of(name, sight)
    if line.standing is Standing.UNREADABLE:
        return f"unreadable: {line.note}"
    servers, kubelets = (", ".join(map(str, v)) or "not read" for v in (line.api_servers, line.kubelets))
    note = f"; {line.note}" if line.note else ""
    return f"{line.standing.value}: API servers {servers}, {count_of(line.nodes, 'kubelet')} {kubelets}{note}"


def _changes(before: Snapshot | None, after: Snapshot) -> Iterator[str]:
    if before is None:
        yield f"is new here; it stands at: {dict(after.facts)[_STANDS]}"
        return
    old, new = dict(before.facts), dict(after.facts)
    for name, value in new.items():
        if name in old and old[name] != value:
            yield f"{name}: {old[name]} \u2192 {value}"
    had, has = _by_code(before), _by_code(after)
    for code, subjects in has.items():
        came = {s: sentence for s, sentence in subjects.items() if s not in had.get(code, {})}
        yield from came.values() if len(came) <= _ALONE else [f"{code} came at {len(came)}: {some_of(came)}"]
    for code, subjects in had.items():
        if left := [s for s in subjects if s not in has.get(code, {})]:
            yield f"{code} is gone at {some_of(left)}"


def _by_code(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for code, subject, sentence in (*snapshot.findings, *snapshot.surveyed):
        found.setdefault(code, {})[subject] = sentence
    return found
