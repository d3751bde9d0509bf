"""Two plans of one cluster held against each other: what the newer one does another way, and what it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from cluster.difference import Change, Difference, Part
from cluster.hooks import PlanHook
from cluster.plan import Hop, PlanNode, PlanPool, PlanRecord, PlanStatus, UpgradePlan
from policies.consents import BLOCKERS
from policies.pace import tell_budget, tell_pace
from policies.pod_rules import tell_rules

_MINUTE = 60  # seconds


def find_difference(older: PlanRecord | None, newer: PlanRecord) -> Difference | None:
    """None where no plan went before: an approved one was carried out or given up, and with it begins a new story."""
    if older is None or older.status is PlanStatus.APPROVED:
        return None
    return Difference(older.id, tuple(_changes(older, newer)))


def _changes(older: PlanRecord, newer: PlanRecord) -> Iterator[Change]:
    old, new = older.plan, newer.plan
    yield from _of(Part.HOPS, {"": _way(old)}, {"": _way(new)})
    yield from _both(Part.PACKAGES, _packages(old), _packages(new))
    yield from _of(Part.MACHINE, _machines(old), _machines(new))
    yield from _rebuilt(old, new)
    yield from _both(Part.POOL, _limits(old), _limits(new))
    yield from _both(Part.VERSION, _running(older), _running(newer))
    yield from _of(Part.OPTION, _options(old), _options(new))
    yield from _of(Part.CONSENT, _consents(old), _consents(new))
    yield from _of(Part.FINDING, _findings(older), _findings(newer))
    yield from _of(Part.ESTIMATE, {"": _time(older)}, {"": _time(newer)})


def _of(part: Part, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for subject in dict.fromkeys((*before, *after)):
        was, will = before.get(subject, ""), after.get(subject, "")
        if was != will:
            yield Change(part, subject, was, will)


def _both(part: Part, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """Only of what both plans have; the rest is told as what came or went."""
    return _of(part, {k: v for k, v in before.items() if k in after}, {k: v for k, v in after.items() if k in before})


def _way(plan: UpgradePlan) -> str:
    return " \u2192 ".join(str(h.target) if h.whole else f"{h.target} (some kubelets)" for h in plan.hops)


def _packages(plan: UpgradePlan) -> dict[str, str]:
    return {str(h.target): _package(h) for h in plan.hops}


def _package(hop: Hop) -> str:
    return ", ".join(dict.fromkeys(str(p) for p in (hop.kubeadm, hop.kubelet, hop.kubectl)))


def _machines(plan: UpgradePlan) -> dict[str, str]:
    """Each in words: a machine that is left out is no part of what will happen."""
    moved = {n.name: _part_of(plan, pool, n) for pool in plan.pools for n in pool.nodes}
    return moved | {n.name: "left out" for n in plan.left_out}


def _part_of(plan: UpgradePlan, pool: PlanPool, node: PlanNode) -> str:
    words = f"{node.role.replace('-', ' ')}, pool {pool.name}"
    if node.moves is None:
        return words
    return f"{words}, moves at {' and '.join(str(plan.hops[i].target) for i in node.moves)}"


def _rebuilt(old: UpgradePlan, new: UpgradePlan) -> Iterator[Change]:
    """Another machine under the same name."""
    for node in new.nodes:
        before = old.node(node.name)
        if before is not None and before.uid != node.uid:
            yield Change(Part.MACHINE, node.name, f"UID {before.uid}", f"UID {node.uid}: removed and joined again")


def _limits(plan: UpgradePlan) -> dict[str, str]:
    said = ((p.name, (f"{p.max_unavailable} away at once", tell_pace(p), tell_budget(p))) for p in plan.pools)
    return {name: ", ".join(filter(None, parts)) for name, parts in said}


def _running(record: PlanRecord) -> dict[str, str]:
    basis = record.basis
    servers = {f"API server on {node}": version for node, version in basis.api_servers}
    return servers | {f"kubelet of {node}": version for node, version in basis.kubelets} | _declared(basis.declared)


def _declared(version: str) -> dict[str, str]:
    return {"kubeadm-config": version} if version else {}


def _options(plan: UpgradePlan) -> dict[str, str]:
    options = {name.replace("_", " "): _word(value) for name, value in asdict(plan.options).items()}
    options["databases"] = ", ".join(r.name for r in plan.options.databases) or "those that are known"
    options["pod rules"] = "; ".join(tell_rules(plan.options)) or "none"
    return options | {f"hook {h.moment} {h.name}": _hook(h) for h in plan.hooks}


def _hook(hook: PlanHook) -> str:
    address = f", address {hook.address_sha256[:8]}, {hook.tries} tries" if hook.is_webhook else ""
    return f"{hook.timeout} s, on failure {hook.on_failure}{address}"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _consents(plan: UpgradePlan) -> dict[str, str]:
    return {code: "given" for code in plan.accepted if code in BLOCKERS}


def _findings(record: PlanRecord) -> dict[str, str]:
    """By code and subject, since numbers in sentences change from one look to the next."""
    return {f"{f.code} {f.subject}": f.severity.value for f in reversed(record.findings)}


def _time(record: PlanRecord) -> str:
    shortest, longest = (round(seconds / _MINUTE) for seconds in record.estimate)  # as everywhere else
    return f"{shortest} to {longest} minutes" if longest else ""
