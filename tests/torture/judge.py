"""
Was the run sound? Judged from the machines' own log, the event stream and the cluster; each fault is one sentence.

Nothing here asks the engine, its rows or its policies: the rules are written down once more, from the outside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyrage

from cluster.events import Event, Happened
from cluster.report import CORDON_OWNER
from lab.objects import ObjectStore
from lab.toolbox import ExecRecord
from tests.torture.witness import Sight

KUBELETS_BEHIND = 3  # minors that a kubelet may be older than an API server, since v1.28
_STOPS = frozenset({Happened.OPERATION_BLOCKED, Happened.OPERATION_PARKED})
_ENDS = frozenset({Happened.OPERATION_COMPLETED, Happened.OPERATION_CANCELLED})
_APPLY, _NODE = ("kubeadm", "upgrade", "apply"), ("kubeadm", "upgrade", "node")
_RESTART = ("systemctl", "restart", "kubelet")
_UPGRADES = frozenset({_APPLY, _NODE})
Snapshot = Mapping[str, Mapping[str, Any]]


def judge_log(log: Sequence[ExecRecord], masters: Sequence[str]) -> Iterator[str]:
    """Nothing starts twice under one attempt id; the first control plane is upgraded before every other machine."""
    for (machine, unit), count in Counter((r.machine, r.unit) for r in log if r.started).items():
        if count > 1:
            yield f"{unit} was started {count} times on {machine}"
    upgrades = [r for r in log if r.argv[:3] in _UPGRADES and r.exit == 0 and r.ended_at]
    for record in log:
        words = record.argv[:3]
        ended = [r for r in upgrades if r.ended_at and r.ended_at <= record.at]  # the log is in the order of the starts
        if words == _NODE and not any(r.argv[:3] == _APPLY for r in ended):
            yield f"kubeadm upgrade node ran on {record.machine} before any apply had ended"
        missing = [m for m in masters if m not in {r.machine for r in ended}]
        if words == _RESTART and missing and record.machine not in masters:
            yield f"the kubelet of {record.machine} was restarted before the control plane of {', '.join(missing)}"


def judge_sights(sights: Sequence[Sight], *, most_away: int) -> Iterator[str]:
    """The version skew policy and the number of workers away, at every moment."""
    for sight in sights:
        servers = [minor for _, minor in sight.api_servers]
        if max(servers) - min(servers) > 1:
            yield f"API servers were more than a minor apart: {sight.api_servers}"
        for name, minor in sight.kubelets:
            if minor > min(servers) or max(servers) - minor > KUBELETS_BEHIND:
                yield f"the kubelet of {name} (1.{minor}) did not fit the API servers {sight.api_servers}"
        if len(sight.away - sight.foreign) > most_away:
            yield f"{', '.join(sorted(sight.away))} were away at once, {most_away} may be"


def judge_events(told: Sequence[Event], state: str) -> Iterator[str]:
    """
    Every step that ended was told to have begun, and ended once; where the run is whole, each that began has ended.

    Whoever is given back before its kubelet is touched begins its stage anew, and is told so.
    """
    ended: Counter[tuple[str, str]] = Counter()
    begun: set[tuple[str, str]] = set()
    for event in told:
        place = (event.node, event.step)
        if event.kind is Happened.STEP_STARTED:
            begun.add(place)
        if event.kind is Happened.NODE_UNCORDONED:
            for again in [p for p in ended if _stage(p) == _stage(place)]:
                ended[again] = 0
        if event.kind is Happened.STEP_FINISHED:
            ended[place] += 1
            if place not in begun:
                yield f"{event.node} ended {event.step}, which it was never told to begin"
            if ended[place] > 1:
                yield f"{event.node} ended {event.step} {ended[place]} times"
    if state == "completed":
        yield from (f"{node} never ended {step}" for node, step in sorted(begun) if not ended[node, step])
    last = next((e.kind for e in reversed(told) if e.kind in _STOPS | _ENDS), None)
    if last is None or not last.value.endswith(state):
        yield f"the run is {state}, and the last word of its events is {last}"


def _stage(place: tuple[str, str]) -> tuple[str, str]:
    return place[0], place[1].rpartition("/")[0]


def judge_end(before: Snapshot, after: Snapshot, target: str) -> Iterator[str]:
    """Every version at the target; every cordon and hold as it was: ours are gone, others' are there."""
    for name, machine in after.items():
        for what in ("kubelet", "apiserver"):
            if machine.get(what) not in {None, "", target}:
                yield f"{name}: {what} is {machine[what]}, not {target}"
        yield from judge_kept(name, before[name], machine)


def judge_store(directory: Path, taken: Sequence[bytes]) -> Iterator[str]:
    """The snapshot before the upgrade is in the store, whole; nothing half is left there."""
    identity = pyrage.x25519.Identity.from_str((directory / "snapshots.key").read_text(encoding="utf-8").strip())
    names = sorted(path.name for path in (directory / "snapshots").rglob("*") if path.is_file())
    yield from (f"{name} was left in the store" for name in names if not name.endswith((".db.age", ".md")))
    stored = sorted((directory / "snapshots").rglob("*.db.age"))
    if not stored:
        yield "no snapshot is in the store"
    for path in stored:
        try:
            whole = pyrage.decrypt(path.read_bytes(), [identity]) in taken
        except pyrage.DecryptError:
            whole = False
        if not whole:
            yield f"{path.name} is none of the snapshots that were taken"


def judge_kept(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for what in ("cordoned", "holds"):
        if after[what] != before[what]:
            yield f"{name}: {what} was {before[what]} and is {after[what]}"


def judge_marks(objects: ObjectStore) -> Iterator[str]:
    """Nothing in the cluster names the run any more: neither its Lease nor a mark on a node."""
    if objects.peek("Lease", "lockkeeper", "kube-system") is not None:
        yield "the Lease of the run is still there"
    for node in objects.each("Node"):
        if CORDON_OWNER in (node["metadata"].get("annotations") or {}):
            yield f"{node['metadata']['name']} still carries the mark of a cordon of ours"


def judge_stop(told: Sequence[Event]) -> Iterator[str]:
    """A stop has a reason that a person can read."""
    last = next((e for e in reversed(told) if e.kind in _STOPS), None)
    if last is None or len(last.sentence) < len("no reason given"):
        yield f"the run stopped without a reason: {last}"
