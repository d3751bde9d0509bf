"""What a plan does that cannot be undone, by data/permanent.yaml: said before anybody approves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from cluster.options import Reboot
from cluster.plan import PlanKind, PlanRecord
from cluster.procedure import kubelet_moves
from cluster.versions import KubeVersion, Minor, ReportedVersion
from policies.data_files import DataFile, Row
from policies.drained import is_drained
from policies.kubeadm_defaults import images_of

_EXTERNAL, _PINNED = "etcd-external", "etcd-image-pinned"  # findings: kubeadm does not move that etcd to another line


class Effect(Row):
    """One thing that stays; its sentence has gaps for versions."""

    code: str
    sentence: str


class Permanence(DataFile):
    """The whole file."""

    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Permanent:
    """One thing that this plan does for good."""

    code: str
    sentence: str
    source: str  # where that can be read


def read_effects() -> tuple[Effect, ...]:
    return Permanence.read("permanent.yaml").effects


def find_permanent(record: PlanRecord) -> tuple[Permanent, ...]:
    """Only what this very plan does, the gravest first; () for one that stays within its minor and loses nothing."""
    known = {e.code: e for e in read_effects()}
    return tuple(
        Permanent(code, known[code].sentence.format(**versions), known[code].sources[0])
        for code, versions in (*_of_control_plane(record), *_of_drains(record), *_of_reboots(record))
    )


_Told = tuple[str, dict[str, str]]


def _of_control_plane(record: PlanRecord) -> Iterator[_Told]:
    plan, running = record.plan, _api_servers(record)
    if plan.kind is PlanKind.REVERT:
        newest = max((v.minor for v in running), default=plan.target.minor)
        if newest > plan.target.minor:
            yield "stored-objects-stay", _from_to(newest, plan.target.minor)
        return
    way = _minors(record, running) if plan.kind is PlanKind.UPGRADE else ()
    if len(way) < 2:  # noqa: PLR2004 - a beginning and an end
        return
    yield "minor", _from_to(way[0], way[-1])
    yield _way_back(record), {}
    yield "stored-objects", _from_to(way[0], way[-1])
    yield from _of_etcd(record, way)


def _way_back(record: PlanRecord) -> str:
    if _EXTERNAL in _codes(record):
        return "way-back-is-yours"
    return "no-way-back" if record.plan.options.without_snapshot else "way-back"


def _of_etcd(record: PlanRecord, way: tuple[Minor, ...]) -> Iterator[_Told]:
    """Each change of etcd's line; where the etcd of a minor is not known nothing is said."""
    if {_EXTERNAL, _PINNED} & _codes(record):
        return
    for before, after in pairwise(way):
        old, new = images_of(before), images_of(after)
        if old and new and _line(old.etcd) != _line(new.etcd):
            yield "etcd", {"before": _line(old.etcd), "after": _line(new.etcd)}


def _of_drains(record: PlanRecord) -> Iterator[_Told]:
    if not _drains(record):
        return
    if record.plan.options.delete_emptydir:
        yield "emptydir", {}
    if record.plan.options.delete_unmanaged:
        yield "unmanaged", {}


def _of_reboots(record: PlanRecord) -> Iterator[_Told]:
    reboot = record.plan.options.reboot
    if record.plan.kind is PlanKind.UPGRADE and reboot is not Reboot.NEVER:
        yield "reboot", {"which": "Every machine" if reboot is Reboot.ALWAYS else "Each machine that asks for it"}


def _drains(record: PlanRecord) -> bool:
    """Whether any node is drained: a mere patch may restart its kubelet in place."""
    plan = record.plan
    return plan.kind is not PlanKind.REVERT and any(
        kubelet_moves(plan, node, hop) and is_drained(record, node, hop)
        for node in plan.nodes
        for hop in range(len(plan.hops))
    )


def _minors(record: PlanRecord, running: tuple[KubeVersion, ...]) -> tuple[Minor, ...]:
    """The minors of the control plane on its way, each once, from the oldest that runs."""
    hops = [hop.target.minor for hop in record.plan.hops if hop.whole]
    return tuple(sorted({*hops, *(v.minor for v in running if v.minor <= hops[0])})) if hops else ()


def _api_servers(record: PlanRecord) -> tuple[KubeVersion, ...]:
    """Those of the plan's nodes, and what kubeadm-config declares: one of them may have been edited by hand."""
    names = {n.name for n in record.plan.nodes}
    read = [text for node, text in record.basis.api_servers if node in names]
    return tuple(v.version for v in map(ReportedVersion.read, (*read, record.basis.declared)) if v is not None)


def _codes(record: PlanRecord) -> set[str]:
    return {f.code for f in record.findings} | set(record.plan.accepted)


def _line(etcd: str) -> str:
    return ".".join(etcd.split(".")[:2])


def _from_to(before: Minor, after: Minor) -> dict[str, str]:
    return {"before": str(before), "after": str(after)}
