"""What the machines told when they were last surveyed: packages and their source, etcd's members, certificates."""

from __future__ import annotations

from collections.abc import Iterator

from bot.report_rows import Row, grouped
from bot.text import NOTHING
from cluster.etcd import ALARM, EtcdFacts
from cluster.facts import UPGRADED_PACKAGES, MachineFacts
from cluster.report import Unread
from cluster.survey import Survey, SurveyedMachine
from policies.etcd import ASKED_OF_ETCD
from policies.etcd_members import LAGGING, LARGE
from policies.origins import Kind, origin_of
from policies.wording import some_of

HEAD = ("MACHINE", "KUBEADM", "KUBELET", "KUBECTL", "ON HOLD", "SOURCE", "CERTIFICATES UNTIL", "OFFERED")
_MIB = 1024 * 1024
_MISSING = "missing"


def machine_rows(survey: Survey) -> tuple[Row, ...]:
    """Grouped, so that of thousands of machines the few that differ stand out."""
    rows = tuple(grouped((*_etcd(survey), *(r for m in survey.machines for r in _machine(m)))))
    kinds = list(dict.fromkeys(r.what for r in rows))
    return tuple(sorted(rows, key=lambda r: kinds.index(r.what)))


def machine_lines(survey: Survey) -> Iterator[tuple[str, ...]]:
    """One line a machine, below HEAD."""
    for machine in survey.machines:
        facts = machine.facts
        if isinstance(facts, Unread):
            yield (machine.name, f"not read: {facts.reason}", *([""] * (len(HEAD) - 2)))
            continue
        installed = (_installed(facts, name) for name in UPGRADED_PACKAGES)
        newest = ", ".join(str(o.newest) for o in machine.offers if o.newest is not None)
        yield machine.name, *installed, _hold(facts), _source(facts), _first_end(facts) or NOTHING, newest or NOTHING


def _machine(machine: SurveyedMachine) -> Iterator[tuple[str, str, str]]:
    facts = machine.facts
    if isinstance(facts, Unread):
        yield "machine", f"not read: {facts.reason}", machine.name
        return
    yield "packages", f"{_packages(facts)}, on hold: {_hold(facts)}", machine.name
    yield "package source", _source(facts), machine.name
    for rule in map(str, facts.pin_rules or facts.pins):
        yield "package pin", rule, machine.name
    if end := _first_end(facts):
        yield "certificates, first end", end, machine.name


def _packages(facts: MachineFacts) -> str:
    """One version where all three have the same."""
    versions = {name: _installed(facts, name) for name in UPGRADED_PACKAGES}
    alike = set(versions.values())
    return alike.pop() if len(alike) == 1 else ", ".join(f"{name} {version}" for name, version in versions.items())


def _installed(facts: MachineFacts, name: str) -> str:
    """The version of its package; of a program without one what it says itself."""
    package = facts.package(name)
    if package is not None:
        return package.version if package.whole else f"{package.version} (not whole)"
    program = {"kubeadm": facts.kubeadm, "kubelet": facts.kubelet, "kubectl": facts.kubectl}[name]
    return f"{program} (no package)" if program is not None else _MISSING


def _hold(facts: MachineFacts) -> str:
    if facts.held is None:
        return "not read"
    held = [name for name in UPGRADED_PACKAGES if name in facts.held]
    return "all" if len(held) == len(UPGRADED_PACKAGES) else ", ".join(held) or "none"


def _source(facts: MachineFacts) -> str:
    """Its kind, where that does not say it its address, and the minor that it is set to."""
    origin = origin_of(facts)
    place = "" if origin.kind in {Kind.COMMUNITY, Kind.UNKNOWN} else f" {origin.place}"
    minors = " and ".join(sorted({str(source.minor) for source in facts.sources}))
    return f"{origin.kind}{place}{f', {minors}' if minors else ''}"


def _first_end(facts: MachineFacts) -> str:
    """The day on which the first of its certificates ends, a CA's included; "" where it has none."""
    if facts.certificates is None:
        return "not read"
    ends = [c.until for c in facts.certificates if c.until is not None]
    return str(min(ends).date()) if ends else ""


def _etcd(survey: Survey) -> Iterator[tuple[str, str, str]]:
    """Each member as its machine or its endpoint told it; of those that only others know, what they say."""
    told, silent = _members(survey)
    for place, facts in told.items():
        yield "etcd member", _member(facts), place
    for place, unread in silent.items():
        yield "etcd member", f"not read: {unread.reason}", place
    known = {facts.ident for facts in told.values()}
    for member in max((facts.members or () for facts in told.values()), key=len, default=()):
        if member.ident not in known:
            state = "learner, " if member.learner else ""
            yield "etcd member", f"{state}told of by the others", member.name or f"number {member.ident}"
    if told:
        yield from (("etcd alarm", kind, "") for kind in _alarms(tuple(told.values())))


def _alarms(told: tuple[EtcdFacts, ...]) -> list[str]:
    """Each that is raised; without etcdctl only the errors of a member tell of one, and nobody of none."""
    raised = {alarm.kind for facts in told for alarm in facts.alarms or ()}
    raised |= {error.rpartition(ALARM)[2].strip() for facts in told for error in facts.errors if ALARM in error}
    if raised:
        return sorted(raised)
    return ["not read" if all(facts.alarms is None for facts in told) else "none"]


def _members(survey: Survey) -> tuple[dict[str, EtcdFacts], dict[str, Unread]]:
    """By machine, or by the address of an etcd elsewhere; and those of which no machine was told anything."""
    machines = {m.name: m.facts for m in survey.machines if isinstance(m.facts, MachineFacts)}
    told = {name: facts.etcd for name, facts in machines.items() if facts.etcd is not None}
    unread = ((name, u) for name, facts in machines.items() for u in facts.unread if u.what in ASKED_OF_ETCD)
    silent: dict[str, Unread] = dict(unread)
    for endpoint in (endpoint for facts in machines.values() for endpoint in facts.outside_etcd):
        if isinstance(endpoint.told, Unread):
            silent.setdefault(endpoint.place, endpoint.told)
        else:
            told.setdefault(endpoint.place, endpoint.told)
    return told, {place: unread for place, unread in silent.items() if place not in told}


def _member(facts: EtcdFacts) -> str:
    part = "learner" if facts.learner else "leader" if facts.is_leader else "follower"
    said = f"{facts.version}, {part}, {facts.size_bytes // _MIB} MiB"
    if facts.quota_bytes:
        said += f" ({facts.quota_share:.0%} of its quota)"
    ill = some_of(e for e in facts.errors if ALARM not in e) or ("" if facts.has_leader else "no leader")
    if ill:
        return f"{said}, not well: {ill[:200]}"
    if facts.raft_behind is not None and facts.raft_behind > LAGGING:
        return f"{said}, {facts.raft_behind} entries behind"
    return said if facts.quota_share > LARGE else f"{said}, well"
