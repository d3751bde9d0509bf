"""What earlier runs of a cluster say about how long the parts of the next one take."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cluster.events import Event, Happened
from cluster.options import DrainMode
from cluster.plan import PlanKind, PlanNode, PlanRecord, Role
from cluster.procedure import Phase, Verb, disturbs, reboots
from policies.drained import is_drained, minor_before

Range = tuple[int, int]  # seconds, shortest and longest

FEWEST = 5  # laps; what fewer say may be chance
_NEWEST = 200  # laps of a part, those of the newest runs
_MOST_WAIT = 0.9  # of the laps may the longest cover: what one machine once did says little about the others


class Part(StrEnum):
    """What a run is made of; each value names what was timed, in the plural."""

    PREPARE = "preparations"  # everywhere at once
    APPLY = "first control planes"
    UPGRADE_NODE = "further control planes"
    CONTROL_PLANE_KUBELET = "kubelets of control planes"
    WORKER = "workers"
    REVERT = "reverts"
    REBOOT = "reboots"  # they are no part of the kubelets' and workers' laps


@dataclass(frozen=True, slots=True)
class PastRun:
    """An operation that has ended, as its record and its events tell it."""

    record: PlanRecord
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """Of each part that was done often enough: from the median to nine in ten of its laps, and how many there are."""

    times: Mapping[Part, Range] = field(default_factory=dict)
    counts: Mapping[Part, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Lap:
    """One machine, or of a preparation all of them, in one stage of one hop."""

    begun: list[datetime] = field(default_factory=list)
    ended: dict[Verb, datetime] = field(default_factory=dict)
    failed: bool = False
    rebooted_from: datetime | None = None


_OF_PHASE: Mapping[str, Part] = {
    Phase.PREPARE.value: Part.PREPARE,
    Phase.CONTROL_PLANE_KUBELETS.value: Part.CONTROL_PLANE_KUBELET,
    Phase.WORKERS.value: Part.WORKER,
}
_ENDS = {  # the verb that a whole lap ends with
    Part.APPLY: Verb.VERIFY_CONTROL_PLANE,
    Part.UPGRADE_NODE: Verb.VERIFY_CONTROL_PLANE,
    Part.REVERT: Verb.VERIFY_CONTROL_PLANE,
    Part.CONTROL_PLANE_KUBELET: Verb.UNCORDON,
    Part.WORKER: Verb.UNCORDON,
}
_AWAY = frozenset({Part.CONTROL_PLANE_KUBELET, Part.WORKER})
_HALTS = frozenset({Happened.OPERATION_PARKED, Happened.OPERATION_BLOCKED, Happened.OPERATION_CANCELLED})


def learn(runs: Iterable[PastRun]) -> Past:
    """What these runs say, newest first: a lap in which a step failed, or the run stood still, says nothing."""
    found: defaultdict[Part, list[float]] = defaultdict(list)
    for run in runs:
        for part, seconds in _laps(run):
            if len(found[part]) < _NEWEST:
                found[part].append(seconds)
    enough = {part: laps for part, laps in found.items() if len(laps) >= FEWEST}
    return Past({part: _spread(laps) for part, laps in enough.items()}, {p: len(laps) for p, laps in enough.items()})


def _spread(laps: list[float]) -> Range:
    """Never up to the very longest one."""
    ordered = sorted(laps)
    last = len(ordered) - 1
    median, longest = ordered[last // 2], ordered[math.floor(_MOST_WAIT * last)]
    return max(1, round(median)), max(1, math.ceil(longest))


def _laps(run: PastRun) -> Iterator[tuple[Part, float]]:
    laps: defaultdict[tuple[int, Part, str], _Lap] = defaultdict(_Lap)
    halts = sorted(e.at for e in run.events if e.kind in _HALTS)
    for event in run.events:
        if (place := _place(run.record, event)) is not None:
            key, verb = place
            _note(laps[key], event, verb)
    for (_, part, _), lap in sorted(laps.items()):
        if (end := _end(part, lap)) is None or lap.failed or not lap.begun:
            continue
        begin = min(lap.begun)
        if begin <= end and bisect_left(halts, begin) == bisect_left(halts, end):
            rebooting = _reboot(lap)
            yield part, (end - begin).total_seconds() - rebooting
            if rebooting:
                yield Part.REBOOT, rebooting


def _reboot(lap: _Lap) -> float:
    """Seconds of it in which its machine rebooted; 0 where it did not."""
    begun, ended = lap.rebooted_from, lap.ended.get(Verb.REBOOT)
    return (ended - begun).total_seconds() if begun and ended and begun <= ended else 0.0


def _note(lap: _Lap, event: Event, verb: Verb) -> None:
    match event.kind:
        case Happened.STEP_STARTED:
            lap.begun.append(event.at)
            if verb is Verb.REBOOT:
                lap.rebooted_from = min(event.at, lap.rebooted_from or event.at)
        case Happened.STEP_FINISHED:
            if verb is not Verb.REBOOT or event.facts.get("rebooted") == "yes":
                lap.ended[verb] = max(event.at, lap.ended.get(verb, event.at))
        case Happened.STEP_FAILED:
            lap.failed = True
        case _:
            pass


def _end(part: Part, lap: _Lap) -> datetime | None:
    return max(lap.ended.values(), default=None) if part is Part.PREPARE else lap.ended.get(_ENDS[part])


def _place(record: PlanRecord, event: Event) -> tuple[tuple[int, Part, str], Verb] | None:
    """Which lap a step belongs to; None for one that is no part of an estimate."""
    hop, _, rest = event.step.partition("/")
    phase, _, name = rest.partition("/")
    node = record.plan.node(event.node)
    if node is None or not hop.isdecimal() or name not in tuple(Verb):
        return None
    index, verb = int(hop), Verb(name)
    part = _part(record.plan.kind, phase, node.role)
    # in older runs a worker began before its cordon, while others were away, and then waited for a place
    if part is None or (part in _AWAY and not (disturbs(verb) and _was_drained(record, node, index))):
        return None
    return (index, part, "" if part is Part.PREPARE else event.node), verb


def _part(kind: PlanKind, phase: str, role: Role) -> Part | None:
    if kind is PlanKind.ROLLBACK:  # few, and of nodes that were not well: no measure for an upgrade
        return None
    if kind is PlanKind.REVERT:
        return Part.REVERT if phase == Phase.CONTROL_PLANE else None
    if phase == Phase.CONTROL_PLANE:
        return Part.APPLY if role is Role.FIRST_CONTROL_PLANE else Part.UPGRADE_NODE
    return _OF_PHASE.get(phase)


def _was_drained(record: PlanRecord, node: PlanNode, hop: int) -> bool:
    """Whether its kubelet went to another minor, or each step drains: a restart in place says nothing of a drain."""
    if hop >= len(record.plan.hops):
        return False
    always = record.plan.options.drain is DrainMode.ALWAYS or reboots(record.plan, node, hop)
    known = always or minor_before(record, node, hop) is not None
    return known and is_drained(record, node, hop)
